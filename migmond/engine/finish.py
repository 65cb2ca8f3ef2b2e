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
from migmond.domain.entry import EntryType, Lost
from migmond.domain.fault import Disposition, Fault, Phase
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Task, TaskResult
from migmond.engine.deleter import ASIDE, Deleter
from migmond.engine.elsewhere import Elsewhere
from migmond.engine.faults import FaultDesk
from migmond.engine.gate import Mode
from migmond.engine.judging import Judging
from migmond.engine.left_out import LeftOutDirectories
from migmond.engine.places import by_directory
from migmond.engine.scope import Scope
from migmond.planning.routes import place_at, root_at
from migmond.recovery.dispositions import disposition_of
from migmond.wire.from_mover import DirectoriesMade, DirectoriesRemoved, PutBackDone, Swept
from migmond.wire.items import DirectoryItem, ItemFault
from migmond.wire.to_mover import MakeDirectories, PutBack, RemoveDirectories, Sweep

D = TypeVar("D", DirectoriesMade, DirectoriesRemoved)

PAGE = 1000
DELETE_PAGE = 20_000
RETRY_S = 0.2
_HIGHEST = 1 << 62
_MAY_BE_ASIDE = (TaskState.DURABLE, TaskState.FAILED)


class Finisher:
    """Runs when nothing is in flight; every step can be repeated after a crash."""

    def __init__(self, scope: Scope, rules: Judging, faults: FaultDesk, deleter: Deleter) -> None:
        self._scope = scope
        self._rules = rules
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
            self._deleter.add(sorted(due, key=lambda t: (t.device, t.inode)), await self._as_of(due))
            await self._deletes_idle()

    async def _as_of(self, tasks: list[Task]) -> dict[int, int]:
        """Rollback of a copy: what was copied from is what was, as long as it has the ctime that it had then."""
        undoing = self._scope.plan.undoes
        if undoing is None or not undoing.removing:
            return {}
        firsts = await self._scope.surroundings.journal.get_tasks(undoing.key, [t.number for t in tasks])
        return {n: t.ctime_ns for n, t in firsts.items()}

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
            places = await scope.bound_for(page)
            answer = await scope.crew.ask(PutBack(scope.next_batch(), by_directory(page, places)), PutBackDone)
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
        ones above them. When entries were skipped on the way: not those that nothing is left to be put into. At
        further destinations: those that something was sent to, and the ones above them; at the plan's it is not
        missed then.
        """
        scope, above = self._scope, set[int]()
        touched: set[int] | None = None
        left_out, elsewhere = LeftOutDirectories(scope, self._rules), Elsewhere(scope)
        asking = await left_out.load()
        asking |= await elsewhere.load()
        async with aclosing(self._pages((TaskState.PENDING, TaskState.FAILED, TaskState.DONE))) as pages:
            async for page in pages:
                if touched is None and (self._picking or asking):
                    touched = await self._touched()
                picked = await left_out.picked(page)
                await elsewhere.recall(page)
                tasks: list[Task] = []
                for task in page:
                    there = elsewhere.takes(task)
                    if task.state is TaskState.DONE:
                        if task.number in above or there:  # finished before, but something may be made in it now
                            elsewhere.put(task, main=task.number in above)
                            tasks.append(task)
                    elif task.state is TaskState.FAILED:
                        above.add(task.directory)  # needed when this one is tried again
                    elif touched is None or task.number in touched or task.number in above:
                        above.add(task.directory)
                        elsewhere.put(task, main=True)
                        tasks.append(task)
                    elif there:
                        elsewhere.put(task, main=False)
                        tasks.append(task)
                    elif scope.gate.mode is not Mode.CANCEL and left_out.leave_out(task, picked):
                        pass
                    elif self._picking:
                        self._leave_out(task)
                    else:
                        if not elsewhere.takes_rest(task):
                            above.add(task.directory)
                            elsewhere.put(task, main=True)  # it may have been meant for a destination of before
                        tasks.append(task)
                if tasks:
                    await self._make(tasks, elsewhere)
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

    async def _make(self, tasks: list[Task], elsewhere: Elsewhere) -> None:
        scope = self._scope
        reopened = await scope.reopen(t.number if t.state is TaskState.DONE else t.directory for t in tasks)
        if changes := [*reopened, *elsewhere.changes(tasks)]:
            await scope.ledger.commit(changes)
        answers: list[DirectoriesMade] = []
        asked: set[int] = set()
        for destination, its in elsewhere.by_destination(tasks).items():
            asked.update(t.number for t in its)
            answer = await self._made(its, destination)
            if answer is None:
                return
            answers.append(answer)
        by_number = {t.number: msgspec.structs.replace(t, state=TaskState.PENDING) for t in tasks if t.number in asked}
        for failure in (f for a in answers for f in a.failures):
            if (task := by_number.pop(failure.number, None)) is not None:
                scope.fail(task, failure.fault)
        lost: dict[int, Lost] = {}
        for answer in answers:
            for number, what in answer.lost.items():
                lost[number] = lost.get(number, what) | what
        results: list[TaskResult] = [
            scope.account.settle(task, TaskState.DONE, Outcome.CREATED, lost=lost.get(number, task.lost))
            for number, task in by_number.items()
        ]
        scope.ledger.record([Record(scope.key, tuple(results))])

    async def _made(self, tasks: list[Task], destination: int) -> DirectoriesMade | None:
        """Let a mover make them; what is made later in a parent that is finished already moves its times: all again
        when some are. None when the scope ends meanwhile."""
        scope, items = self._scope, await self._items(tasks, destination)
        return await self._unhindered(
            lambda: scope.crew.ask(MakeDirectories(scope.next_batch(), items), DirectoriesMade)
        )

    async def _unhindered(self, ask: Callable[[], Awaitable[D]]) -> D | None:
        """Ask again for all of them after a fault that no single one is to blame for. None when the scope ends."""
        scope = self._scope
        for attempt in itertools.count(1):
            answer = await ask()
            dispositions = {disposition_of(f.fault) for f in answer.failures}
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
        fetched = await scope.routes.directories() if scope.removes_elsewhere else {}
        emptied: set[int] | None = None
        if scope.removing and not scope.plan.selector.selects_all:
            emptied = await self._touched()
        async with aclosing(self._pages((TaskState.DONE,))) as pages:
            async for found in pages:
                if scope.gate.ending:
                    return
                page = [t for t in found if t.number not in failing and self._may_go(t, emptied)]
                if not page:
                    continue
                answers = [await self._removed(page)]
                for destination, numbers in fetched.items():
                    below: list[Task] = []
                    for task in page:  # children come first: what they lie in goes as well
                        if task.number in numbers and task.directory:
                            numbers.add(task.directory)
                            below.append(task)
                    if below:
                        answers.append(await self._removed(below, destination))
                tasks = {t.number: t for t in page}
                for failure in (f for a in answers if a is not None for f in a.failures):
                    scope.surroundings.log("source directory stays", execution=scope.id, why=failure.fault.message)
                    if scope.removing:
                        scope.leftovers.tell(f"a directory stays: {failure.fault.message}")
                    else:
                        self._fail_again(tasks[failure.number], failure.fault)

    def _may_go(self, directory: Task, emptied: set[int] | None) -> bool:
        """Rollback: whether a directory that is empty may go as far as the engine knows: it was not there before, and
        something was in it that was picked (`emptied`: numbers of those, and of the ones above them; None for all)."""
        undoing = self._scope.plan.undoes
        if undoing is None:
            return True
        if not directory.directory and directory.number not in undoing.made:
            return False
        if emptied is None:
            return True
        if directory.number not in emptied:
            return False
        emptied.add(directory.directory)
        return True

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

    async def _removed(self, tasks: list[Task], destination: int = 0) -> DirectoriesRemoved | None:
        """Let a mover remove them, at one of the destinations from which a rollback fetches."""
        scope, items = self._scope, await self._items(tasks, destination)
        if destination:  # the inode that is known is that of the one at the plan's
            items = tuple(msgspec.structs.replace(i, inode=0) for i in items)
        undoing = scope.plan.undoes
        born_after_ns = 0 if undoing is None else int(undoing.born_after * 1e9)
        return await self._unhindered(
            lambda: scope.crew.ask(RemoveDirectories(scope.next_batch(), items, born_after_ns), DirectoriesRemoved)
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
                await self._swept(directories)
            if len(page) < PAGE:
                break
            after = page[-1].number
        await self._sweep_elsewhere()

    async def _sweep_elsewhere(self) -> None:
        scope, sources = self._scope, len(self._scope.plan.sources)
        for destination, numbers in (await scope.routes.directories()).items():
            ordered = sorted(numbers)
            for i in range(0, len(ordered), PAGE):
                places = await scope.places.find(ordered[i : i + PAGE])
                at = [place_at(place, destination, sources) for place in places.values()]
                await self._swept(tuple((place.root, place.path) for place in at))

    async def _swept(self, directories: tuple[tuple[int, bytes], ...]) -> None:
        scope = self._scope
        answer = await scope.crew.ask(Sweep(scope.next_batch(), directories), Swept)
        for fault in answer.failures:
            scope.surroundings.log("a temporary stays", execution=scope.id, why=fault.message)
            scope.leftovers.temporary(fault.message)

    def _single_roots(self) -> tuple[tuple[int, bytes], ...]:
        """The target's parent, at each destination, of each source that is a single file."""
        scope, sources = self._scope, len(self._scope.plan.sources)
        further = len(scope.account.execution.further)
        return tuple((root_at(i, d, sources), b"") for d in range(further + 1) for i in scope.single_roots)

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

    async def _items(self, tasks: list[Task], destination: int = 0) -> tuple[DirectoryItem, ...]:
        scope, sources = self._scope, len(self._scope.plan.sources)
        found = await scope.places.find(t.number for t in tasks)
        assert all(t.type is EntryType.DIRECTORY for t in tasks)
        places = {n: place_at(place, destination, sources) for n, place in found.items()}
        return tuple(
            DirectoryItem(t.number, places[t.number].root, places[t.number].path, t.mtime_ns, t.inode) for t in tasks
        )
