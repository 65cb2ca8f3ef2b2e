"""Moves whole trees by one rename each: what a move tries before anything else."""

from __future__ import annotations

from migmond.domain.changes import (
    AddListing,
    CloseGroup,
    OpenGroup,
    Record,
)
from migmond.domain.entry import EntryType
from migmond.domain.names import to_text
from migmond.domain.states import Outcome, TaskState
from migmond.domain.steering import Route
from migmond.domain.task import CommitGroup, Listing, Member, Task
from migmond.engine.faults import FaultDesk
from migmond.engine.judging import Judging
from migmond.engine.scope import Scope
from migmond.wire.from_mover import RootRenamed
from migmond.wire.to_mover import RenameRoot


async def rename_roots(scope: Scope, rules: Judging, faults: FaultDesk) -> None:
    """Rename each source where that is possible: its target is missing, on the same file system, and nobody has held
    or skipped a part of it, or sends it elsewhere. What has been renamed before that, and not recorded, is known."""
    planned = scope.account.totals.planned.entries
    if not scope.moving or not scope.plan.selector.selects_all or planned > len(scope.plan.sources):
        return
    journal, key = scope.surroundings.journal, scope.key
    for number, task in (await _roots(scope)).items():
        if task.type is not EntryType.DIRECTORY or task.state is not TaskState.PENDING:
            continue
        if scope.plan.undoes is not None and number not in scope.plan.undoes.whole:
            continue
        # What is held or skipped stays, or some of it goes elsewhere: the rest is moved entry by entry.
        if not await scope.gate.passed() or (_goes_apart(scope, rules) and not scope.resumed):
            return
        member = Member(number, task.inode, Outcome.RENAMED, task.lost, None, 0)
        group = CommitGroup(scope.next_group(), (member,))
        await scope.ledger.commit([OpenGroup(key, group)])
        done = await _renamed(scope, rules, faults, task)
        close = CloseGroup(key, group.id)
        if not done:
            await scope.ledger.commit([close])
            continue
        result = scope.account.settle(task, TaskState.DONE, Outcome.RENAMED, target_inode=task.inode)
        read = Listing(number, task.device, await journal.last_number(key) + 1, (), {}, complete=True)
        await scope.ledger.commit([Record(key, (result,)), AddListing(key, read), close])


def _goes_apart(scope: Scope, rules: Judging) -> bool:
    return bool(rules.parting) or any(isinstance(s.action, Route) for s in scope.account.execution.standing)


async def _renamed(scope: Scope, rules: Judging, faults: FaultDesk, task: Task) -> bool:
    """Let a mover rename one; whether it has its target name durably.

    What was renamed stays renamed though the sync fails, and is synced again when the hold is lifted: it is the only
    copy, and others may have put things of theirs into it meanwhile. Nor can it be scanned: it is not at the source.
    """
    while True:
        answer = await scope.crew.ask(RenameRoot(task.number - 1, begun=_goes_apart(scope, rules)), RootRenamed)
        if answer.unsynced is None or not faults.unsynced(task, answer.unsynced):
            return answer.done
        if not await scope.gate.passed():  # a resume asks again
            source, why = to_text(scope.plan.sources[task.number - 1].path), answer.unsynced.message
            scope.leftovers.tell(f"{source} is at the destination as a whole, and a power cut may undo that: {why}")
            return False


async def remark_on_renames(scope: Scope) -> str:
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
