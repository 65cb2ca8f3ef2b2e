"""What is kept of how an execution went: the facts that analyses, comparisons and forecasts of others rest on."""

from __future__ import annotations

import msgspec

from migmond.domain.activity import Spent
from migmond.domain.execution import Tally, Totals
from migmond.domain.limits import Limits
from migmond.domain.states import ExecutionState

MAX_COURSE = 256
"""Points of a course at most; when there are more, every second one goes."""


class DeviceSide(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one end of an execution is on.

    Attributes:
        disks: names of the physical disks below it, as the kernel has them; empty when they are not known.
        identity: what tells it from other devices over restarts: model and serial, or the file system's id; "" unknown.
        kind: class of device: `hdd`, `ssd`, `nvme`, `network`, `memory`, `unknown`.
        mount: where its file system is mounted, as path text; "" unknown.
        file_system: its type, as in /proc/mounts; "" unknown.
        devices: what is between it and its disks, as the kernel calls it, top down: `loop3`, `dm-0`.
    """

    disks: tuple[str, ...] = ()
    identity: str = ""
    kind: str = "unknown"
    mount: str = ""
    file_system: str = ""
    devices: tuple[str, ...] = ()


class MachineUse(msgspec.Struct, frozen=True, array_like=True):
    """What the whole machine took while it was looked at, beside an execution.

    Attributes:
        joules: of processors and memory (RAPL).
        seconds: for how long that was looked at.
        busy_s: processor seconds that were not idle, of everything that ran.
    """

    joules: float = 0.0
    seconds: float = 0.0
    busy_s: float = 0.0


class CoursePoint(msgspec.Struct, frozen=True, array_like=True):
    """Where it was after `active_s` seconds of work: entries and bytes that were settled or in
    flight, without those that were cancelled, and how much was planned then."""

    active_s: float
    settled: Tally
    planned: Tally


class Ended(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of an execution that was forgotten, what trends need beside its record. Times are wall clock seconds."""

    uid: int
    state: ExecutionState
    created_at: float
    started_at: float | None
    finished_at: float | None
    totals: Totals
    limits: Limits = Limits()


class SessionRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One execution, all runs of it together. Sums only grow.

    Attributes:
        key, execution: the execution's.
        at: wall clock seconds of the last observation.
        wall_s, active_s, held_s: seconds in which somebody worked on it or it was held; of these, active and
            held.
        source, target: of its first source.
        workers: movers at most.
        deaths: of movers.
        retries: attempts that were repeated.
        moved_bytes: read from sources, every attempt counted.
        cpu_s, read_bytes, written_bytes: of its movers, as the kernel counts them; None when nobody could look.
        peak_resident_bytes: of all its movers together.
        copying, committing: what the threads of its movers spent their time with.
        peak_bytes_per_s: best ten seconds; None before there were any.
        cost_a, cost_b: seconds for each file and byte that were learnt; None before.
        cliff_bytes, slowdown: see `analytics.measures.Cost`.
        course: how it went.
        sizes: entries and bytes that were done, by size class.
        forecast: what the predictor remembers, for a run that goes on.
        promised, kept: how many forecasts with a band of 80 % were made, and how many of those held.
        limited: a limit on bytes was in force for most of the time.
        ended: how it ended, when it was forgotten; None while it is there.
        machine: what the machine took while it was worked on or held; None where it does not tell.
    """

    key: int
    execution: str
    at: float
    wall_s: float = 0.0
    active_s: float = 0.0
    held_s: float = 0.0
    source: DeviceSide = DeviceSide()
    target: DeviceSide = DeviceSide()
    workers: int = 0
    deaths: int = 0
    retries: int = 0
    moved_bytes: int = 0
    cpu_s: float | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    peak_resident_bytes: int = 0
    copying: Spent = Spent()
    committing: Spent = Spent()
    peak_bytes_per_s: float | None = None
    cost_a: float | None = None
    cost_b: float | None = None
    cliff_bytes: float | None = None
    slowdown: float = 1.0
    course: tuple[CoursePoint, ...] = ()
    sizes: dict[str, Tally] = {}
    forecast: bytes = b""
    promised: int = 0
    kept: int = 0
    limited: bool = False
    ended: Ended | None = None
    machine: MachineUse | None = None
