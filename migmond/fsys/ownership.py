"""Whether others than root could change what root is about to trust: its configuration, plugins, journal."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

_MAX_SYMLINKS = 40


def weak_spot(path: str) -> str | None:
    """Say by which part of `path` somebody else than root could change what stands there.

    Every directory from / down, the symlinks on the way and the end itself must be root's and writable by nobody
    else, as for sudo's own files. A directory with the sticky bit may be written by others: what is root's in it
    stays.

    Args:
        path: absolute. What is missing, and what would be below a file, is nobody's to change.

    Returns:
        A sentence, None when there is no such part.

    Raises:
        OSError: a part cannot be looked at, or the symlinks have no end.
    """
    todo, at, followed = _components(path), "/", 0
    while True:
        try:
            st = os.lstat(at)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if reason := _weakness(at, st):
            return reason
        if stat.S_ISLNK(st.st_mode):
            text, followed = os.readlink(at), followed + 1
            if followed > _MAX_SYMLINKS:
                raise OSError(f"too many symlinks in {path}")
            todo = _components(os.path.join(os.path.dirname(at), text)) + todo
            at = "/"
            continue
        if not todo:
            return None
        name = todo.pop(0)
        at = os.path.dirname(at) if name == ".." else os.path.join(at, name)


def weak_spot_below(directory: str) -> str | None:
    """The same for a directory and everything in it, however deep. Raises OSError."""
    for path in _everything(directory):
        if reason := weak_spot(path) if path == directory or os.path.islink(path) else _weakness(path, os.lstat(path)):
            return reason
    return None


def _everything(directory: str) -> Iterator[str]:
    yield directory
    for parent, directories, files in os.walk(directory):
        for name in (*directories, *files):
            yield os.path.join(parent, name)


def _components(path: str) -> list[str]:
    """Without `.`; `..` is kept: what it leads to depends on the symlinks before it."""
    return [name for name in path.split("/") if name not in ("", ".")]


def _weakness(path: str, st: os.stat_result) -> str | None:
    if st.st_uid != 0:
        return f"{path} belongs to uid {st.st_uid}, not to root"
    sticky = stat.S_ISDIR(st.st_mode) and st.st_mode & stat.S_ISVTX
    if st.st_mode & 0o022 and not sticky and not stat.S_ISLNK(st.st_mode):
        return f"{path} may be written by {'everybody' if st.st_mode & 0o002 else f'group {st.st_gid}'}"
    return None
