"""A source that is to be deleted, held open: with a lease where one can be had, so that nobody writes to it unseen."""

from __future__ import annotations

import errno
import fcntl
import os

from migmond.domain.entry import EntryType
from migmond.fsys.closing import close_unwritten
from migmond.fsys.facts import mount_of
from migmond.mover.target_check import READ, Place, Unsafe
from migmond.wire.items import DeleteItem

_LEASED_BY_SERVER = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "gfs2", "ocfs2"})
"""There EAGAIN means that the server has given no delegation, not that somebody writes."""


def hold(place: Place, item: DeleteItem, checked: os.stat_result) -> tuple[int, bool]:
    """Open a source, and take a read lease on a file: nobody has it open for writing, nor opens it so before it is gone
    (design page HAZARDS row 27).

    Args:
        checked: the lstat that all checks went by; nothing may have happened since.

    Returns:
        An fd that holds the lease until it is closed, and whether there is one. There is none where none can be had
        (the file system has none, or the file is somebody else's): then the checks have to do.

    Raises:
        Unsafe: it has changed, or is open for writing.
    """
    fd, leased = (-1, False) if item.type is not EntryType.FILE else _leased(place)
    if fd < 0:
        try:
            fd = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.directory)
        except FileNotFoundError:
            raise source_changed() from None
    now = os.fstat(fd)
    if (now.st_dev, now.st_ino, now.st_ctime_ns) != (checked.st_dev, checked.st_ino, checked.st_ctime_ns):
        close_unwritten(fd)
        raise source_changed()
    return fd, leased


def _leased(place: Place) -> tuple[int, bool]:
    try:
        fd = os.open(place.name, READ | os.O_NOATIME, dir_fd=place.directory)
    except OSError:
        return -1, False
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as e:
        if e.errno == errno.EAGAIN and mount_of(fd)[0] not in _LEASED_BY_SERVER:
            close_unwritten(fd)
            raise in_use() from e
        return fd, False
    return fd, True


def is_wanted(held: int) -> bool:
    """Whether somebody has opened a leased source by its name, for writing, and waits for us."""
    return fcntl.fcntl(held, fcntl.F_GETLEASE) != fcntl.F_RDLCK


def source_changed() -> Unsafe:
    return Unsafe("source_changed", "the source changed after it was copied: both stay")


def counted_on() -> Unsafe:
    return Unsafe("source_in_use", "a program, or another migration, has locked it or its copy: both stay")


def in_use() -> Unsafe:
    return Unsafe("source_in_use", "a program has the source open for writing: both stay")
