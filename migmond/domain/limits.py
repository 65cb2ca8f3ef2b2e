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
        io_bytes_per_s: bytes read from sources per second, all movers together.
        io_ops_per_s: entries started per second, all movers together.
        network_bytes_per_s: for remote targets.
        timetable: rclone's syntax, e.g. `08:00,20MiB 19:00,off`.
    """

    cpu_percent: float | None = None
    memory_bytes: int | None = None
    io_bytes_per_s: int | None = None
    io_ops_per_s: float | None = None
    network_bytes_per_s: int | None = None
    timetable: str = ""
