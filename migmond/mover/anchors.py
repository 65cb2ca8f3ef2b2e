"""Recognising the directories that roots are and stand in, so that nothing is written below the mount point of a disk
that is not there, or on another disk that has its place, or taken from one.
"""

from __future__ import annotations

import errno
import os

from migmond.domain.execution import Anchor
from migmond.domain.file_system import FileSystemId
from migmond.fsys.durable import must_sync_each
from migmond.fsys.file_system_id import file_system_id
from migmond.fsys.root_path import open_root

_FUSE_ROOT = 1
OTHER_DIRECTORY = "another directory stands there now"
OTHER_FILE_SYSTEM = "another file system is mounted there now"
AWAY = "the disk of that destination was not there when this began"


def anchor_at(fd: int, path: bytes) -> Anchor:
    """Return the anchor that the directory `fd` at `path` is."""
    inode = os.fstat(fd).st_ino
    # Servers on FUSE may number everything anew each time they are mounted; only the root is always the same.
    lasting = not must_sync_each(fd) or inode == _FUSE_ROOT
    return Anchor(path or b"/", inode if lasting else 0, file_system_id(fd))


def moved_on(anchor: Anchor) -> str:
    """Return what stands where `anchor` was, when that is not the same directory; "" when it is, or nobody knows.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        fd = open_root(anchor.path)
    except FileNotFoundError:
        return "it is not there any more"
    try:
        if anchor.file_system.is_another_volume(file_system_id(fd)):
            return OTHER_FILE_SYSTEM
        return OTHER_DIRECTORY if anchor.inode and os.fstat(fd).st_ino != anchor.inode else ""
    finally:
        os.close(fd)


def stay_on(file_system: FileSystemId, fd: int) -> None:
    """Refuse a directory that is on another file system.

    Raises:
        OSError: ESTALE, which holds the execution.
    """
    if file_system.is_another(file_system_id(fd)):
        raise OSError(errno.ESTALE, OTHER_FILE_SYSTEM)
