"""What a rollback does last of all at the targets of an execution that made backups: they get their names back."""

from __future__ import annotations

from migmond.domain.names import to_text
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Task
from migmond.engine.places import by_directory
from migmond.engine.scope import Scope
from migmond.wire.from_mover import BackupsRestored
from migmond.wire.to_mover import RestoreBackups

_PAGE = 2000


async def restore_backups(scope: Scope) -> None:
    """Give names that are free now, since what was brought there has gone, back to what had them before. It may be
    repeated after a crash."""
    undoing, after = scope.plan.undoes, 0
    if undoing is None or not undoing.backups:
        return
    await scope.ledger.settled()
    first, stay = "", 0
    since_ns, until_ns = int(undoing.born_after * 1e9), int(undoing.ended_at * 1e9)
    while await scope.gate.passed():
        page = await scope.surroundings.journal.tasks(
            scope.key, after=after, limit=_PAGE, states=(TaskState.DONE,), directories=False
        )
        if not page:
            break
        after = page[-1].number
        gone = [t for t in page if t.outcome is not Outcome.UNCHANGED or undoing.removing]
        places = await scope.bound_for(gone)
        message = RestoreBackups(scope.next_batch(), by_directory(gone, places), since_ns, until_ns)
        answer = await scope.crew.ask(message, BackupsRestored)
        tasks: dict[int, Task] = {t.number: t for t in gone}
        for failure in answer.failures:
            name = to_text(tasks[failure.number].name)
            scope.surroundings.log("a backup stays", execution=scope.id, file=name, why=failure.fault.message)
            first, stay = first or f"that of {name}: {failure.fault.message}", stay + 1
    if stay:
        scope.leftovers.tell(f"{stay:,} {'backup keeps its name' if stay == 1 else 'backups keep theirs'} ({first})")
