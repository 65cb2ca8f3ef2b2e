"""Recognising the directory that a target stands in, so that nothing is written below the mount point of its disk."""

from __future__ import annotations

import os

from migmond.domain.execution import Anchor
from migmond.fsys.durable import must_sync_each

_FUSE_ROOT = 1


def anchor_at(fd: int, path: bytes) -> Anchor:
    """Return the anchor that the directory `fd` at `path` is."""
    inode = os.fstat(fd).st_ino
    # Servers on FUSE may number everything anew each time they are mounted; only the root is always the same.
    return Anchor(path or b"/", 0 if must_sync_each(fd) and inode != _FUSE_ROOT else inode)


def moved_on(anchor: Anchor) -> bool:
    """Whether another directory, or none, stands where `anchor` was."""
    if not anchor.inode:
        return False
    try:
        return os.stat(anchor.path).st_ino != anchor.inode
    except FileNotFoundError:
        return True
