"""Where something is mounted, so that a walk sees the mount points in its way.

A mount point below a tree is part of another tree, also when it shows the same file system once more (a bind mount):
no difference of st_dev tells then, but statx does (STATX_ATTR_MOUNT_ROOT, since Linux 5.8). A directory is asked
itself: 3 µs, where opening and reading it takes 30. Files are too many for that, and only the kernel's table of mounts
says which of them may be one: it is read again when the kernel says that it has changed (proc_pid_mountinfo(5):
POLLERR), which is one poll for each directory, and nothing for a file.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Collection

from migmond.domain.mount_table import unescape
from migmond.fsys import libc

_READ_BYTES = 1 << 20


def is_mount_point(directory: int, name: bytes) -> bool:
    """Whether something is mounted on that name in an open directory.

    No when nothing has the name any more, or the kernel does not tell. Raises OSError.
    """
    try:
        return bool(libc.statx(directory, name).attributes & libc.ATTR_MOUNT_ROOT)
    except FileNotFoundError:
        return False


def mounts_below(top: int) -> bool:
    """Whether something is mounted below an open directory."""
    with contextlib.closing(MountTable(top)) as table:
        return not table.empty


class MountTable:
    """The mount points below one open directory, as of now.

    What is mounted on a name between the look at its directory and the look at the name is missed: then it is copied
    as the file that it seems to be, and a move cannot remove it (EBUSY). Close it after use.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self._table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._changes = select.poll()
        self._changes.register(self._table, select.POLLERR | select.POLLPRI)
        self._names: dict[bytes, set[bytes]] = {}
        self._read()

    def close(self) -> None:
        os.close(self._table)

    @property
    def empty(self) -> bool:
        """Nothing was mounted below the directory when it was looked last."""
        return not self._names

    def names_in(self, directory: int) -> Collection[bytes]:
        """Return the names in a directory below on which something may be mounted; `is_mount_point` knows."""
        self._look()
        return self._names.get(_path_of(directory), ()) if self._names else ()

    def _look(self) -> None:
        if self._changes.poll(0):
            self._read()

    def _read(self) -> None:
        above = _path_of(self._top).rstrip(b"/") + b"/"
        self._names = {}
        for line in _whole(self._table).split(b"\n")[:-1]:
            point = unescape(line.split(b" ", 5)[4])
            if point.startswith(above):
                parent, name = os.path.split(point)
                self._names.setdefault(parent, set()).add(name)


def _path_of(fd: int) -> bytes:
    return os.readlink(b"/proc/self/fd/%d" % fd)


def _whole(fd: int) -> bytes:
    parts: list[bytes] = []
    os.lseek(fd, 0, os.SEEK_SET)
    while part := os.read(fd, _READ_BYTES):
        parts.append(part)
    return b"".join(parts)
