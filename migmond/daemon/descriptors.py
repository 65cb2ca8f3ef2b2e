"""How many files the daemon may have open, and how many clients that allows."""

from __future__ import annotations

import resource

from migmond.config.work_sections import ExecutionsSection, MoversSection

_OTHERS = 128
"""File descriptors of the journal, plugins and plans that are looked at."""
_OF_A_MOVER = 3


def reserved_for(executions: ExecutionsSection, movers: MoversSection) -> int:
    """Return how many file descriptors clients leave to the movers that may run, one of each execution scanning, to
    those kept ready, and to all else."""
    return _OTHERS + _OF_A_MOVER * (executions.movers + executions.running + movers.spare)


def raise_limit() -> int:
    """Allow ourselves as many open files as we may allow ourselves; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def clients_allowed(wanted: int, open_files: int, reserved: int) -> int:
    """Return how many clients there may be.

    Args:
        wanted: what the configuration says.
        open_files: the limit of open files; -1 is none.
        reserved: how many of these are not for clients, if that leaves them half of all.
    """
    if open_files < 0:
        return wanted
    return max(1, min(wanted, open_files - min(reserved, open_files // 2)))
