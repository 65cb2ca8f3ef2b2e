"""What a rollback does last of all at the targets of an execution that made backups: they get their names back."""

from __future__ import annotations

from migmond.domain.names import to_text
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Task
from migmond.engine.places import by_directory
from migmond.engine.scope import Scope
from migmond.planning.undo import backup_times
from migmond.wire.from_mover import BackupsRestored
from migmond.wire.to_mover import RestoreBackups

_PAGE = 2000


async def restore_backups(scope: Scope) -> None:
    """Give names that are free now, since what was brought there has gone, back to what had them before: also those of
    what somebody else has removed, or an earlier rollback that did not come so far. It may be repeated after a crash,
    and is done for what a cancelled one has undone: nobody would come back to it."""
    undoing, after = scope.plan.undoes, 0
    times = backup_times(undoing, scope.account.execution.created_at) if undoing is not None else None
    if times is None:
        return
    await scope.ledger.settled()
    first, stay = "", 0
    while await scope.gate.passed_or_cancelling():
        page = await scope.surroundings.journal.tasks(
            scope.key, after=after, limit=_PAGE, states=(TaskState.DONE, TaskState.SKIPPED), directories=False
        )
        if not page:
            break
        after = page[-1].number
        gone = [t for t in page if _is_gone(t)]
        places = await scope.bound_for(gone)
        message = RestoreBackups(scope.next_batch(), by_directory(gone, places), times)
        answer = await scope.crew.ask(message, BackupsRestored)
        tasks: dict[int, Task] = {t.number: t for t in gone}
        for failure in answer.failures:
            name = to_text(tasks[failure.number].name)
            scope.surroundings.log("a backup stays", execution=scope.id, file=name, why=failure.fault.message)
            first, stay = first or f"that of {name}: {failure.fault.message}", stay + 1
    if stay:
        scope.leftovers.tell(f"{stay:,} {'backup keeps its name' if stay == 1 else 'backups keep theirs'} ({first})")


def _is_gone(task: Task) -> bool:
    """Whether nothing may be under its name any more; of what stays there after all a mover finds the name taken."""
    return task.state is TaskState.DONE or task.outcome is Outcome.TARGET_GONE
