"""How many files the daemon may have open, and how many clients that allows."""

from __future__ import annotations

import resource

RESERVED = 512
"""File descriptors that clients leave to movers (three each), the journal and plugins."""


def raise_limit() -> int:
    """Allow ourselves as many open files as we may allow ourselves; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def clients_allowed(wanted: int, open_files: int) -> int:
    """Return how many clients there may be.

    Args:
        wanted: what the configuration says.
        open_files: the limit of open files; -1 is none.
    """
    if open_files < 0:
        return wanted
    return max(1, min(wanted, open_files - min(RESERVED, open_files // 2)))
