"""Becoming the user who asked."""

from __future__ import annotations

import os
from collections.abc import Sequence


def become(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Give up all rights but those of this user, for good: real, effective and saved ids, groups, capabilities.

    The kernel notes that the process was root's and lets the user neither trace it nor look at its memory and files
    (it is not dumpable): the daemon takes a mover's word for what it says.

    Raises:
        OSError: it could not be done; the caller must not go on.
        RuntimeError: the kernel said yes but the ids are others.
    """
    os.setgroups(list(groups))
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise RuntimeError("the identity did not change")
