"""What failed of an execution, grouped, with examples by path, what it may come from and what to do about it."""

from __future__ import annotations

import os

from migmond.daemon.evidence import Evidence, past_facts
from migmond.daemon.file_pager import places_of
from migmond.domain.error_api import ErrorGroup
from migmond.domain.execution import Execution
from migmond.domain.names import to_text
from migmond.engine.places import Places
from migmond.engine.views import error_group
from migmond.ports import (
    Journal,
)

MOST_GROUPS = 200
"""The largest. There are some tens of errno and ten steps; a hundred sources on as many devices may have more."""

MOST_WITH_FIGURES = 20
"""The largest groups: what was recorded around each takes some milliseconds to be looked up."""


async def error_groups(
    journal: Journal, execution: Execution, evidence: Evidence | None = None, now: float = 0.0
) -> tuple[ErrorGroup, ...]:
    """Return the faults of entries that have failed, or wait to be tried again; the largest group first.

    Args:
        evidence: where causes are looked for; None: they are not.
        now: wall clock seconds, when they are.
    """
    key = execution.key
    groups = (await journal.fault_groups(key))[:MOST_GROUPS]
    tasks = await journal.get_tasks(key, [n for g in groups for n in g.examples])
    places = await places_of(Places(journal, key), list(tasks.values()))
    facts = await evidence.facts(journal, execution) if evidence is not None and groups else []

    def path(number: int) -> str:
        task, place = tasks[number], places[number]
        return to_text(os.path.join(place.path, task.name) if place.path else task.name) or "."

    def asked_for(number: int) -> str:
        """Of several sources more than one may have an entry of that path below them."""
        source = execution.plan.sources[places[number].root].path
        return path(number) if len(execution.plan.sources) == 1 else os.path.join(to_text(source), path(number))

    views = []
    for group in groups:
        paths = [path(n) for n in group.examples if n in tasks]
        if evidence is None:
            views.append(error_group(group, paths))
        else:
            where = evidence.where(group)
            told = await evidence.figures(group, where, now) if len(views) < MOST_WITH_FIGURES else []
            found = evidence.judge(group, where, [*facts, *past_facts(told)])
            example = next((asked_for(n) for n in group.examples if n in tasks), "")
            views.append(error_group(group, paths, execution, where, found, told, example))
    return tuple(views)
