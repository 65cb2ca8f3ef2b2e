"""What the machine and the movers of an execution have taken: processors, memory, disks, energy. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from migmond.analytics.shares import DeviceLoad
from migmond.domain.analysis import DeviceFinding
from migmond.domain.session import MachineUse


class MachineLoad(msgspec.Struct, frozen=True):
    """What collectors last said of the machine; None is what nobody told.

    Attributes:
        cpu_busy: of all processors, 0 to 1.
        disks: by name.
        free_bytes: of file systems, by the text of where they are mounted.
        findings: of disks that are not well, by name.
        degrees: how warm disks are, Celsius, by name.
        joules: counters of what processors and memory have used, by zone.
        busy_s: counter of the processor seconds that were not idle.
    """

    cpu_busy: float | None = None
    disks: Mapping[str, DeviceLoad] = {}
    free_bytes: Mapping[str, float] = {}
    findings: Mapping[str, DeviceFinding] = {}
    degrees: Mapping[str, float] = {}
    joules: Mapping[str, float] = {}
    busy_s: float | None = None


class MoverUsage(msgspec.Struct, frozen=True):
    """What one mover process has taken since it started; None is what the kernel does not show."""

    cpu_s: float | None = None
    resident_bytes: float | None = None
    read_bytes: float | None = None
    written_bytes: float | None = None


class UsageOfMovers:
    """Counters of movers, those that are gone included."""

    def __init__(self) -> None:
        self._present: dict[int, MoverUsage] = {}
        self._gone = MoverUsage()

    def take(self, usage: Mapping[int, MoverUsage], present: Collection[int]) -> None:
        """Take in a look.

        Args:
            usage: by pid, of those that could be looked at.
            present: pids of all that there are: counters of others go on in a sum.
        """
        for pid in self._present.keys() - present:
            self._gone = _sum(self._gone, self._present.pop(pid))
        self._present.update(usage)

    @property
    def total(self) -> MoverUsage:
        """What all of them have taken."""
        total = self._gone
        for used in self._present.values():
            total = _sum(total, used)
        return total

    @property
    def resident_bytes(self) -> int:
        """The memory of those that there are."""
        return sum(int(u.resident_bytes or 0) for u in self._present.values())


def use_of_machine(
    known: MachineUse | None, before: MachineLoad, load: MachineLoad, elapsed_s: float
) -> MachineUse | None:
    """Return `known` with what the machine's counters have risen by between two looks; one that fell began anew."""
    both = load.joules.keys() & before.joules.keys()
    if not both or load.busy_s is None or before.busy_s is None:
        return known
    joules = sum(max(0.0, load.joules[zone] - before.joules[zone]) for zone in both)
    busy_s = max(0.0, load.busy_s - before.busy_s)
    known = known or MachineUse()
    return MachineUse(known.joules + joules, known.seconds + elapsed_s, known.busy_s + busy_s)


def plus(a: float | None, b: float | None) -> float | None:
    """What is not known of one is not known of the sum, unless nothing else was ever known."""
    if a is None:
        return b
    return a if b is None else a + b


def _sum(a: MoverUsage, b: MoverUsage) -> MoverUsage:
    return MoverUsage(
        plus(a.cpu_s, b.cpu_s),
        plus(a.resident_bytes, b.resident_bytes),
        plus(a.read_bytes, b.read_bytes),
        plus(a.written_bytes, b.written_bytes),
    )
