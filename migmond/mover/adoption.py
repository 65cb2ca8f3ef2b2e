"""Moves only: counting what is at the destination already for the copy, whoever has put it there.

Its maker may be another migration that takes it back when a sync fails, and perhaps it never reached its device, though
the cache shows it. So it is synced, marked (its ctime moves, which tells its maker that somebody has come to count on
it: see `mover.conflict.withdraw`), and read from the device, before it is believed.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator

from migmond.fsys.closing import close_unwritten
from migmond.fsys.locking import lock
from migmond.fsys.reread import digest_past_cache
from migmond.mover.target_check import READ

_NOT_OURS_TO_MARK = frozenset({errno.EPERM, errno.EACCES, errno.EROFS})


def adopted(directory: int, name: bytes, step: Callable[[int], None]) -> bytes | None:
    """Make a file durable and mark it; return its hash, or None while its maker has it in hand.

    Args:
        step: called with the number of bytes at each chunk that is read.

    Raises:
        OSError: it cannot be opened, synced or read.
    """
    fd = os.open(name, READ, dir_fd=directory)
    try:
        if not lock(fd):
            return None
        st = os.fstat(fd)
        with _allowed():
            os.utime(fd, ns=(st.st_atime_ns, st.st_mtime_ns))
        os.fsync(fd)
        return digest_past_cache(fd, step)[0]
    finally:
        close_unwritten(fd)


def mark(directory: int, name: bytes, st: os.stat_result) -> None:
    """Mark something that has no content of its own; the sync of the commit group makes it durable.

    Raises:
        OSError: its times cannot be set.
    """
    with _allowed():
        os.utime(name, ns=(st.st_atime_ns, st.st_mtime_ns), dir_fd=directory, follow_symlinks=False)


@contextlib.contextmanager
def _allowed() -> Iterator[None]:
    """Somebody else's file cannot be marked: its owner may do with it what he likes anyhow."""
    try:
        yield
    except OSError as e:
        if e.errno not in _NOT_OURS_TO_MARK:
            raise
