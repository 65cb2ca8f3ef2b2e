"""Advisory locks, between movers of any daemon on this machine."""

from __future__ import annotations

import fcntl


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
