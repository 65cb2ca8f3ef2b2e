"""The live session of one execution: what is measured and analysed while it runs. Pure: `now` is an argument."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping

import msgspec

from migmond.analytics.decay_issue import decay_issue
from migmond.analytics.issues import issues
from migmond.analytics.room_left import FullAt, full_at
from migmond.analytics.shares import DeviceLoad, Situation, of_threads
from migmond.analytics.throughput import KeyedThroughput, Throughput
from migmond.analytics.why import where_time_goes
from migmond.domain.activity import Spent
from migmond.domain.analysis import IssueView, PerformanceView, RatesView, SuggestionView, TimeView
from migmond.domain.execution import Execution, Tally
from migmond.domain.limits import Limits
from migmond.domain.mover_slots import copies
from migmond.domain.observation import Observation
from migmond.domain.session import MAX_COURSE, CoursePoint, DeviceSide, SessionRecord
from migmond.domain.units import show_degrees, show_duration, show_size
from migmond.monitor.usage import MachineLoad, MoverUsage, UsageOfMovers, plus, use_of_machine
from migmond.planning.standing import batch_entries_of, whole_holds

SPAN_S = 60.0
"""Where the time goes is told of the last minute: long enough for large commit groups, short enough to follow."""


_FREE_EVERY_S, _FREE_KEPT = 10.0, 60
"""How often free space counts, and how many of those looks: ten minutes."""

_ROTATIONAL = {"hdd": True, "ssd": False, "nvme": False}
"""By kind of device, as far as it tells."""


class _Look(msgspec.Struct, frozen=True):
    now: float
    copying: Spent
    committing: Spent


class Session:
    """Takes observations of one execution in order.

    Args:
        first: of them; the session begins with it.
        now: monotonic seconds of that.
        before: what an earlier daemon, or run, kept of it.

    Attributes:
        observation: the newest.
        brought: to the target, what is in flight included, and again what is brought again: it only grows.
        proposed: by strategies of plugins, see `monitor.proposing`.
    """

    def __init__(self, first: Observation, now: float, before: SessionRecord | None) -> None:
        execution = first.execution
        self._base = before or SessionRecord(execution.key, execution.id, 0.0)
        # What was done before the first look, which comes up to an interval after the beginning, took time as well.
        unseen_s = max(0.0, first.active_s - self._base.active_s)
        # The journal has an execution's active time as of what was last made durable: what a crash took from it was
        # work all the same, and is on record here.
        self._forgotten_s = max(0.0, self._base.active_s - first.active_s)
        self._record = msgspec.structs.replace(self._base, wall_s=self._base.wall_s + unseen_s)
        self._began = self._last = now
        self._throughput = Throughput()
        self._by_size, self._by_type = KeyedThroughput(), KeyedThroughput()
        self._looks = deque([_Look(now, first.copying, first.committing)])
        self._usage = UsageOfMovers()
        self._load = MachineLoad()
        self._free: deque[tuple[float, int]] = deque(maxlen=_FREE_KEPT)
        # Of earlier runs it is known only whether it was most of their time.
        self._limited_s = before.active_s if before is not None and before.limited else 0.0
        self._course_every_s = 2.0
        # Whatever somebody asked for explains that it became slower, as far as this session knows.
        self._asked = self._limited_s > 0
        self._decay: IssueView | None = None
        self._decay_at_s = 0.0
        self.observation = first
        self._there = self.brought = first.paced
        self.proposed: tuple[SuggestionView, ...] = ()

    def observe(
        self, seen: Observation, now: float, wall: float, usage: Mapping[int, MoverUsage], load: MachineLoad
    ) -> None:
        """Take in one look.

        Args:
            now: monotonic seconds.
            wall: wall clock seconds.
            usage: of its movers, by pid, as far as they can be seen.
            load: of the machine.
        """
        elapsed = max(0.0, now - self._last)
        machine = use_of_machine(self._record.machine, self._load, load, elapsed)
        self._record = msgspec.structs.replace(self._record, machine=machine)
        self._last, self._load = now, load
        execution = seen.execution
        held = execution.stands_still
        self._asked |= execution.limits != Limits() or seen.workers != self.observation.workers
        self.observation = seen
        before, self._there = self._there, seen.paced
        more = self._there.entries - before.entries, self._there.bytes - before.bytes
        self.brought = self.brought.plus(max(0, more[0]), max(0, more[1]))
        self._throughput.observe(now, self.brought.bytes, self.brought.entries, held=held)
        if (seen.limited or execution.limits.io_bytes_per_s is not None) and not held:
            self._limited_s += elapsed
        free = load.free_bytes.get(seen.outlook.target.mount)
        if free is not None and not held and (not self._free or now - self._free[-1][0] >= _FREE_EVERY_S):
            self._free.append((now, int(free)))
        self._looks.append(_Look(now, seen.copying, seen.committing))
        while len(self._looks) > 2 and self._looks[1].now <= now - SPAN_S:
            self._looks.popleft()
        self._usage.take(usage, {m.pid for m in seen.movers})
        self._update(seen, wall, elapsed, held=held)

    def _update(self, seen: Observation, wall: float, elapsed: float, *, held: bool) -> None:
        base, outlook, record = self._base, seen.outlook, self._record
        active_s = seen.active_s + self._forgotten_s
        totals, flying = seen.execution.totals, seen.in_flight
        handled, cancelled = totals.handled, totals.cancelled
        place = handled.plus(flying.entries - cancelled.entries, flying.bytes - cancelled.bytes)
        total = self._usage.total
        peak = self._throughput.peak()
        self._record = msgspec.structs.replace(
            record,
            at=wall,
            wall_s=record.wall_s + elapsed,
            active_s=active_s,
            held_s=record.held_s + (elapsed if held else 0.0),
            source=outlook.source if outlook.source.identity else record.source,
            target=outlook.target if outlook.target.identity else record.target,
            workers=max(record.workers, seen.workers),
            deaths=base.deaths + seen.deaths,
            retries=base.retries + seen.retries,
            moved_bytes=max(record.moved_bytes, base.moved_bytes + seen.moved_bytes),
            cpu_s=plus(base.cpu_s, total.cpu_s),
            read_bytes=_whole(plus(base.read_bytes, total.read_bytes)),
            written_bytes=_whole(plus(base.written_bytes, total.written_bytes)),
            peak_resident_bytes=max(record.peak_resident_bytes, self._usage.resident_bytes),
            copying=base.copying.plus(seen.copying),
            committing=base.committing.plus(seen.committing),
            peak_bytes_per_s=max(base.peak_bytes_per_s or 0.0, peak.bytes_per_s) if peak else base.peak_bytes_per_s,
            course=self._course(record.course, CoursePoint(active_s, place, seen.execution.totals.planned)),
            forecast=outlook.snapshot or record.forecast,
            promised=base.promised + outlook.promised,
            kept=base.kept + outlook.kept,
            limited=self._limited_s > 0.5 * max(active_s, 1e-9),
        )
        if outlook.cost_a is not None:
            self._record = msgspec.structs.replace(
                self._record,
                cost_a=outlook.cost_a,
                cost_b=outlook.cost_b,
                cliff_bytes=outlook.cliff_bytes,
                slowdown=outlook.slowdown,
            )

    def _course(self, course: tuple[CoursePoint, ...], point: CoursePoint) -> tuple[CoursePoint, ...]:
        """The newest point is always the last one; those before it lie `_course_every_s` apart."""
        if len(course) >= 2 and point.active_s - course[-2].active_s < self._course_every_s:
            return (*course[:-1], point)
        if len(course) >= MAX_COURSE:
            self._course_every_s *= 2
            course = course[::2]
        return (*course, point)

    def take_classes(self, now: float, sizes: Mapping[str, Tally], kinds: Mapping[str, Tally]) -> None:
        """Take in what is done of each size class and type of file."""
        held = self.observation.execution.stands_still
        for throughput, found in ((self._by_size, sizes), (self._by_type, kinds)):
            throughput.observe(now, {name: (t.bytes, t.entries) for name, t in found.items()}, held=held)
        self._record = msgspec.structs.replace(self._record, sizes=dict(sizes))

    @property
    def record(self) -> SessionRecord:
        """What is to be kept."""
        return self._record

    def rates(self, wall_minus_monotonic: float) -> RatesView:
        """Return rates and trend."""
        return self._throughput.view(wall_minus_monotonic)

    def situation(self) -> Situation:
        """Return what the movers did in the last minute, and what they stood before."""
        seen, first, last = self.observation, self._looks[0], self._looks[-1]
        spent = of_threads(last.copying.minus(first.copying), last.committing.minus(first.committing))
        execution, totals = seen.execution, seen.execution.totals
        return Situation(
            last.now - first.now,
            sum(spent.values()) / 1e9,
            spent,
            sum(1 for m in seen.movers if copies(m.slot)),
            source=self._device(seen.outlook.source),
            target=self._device(seen.outlook.target),
            cpu_busy=self._load.cpu_busy,
            limits=execution.limits,
            scanning=totals.growing,
            pending=max(0, totals.planned.entries - totals.handled.entries - seen.in_flight.entries),
            most_entries=batch_entries_of(execution.standing),
            shared=seen.shared,
        )

    def _device(self, side: DeviceSide) -> DeviceLoad | None:
        """The busiest of its disks: it binds."""
        known = [self._load.disks[name] for name in side.disks if name in self._load.disks]
        busiest = max(known, key=lambda d: d.busy or 0.0, default=None)
        return None if busiest is None else msgspec.structs.replace(busiest, rotational=_ROTATIONAL.get(side.kind))

    def _outside(self) -> Iterator[IssueView]:
        """Yield what is to come, or is wrong with the disks, whatever the movers do."""
        outlook = self.observation.outlook
        if outlook.remaining_s is not None:
            full = full_at(tuple(self._free), outlook.remaining_s)
            if isinstance(full, FullAt):
                yield IssueView(
                    "target_full", "warning", f"the destination will be full in {show_duration(full.after_s)}",
                    full.after_s, outlook.remaining_s, "seconds",
                    f"{show_size(full.short_bytes)} will not fit, if it goes on like that",
                )  # fmt: skip
        for name in sorted({*outlook.source.disks, *outlook.target.disks} & self._load.findings.keys()):
            f = self._load.findings[name]
            yield IssueView(f.kind, "warning", f"{f.title}: {f.action}", f.value, f.threshold, f.unit, f.evidence)

    def full_in_s(self) -> float | None:
        """Return in how many seconds the target is full; infinite when the run ends before, None when unknown."""
        remaining_s = self.observation.outlook.remaining_s
        full = full_at(tuple(self._free), remaining_s) if remaining_s is not None else None
        if isinstance(full, FullAt):
            return full.after_s
        return math.inf if full is None and remaining_s is not None else None

    def decay(self) -> IssueView | None:
        """Return whether it became slower for good; looked at anew whenever it has run for a twentieth longer."""
        if self._asked:
            return None
        active_s = self._record.active_s
        if active_s >= 1.05 * self._decay_at_s:
            names = (*self._record.source.disks, *self._record.target.disks)
            heat = ", ".join(f"{n} {show_degrees(self._load.degrees[n])}" for n in names if n in self._load.degrees)
            self._decay_at_s = active_s
            self._decay = decay_issue(self._record.course, self._record.target.kind, heat)
        return self._decay

    def time(self, execution: Execution | None = None) -> TimeView:
        """Return where the time goes, and why it is not faster.

        Args:
            execution: as it is now: whoever has just held it is told so, and not what was so at the last look.
        """
        execution = execution or self.observation.execution
        holds = whole_holds(execution.holds)
        situation, seen = self.situation(), self.observation
        # While some are yet to come nobody needs more than those.
        most = seen.most_workers if situation.movers >= seen.workers else None
        found = where_time_goes(situation, holds, max_movers=most)
        if self.proposed:
            both = sorted((*found.suggestions, *self.proposed), key=lambda s: -s.gain_high)
            found = msgspec.structs.replace(found, suggestions=tuple(both))
        if not holds and execution.stands_still:
            return msgspec.structs.replace(found, why=f"It stands still: {execution.reason}.")
        decay = self.decay()
        if decay is None or holds:
            return found
        more = f"{decay.title[:1].upper()}{decay.title[1:]} ({decay.evidence})."
        return msgspec.structs.replace(found, why=f"{found.why} {more}".strip())

    def performance(self, wall_minus_monotonic: float, execution: Execution | None = None) -> PerformanceView:
        """Return everything that is analysed. `execution`: see `time`."""
        rates, situation = self.rates(wall_minus_monotonic), self.situation()
        decay = self.decay()
        all_issues = (*self._outside(), *([] if decay is None else [decay]), *issues(situation, rates))
        return PerformanceView(rates, self._by_type.view(), self._by_size.view(), self.time(execution), all_issues)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
