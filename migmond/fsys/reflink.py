"""Sharing extents instead of copying (FICLONE: btrfs, xfs, bcachefs, ...)."""

from __future__ import annotations

import errno
import fcntl

_FICLONE = 0x40049409
_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM})


def clone(source_fd: int, target_fd: int) -> bool:
    """Make the empty file `target_fd` share all of `source_fd`; False when this pair cannot.

    Raises:
        OSError: it should work but did not (EIO, ENOSPC, ...).
    """
    try:
        fcntl.ioctl(target_fd, _FICLONE, source_fd)
    except OSError as e:
        if e.errno in _UNSUPPORTED:
            return False
        raise
    return True
