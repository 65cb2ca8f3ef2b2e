"""The one sampler: looks at every execution at work, keeps its session, and feeds the history and the journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec
import trio

from migmond.analytics.classes import SIZES, TYPES
from migmond.analytics.cost import is_summed
from migmond.analytics.cube import Cube
from migmond.analytics.shares import DeviceLoad
from migmond.domain.changes import (
    PutSession,
)
from migmond.domain.errors import JournalError, MigmondError
from migmond.domain.execution import Execution, Tally
from migmond.domain.limits import Limits
from migmond.domain.observation import Observation
from migmond.domain.samples import NoData, SampleView
from migmond.domain.session import SessionRecord
from migmond.domain.telemetry import Annotation, Batch, MetricKind, Reading, Series, series_of
from migmond.fsys.process_usage import Usage, process_usage
from migmond.monitor.disks import Disks, Pace
from migmond.monitor.rule_figures import RuleFigures
from migmond.monitor.session import Session
from migmond.monitor.usage import MachineLoad, MoverUsage
from migmond.ports import (
    Clock,
    Journal,
)

KEEP_EVERY_S = 30.0
"""How often what is known of a running execution is journaled: so much of its monitoring a crash may lose."""

Observe = Callable[[], tuple[list[Observation], list[Observation]]]


class Sinks(msgspec.Struct, frozen=True):
    """Where what is measured goes; neither may block.

    Attributes:
        put: readings of one moment.
        note: events on the time axis.
        looked: told after each round: all of it has been put.
    """

    put: Callable[[Batch], None]
    note: Callable[[Annotation], None]
    looked: Callable[[], None] = lambda: None


class Sampler:
    """Args:
    observe: returns what is at work and what has ended since it was asked before.
    samples: returns the collectors' newest.
    cube: returns the progress of an execution by parts, for a thread to look through; None while it is counted.
    interval_s: between two looks.
    """

    def __init__(
        self,
        observe: Observe,
        samples: Callable[[], Iterable[SampleView]],
        cube: Callable[[Execution], Awaitable[Cube | None]],
        journal: Journal,
        sinks: Sinks,
        clock: Clock,
        log: Callable[..., None],
        interval_s: float = 2.0,
    ) -> None:
        self._observe = observe
        self._samples = samples
        self._cube = cube
        self._journal = journal
        self._sinks = sinks
        self._clock = clock
        self._log = log
        self._interval_s = interval_s
        self._sessions: dict[str, Session] = {}
        self._disks = Disks()
        self._figures = RuleFigures()
        self._kept_at = clock.monotonic()
        self._stages: dict[str, tuple[str, str]] = {}
        self._series: dict[tuple[str, str], Series] = {}

    def session(self, execution: str) -> Session | None:
        """Return the live session of an execution; None when nothing works on it."""
        return self._sessions.get(execution)

    def sessions(self) -> list[Session]:
        """Return the live sessions of all that is at work."""
        return list(self._sessions.values())

    @property
    def wall_minus_monotonic(self) -> float:
        """To be added to monotonic seconds to make wall clock seconds of them, for people."""
        return self._clock.wall() - self._clock.monotonic()

    async def run(self) -> None:
        """Look until cancelled. What goes wrong is logged, the first time: monitoring is not worth a migration."""
        told = False
        while True:
            try:
                await self.look()
                self._sinks.looked()
            except Exception as e:
                if not told:
                    self._log("monitoring failed, and is tried again", exc_info=e)
                told = True
            await trio.sleep(self._interval_s)

    async def look(self) -> None:
        """Take one look at everything."""
        now = self._clock.monotonic()
        keep = now - self._kept_at >= KEEP_EVERY_S
        live, ended = self._observe()
        if not live and not ended:
            self._sessions.clear()
            self._stages.clear()
            self._figures.keep_only(set())
            return
        pids = [m.pid for o in live for m in o.movers]
        usage = await trio.to_thread.run_sync(_usages, pids) if pids else {}
        samples = tuple(self._samples())
        self._disks.observe(samples, explained=any(o.execution.limits != Limits() for o in live))
        load = machine_load(samples, self._disks)
        self._sinks.put(Batch(self._clock.wall(), self._interval_s, self._figures.of_disks(load)))
        kept: dict[str, SessionRecord] = {}
        # What has ended is there until it is journaled: nobody finds nothing in between.
        for seen in ended:
            id_ = seen.execution.id
            await self._take(seen, now, usage, load, self._ended(id_, kept))
            await self._take_classes(seen, now)
            kept[id_] = self._sessions[id_].record
        for seen in live:
            await self._take(seen, now, usage, load, self._ended(seen.execution.id, kept))
        if keep:
            self._kept_at = now
            for seen in live:
                await self._take_classes(seen, now)
            kept |= {o.execution.id: self._sessions[o.execution.id].record for o in live}
        await self._keep(list(kept.values()))
        at_work = {o.execution.id for o in live}
        for execution in set(self._sessions) - at_work:
            del self._sessions[execution]
        self._figures.keep_only(at_work)
        for execution in set(self._stages) - at_work:
            del self._stages[execution]

    def _ended(self, id_: str, kept: dict[str, SessionRecord]) -> SessionRecord | None:
        """Return what a run has left that ended since the last look, when another of the same execution has begun:
        its counters begin anew."""
        if id_ in kept:
            del self._sessions[id_]
        return kept.get(id_)

    async def _take(
        self,
        seen: Observation,
        now: float,
        usage: dict[int, MoverUsage],
        load: MachineLoad,
        before: SessionRecord | None,
    ) -> SessionRecord:
        """Take in a look at one execution and return what is known of it by now.

        Args:
            before: what an earlier run left that is not journaled yet.
        """
        id_ = seen.execution.id
        session = self._sessions.get(id_)
        if session is None:
            before = before or await self._kept_before(seen.execution.key)
            session = self._sessions[id_] = Session(seen, now, before)
        wall = self._clock.wall()
        mine = {m.pid: usage[m.pid] for m in seen.movers if m.pid in usage}
        session.observe(seen, now, wall, mine, load)
        self._tell_stage(seen, wall)
        more = self._figures.of_execution(seen, session.full_in_s(), now)
        self._sinks.put(Batch(wall, self._interval_s, (*self._readings(seen, session), *more)))
        return session.record

    async def _kept_before(self, key: int) -> SessionRecord | None:
        try:
            return await self._journal.session(key)
        except JournalError as e:  # told where it matters: nobody's monitoring ends a migration, or the daemon
            self._log("monitoring could not be read from the journal", why=e.message)
            return None

    async def _take_classes(self, seen: Observation, now: float) -> None:
        """Progress by size and type is looked at when it is kept: many directories take their time."""
        try:
            cube = await self._cube(seen.execution)
        except MigmondError as e:
            self._log("progress by parts is not known", execution=seen.execution.id, why=e.message)
            return
        if cube is not None:
            sizes, kinds = await trio.to_thread.run_sync(_by_class, cube)
            self._sessions[seen.execution.id].take_classes(now, sizes, kinds)

    def _tell_stage(self, seen: Observation, wall: float) -> None:
        """Phases are events on the time axis of charts."""
        execution = seen.execution
        stage = (execution.state.value, execution.stage.value)
        if self._stages.get(execution.id) != stage:
            self._stages[execution.id] = stage
            self._sinks.note(Annotation(wall, "phase", execution.id, f"{stage[0]}: {stage[1]}"))

    def _readings(self, seen: Observation, session: Session) -> Iterable[Reading]:
        id_, totals, record = seen.execution.id, seen.execution.totals, session.record
        counters = {
            "migmond_execution_bytes_total": session.brought.bytes,
            "migmond_execution_entries_total": session.brought.entries,
            "migmond_execution_failed_entries_total": totals.failed.entries,
            "migmond_execution_cpu_seconds_total": record.cpu_s,
            "migmond_execution_read_bytes_total": record.read_bytes,
            "migmond_execution_written_bytes_total": record.written_bytes,
        }
        gauges = {
            "migmond_execution_planned_bytes": totals.planned.bytes,
            "migmond_execution_planned_entries": totals.planned.entries,
            "migmond_execution_movers": len(seen.movers),
            "migmond_execution_remaining_seconds": seen.outlook.remaining_s,
            "migmond_execution_remaining_low_seconds": seen.outlook.low_s,
            "migmond_execution_remaining_high_seconds": seen.outlook.high_s,
        }
        for metric, value in counters.items():
            if value is not None:
                yield Reading(self._series_of(metric, id_, MetricKind.COUNTER), float(value))
        for metric, value in gauges.items():
            if value is not None:
                yield Reading(self._series_of(metric, id_, MetricKind.GAUGE), float(value))

    def _series_of(self, metric: str, execution: str, kind: MetricKind) -> Series:
        key = (metric, execution)
        if len(self._series) > 10_000:
            self._series.clear()
        if key not in self._series:
            base = metric.removesuffix("_total")
            unit = next((u for u in ("bytes", "seconds") if base.endswith(f"_{u}")), "")
            self._series[key] = series_of(metric, {"execution": execution}, kind, unit)
        return self._series[key]

    async def _keep(self, records: Sequence[SessionRecord]) -> None:
        if not records:
            return
        try:
            await self._journal.apply([PutSession(record) for record in records])
        except JournalError as e:  # a full or damaged journal is told where it matters
            self._log("monitoring could not be journaled", why=e.message)


def _by_class(cube: Cube) -> tuple[dict[str, Tally], dict[str, Tally]]:
    """Return what is done of each size class and of each type."""
    sizes = {SIZES[row.size]: row.done for row in cube.rows(size=True) if row.size is not None}
    kinds = {TYPES[row.kind]: row.done for row in cube.rows(kind=True) if row.kind is not None}
    return sizes, kinds


def _usages(pids: Sequence[int]) -> dict[int, MoverUsage]:
    found: dict[int, MoverUsage] = {}
    for pid in pids:
        usage = process_usage(pid)
        if isinstance(usage, Usage):
            found[pid] = MoverUsage(
                _known(usage.cpu_s), _known(usage.resident_bytes), _known(usage.read_bytes), _known(usage.write_bytes)
            )
    return found


def _known(figure: float | NoData) -> float | None:
    return None if isinstance(figure, NoData) else figure


_NOT_BUSY = ("", "idle", "iowait")


def machine_load(samples: Iterable[SampleView], disks: Disks) -> MachineLoad:
    """Return what collectors last said, and what was found out of disks, as sessions need it."""
    cpus: list[float] = []
    busy: dict[str, float] = {}
    waits: dict[str, list[float]] = {}
    free: dict[str, float] = {}
    degrees: dict[str, float] = {}
    joules: dict[str, float] = {}
    worked: list[float] = []
    for sample in samples:
        if sample.value is None:
            continue
        device = sample.labels.get("device")  # another plugin's metric of that name may have other labels
        if sample.metric == "migmond_cpu_busy_ratio":
            cpus.append(sample.value)
        elif sample.metric == "migmond_filesystem_available_bytes" and "mount" in sample.labels:
            free[sample.labels["mount"]] = sample.value
        elif sample.metric == "migmond_disk_temperature_celsius" and device:
            degrees[device] = sample.value
        elif sample.metric == "migmond_disk_busy_ratio" and device:
            busy[device] = sample.value
        elif sample.metric == "migmond_disk_latency_seconds" and device:
            waits.setdefault(device, []).append(sample.value)
        elif sample.metric == "migmond_energy_joules_total" and is_summed(zone := sample.labels.get("zone", "")):
            joules[zone] = sample.value
        elif sample.metric == "migmond_cpu_seconds_total" and sample.labels.get("mode", "") not in _NOT_BUSY:
            worked.append(sample.value)
    names = busy.keys() | waits.keys()
    cpu = sum(cpus) / len(cpus) if cpus else None
    loads = {n: _load(n, busy.get(n), max(waits.get(n, []), default=None), disks.pace(n)) for n in names}
    found = {f.device: f for f in disks.findings(names)}
    return MachineLoad(cpu, loads, free, found, degrees, joules, sum(worked) if worked else None)


def _load(name: str, busy: float | None, await_s: float | None, pace: Pace) -> DeviceLoad:
    return DeviceLoad(
        name,
        busy,
        await_s if pace.await_s is None else pace.await_s,
        pace.usual_await_s,
        best_bytes_per_s=pace.best_bytes_per_s,
        bytes_per_s=pace.bytes_per_s,
    )
