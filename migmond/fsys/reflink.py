"""Sharing extents instead of copying (FICLONE: btrfs, xfs, bcachefs, ...)."""

from __future__ import annotations

import enum
import errno
import fcntl

_FICLONE = 0x40049409
_NOT_THIS_PAIR = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY, errno.ENOSYS})
_NOT_THIS_FILE = frozenset({errno.EINVAL, errno.EPERM, errno.ETXTBSY})


class Clone(enum.Enum):
    """What came of it."""

    DONE = enum.auto()
    NOT_THIS_FILE = enum.auto()
    """A swap file, one without copy on write among others that have it, ...: the next file may well work."""
    NOT_THIS_PAIR = enum.auto()
    """These two file systems never share extents."""


def clone(source_fd: int, target_fd: int) -> Clone:
    """Make the empty file `target_fd` share all of `source_fd`. Unless DONE the target is still empty.

    Raises:
        OSError: it should work but did not (EIO, ENOSPC, ...).
    """
    try:
        fcntl.ioctl(target_fd, _FICLONE, source_fd)
    except OSError as e:
        if e.errno in _NOT_THIS_PAIR:
            return Clone.NOT_THIS_PAIR
        if e.errno in _NOT_THIS_FILE:
            return Clone.NOT_THIS_FILE
        raise
    return Clone.DONE
