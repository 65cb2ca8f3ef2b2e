"""A walk through what an execution did, with a look at what has become of it: for a rollback, and for its plan."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence

import msgspec
import trio

from migmond.breath import Breath
from migmond.domain.entry import EntryType
from migmond.domain.errors import MoverError
from migmond.domain.examination import Examined, ExamineItem
from migmond.domain.fault import Fault
from migmond.domain.file_kinds import FileKind
from migmond.domain.plan import Plan, Undoing
from migmond.domain.task import Directory, Task, may_be_read
from migmond.engine.places import Places
from migmond.engine.process import MoverProcess
from migmond.engine.settings import Surroundings
from migmond.planning.routes import place_at
from migmond.planning.selection import Candidate, Matcher
from migmond.planning.undo import backup_times, is_undone, question, seen_from_target
from migmond.wire.from_mover import AllExamined
from migmond.wire.items import ExamineDirectory
from migmond.wire.to_mover import Examine

PAGE_TASKS = 500
"""Of about 300 bytes each, and as many answers: all the memory that a walk takes."""


class Page(msgspec.Struct, frozen=True):
    """A part of a walk.

    Attributes:
        last: number up to which the first execution was walked.
        found: entries that are undone or cannot be, each with what was found of it.
        places: where these and the directories among them lie, by number.
    """

    last: int
    found: tuple[tuple[Task, Examined], ...]
    places: dict[int, Directory]


async def compiled(plan: Plan, now_wall: float) -> Matcher:
    """Compile a rollback's selector."""
    return await trio.to_thread.run_sync(Matcher, plan.selector, now_wall)


class UndoWalk:
    """Pages through the first execution's tasks in the order of their numbers; roots come first.

    Args:
        process: a mover that has opened the rollback's roots and has nothing else to do.
    """

    def __init__(self, surroundings: Surroundings, undoing: Undoing, matcher: Matcher, process: MoverProcess) -> None:
        self._surroundings = surroundings
        self._undoing = undoing
        self._matcher = matcher
        self._process = process
        self._places = Places(surroundings.journal, undoing.key)
        self._batch = 0

    async def pages(self, after: int, *, roots: bool = False) -> AsyncGenerator[Page, None]:
        """Yield what comes after number `after`, in pages: all directories below the sources, and the entries that the
        selector picks and something was done about.

        Args:
            roots: with the sources that are no directories.

        Raises:
            MoverError: the mover died.
        """
        journal, key = self._surroundings.journal, self._undoing.key
        breath = Breath(self._surroundings.clock.monotonic)
        while True:
            page = await journal.tasks(key, after=after, limit=PAGE_TASKS)
            if not page:
                return
            after = page[-1].number
            if self._undoing.again:
                page = [seen_from_target(t) for t in page]
            yield await self._page(page, breath, roots=roots)

    async def _page(self, page: Sequence[Task], breath: Breath, *, roots: bool) -> Page:
        own = await self._places.find(
            [t.number for t in page if t.type is EntryType.DIRECTORY] + [t.directory for t in page if t.directory]
        )
        errors, kinds = await self._errors(page), await self._kinds(page)
        chosen: list[Task] = []
        for task in page:
            await breath.take()
            if not task.directory and (task.type is EntryType.DIRECTORY or not roots):
                continue  # a source itself: whoever begins a rollback deals with it
            if task.type is EntryType.DIRECTORY or (
                is_undone(task, removing=self._undoing.removing)
                and self._matcher.picks(_candidate(task, own, errors.get(task.number), kinds.get(task.number)))
            ):
                chosen.append(task)
        answers = await self.ask(chosen, own) if chosen else {}
        return Page(page[-1].number, tuple((t, answers[t.number]) for t in chosen), own)

    async def _errors(self, page: Sequence[Task]) -> dict[int, Fault]:
        if not self._matcher.asks_for_errors:
            return {}
        found = await self._surroundings.journal.faults(self._undoing.key, [t.number for t in page if t.attempts])
        return {number: record.fault for number, record in found.items()}

    async def _kinds(self, page: Sequence[Task]) -> dict[int, FileKind]:
        if not self._matcher.asks_for_content:
            return {}
        return await self._surroundings.journal.kinds(self._undoing.key, [t.number for t in page if may_be_read(t)])

    async def ask(self, tasks: Sequence[Task], own: dict[int, Directory]) -> dict[int, Examined]:
        """Let the mover look at entries; `own`: where their directories are."""
        directories: dict[tuple[int, bytes], list[ExamineItem]] = {}
        removing, times = self._undoing.removing, dict[int, int]()
        if removing:
            files = [t.number for t in tasks if t.type is EntryType.FILE]
            times = await self._surroundings.journal.copy_times(self._undoing.key, files)
        by_number = {t.number: t for t in tasks}
        places = {t.number: _place(t, own) for t in tasks}
        for number, place in (await self._sent(places)).items():
            its = question(by_number[number], removing=removing, published_ns=times.get(number, 0))
            directories.setdefault((place.root, place.path), []).append(its)
        self._batch += 1
        left_ns = int(self._undoing.ended_at * 1e9)
        await self._process.send(
            Examine(
                self._batch,
                tuple(ExamineDirectory(root, path, tuple(items)) for (root, path), items in directories.items()),
                left_ns,
                backup_times(self._undoing),
            )
        )
        answer = await self._process.receive()
        if not isinstance(answer, AllExamined):
            raise MoverError("a mover died while it looked at what is to be rolled back", hint="try again")
        return {found.number: found for found in answer.found}

    async def _sent(self, places: dict[int, Directory]) -> dict[int, Directory]:
        """Return these places by the roots that they have where the entries were sent to."""
        undoing = self._undoing
        if not undoing.further:
            return places
        sent = await self._surroundings.journal.sent_to(undoing.key, sorted(places))
        return {n: place_at(p, sent.get(n, 0), len(undoing.further[0])) for n, p in places.items()}


def _place(task: Task, own: dict[int, Directory]) -> Directory:
    return own[task.directory] if task.directory else Directory(0, task.number - 1, b"")


def path_of(task: Task, own: dict[int, Directory]) -> bytes:
    """Return where an entry lies below its source, by its name there."""
    return os.path.join(_place(task, own).path, task.name)


def _candidate(task: Task, own: dict[int, Directory], fault: Fault | None, content: FileKind | None) -> Candidate:
    error, group = (fault.kind, fault.fingerprint) if fault is not None else ("", "")
    return Candidate(path_of(task, own), task.type, task.size, task.mtime_ns, task.state, error, group, content)
