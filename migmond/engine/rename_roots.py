"""A move within one file system: a whole tree is renamed at once, and nobody looks into it."""

from __future__ import annotations

from migmond.domain.entry import EntryType
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import CommitGroup, Listing, Member, Task
from migmond.engine.scope import Scope
from migmond.ports import AddListing, CloseGroup, OpenGroup, Record
from migmond.wire.mover import RenameRoot, RootRenamed


async def rename_roots(scope: Scope) -> None:
    """Move whole trees by one rename each where that is possible: target missing, same file system."""
    if (
        not scope.moving
        or not scope.plan.selector.selects_all
        or scope.account.totals.planned.entries > len(scope.plan.sources)
    ):
        return
    journal, key = scope.surroundings.journal, scope.key
    for number, task in (await _roots(scope)).items():
        if task.type is not EntryType.DIRECTORY or task.state is not TaskState.PENDING:
            continue
        if not await scope.gate.passed():
            return
        member = Member(number, task.inode, Outcome.RENAMED, task.lost, None, 0)
        group = CommitGroup(scope.next_group(), (member,))
        await scope.ledger.commit([OpenGroup(key, group)])
        answer = await scope.crew.ask(RenameRoot(number - 1), RootRenamed)
        close = CloseGroup(key, group.id)
        if not answer.done:
            await scope.ledger.commit([close])
            continue
        result = scope.account.settle(task, TaskState.DONE, Outcome.RENAMED, target_inode=task.inode)
        read = Listing(number, task.device, await journal.last_number(key) + 1, (), {}, complete=True)
        await scope.ledger.commit([Record(key, (result,)), AddListing(key, read), close])


async def renamed(scope: Scope) -> str:
    """Return what people are told at the end about roots that were renamed, "" when none was: totals that say one
    entry of no bytes frighten whoever moved a thousand files."""
    if not scope.moving:
        return ""
    roots = (await _roots(scope)).values()
    whole = sum(1 for t in roots if t.type is EntryType.DIRECTORY and t.outcome is Outcome.RENAMED)
    if not whole:
        return ""
    which = "" if len(roots) == 1 else f"{whole:,} of {len(roots):,} sources were "
    return f"{which}renamed as a whole within one file system: what is inside was neither counted nor read"


async def _roots(scope: Scope) -> dict[int, Task]:
    return await scope.surroundings.journal.get_tasks(scope.key, range(1, len(scope.plan.sources) + 1))
