"""Becoming the user who asked."""

from __future__ import annotations

import os
from collections.abc import Sequence

from migmond.fsys.libc import set_dumpable


def become(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Give up all rights but those of this user, for good: real, effective and saved ids, groups, capabilities.

    Raises:
        OSError: it could not be done; the caller must not go on.
        RuntimeError: the kernel said yes but the ids are others.
    """
    os.setgroups(list(groups))
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise RuntimeError("the identity did not change")
    # A process that changed its uid may not look at its own /proc/self/fd, which extended attributes of symlinks need.
    set_dumpable()
