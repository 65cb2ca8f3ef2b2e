"""Counting what is at the destination already for the copy, whoever has put it there."""

from __future__ import annotations

import os
from collections.abc import Callable

from migmond.fsys.closing import close_unwritten
from migmond.fsys.reread import digest_past_cache
from migmond.mover.target_check import READ


def digest_on_device(directory: int, name: bytes, step: Callable[[int], None]) -> bytes:
    """Make a file durable and hash it from its device: perhaps its maker never synced it, or a write to it has failed,
    though the cache shows it; and not every file system passes the sync of all of it on.

    Args:
        step: called with the number of bytes at each chunk that is read.

    Raises:
        OSError: it cannot be opened, synced or read.
    """
    fd = os.open(name, READ, dir_fd=directory)
    try:
        os.fsync(fd)
        return digest_past_cache(fd, step)[0]
    finally:
        close_unwritten(fd)
