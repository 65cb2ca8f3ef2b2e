"""A mount namespace of its own for a process of tests: nobody sees what it mounts, and it goes with the process.

Several such processes side by side do not meet: a FUSE mount whose server a test has killed would make every
`mkfs.btrfs` of the machine fail, a copy of a mount keeps a file system busy whose power is cut, and a run of tests
that is killed would leave all of its mounts behind.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from migmond.domain.mount_table import parse_mounts

_CLONE_NEWNS = 0x00020000
"""linux/sched.h; Python knows it from 3.12 on."""
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18
"""linux/mount.h: what is mounted on either side stays there."""
_MNT_DETACH = 2
"""linux/fs.h: at once, with all that is below; not by umount(8), which would ask a server that is no more."""
_OF_TESTS = b"/pytest-of-"
"""In the path of whatever a test makes."""


def enter() -> bool:
    """Let this process and all that it starts from now on have a mount namespace of their own.

    Only the calling thread and what it starts get there. Mounts of other runs, which came along, are detached here;
    where they were made they stay.

    Returns:
        whether it is so; False where mounts are not ours to make.

    Raises:
        OSError: the namespace was made, but not set apart.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        if (number := ctypes.get_errno()) in (errno.EPERM, errno.ENOSYS, errno.EINVAL):
            return False
        raise OSError(number, os.strerror(number), "unshare")
    if libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "/")
    for mount in parse_mounts(Path("/proc/thread-self/mountinfo").read_bytes()):
        if _OF_TESTS in mount.point:
            # What was mounted below another has gone with it: there is nothing to detach then, and nothing wrong.
            libc.umount2(mount.point, _MNT_DETACH)
    return True
