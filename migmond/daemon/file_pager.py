"""Pages of an execution's entries: in scan order, filtered by a selector, each in a bounded time."""

from __future__ import annotations

import os
from collections.abc import Collection

import trio

from migmond.breath import Breath
from migmond.domain import api
from migmond.domain.entry import EntryType
from migmond.domain.errors import about
from migmond.domain.execution import Execution
from migmond.domain.journal import Sift
from migmond.domain.states import TaskState
from migmond.domain.task import Directory, Task, may_be_read
from migmond.engine.places import Places
from migmond.engine.routes import Routes
from migmond.engine.views import task_view
from migmond.planning.selection import Candidate, Matcher, matcher_of, takes_long
from migmond.ports import Clock, Journal

PAGE_S = 0.04
"""So long a request looks for what its selector picks; then it returns what it has found, however little, and where
to go on. Whoever looks for few among 10^7 asks often, and is never in anybody's way."""
_MATCHED = 1_000
"""Tasks that are read and matched in one go, 10 ms or so."""
_WINDOW = 50_000
"""Tasks that the journal sifts in one go, for which what runs has to wait with its own reading: a walk over 1.4 million
took 330 ms."""
_WALKED = {TaskState.PENDING, TaskState.DONE}
"""The states of nearly all: those who are looked for among them are found by walking, all others by an index."""
_TYPES = {t.name.lower(): t for t in EntryType}


class FilePager:
    """Walks the journal in scan order and keeps what a selector picks: memory is one page at a time.

    Args:
        running: numbers of the tasks that movers have in hand.
    """

    def __init__(self, journal: Journal, clock: Clock, execution: Execution, running: Collection[int]) -> None:
        self._journal, self._now, self._wall = journal, clock.monotonic, clock.wall
        self._execution = execution
        self._running = frozenset(running)
        self._places = Places(journal, execution.key)
        self._routes = Routes(journal, execution)

    async def page(self, params: api.FilesParams) -> api.TaskPage:
        """Return the next page. It is full unless that takes PAGE_S, and to look at more entries than it has room for.

        Raises:
            InvalidInput: the selector makes no sense.
        """
        deadline = self._now() + PAGE_S
        matcher = await self._matcher(params.selector)
        found: list[api.TaskView] = []
        after = params.after
        breath = Breath(self._now)
        while True:
            tasks, seen = await self._read(params.selector, after, min(_MATCHED, max(params.limit * 2, 200)))
            places = await places_of(self._places, tasks)
            with_faults = [t.number for t in tasks if t.attempts or t.state is TaskState.FAILED]
            faults = await self._journal.faults(self._execution.key, with_faults) if with_faults else {}
            kinds = {}
            if matcher.asks_for_content:
                kinds = await self._journal.kinds(self._execution.key, [t.number for t in tasks if may_be_read(t)])
            sent = await self._routes.paths([t.number for t in tasks])
            for task in tasks:
                await breath.take()
                place, record = places[task.number], faults.get(task.number)
                fault = record.fault if record is not None else None
                state = TaskState.RUNNING if task.number in self._running else task.state
                path = os.path.join(place.path, task.name) if place.path else task.name
                kind, group = (fault.kind, fault.fingerprint) if fault is not None else ("", "")
                content = kinds.get(task.number)
                if not matcher.picks(Candidate(path, task.type, task.size, task.mtime_ns, state, kind, group, content)):
                    continue
                plan, to = self._execution.plan, sent.get(task.number)
                found.append(task_view(task, place, plan, fault, state=state, destination=to))
                if len(found) >= params.limit:
                    return api.TaskPage(tuple(found), task.number)
            if seen is None:
                return api.TaskPage(tuple(found), None)
            after = seen
            if after - params.after >= params.limit and self._now() >= deadline:
                return api.TaskPage(tuple(found), after)

    async def _matcher(self, spec: api.SelectorSpec) -> Matcher:
        with about("selector"):
            if takes_long(spec.include, spec.exclude):
                return await trio.to_thread.run_sync(matcher_of, spec, self._wall())
            return matcher_of(spec, self._wall())

    async def _read(self, spec: api.SelectorSpec, after: int, limit: int) -> tuple[list[Task], int | None]:
        """Return tasks among which is everything that the selector picks up to a number, and this; None: of all."""
        journal, key = self._journal, self._execution.key
        if set(spec.states) == {TaskState.RUNNING.name.lower()}:
            numbers = sorted(n for n in self._running if n > after)[:limit]
            tasks = await journal.get_tasks(key, numbers)
            return [tasks[n] for n in numbers if n in tasks], numbers[-1] if len(numbers) == limit else None
        states, types = _journal_states(spec.states), _entry_types(spec.types)
        if not (_WALKED & set(states) or types) and spec.larger_than is None and spec.smaller_than is None:
            tasks_there = await journal.tasks(key, after=after, limit=limit, states=states)
            return tasks_there, tasks_there[-1].number if len(tasks_there) == limit else None
        last = after + _WINDOW
        sift = Sift(last, types, spec.larger_than, spec.smaller_than)
        sifted = await journal.tasks(key, after=after, limit=limit, states=states, sift=sift)
        if len(sifted) == limit:
            return sifted, sifted[-1].number
        return sifted, last if last < await journal.last_number(key) else None


async def places_of(places: Places, tasks: list[Task]) -> dict[int, Directory]:
    """Return where each of `tasks` lies, by its number."""
    found = await places.find(t.directory for t in tasks if t.directory)
    return {t.number: found[t.directory] if t.directory else Directory(0, t.number - 1, b"") for t in tasks}


def _journal_states(names: tuple[str, ...]) -> tuple[TaskState, ...]:
    """RUNNING is PENDING in the journal."""
    states = {TaskState[n.upper()] for n in names}
    if TaskState.RUNNING in states:
        states = (states - {TaskState.RUNNING}) | {TaskState.PENDING}
    return tuple(sorted(states))


def _entry_types(names: tuple[str, ...]) -> tuple[EntryType, ...]:
    """Return what entries may be of these types; content classes are of files."""
    return tuple(sorted({_TYPES.get(name, EntryType.FILE) for name in names}))
