"""What clients are told of the monitoring of executions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from migmond.analytics.cube import Cube
from migmond.analytics.why import TaskFacts, why_task
from migmond.domain.analysis import (
    ResourcesView,
    SessionView,
    SideView,
    SpeedChangeView,
    TaskWhy,
    WhyView,
)
from migmond.domain.errors import InvalidInput, NotFound
from migmond.domain.execution import Execution
from migmond.domain.names import from_text
from migmond.domain.observation import Observation
from migmond.domain.samples import SampleView
from migmond.domain.session import DeviceSide, SessionRecord
from migmond.domain.states import TaskState
from migmond.domain.task import Task
from migmond.domain.telemetry import Batch, MetricKind, Reading, series_of
from migmond.engine.manager import Engine
from migmond.engine.settings import Surroundings
from migmond.engine.views import intervention_views, time_text
from migmond.monitor.sampler import Sampler
from migmond.ports import (
    Sift,
)

_PAGE = 2000
_COUNTED = 100_000
"""Nobody waits for the rest to be counted."""
_WINDOW = 50_000
"""Tasks that the journal sifts in one go, for which what runs has to wait with its own reading: see `FilePager`."""
_LONGEST_PATH = 1 << 16
"""Characters: a path of 16,000 bytes, each of them escaped. One of 16 MiB would keep the loop for three seconds."""
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
            live.performance(self._sampler.wall_minus_monotonic) if live is not None else None,
            record.peak_bytes_per_s,
            forecast.file_s if forecast is not None else None,
            forecast.byte_s if forecast is not None else None,
            tuple(SpeedChangeView(t, factor) for t, factor in outlook.changes) if outlook is not None else (),
            record.promised,
            record.kept,
            interventions,
        )

    async def why(self, execution: Execution, path: str) -> WhyView:
        """Say why an execution is not faster, or why one entry of it is where it is.

        Raises:
            InvalidInput: that is no path.
            NotFound: it has no such entry.
        """
        live = self._sampler.session(execution.id)
        if path:
            told = await self._why_path(execution, path, live.observation if live is not None else None)
            return WhyView(told.kind, told.sentence)
        if live is None:
            state = execution.state.value.replace("_", " ")
            sentence = f"Nothing works on it: it is {state}{f' ({execution.reason})' if execution.reason else ''}."
            return WhyView("execution", sentence)
        time = live.time()
        return WhyView("execution", time.why, time)

    async def _why_path(self, execution: Execution, path: str, seen: Observation | None) -> TaskWhy:
        journal, key = self._surroundings.journal, execution.key
        if len(path) > _LONGEST_PATH:
            raise InvalidInput(f"a path of {len(path):,} characters", hint=f"{_LONGEST_PATH:,} are enough for any")
        task = await self._find(execution, from_text(path))
        if task is None:
            shown = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}..."
            raise NotFound(
                f"{execution.name} has no entry {shown!r}", hint=f"migmon files {execution.id[:6]} lists them"
            )
        fault = (await journal.faults(key, [task.number])).get(task.number)
        mover = next((m for m in seen.movers if m.task == task.number), None) if seen is not None else None
        run = self._engine.run_of(execution.id)
        running = run is not None and task.number in run.running_tasks()
        before: int | None = None
        if task.state is TaskState.PENDING and not running:
            before = await self._before(key, task.number)
        wall = self._surroundings.clock.wall()
        facts = TaskFacts(
            task.state,
            task.outcome,
            task.size,
            before,
            execution.holds if task.state is TaskState.PENDING else (),
            mover.slot if mover is not None else None,
            wall - mover.busy_ns / 1e9 if mover is not None else None,
            mover.file_done if mover is not None else 0,
            execution.limits,
            0.0,
            task.attempts,
            fault.fault.message if fault is not None and task.state is not TaskState.DONE else "",
        )
        return why_task(facts, wall)

    async def _find(self, execution: Execution, path: bytes) -> Task | None:
        """Return the task of a path below its source, directory by directory; None when there is none."""
        journal, key = self._surroundings.journal, execution.key
        names = [name for name in path.split(b"/") if name]
        last = await journal.last_number(key)
        roots = list((await journal.get_tasks(key, range(1, len(execution.plan.sources) + 1))).values())
        for root in roots:
            found: Task | None = root
            for name in names:
                found = await self._child(key, found.number, name, last) if found is not None else None
            if found is not None:
                return found
        return None

    async def _child(self, key: int, directory: int, name: bytes, last: int) -> Task | None:
        """Entries of a directory come after it in scan order, though very many others may lie between: the journal
        passes over those, a stretch at a time."""
        for after in range(directory, last, _WINDOW):
            sift = Sift(after + _WINDOW, directory=directory, name=name)
            if found := await self._surroundings.journal.tasks(key, after=after, limit=1, sift=sift):
                return found[0]
        return None

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
