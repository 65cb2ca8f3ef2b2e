"""Which files count, and in which order: as systemd merges its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from migmond.domain.errors import ConfigError
from migmond.fsys.ownership import weak_spot

MAIN_FILE = "migmond.toml"
DROP_INS = "migmond.conf.d"

SYSTEM_DIRECTORIES = (Path("/usr/lib/migmond"), Path("/run/migmond"), Path("/etc/migmond"))
"""From the lowest to the highest priority."""


def files_to_read(directories: Sequence[Path]) -> list[Path]:
    """Return the files that count, in the order in which they are applied.

    The main file of the highest directory that has one; then the drop-ins of all directories by name, where a name
    in a higher directory replaces the same name in a lower one. An empty file, or a link to /dev/null, masks.

    Args:
        directories: from the lowest to the highest priority.

    Raises:
        ConfigError: drop-ins cannot be listed, or lie where they are not read: whoever wrote them believes they hold.
    """
    for directory in directories:
        if stray := sorted(p.name for p in directory.glob("[!.]*.toml") if p.name != MAIN_FILE):
            raise ConfigError(f"{directory / stray[0]} is not read there", hint=f"put it into {directory / DROP_INS}/")
    chosen: list[Path] = []
    mains = [d / MAIN_FILE for d in directories if os.path.lexists(d / MAIN_FILE)]
    if mains and not _masks(mains[-1]):
        chosen.append(mains[-1])
    by_name: dict[str, Path] = {}
    for directory in directories:
        try:
            names = sorted(os.listdir(directory / DROP_INS))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as e:
            raise ConfigError(
                f"cannot list {directory / DROP_INS}: {e.strerror}", hint="its files are the configuration: mend it"
            ) from e
        by_name.update((n, directory / DROP_INS / n) for n in names if n.endswith(".toml") and not n.startswith("."))
    chosen += [by_name[name] for name in sorted(by_name) if not _masks(by_name[name])]
    return chosen


def _masks(path: Path) -> bool:
    try:
        if path.is_symlink() and os.path.realpath(path) == os.devnull:
            return True
        return path.stat().st_size == 0
    except OSError:
        return False  # reading it will say what is wrong


def check_ownership(path: Path) -> None:
    """Refuse a file that somebody but root could change, also by changing a directory above it.

    Raises:
        ConfigError: which part of the path is not root's alone.
        OSError: it cannot be looked at.
    """
    if weak := weak_spot(os.path.abspath(path)):
        raise ConfigError(f"{path} could be written by others than root: {weak}", hint="chown root, chmod go-w")
