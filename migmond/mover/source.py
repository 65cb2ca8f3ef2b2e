"""The source of one item as it is now: looked at, opened, read, and compared with what the scan has promised."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from migmond.domain.entry import entry_type
from migmond.domain.fault import Fault, Phase
from migmond.fsys.read_write import Piece, SourceUnreadable
from migmond.fsys.rename import stat_or_none
from migmond.fsys.reread import digest_of
from migmond.mover.context import fault_of
from migmond.mover.job import Failed, Job
from migmond.wire.items import WorkItem

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
SOURCE_CHANGED = Fault(Phase.COPY, "source_changed", 0, "the source changed after it was scanned")
_NOT_A_FILE = frozenset({errno.ENXIO, errno.ELOOP})
"""What opening a socket, a device without a driver, or a symlink says."""


def look(job: Job) -> os.stat_result | None:
    """Return what the source is now, None when it is not there."""
    try:
        return stat_or_none(job.source_dir, job.source_name)
    except OSError as e:
        raise Failed(fault_of(Phase.READ, e)) from e


def open_source(job: Job) -> int:
    """Open the source, a file, for reading; its access time stays as it is where that is allowed. Returns the fd.

    Raises:
        FileNotFoundError: it is not there.
        Failed: it cannot be opened, or is no file any more.
    """
    try:
        return _opened(job.source_dir, job.source_name)
    except FileNotFoundError:
        raise
    except OSError as e:
        if e.errno in _NOT_A_FILE:  # it was one when it was scanned
            raise Failed(SOURCE_CHANGED) from e
        raise Failed(fault_of(Phase.READ, e)) from e


def _opened(source_dir: int, name: bytes) -> int:
    try:
        return os.open(name, READ | os.O_NOATIME, dir_fd=source_dir)
    except PermissionError:
        return os.open(name, READ, dir_fd=source_dir)  # somebody else's file: its atime will move


def digest_source(source_fd: int, step: Callable[[int], None], piece: Piece) -> bytes:
    """Return the hash of an open source. Raises SourceUnreadable."""
    try:
        return digest_of(source_fd, step, piece)[0]
    except OSError as e:
        raise SourceUnreadable(e.errno, e.strerror) from e


def check_unchanged(item: WorkItem, st: os.stat_result) -> None:
    """The scan's version is what was promised. Renaming or unlinking another name of it moves ctime, so it does not
    count for an inode with several links."""
    same = st.st_ino == item.inode and st.st_mtime_ns == item.mtime_ns and st.st_size == item.size
    same = same and entry_type(st.st_mode) is item.type
    if not same or (item.links == 1 and st.st_ctime_ns != item.ctime_ns):
        raise Failed(SOURCE_CHANGED)
