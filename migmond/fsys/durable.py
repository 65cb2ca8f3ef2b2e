"""Making things survive a power cut."""

from __future__ import annotations

import errno
import os

from migmond.fsys import libc
from migmond.fsys.facts import mount_of

_DEAF = frozenset({"fuse", "fuseblk", "9p", "cifs", "smb3", "vboxsf"})
"""The kernel does not pass syncfs on to whoever keeps the files there (measured with FUSE: syncfs returns 0, and the
server has heard of nothing): what passes fsync on has to be synced one by one (design page HAZARDS row 3)."""


def sync_file_system(fd: int) -> None:
    """Write everything of the file system that `fd` is on to its device, names included.

    Raises:
        OSError: some write-back failed since `fd` was opened; nothing written since is to be trusted.
    """
    libc.syncfs(fd)


def must_sync_each(fd: int) -> bool:
    """Whether `sync_file_system` does not reach the storage of the file system that `fd` is on, but fsync does."""
    return mount_of(fd)[0].split(".", 1)[0] in _DEAF


def sync_names(directory: int, seen: set[tuple[int, int]]) -> None:
    """Fsync a directory and the ones above it on its file system: any of them may be new.

    Args:
        seen: (device, inode) of directories that need it no more; those synced now are added.

    Raises:
        OSError: names in one of them may be lost.
    """
    at = os.dup(directory)
    try:
        device = os.fstat(at).st_dev
        while (st := os.fstat(at)).st_dev == device and (st.st_dev, st.st_ino) not in seen:
            sync_directory(at)
            seen.add((st.st_dev, st.st_ino))
            try:
                up = os.open(b"..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
            except PermissionError:  # not made by us, or we could read it
                return
            os.close(at)
            at = up
    finally:
        os.close(at)


def sync_directory(fd: int) -> None:
    """Make the names in one directory durable, where fsync of it does so.

    Raises:
        OSError: they may be lost.
    """
    try:
        os.fsync(fd)
    except OSError as e:
        if e.errno != errno.EINVAL:  # it has none for directories: their names are with the server already
            raise
