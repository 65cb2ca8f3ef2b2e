"""What failed of an execution, grouped, with examples by path."""

from __future__ import annotations

import os

from migmond.daemon.file_pager import places_of
from migmond.domain import api
from migmond.domain.execution import Execution
from migmond.domain.names import to_text
from migmond.engine.places import Places
from migmond.engine.views import error_group
from migmond.ports import (
    Journal,
)


async def error_groups(journal: Journal, execution: Execution) -> tuple[api.ErrorGroup, ...]:
    """Return the faults of entries that have failed now, the largest group first."""
    key = execution.key
    groups = await journal.fault_groups(key)
    tasks = await journal.get_tasks(key, [n for g in groups for n in g.examples])
    places = await places_of(Places(journal, key), list(tasks.values()))

    def path(number: int) -> str:
        task, place = tasks[number], places[number]
        return to_text(os.path.join(place.path, task.name) if place.path else task.name) or "."

    return tuple(error_group(g, [path(n) for n in g.examples if n in tasks]) for g in groups)
