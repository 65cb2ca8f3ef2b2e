"""Where a file's content begins on its disk (FIEMAP).

Formats and flags: linux/fiemap.h, and Documentation/filesystems/fiemap.rst of the kernel.
"""

from __future__ import annotations

import errno
import fcntl
import struct

_FS_IOC_FIEMAP = 0xC020660B
"""_IOWR('f', 11, struct fiemap), whose 32 bytes the extents follow."""
_ASKED = struct.Struct("=QQLLLL")
"""Start, length, flags, extents mapped, room for extents, reserved."""
_EXTENT = struct.Struct("=QQQ16xL12x")
"""Logical and physical start, length, flags."""
_WHOLE_FILE = (1 << 64) - 1
_UNKNOWN, _DELALLOC = 0x2, 0x4
UNABLE = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS})
"""What a file system says that does not tell."""


def first_extent(fd: int) -> int | None:
    """Return the byte of its device at which the content of an open file begins.

    Returns:
        None when there is none: the file is empty, all of it is a hole, or it is not written to the disk yet.

    Raises:
        OSError: one of UNABLE where the file system does not tell.
    """
    answer = bytearray(_ASKED.pack(0, _WHOLE_FILE, 0, 0, 1, 0) + bytes(_EXTENT.size))
    fcntl.ioctl(fd, _FS_IOC_FIEMAP, answer)
    mapped = _ASKED.unpack_from(answer)[3]
    if not mapped:
        return None
    _, physical, _, flags = _EXTENT.unpack_from(answer, _ASKED.size)
    return None if flags & (_UNKNOWN | _DELALLOC) else int(physical)
