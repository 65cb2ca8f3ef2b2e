"""How much of the machine an execution may take."""

from __future__ import annotations

import msgspec

MAX_INTEGER = 2**63 - 1
"""Largest number that journal and wire can hold."""


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """None means unlimited. Zero is never valid: stopping is a hold, not a limit.

    Attributes:
        cpu_percent: of one core, so 150 is one and a half cores.
        memory_bytes: of all movers of the execution together.
        io_bytes_per_s: bytes copied, or read again to compare them, per second, all movers together.
        io_ops_per_s: entries copied, verified or deleted, directories read, and sixteenths of entries that a scan
            looks at, per second, all movers together.
        network_bytes_per_s: as io_bytes_per_s, while a source or target is on a network file system.
        timetable: rclone's syntax, e.g. `08:00,20MiB 19:00,off`, see `migmond.planning.timetable`; what it says holds
            beside io_bytes_per_s: the lower one counts.
    """

    cpu_percent: float | None = None
    memory_bytes: int | None = None
    io_bytes_per_s: int | None = None
    io_ops_per_s: float | None = None
    network_bytes_per_s: int | None = None
    timetable: str = ""
