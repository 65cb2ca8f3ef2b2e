"""The names that a rollback gives back."""

from __future__ import annotations

from collections.abc import Iterable

from migmond.domain.task import Task
from migmond.engine.scope import Scope


async def names_back(scope: Scope, tasks: Iterable[Task]) -> dict[int, bytes]:
    """Return the names that entries get by a rollback, or had got by the copy that a recovery repeats, of those that
    are called otherwise where they are: the policy RENAME had chosen that."""
    undoing = scope.plan.undoes
    if undoing is None or undoing.removing:
        return {}
    names = {t.number: t.name for t in tasks if t.directory}
    firsts = await scope.surroundings.journal.get_tasks(undoing.key, sorted(names))
    wanted = {n: (t.target_name or t.name) if undoing.again else t.name for n, t in firsts.items()}
    return {n: name for n, name in wanted.items() if name != names[n]}
