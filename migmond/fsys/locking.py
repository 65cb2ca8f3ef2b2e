"""Advisory locks, between movers of any daemon on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from migmond.fsys.closing import close_unwritten

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def lock(fd: int) -> bool:
    """Take the lock of an open file until it is closed; False when somebody else has it. Where there are none to be
    had (NFS, without the right to write), nobody has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def exclusive(directory: int, name: bytes) -> Iterator[bool]:
    """Hold the lock of what has that name; yields whether it is held. What cannot be opened (a symlink, somebody else's
    file) has none that anybody could have."""
    try:
        fd = os.open(name, _READ, dir_fd=directory)
    except OSError:
        yield True
        return
    try:
        yield lock(fd)
    finally:
        close_unwritten(fd)
