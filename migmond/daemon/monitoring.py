"""What clients are told of the monitoring of executions."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable

from migmond.analytics.cube import Cube
from migmond.analytics.shares import Cause, shares
from migmond.analytics.why import TaskFacts, why_task
from migmond.daemon.entries import find_entry
from migmond.domain.analysis import (
    ResourcesView,
    SessionView,
    SideView,
    SpeedChangeView,
    TaskWhy,
    WhyView,
)
from migmond.domain.entry import EntryType
from migmond.domain.errors import NotFound
from migmond.domain.execution import Execution
from migmond.domain.fault import Fault
from migmond.domain.file_kinds import FileKind
from migmond.domain.hold import Hold
from migmond.domain.journal import Sift
from migmond.domain.limits import Limits
from migmond.domain.names import from_outside, to_text
from migmond.domain.samples import SampleView
from migmond.domain.session import DeviceSide, SessionRecord
from migmond.domain.states import TaskState
from migmond.domain.task import Task
from migmond.domain.telemetry import Batch, MetricKind, Reading, series_of
from migmond.engine.manager import Engine
from migmond.engine.settings import Surroundings
from migmond.engine.sieve import compiled
from migmond.engine.views import intervention_views, time_text
from migmond.engine.whereabouts import Whereabouts
from migmond.monitor.sampler import Sampler
from migmond.monitor.session import Session
from migmond.planning.selection import Candidate
from migmond.planning.standing import in_scan_order, whole_holds

_PAGE = 2000
_COUNTED = 100_000
"""Nobody waits for the rest to be counted."""
_SHOWN = 200


class Monitoring:
    """Args:
    sampler: keeps the live sessions.
    """

    def __init__(self, engine: Engine, surroundings: Surroundings, sampler: Sampler) -> None:
        self._engine = engine
        self._surroundings = surroundings
        self._sampler = sampler

    async def session(self, execution: Execution) -> SessionView:
        """Return the session of an execution, live or as it was kept."""
        journal = self._surroundings.journal
        live = self._sampler.session(execution.id)
        record = live.record if live is not None else await journal.session(execution.key)
        record = record or SessionRecord(execution.key, execution.id, 0.0)
        interventions = intervention_views(await journal.interventions(execution.id))
        outlook = live.observation.outlook if live is not None else None
        forecast = outlook if outlook is not None and outlook.remaining_s is not None else None
        return SessionView(
            self._engine.view(execution),
            live is not None,
            time_text(record.at) if record.at else None,
            record.wall_s,
            record.active_s,
            record.held_s,
            _side(record.source),
            _side(record.target),
            ResourcesView(
                record.cpu_s,
                record.peak_resident_bytes,
                record.read_bytes,
                record.written_bytes,
                len(live.observation.movers) if live is not None else 0,
                record.deaths,
            ),
            live.performance(self._sampler.wall_minus_monotonic, execution) if live is not None else None,
            record.peak_bytes_per_s,
            forecast.file_s if forecast is not None else None,
            forecast.byte_s if forecast is not None else None,
            tuple(SpeedChangeView(t, factor) for t, factor in outlook.changes) if outlook is not None else (),
            record.promised,
            record.kept,
            interventions,
        )

    def live(self, execution: str) -> SessionRecord | None:
        """Return what is measured of an execution now; None when nothing works on it."""
        session = self._sampler.session(execution)
        return None if session is None else session.record

    async def sides(self, execution: Execution) -> tuple[DeviceSide, DeviceSide]:
        """Return what source and target of an execution are on, as far as is known."""
        live = self._sampler.session(execution.id)
        if live is not None:
            return live.observation.outlook.source, live.observation.outlook.target
        record = await self._surroundings.journal.session(execution.key)
        return (DeviceSide(), DeviceSide()) if record is None else (record.source, record.target)

    async def why(self, execution: Execution, path: str) -> WhyView:
        """Say why an execution is not faster, or why one entry of it is where it is.

        Raises:
            InvalidInput: that is no path.
            NotFound: it has no such entry.
        """
        if path:
            told = await self._why_path(execution, path)
            return WhyView(told.kind, told.sentence)
        live = self._sampler.session(execution.id) or self._only_just_begun(execution)
        if live is None:
            state = execution.state.value.replace("_", " ")
            sentence = f"Nothing works on it: it is {state}{f' ({execution.reason})' if execution.reason else ''}."
            return WhyView("execution", sentence)
        time = live.time(execution)
        return WhyView("execution", time.why, time)

    def _only_just_begun(self, execution: Execution) -> Session | None:
        """Return what can be said of a run that the sampler has not looked at yet."""
        run = self._engine.run_of(execution.id)
        seen = run.observation() if run is not None else None
        return None if seen is None else Session(seen, self._surroundings.clock.monotonic(), None)

    async def _why_path(self, execution: Execution, path: str) -> TaskWhy:
        journal, key = self._surroundings.journal, execution.key
        task = await self.find(execution, path)
        fault = (await journal.faults(key, [task.number])).get(task.number)
        run = self._engine.run_of(execution.id)
        seen = run.observation() if run is not None else None  # as of now: the sampler's look may be seconds old
        mover = next((m for m in seen.movers if m.task == task.number), None) if seen is not None else None
        where = run.whereabouts(task.number) if run is not None else Whereabouts()
        before: int | None = None
        # Whoever changed the order has others begin first than those that were met before.
        if task.state is TaskState.PENDING and not where.handed and in_scan_order(execution.standing, execution.holds):
            before = await self._before(key, task.number)
        wall = self._surroundings.clock.wall()
        record = fault.fault if fault is not None else None
        kind = mover.kind if mover is not None else None
        holds = await self._holds_on(execution, task, record, kind) if task.state is TaskState.PENDING else ()
        facts = TaskFacts(
            task.state,
            task.outcome,
            task.size,
            before,
            holds,
            mover.slot if mover is not None else None,
            where.handed,
            where.copied,
            mover.file_done if mover is not None else 0,
            execution.limits,
            self._throttled(execution),
            task.attempts,
            fault.fault.message if fault is not None and task.state is not TaskState.DONE else "",
            None if where.retry_in_s is None else wall + where.retry_in_s,
            await self._awaited(execution, task),
            seen.shared if seen is not None else Limits(),
        )
        return why_task(facts, wall)

    def _throttled(self, execution: Execution) -> float:
        """Return which share of the movers' time goes to limits now."""
        live = self._sampler.session(execution.id)
        return shares(live.situation()).get(Cause.THROTTLED, 0.0) if live is not None else 0.0

    async def _awaited(self, execution: Execution, task: Task) -> str:
        """Return the path of the first name of a task's file while that has to come first, else ""."""
        if not task.leader or task.state is not TaskState.PENDING:
            return ""
        journal, key = self._surroundings.journal, execution.key
        leader = (await journal.get_tasks(key, [task.leader])).get(task.leader)
        if leader is None or leader.state not in (TaskState.PENDING, TaskState.RUNNING):
            return ""
        place = (await journal.places(key, [leader.directory])).get(leader.directory)
        return to_text(os.path.join(place.path, leader.name) if place is not None else leader.name)

    async def _holds_on(
        self, execution: Execution, task: Task, fault: Fault | None, kind: FileKind | None
    ) -> tuple[Hold, ...]:
        """Return the holds that cover a pending task: one on some entries says nothing of others, nor of directories,
        which are finished at the end.

        Args:
            kind: what a mover that has it at hand has found out.
        """
        whole = whole_holds(execution.holds)
        if task.type is EntryType.DIRECTORY or len(whole) == len(execution.holds):
            return whole
        place = (await self._surroundings.journal.places(execution.key, [task.directory])).get(task.directory)
        path = os.path.join(place.path, task.name) if place is not None else task.name
        error, group = (fault.kind, fault.fingerprint) if fault is not None else ("", "")
        content = (await self._surroundings.journal.kinds(execution.key, [task.number])).get(task.number, kind)
        candidate = Candidate(path, task.type, task.size, task.mtime_ns, task.state, error, group, content, task.device)
        picking = {h.id: await compiled(h.selector, h.since) for h in execution.holds if h not in whole}
        return tuple(h for h in execution.holds if h in whole or picking[h.id].picks(candidate))

    async def find(self, execution: Execution, path: str) -> Task:
        """Return the task of a path below its source.

        Raises:
            InvalidInput: that is no path.
            NotFound: it has no such entry.
        """
        task = await find_entry(self._surroundings.journal, execution, from_outside(path))
        if task is None:
            shown = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}..."
            raise NotFound(
                f"{execution.name} has no entry {shown!r}", hint=f"migmon files {execution.id[:6]} lists them"
            )
        return task

    async def _before(self, key: int, number: int) -> int | None:
        """Return how many pending entries are handed out before that one; None when they are very many."""
        count = after = 0
        while count < _COUNTED:
            page = await self._surroundings.journal.tasks(
                key,
                after=after,
                limit=_PAGE,
                states=(TaskState.PENDING,),
                directories=False,
                sift=Sift(last=number - 1),
            )
            count += len(page)
            if len(page) < _PAGE:
                return count
            after = page[-1].number
        return None


def _side(side: DeviceSide) -> SideView:
    return SideView(side.disks, side.identity, side.kind)


def parts_of(engine: Engine) -> Callable[[Execution], Awaitable[Cube | None]]:
    """Return what returns the progress of an execution by parts, as it is at that moment."""

    async def parts(execution: Execution) -> Cube | None:
        cube = (await engine.counted(execution)).cube
        return None if cube is None else cube.snapshot()

    return parts


def recording(
    put: Callable[[Batch], None], wall: Callable[[], float], every_s: Callable[[str], tuple[float, str]]
) -> Callable[[Iterable[SampleView]], None]:
    """Return what puts samples of collectors into the history.

    Args:
        every_s: returns of a metric's name how often it is sampled and its kind.
    """

    def record(samples: Iterable[SampleView]) -> None:
        readings: dict[float, list[Reading]] = {}
        for sample in samples:
            if sample.value is None:
                continue  # a gap
            interval_s, kind = every_s(sample.metric)
            series = series_of(sample.metric, sample.labels, MetricKind(kind), sample.unit)
            readings.setdefault(interval_s, []).append(Reading(series, sample.value))
        for interval_s, found in readings.items():
            put(Batch(wall(), interval_s, tuple(found)))

    return record
