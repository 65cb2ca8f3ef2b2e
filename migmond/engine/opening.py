"""The first message for the movers of an execution."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from migmond.domain.entry import EntryType
from migmond.domain.execution import Destination, Execution
from migmond.domain.file_system import FileSystemId
from migmond.domain.plan import Operation, Plan
from migmond.domain.states import ExecutionState, TaskState
from migmond.domain.task import Task
from migmond.engine.settings import Surroundings
from migmond.planning.routes import destination_at, pairs_of, root_at
from migmond.planning.selection import asks_for_content
from migmond.wire.items import MoverOptions, RootSpec
from migmond.wire.to_mover import Open

_UNFINISHED = (TaskState.PENDING, TaskState.DURABLE)


def roots_of(plan: Plan, further: Sequence[Destination] = ()) -> tuple[RootSpec, ...]:
    """Return source and target path of each root; see `planning.routes`."""
    return tuple(RootSpec(*pair) for pair in pairs_of(plan, [d.path for d in further]))


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
        io_priority=settings.io_priority,
        kinds=plan.undoes is None and asks_for_content(plan.selector),
    )
    roots, sources = roots_of(plan), len(plan.sources)
    # What a rollback fetches from a further destination: not every source has something there.
    undoing = plan.undoes
    absent = undoing.absent if undoing is not None else ()
    return Open(
        roots,
        options,
        make_targets=not moving,
        may_be_gone=(*(n - 1 for n in absent), *range(sources, len(roots))),
        wanted=_fetched_from(plan, undoing.fetched) if undoing is not None else (),
        source_file_systems=_known_on(plan),
        own=surroundings.own,
        sources=sources,
    )


def _fetched_from(plan: Plan, places: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """Return the roots of a rollback at further destinations, each the index of a source there, that it fetches from;
    those of single files are their own roots."""
    specs, sources = roots_of(plan), len(plan.sources)
    roots = [(root_at(source, destination, sources), source) for destination, source in places]
    return tuple(root for root, source in roots if specs[root].source != specs[source].source)


def _known_on(plan: Plan) -> tuple[FileSystemId, ...]:
    """Return what is known of the file systems that a fresh rollback's sources are on; nothing of any other plan's."""
    undoing = plan.undoes
    if undoing is None or undoing.again or not undoing.further_on:
        return ()
    return (*[FileSystemId()] * len(plan.sources), *(on for its in undoing.further_on for on in its))


async def opening_for(execution: Execution, surroundings: Surroundings, away: Collection[int] = frozenset()) -> Open:
    """Return the Open for an execution, with what the journal knows of its source roots.

    Args:
        away: destinations whose disks may be missing, see `engine.away`.
    """
    journal, key = surroundings.journal, execution.key
    opening, sources = fresh_opening(execution.id, execution.plan, surroundings), len(execution.plan.sources)
    specs = roots_of(execution.plan, execution.further)
    tasks = await journal.get_tasks(key, range(1, sources + 1))
    # Nothing is on record of the sources of a rollback at further destinations.
    own = [spec.source == specs[i % sources].source for i, spec in enumerate(specs)]
    known = [tasks.get(i % sources + 1) if own[i] else None for i in range(len(specs))]
    all_there = not execution.totals.growing and not await journal.tasks(
        key, limit=1, states=_UNFINISHED, directories=False
    )
    gone = all_there or execution.state is ExecutionState.CANCELLING  # then the targets are tidied, no more
    over = {i for i, t in enumerate(known) if gone or (t is not None and _is_over(t))}
    on, undoing = execution.source_file_systems, execution.plan.undoes
    if len(on) == sources and undoing is None:
        on *= len(specs) // sources
    known_on = opening.source_file_systems
    if len(on) == len(known_on):  # of what was missing when the rollback began that alone is known
        on = tuple(now if now.own else then for now, then in zip(on, known_on, strict=True))
    wanted: tuple[int, ...] = ()
    if undoing is not None and undoing.further and not gone:
        growing = execution.totals.growing  # then nobody has looked at all of it
        sent = undoing.fetched if growing else await journal.sent_unfinished(undoing.key, key)
        wanted = _fetched_from(execution.plan, sent)
    return Open(
        specs,
        opening.options,
        opening.make_targets,
        expected=tuple(t.inode if t is not None else 0 for t in known),
        may_be_gone=tuple(sorted(over | set(opening.may_be_gone))),
        wanted=wanted,
        may_be_away=tuple(i for i in range(len(specs)) if destination_at(i, sources) in away),
        anchors=(*execution.anchors, *(a for d in execution.further for a in d.anchors)),
        source_devices=tuple(t.device if t is not None else 0 for t in known),
        source_file_systems=on,
        own=opening.own,
        sources=sources,
    )


def part_of(opening: Open, first: int, end: int | None = None) -> Open:
    """Return an Open for some of the roots: from number `first` to before `end`, or to the last."""
    part = slice(first, end)
    chosen = range(len(opening.roots))[part]
    return msgspec.structs.replace(
        opening,
        roots=opening.roots[part],
        expected=opening.expected[part],
        may_be_gone=tuple(i - first for i in opening.may_be_gone if i in chosen),
        wanted=tuple(i - first for i in opening.wanted if i in chosen),
        may_be_away=tuple(i - first for i in opening.may_be_away if i in chosen),
        anchors=opening.anchors[part],
        source_devices=opening.source_devices[part],
        source_file_systems=opening.source_file_systems[part],
    )


def _is_over(root: Task) -> bool:
    """Whether nothing more is wanted of a source: a single file that is settled."""
    return root.type is not EntryType.DIRECTORY and root.state is not TaskState.PENDING
