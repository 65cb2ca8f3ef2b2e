"""Names of copies that are not published yet. Each attempt has its own: no two ever write under one name, not even when
the mover of an earlier one is still there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from migmond.fsys.rename import stat_or_none

_TEMPORARY = re.compile(rb"\.migmond-[0-9a-f]{12}-[0-9]+(?:-[0-9a-f]{12}-[0-9]+-[0-9]+)?\.part")


def temporary_name(execution: str, number: int, tag: bytes) -> bytes:
    """Return the temporary name of task `number` in the attempt `tag`; b"" is that of versions that had no attempts."""
    return b".migmond-%s-%d%s.part" % (execution.encode(), number, b"-" + tag if tag else b"")


def around_numbers(execution: str, mover: bytes) -> tuple[bytes, bytes]:
    """Return what stands before the task's number, and between it and the attempt's, in temporary names of a mover."""
    return b".migmond-%s-" % execution.encode(), b"-%s-" % mover


def numbered(around: tuple[bytes, bytes], number: int, attempt: int) -> bytes:
    """Return the temporary name of task `number` in a mover's `attempt`; `around`: see `around_numbers`."""
    return b"%s%d%s%d.part" % (around[0], number, around[1], attempt)


def exchange_name(temporary: bytes) -> bytes:
    """Return what a copy is called while it exchanges names with what has its own. It is no temporary's name: what has
    it may be somebody else's, and is never swept."""
    return temporary.removesuffix(b".part") + b".exchange"


def is_temporary(name: bytes) -> bool:
    """Whether it is the name of a temporary of any execution."""
    return _TEMPORARY.fullmatch(name) is not None


def is_temporary_of(execution: str, name: bytes) -> bool:
    """Whether it is the name of a temporary of `execution`."""
    return name.startswith(b".migmond-%s-" % execution.encode()) and is_temporary(name)


def is_left_over(name: bytes, mover: bytes, dead: frozenset[int]) -> bool:
    """Whether a temporary is of an attempt that is over, as `mover` knows: `<run>-<its own number in that run>`.

    Args:
        name: a temporary of the execution that `mover` works for.
        dead: numbers of movers of the same run that are gone.
    """
    attempt = name.removesuffix(b".part").split(b"-")[3:]
    return not attempt or attempt[0] != mover.split(b"-")[0] or int(attempt[1]) in dead


def remove_temporary(directory: int, name: bytes, inode: int) -> None:
    """Remove one from an open directory, if it is still the copy of that inode.

    Raises:
        OSError: it cannot be removed.
    """
    st = stat_or_none(directory, name)
    if st is not None and st.st_ino == inode:
        os.unlink(name, dir_fd=directory)


def remove_temporaries(directory: int, execution: str) -> tuple[int, dict[bytes, OSError]]:
    """Remove all temporaries of `execution` from an open directory.

    Returns:
        How many there were that are gone now, and why others are not, by name.

    Raises:
        OSError: it cannot be listed.
    """
    names = [n for n in map(os.fsencode, os.listdir(directory)) if is_temporary_of(execution, n)]
    failures = _remove_all(directory, names)
    return len(names) - len(failures), failures


def remove_leftovers(directory: int, execution: str, mover: bytes, dead: frozenset[int]) -> None:
    """Remove the temporaries whose attempts are over: they take room that the next attempt needs. What cannot be
    removed stays for now.

    Raises:
        OSError: it cannot be listed.
    """
    names = [n for n in map(os.fsencode, os.listdir(directory)) if is_temporary_of(execution, n)]
    _remove_all(directory, [n for n in names if is_left_over(n, mover, dead)])


def _remove_all(directory: int, names: Iterable[bytes]) -> dict[bytes, OSError]:
    """Remove each that can be: somebody may have made a directory of that name."""
    failures: dict[bytes, OSError] = {}
    for name in names:
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            continue
        except OSError as e:
            failures[name] = e
    return failures
