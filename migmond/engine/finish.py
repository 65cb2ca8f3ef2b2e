"""What comes after the last entry: remaining deletes, directories bottom-up, empty source directories, temporaries."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import msgspec
import trio

from migmond.domain.changes import (
    AddFault,
    Record,
)
from migmond.domain.entry import EntryType
from migmond.domain.fault import Disposition, Fault, Phase
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Task, TaskResult
from migmond.engine.deleter import ASIDE, Deleter
from migmond.engine.faults import FaultDesk
from migmond.engine.gate import Mode
from migmond.engine.scope import Scope
from migmond.wire.items import AsideDirectory, DirectoryItem, ItemFault
from migmond.wire.mover import (
    DirectoriesMade,
    DirectoriesRemoved,
    MakeDirectories,
    PutBack,
    PutBackDone,
    RemoveDirectories,
    Sweep,
    Swept,
)

D = TypeVar("D", DirectoriesMade, DirectoriesRemoved)

PAGE = 1000
DELETE_PAGE = 20_000
RETRY_S = 0.2
_HIGHEST = 1 << 62
_MAY_BE_ASIDE = (TaskState.DURABLE, TaskState.FAILED)


class Finisher:
    """Runs when nothing is in flight; every step can be repeated after a crash."""

    def __init__(self, scope: Scope, faults: FaultDesk, deleter: Deleter) -> None:
        self._scope = scope
        self._faults = faults
        self._deleter = deleter

    async def deletes(self) -> None:
        """Move only: delete the sources that are still there though their targets are durable.

        Names of one inode come together: our own deletes change its ctime, and the mover allows for that
        within a batch without reading the file again. While a directory could not be listed, none of them is deleted:
        a further name that turns up there later is known as one by the names that are left.
        """
        scope, after = self._scope, 0
        await self._deletes_idle()
        await scope.ledger.settled()
        all_known = not await scope.surroundings.journal.unread_directories(scope.key, limit=1)
        while await scope.gate.passed():
            await scope.ledger.settled()
            page = await scope.surroundings.journal.tasks(
                scope.key, after=after, limit=DELETE_PAGE, states=(TaskState.DURABLE,), directories=False
            )
            if not page:
                return
            after = page[-1].number
            due = [t for t in page if all_known or t.links == 1]
            self._deleter.add(sorted(due, key=lambda t: (t.device, t.inode)))
            await self._deletes_idle()

    async def _deletes_idle(self) -> None:
        while not self._deleter.idle:
            with trio.move_on_after(0.5):
                await self._scope.progress.wait()

    async def put_back(self) -> None:
        """Move only: give sources their names back that a mover had set aside and neither deleted nor put back."""
        scope, after = self._scope, 0
        await scope.ledger.settled()
        while True:
            page = await scope.surroundings.journal.tasks(
                scope.key, after=after, limit=DELETE_PAGE, states=_MAY_BE_ASIDE, directories=False
            )
            if not page:
                return
            after = page[-1].number
            places = await scope.directory_of(page)
            found: dict[tuple[int, bytes], list[tuple[int, bytes]]] = {}
            for task in page:
                place = places[task.number]
                found.setdefault((place.root, place.path), []).append((task.number, task.name))
            directories = tuple(AsideDirectory(root, path, tuple(items)) for (root, path), items in found.items())
            answer = await scope.crew.ask(PutBack(scope.next_batch(), directories), PutBackDone)
            await self._left_aside({t.number: t for t in page}, answer.failures)

    async def _left_aside(self, tasks: dict[int, Task], failures: tuple[ItemFault, ...]) -> None:
        """Fail the tasks of sources that are, or may be, under their private names: nobody would look for them there.
        Those that have failed before are told why they fail now."""
        scope = self._scope
        recorded = await scope.surroundings.journal.faults(scope.key, [f.number for f in failures])
        for number, fault in ((f.number, f.fault) for f in failures):
            task, before = tasks[number], recorded.get(number)
            if task.state is TaskState.DURABLE:
                scope.fail(task, fault)
            elif fault.kind not in ASIDE and (before is None or before.fault.phase is not Phase.DELETE):
                continue  # it failed before it was to be deleted
            elif before is None or before.fault.kind != fault.kind:
                scope.ledger.record([AddFault(scope.key, number, scope.wall(), fault)])
            scope.leftovers.aside(task, fault.message)

    async def directories(self) -> None:
        """Make and finish target directories, children before parents.

        When the plan picks entries or the execution is cancelled: only those that something was put into, and the
        ones above them.
        """
        scope, above = self._scope, set[int]()
        touched: set[int] | None = None
        async with aclosing(self._pages((TaskState.PENDING, TaskState.FAILED, TaskState.DONE))) as pages:
            async for page in pages:
                if touched is None and self._picking:
                    touched = await self._touched()
                tasks: list[Task] = []
                for task in page:
                    if task.state is TaskState.DONE:
                        if task.number in above:  # finished before, but something may be made in it now
                            tasks.append(task)
                    elif task.state is TaskState.FAILED:
                        above.add(task.directory)  # needed when this one is tried again
                    elif touched is None or task.number in touched or task.number in above:
                        above.add(task.directory)
                        tasks.append(task)
                    else:
                        self._leave_out(task)
                if tasks:
                    await self._make(tasks)
        await scope.ledger.settled()

    @property
    def _picking(self) -> bool:
        return self._scope.gate.mode is Mode.CANCEL or not self._scope.plan.selector.selects_all

    def _leave_out(self, task: Task) -> None:
        if self._scope.gate.mode is not Mode.CANCEL:
            self._scope.ledger.record([Record(self._scope.key, (self._scope.account.leave_out(task),))])

    async def _touched(self) -> set[int]:
        scope, numbers, after = self._scope, set[int](), 0
        while True:
            page = await scope.surroundings.journal.touched_directories(scope.key, after=after, limit=10_000)
            numbers.update(d.number for d in page)
            if len(page) < 10_000:
                return numbers
            after = page[-1].number

    async def _make(self, tasks: list[Task]) -> None:
        scope = self._scope
        reopened = await scope.reopen(t.number if t.state is TaskState.DONE else t.directory for t in tasks)
        if reopened:
            await scope.ledger.commit(reopened)
        answer = await self._made(tasks)
        if answer is None:
            return
        by_number = {t.number: msgspec.structs.replace(t, state=TaskState.PENDING) for t in tasks}
        for failure in answer.failures:
            scope.fail(by_number.pop(failure.number), failure.fault)
        results: list[TaskResult] = [
            scope.account.settle(task, TaskState.DONE, Outcome.CREATED, lost=answer.lost.get(number, task.lost))
            for number, task in by_number.items()
        ]
        scope.ledger.record([Record(scope.key, tuple(results))])

    async def _made(self, tasks: list[Task]) -> DirectoriesMade | None:
        """Let a mover make them; what is made later in a parent that is finished already moves its times: all again
        when some are. None when the scope ends meanwhile."""
        scope, items = self._scope, await self._items(tasks)
        return await self._unhindered(
            lambda: scope.crew.ask(MakeDirectories(scope.next_batch(), items), DirectoriesMade)
        )

    async def _unhindered(self, ask: Callable[[], Awaitable[D]]) -> D | None:
        """Ask again for all of them after a fault that no single one is to blame for. None when the scope ends."""
        scope = self._scope
        for attempt in itertools.count(1):
            answer = await ask()
            dispositions = {f.fault.disposition for f in answer.failures}
            held = [f for f in answer.failures if self._faults.environmental(f.fault)]
            if scope.gate.mode is Mode.CANCEL or not (held or Disposition.RETRY in dispositions):
                return answer
            if not held and attempt >= scope.surroundings.settings.attempts:
                return answer
            if not await scope.gate.passed_or_cancelling():
                return None
            await trio.sleep(RETRY_S)
        raise AssertionError("unreachable")

    async def remove_source_directories(self) -> None:
        """Move only: remove source directories that are empty now, children before parents. One that may not be
        removed fails: a resume tries again.

        One in which an entry failed stays, even empty: an entry that was renamed before it failed is found by a resume
        from where it was, and that needs a source that is there.
        """
        scope, failing = self._scope, await self._failing_directories()
        async with aclosing(self._pages((TaskState.DONE,))) as pages:
            async for found in pages:
                if scope.gate.ending:
                    return
                page = [t for t in found if t.number not in failing]
                if not page:
                    continue
                answer = await self._removed(page)
                tasks = {t.number: t for t in page}
                for failure in answer.failures if answer is not None else ():
                    scope.surroundings.log("source directory stays", execution=scope.id, why=failure.fault.message)
                    self._fail_again(tasks[failure.number], failure.fault)

    async def _failing_directories(self) -> set[int]:
        scope, numbers, after = self._scope, set[int](), 0
        while scope.account.totals.failed.entries:
            page = await scope.surroundings.journal.tasks(
                scope.key, after=after, limit=DELETE_PAGE, states=(TaskState.FAILED,), directories=False
            )
            numbers.update(t.directory for t in page)
            if len(page) < DELETE_PAGE:
                break
            after = page[-1].number
        return numbers

    async def _removed(self, tasks: list[Task]) -> DirectoriesRemoved | None:
        scope, items = self._scope, await self._items(tasks)
        return await self._unhindered(
            lambda: scope.crew.ask(RemoveDirectories(scope.next_batch(), items), DirectoriesRemoved)
        )

    def _fail_again(self, directory: Task, fault: Fault) -> None:
        """Its target is finished, but it is not."""
        scope = self._scope
        scope.ledger.record([Record(scope.key, (scope.account.reopen(directory),))])
        scope.fail(msgspec.structs.replace(directory, state=TaskState.PENDING), fault)

    async def sweep(self) -> None:
        """Remove temporaries that a crash may have left in any directory that was touched."""
        scope, after = self._scope, 0
        while True:
            page = await scope.surroundings.journal.touched_directories(scope.key, after=after, limit=PAGE)
            roots = self._single_roots() if after == 0 else ()
            directories = (*roots, *((d.root, d.path) for d in page))
            if directories:
                answer = await self._scope.crew.ask(Sweep(scope.next_batch(), directories), Swept)
                for fault in answer.failures:
                    scope.surroundings.log("a temporary stays", execution=scope.id, why=fault.message)
                    scope.leftovers.temporary(fault.message)
            if len(page) < PAGE:
                return
            after = page[-1].number

    def _single_roots(self) -> tuple[tuple[int, bytes], ...]:
        """The target's parent of each source that is a single file."""
        return tuple((i, b"") for i in self._scope.single_roots)

    async def _pages(self, states: tuple[TaskState, ...]) -> AsyncGenerator[list[Task], None]:
        scope, before = self._scope, _HIGHEST
        while await scope.gate.passed_or_cancelling():
            page = await scope.surroundings.journal.directories_backwards(scope.key, before=before, limit=PAGE)
            if not page:
                return
            before = page[-1].number
            chosen = [t for t in page if t.state in states]
            if chosen:
                yield chosen

    async def _items(self, tasks: list[Task]) -> tuple[DirectoryItem, ...]:
        places = await self._scope.places.find(t.number for t in tasks)
        assert all(t.type is EntryType.DIRECTORY for t in tasks)
        return tuple(
            DirectoryItem(t.number, places[t.number].root, places[t.number].path, t.mtime_ns, t.inode) for t in tasks
        )
