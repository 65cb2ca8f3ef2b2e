"""Rollbacks: executions that undo what another one did.

A rollback of a move is a move of what it brought to its target back to where it came from; a rollback of a copy is the
part of a move that deletes: what was copied is the source that goes, and what it was copied from is the copy that makes
that safe. Only its scan is another one: instead of walking a tree it walks the other execution's journal, and lets a
mover look whether what is there is still what that one left. So everything that holds for executions holds for
rollbacks: the durable protocol, holds, limits, resume after a crash, cancel, receipts.

Its tasks have the numbers of the first execution's, so that each knows what it undoes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing

import msgspec
import trio

from migmond.domain.changes import AddFault, AddListing, AddRoot, AddTasks, Change, DirectoriesTouched
from migmond.domain.entry import EntryType
from migmond.domain.errors import MoverError, PlanInfeasible
from migmond.domain.execution import Tally, Totals
from migmond.domain.fault import Fault, Phase
from migmond.domain.mover_slots import SCANNING_SLOT
from migmond.domain.names import to_text
from migmond.domain.plan import Plan, Undoing
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Listing, Task
from migmond.engine.account import task_bytes
from migmond.engine.crew import open_mover
from migmond.engine.scan import MAX_DEATHS, Scanner
from migmond.engine.scope import Scope
from migmond.engine.undo_walk import Page, UndoWalk, compiled
from migmond.planning.selection import Candidate
from migmond.planning.undo import is_undone, seen_from_target, told, undoing_task
from migmond.wire.items import RootInfo
from migmond.wire.to_mover import Open

_STAYS = {
    Outcome.TARGET_GONE: "not there any more",
    Outcome.TARGET_CHANGED: "changed since",
    Outcome.SOURCE_GONE: "whose source is gone",
    Outcome.SOURCE_CHANGED: "whose source was changed since",
    Outcome.LAST_COPY: "whose source is gone or was changed since",
}
_SKIPPED_PAGE = 10_000


class UndoScanner:
    """Brings the journal of a rollback from its roots to all that is to be undone, as Scanner does for a migration.

    Args:
        opening: returns the first message for a mover.
        scanner: walks what the first execution renamed as a whole, of which nothing else is on record.
    """

    def __init__(
        self, scope: Scope, undoing: Undoing, opening: Callable[[], Awaitable[Open]], scanner: Scanner
    ) -> None:
        self._scope = scope
        self._undoing = undoing
        self._opening = opening
        self._scanner = scanner

    async def run(self) -> None:
        """List until everything is journaled, or the execution ends; then as `Scanner.run`.

        Raises:
            MoverError: movers keep dying.
            PlanInfeasible, NotPermitted: the roots cannot be opened (any more).
        """
        deaths = 0
        while await self._scope.gate.passed():
            try:
                await self._list()
                break
            except MoverError as e:
                if self._scope.gate.ending:
                    return
                deaths += 1
                if deaths >= MAX_DEATHS:
                    raise MoverError(f"the look at what is to be rolled back cannot go on: {e.message}") from e
                await trio.sleep(deaths * 0.5)
        if not self._scope.gate.ending:
            await self._scanner.run()

    async def _list(self) -> None:
        scope, journal, key = self._scope, self._scope.surroundings.journal, self._scope.key
        await scope.ledger.settled()
        sources = len(scope.plan.sources)
        unread = await journal.unread_directories(key, limit=sources + 1)
        unlisted = [d.number for d in unread if d.number <= sources and d.number not in self._undoing.whole]
        if not unlisted:
            return
        matcher = await compiled(scope.plan, scope.wall())
        process, _ = await open_mover(
            scope.surroundings.pool, SCANNING_SLOT, scope.account.execution.identity, await self._opening()
        )
        try:
            with scope.crew.enlisted(process):
                walk = UndoWalk(scope.surroundings, self._undoing, matcher, process)
                last = max(sources, await journal.last_number(key))
                async with aclosing(walk.pages(last)) as pages:
                    async for page in pages:
                        if not await scope.gate.passed():
                            return
                        await self._journal(page)
                        last = page.last
        finally:
            await process.end()
        roots = await journal.get_tasks(key, unlisted)
        await scope.ledger.commit(
            [AddListing(key, Listing(n, roots[n].device, last + 1, (), {}, complete=True)) for n in unlisted]
        )

    async def _journal(self, page: Page) -> None:
        scope, key, removing = self._scope, self._scope.key, self._undoing.removing
        leaders = await self._leaders(page)
        tasks = tuple(undoing_task(t, found, leaders.get(t.number, 0), self._undoing) for t, found in page.found)
        places = tuple(page.places[t.number] for t in tasks if t.type is EntryType.DIRECTORY)
        changes: list[Change] = [AddTasks(key, tasks, places)]
        for task, (_, found) in zip(tasks, page.found, strict=True):
            if found.kind and (message := told(found, self._undoing)):
                changes.append(AddFault(key, task.number, scope.wall(), Fault(Phase.SCAN, found.kind, 0, message)))
        if removing:  # as a move says by what it copies which directories have to do with it
            touched = {t.directory for t in tasks if t.state is TaskState.DURABLE and t.directory}
            changes.append(DirectoriesTouched(key, tuple(sorted(touched))))
        scope.account.plan_tasks(tasks)  # counted and recorded in one go
        scope.ledger.record(changes)
        await scope.ledger.commit([])
        scope.progress.set()

    async def _leaders(self, page: Page) -> dict[int, int]:
        """Return, by task number, the tasks that have the first names of inodes with several."""
        linked: dict[int, set[int]] = {}
        for task, found in page.found:
            if found.links > 1 and task.type is EntryType.FILE and not found.kind:
                linked.setdefault(found.device, set()).add(found.seen.inode)
        journal, key = self._scope.surroundings.journal, self._scope.key
        known = {device: await journal.leaders(key, device, sorted(inodes)) for device, inodes in linked.items()}
        leaders: dict[int, int] = {}
        for task, found in page.found:
            if found.links > 1 and task.type is EntryType.FILE and not found.kind:
                leader = known[found.device].setdefault(found.seen.inode, task.number)
                if leader != task.number:
                    leaders[task.number] = leader
        return leaders


async def undo_roots(
    walk: UndoWalk,
    plan: Plan,
    undoing: Undoing,
    opened: tuple[RootInfo, ...],
    firsts: dict[int, Task],
    picks: Callable[[Candidate], bool],
) -> list[Task]:
    """Return the tasks of a rollback's own sources.

    Args:
        walk: asks a mover that has opened them.
        firsts: the first execution's tasks of its sources, by number.
        picks: the selector.

    Raises:
        PlanInfeasible: what was a directory is none any more.
    """
    tasks: list[Task] = []
    for number, (root, source) in enumerate(zip(opened[: len(plan.sources)], plan.sources, strict=True), 1):
        first = seen_from_target(firsts[number]) if undoing.again else firsts[number]
        if first.type is not EntryType.DIRECTORY:
            picked = is_undone(first, removing=undoing.removing) and picks(
                Candidate(b"", first.type, first.size, first.mtime_ns, first.state)
            )
            found = (await walk.ask([first], {}))[number]
            task = undoing_task(first, found, 0, undoing)
            if not picked:
                task = msgspec.structs.replace(task, state=TaskState.SKIPPED, outcome=Outcome.NOT_SELECTED)
            tasks.append(task)
            continue
        if root.type is not EntryType.DIRECTORY:
            raise PlanInfeasible(
                f"{to_text(source.path)} was a directory, and is none now", hint="give it its name back, then try again"
            )
        state, outcome, mtime_ns = TaskState.PENDING, Outcome.NONE, first.mtime_ns
        if number in undoing.whole and root.inode != first.target_inode:
            state, outcome = TaskState.SKIPPED, Outcome.TARGET_CHANGED
        elif undoing.removing:
            state, outcome = TaskState.DONE, Outcome.CREATED
        elif number in undoing.whole:
            mtime_ns = root.mtime_ns
        tasks.append(
            Task(
                number, 0, b"", root.type, root.size, mtime_ns, root.ctime_ns, root.inode, root.source_device,
                root.links, state, outcome,
            )
        )  # fmt: skip
    return tasks


def roots_recorded(key: int, roots: Iterable[Task]) -> list[Change]:
    """Return what the journal is to record of a rollback's sources."""
    changes: list[Change] = []
    for index, task in enumerate(roots):
        changes.append(AddRoot(key, index, task))
        if task.type is EntryType.DIRECTORY and task.state is TaskState.SKIPPED:
            changes.append(AddListing(key, Listing(task.number, task.device, 0, (), {}, complete=True)))
    return changes


def roots_counted(roots: Iterable[Task]) -> Totals:
    """Return the totals that a rollback begins with."""
    counted = [t for t in roots if t.outcome is not Outcome.NOT_SELECTED]

    def tally(*states: TaskState) -> Tally:
        chosen = [t for t in counted if t.state in states]
        return Tally(len(chosen), sum(map(task_bytes, chosen)))

    return Totals(
        planned=tally(*TaskState),
        done=tally(TaskState.DONE),
        failed=tally(TaskState.FAILED),
        skipped=tally(TaskState.SKIPPED),
    )


async def remark_on_rest(scope: Scope) -> str:
    """Return what people are told at the end of a rollback about what was left as it is, "" when nothing was."""
    journal, counts, after = scope.surroundings.journal, Counter[Outcome](), 0
    if scope.plan.undoes is None or not scope.account.totals.skipped.entries:
        return ""
    while True:
        page = await journal.tasks(scope.key, after=after, limit=_SKIPPED_PAGE, states=(TaskState.SKIPPED,))
        counts.update(t.outcome for t in page)
        if len(page) < _SKIPPED_PAGE:
            break
        after = page[-1].number
    parts = [f"{counts[outcome]:,} {why}" for outcome, why in _STAYS.items() if counts[outcome]]
    return f"left as they are: {', '.join(parts)}" if parts else ""
