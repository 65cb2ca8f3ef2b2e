"""How urgent a process's reads and writes are to the kernel's I/O scheduler (ioprio_set(2))."""

from __future__ import annotations

import enum

from migmond.fsys import libc

_CLASS_SHIFT = 13
_BEST_EFFORT, _IDLE = 2, 3
_LOWEST = 7


class IoPriority(enum.StrEnum):
    """What schedulers that know priorities (bfq, mq-deadline) heed; none heeds them for what is written back later."""

    NORMAL = "normal"
    """As the process's niceness says."""
    LOW = "low"
    """Best effort, the lowest level: after everybody else's, but never without a turn."""
    IDLE = "idle"
    """Only when nobody else wants the disk."""


_VALUES = {IoPriority.LOW: _BEST_EFFORT << _CLASS_SHIFT | _LOWEST, IoPriority.IDLE: _IDLE << _CLASS_SHIFT}


def set_io_priority(priority: IoPriority) -> None:
    """Set it for the calling thread, and for those that it starts from now on.

    Raises:
        OSError: the kernel does not know priorities, or does not allow it.
    """
    if priority in _VALUES:
        libc.ioprio_set(_VALUES[priority])


def io_priority_value() -> int:
    """Return what the kernel says of the calling thread: class << 13 | level. Raises OSError."""
    return libc.ioprio_get()
