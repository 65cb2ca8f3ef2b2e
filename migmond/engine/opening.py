"""The first message for the movers of an execution."""

from __future__ import annotations

import os

from migmond.domain.entry import EntryType
from migmond.domain.execution import Execution
from migmond.domain.plan import Operation, Plan
from migmond.domain.states import ExecutionState, TaskState
from migmond.domain.task import Task
from migmond.engine.settings import Surroundings
from migmond.wire.items import MoverOptions, RootSpec
from migmond.wire.mover import Open

_UNFINISHED = (TaskState.PENDING, TaskState.DURABLE)


def roots_of(plan: Plan) -> tuple[RootSpec, ...]:
    """Return source and target path of each source."""
    return tuple(
        RootSpec(s.path, os.path.join(plan.destination, s.into) if s.into else plan.destination) for s in plan.sources
    )


def fresh_opening(execution_id: str, plan: Plan, surroundings: Surroundings) -> Open:
    """Return the Open for an execution that nobody has worked on.

    A move does not make its targets: as long as they are missing, a whole tree can be moved by one rename.
    """
    moving, settings = plan.operation is Operation.MOVE, surroundings.settings
    options = MoverOptions(
        execution_id,
        plan.operation,
        plan.conflict,
        plan.verify,
        one_file_system=plan.one_file_system,
        reflink=plan.reflink,
        rename=moving,
        group_entries=settings.group_entries,
        group_bytes=settings.group_bytes,
        group_idle_s=settings.group_idle_s,
        group_age_s=settings.group_age_s,
        machine_code=settings.machine_code,
    )
    return Open(roots_of(plan), options, make_targets=not moving, own=surroundings.own)


async def opening_for(execution: Execution, surroundings: Surroundings) -> Open:
    """Return the Open for an execution, with what the journal knows of its source roots."""
    journal, key = surroundings.journal, execution.key
    opening = fresh_opening(execution.id, execution.plan, surroundings)
    numbers = range(1, len(execution.plan.sources) + 1)
    roots = await journal.get_tasks(key, numbers)
    all_there = not execution.totals.growing and not await journal.tasks(
        key, limit=1, states=_UNFINISHED, directories=False
    )
    gone = all_there or execution.state is ExecutionState.CANCELLING  # then the targets are tidied, no more
    return Open(
        opening.roots,
        opening.options,
        opening.make_targets,
        expected=tuple(roots[n].inode if n in roots else 0 for n in numbers),
        may_be_gone=tuple(n - 1 for n in numbers if gone or (n in roots and _is_over(roots[n]))),
        anchors=execution.anchors,
        source_devices=tuple(roots[n].device if n in roots else 0 for n in numbers),
        source_file_systems=execution.source_file_systems,
        own=opening.own,
    )


def _is_over(root: Task) -> bool:
    """Whether nothing more is wanted of a source: a single file that is settled."""
    return root.type is not EntryType.DIRECTORY and root.state is not TaskState.PENDING
