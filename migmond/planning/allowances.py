"""What an execution may do now, from all that limits it. Pure."""

from __future__ import annotations

import msgspec

from migmond.domain.limits import Limits
from migmond.planning.timetable import InForce


class Allowance(msgspec.Struct, frozen=True):
    """What is allowed each second, to all movers of an execution together; None is unlimited.

    Attributes:
        cpu_percent: of one core.
        memory_bytes: in all.
    """

    bytes_per_s: float | None = None
    ops_per_s: float | None = None
    cpu_percent: float | None = None
    memory_bytes: int | None = None

    @property
    def slows(self) -> bool:
        """Whether anything limits how fast it goes."""
        return (self.bytes_per_s, self.ops_per_s, self.cpu_percent) != (None, None, None)


class Share(msgspec.Struct, frozen=True):
    """An execution's share of what the daemon may do as a whole; None is unlimited."""

    bytes_per_s: float | None = None
    ops_per_s: float | None = None


class Circumstances(msgspec.Struct, frozen=True):
    """What counts beside the limits of an execution itself.

    Attributes:
        scheduled: what its timetable says now.
        remote: a source or the target is on a network file system.
        share: of what the daemon may do.
    """

    scheduled: InForce = InForce()
    remote: bool = False
    share: Share = Share()


def allowance_of(limits: Limits, around: Circumstances) -> Allowance:
    """Return what is allowed now: of everything that limits the same, the lowest counts.

    A limit of network traffic is one of all that is read and written while a source or the target is remote: which of
    the bytes that a network file system moves for us are ours, nobody can tell.
    """
    network = limits.network_bytes_per_s if around.remote else None
    return Allowance(
        _lowest(limits.io_bytes_per_s, around.scheduled.rate, network, around.share.bytes_per_s),
        _lowest(limits.io_ops_per_s, around.share.ops_per_s),
        limits.cpu_percent,
        limits.memory_bytes,
    )


def _lowest(*limits: float | None) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)


MOVER_BYTES = 32 << 20
"""What a mover takes at most: 24 MiB, a buffer of a chunk, one for small files, and messages (`migmond/mover`)."""

LEAST_MEMORY_BYTES = 2 * MOVER_BYTES
"""One that copies, and one that scans."""


def movers_that_fit(memory_bytes: int | None, wanted: int) -> int:
    """Return how many copying movers fit into that much memory beside one that scans: at least one."""
    if memory_bytes is None:
        return wanted
    return max(1, min(wanted, memory_bytes // MOVER_BYTES - 1))
