"""One look at a running execution: what the engine lets the monitor see. Counters only ever grow."""

from __future__ import annotations

import msgspec

from migmond.domain.activity import Spent
from migmond.domain.execution import Execution, Tally
from migmond.domain.file_kinds import FileKind
from migmond.domain.limits import Limits
from migmond.domain.session import DeviceSide


class MoverAtWork(msgspec.Struct, frozen=True):
    """One mover process right now.

    Attributes:
        slot: its number within the execution.
        doing: what it is in, for people.
        task: number of the task at hand, 0 for none; `name` is its path below the source.
        file_bytes, file_done: size of the file at hand, and bytes of it that are copied.
        busy_ns: how long what it is in has taken so far.
        kind: what the content of the file at hand has told that it is of; None when its name does, or nothing yet.
    """

    slot: int
    pid: int
    doing: str
    task: int
    name: bytes | None
    file_bytes: int
    file_done: int
    busy_ns: int
    kind: FileKind | None = None


class Outlook(msgspec.Struct, frozen=True):
    """When an execution will be done, as far as anybody can tell.

    Attributes:
        remaining_s, low_s, high_s: seconds of work left, and the band that holds the truth four times of five; None
            when it is not known, and `reason` says why.
        file_s, byte_s: what each file and byte that is left costs now.
        source, target: what it is on.
        cost_a, cost_b: seconds for each file and byte in this run so far, as the next run would want to know them.
        cliff_bytes, slowdown: see `analytics.measures.Cost`.
        snapshot: what the predictor remembers.
        promised, kept: of the bands told so far, had it ended now.
        changes: of the speed that nobody asked for: after how many seconds of work, and by which factor.
    """

    remaining_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    reason: str = "not measured yet"
    file_s: float = 0.0
    byte_s: float = 0.0
    source: DeviceSide = DeviceSide()
    target: DeviceSide = DeviceSide()
    cost_a: float | None = None
    cost_b: float | None = None
    cliff_bytes: float | None = None
    slowdown: float = 1.0
    snapshot: bytes = b""
    promised: int = 0
    kept: int = 0
    changes: tuple[tuple[float, float], ...] = ()


class Observation(msgspec.Struct, frozen=True):
    """An execution that is being worked on.

    Attributes:
        execution: as it stands, its totals and holds with it.
        active_s: seconds in which work was done, over all runs; see Execution.
        in_flight: copied but not durable yet.
        movers: processes at work.
        copying, committing: what the copying and the committing threads of all movers of this run spent their time
            with, those that are gone included.
        deaths: movers of this run that died.
        retries: attempts that were repeated in this run.
        workers: copying movers that it asks for.
        batch_entries: how many entries the movers are given at a time, the mean; 0 when there is none.
        source_devices, target_devices: st_dev of each root, once a mover has opened them.
        limited: something limits how fast it goes now: its own limits, its timetable, or the daemon's.
        moved_bytes: read from sources by all movers of this run, every attempt counted.
        most_workers: more than that may not be asked for; None when nobody may.
        shared: its share of what the daemon allows all together, or those on one disk.
    """

    execution: Execution
    active_s: float
    in_flight: Tally
    movers: tuple[MoverAtWork, ...]
    copying: Spent
    committing: Spent
    deaths: int
    retries: int
    workers: int
    batch_entries: float
    source_devices: tuple[int, ...] = ()
    target_devices: tuple[int, ...] = ()
    outlook: Outlook = Outlook()
    limited: bool = False
    moved_bytes: int = 0
    most_workers: int | None = None
    shared: Limits = Limits()

    @property
    def paced(self) -> Tally:
        """See `Totals.paced`; with what is in flight."""
        return self.execution.totals.paced.plus(self.in_flight.entries, self.in_flight.bytes)
