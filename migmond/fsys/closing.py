"""Closing what was only read from."""

from __future__ import annotations

import contextlib
import os


def close_unwritten(fd: int) -> None:
    """Close an fd that nothing was written through: what goes wrong now (network file systems, FUSE) is no news of a
    write, and what was read has been read."""
    with contextlib.suppress(OSError):
        os.close(fd)
