"""The flags of chattr(1): those that say how to treat a file are copied, those that lock it are declared lost."""

from __future__ import annotations

import errno
import fcntl
import struct

from migmond.domain.entry import Lost

_LONG = struct.Struct("l")
_GET = 2 << 30 | _LONG.size << 16 | ord("f") << 8 | 1
_SET = 1 << 30 | _LONG.size << 16 | ord("f") << 8 | 2

SYNC, IMMUTABLE, APPEND, NODUMP, NOATIME, DIRSYNC = 0x8, 0x10, 0x20, 0x40, 0x80, 0x10000
_KEPT = SYNC | NODUMP | NOATIME | DIRSYNC
_LOCKS = IMMUTABLE | APPEND
"""Set on a copy they would keep us from naming it, and its owner from moving it on."""
_NOT_HERE = frozenset({errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EACCES})


def flags_of(fd: int) -> int:
    """Return the flags of an open file or directory; 0 where there are none. Raises OSError."""
    buffer = bytearray(_LONG.size)
    try:
        fcntl.ioctl(fd, _GET, buffer)
    except OSError as e:
        if e.errno not in _NOT_HERE:
            raise
        return 0
    return int(_LONG.unpack(buffer)[0])


def copy_flags(source_fd: int, target_fd: int) -> Lost:
    """Give the target the source's flags in addition to its own; returns what could not be kept.

    Raises:
        OSError: the source or target failed in another way (EIO, EROFS, ...).
    """
    wanted = flags_of(source_fd)
    lost = Lost.FLAGS if wanted & _LOCKS else Lost.NOTHING
    wanted &= _KEPT
    if not wanted:
        return lost
    there = flags_of(target_fd)
    if there & wanted == wanted:
        return lost
    try:
        fcntl.ioctl(target_fd, _SET, _LONG.pack(there | wanted))
    except OSError as e:
        if e.errno not in _NOT_HERE:
            raise
        return Lost.FLAGS
    return lost
