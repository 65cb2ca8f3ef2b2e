"""Saves what can be read of a damaged file, by a mover of its own; see `mover.salvage`."""

from __future__ import annotations

import os

import msgspec

from migmond.domain.changes import (
    AddFault,
)
from migmond.domain.entry import EntryType
from migmond.domain.error_api import MissingRange, SalvageView
from migmond.domain.errors import Conflict, MigmondError, MoverError
from migmond.domain.execution import Execution
from migmond.domain.fault import SALVAGED, Fault, Phase
from migmond.domain.mover_slots import SALVAGING_SLOT
from migmond.domain.names import to_text
from migmond.domain.states import TaskState
from migmond.domain.task import Directory, Task
from migmond.domain.units import show_size
from migmond.engine.crew import open_mover
from migmond.engine.opening import opening_for
from migmond.engine.places import Places
from migmond.engine.routes import Routes
from migmond.engine.settings import Surroundings
from migmond.planning.routes import target_of
from migmond.recovery.salvage import RESCUED, UNTRIED
from migmond.recovery.salvage_pace import SalvagePace
from migmond.wire.from_mover import Salvaged, Salvaging
from migmond.wire.to_mover import Salvage

MOST_RANGES = 1000


async def salvage(surroundings: Surroundings, execution: Execution, task: Task, limit_s: float) -> SalvageView:
    """Save what can be read of the file of `task`, which has failed; it is remarked on its record.

    Raises:
        Conflict: it is no file that has failed, or what is to be written is there already.
        MoverError: no mover could be started, or it died.
        MigmondError: nothing could be read or written.
    """
    journal, name = surroundings.journal, to_text(task.name)
    if task.type is not EntryType.FILE or task.state is not TaskState.FAILED:
        what = task.type.name.lower() if task.type is not EntryType.FILE else task.state.name.lower()
        raise Conflict(f"{name} is {what}: only files that have failed are salvaged", hint="migmon errors lists them")
    place = Directory(0, task.number - 1, b"")
    if task.directory:
        place = (await Places(journal, execution.key).find([task.directory]))[task.directory]
    routes = Routes(journal, execution)
    there = (await routes.applied([task], {task.number: place}))[task.number]
    to = (await routes.paths([task.number])).get(task.number, execution.plan.destination)
    opening = msgspec.structs.replace(await opening_for(execution, surroundings), make_targets=False)
    process, _ = await open_mover(surroundings.pool, SALVAGING_SLOT, execution.identity, opening)
    try:
        await process.send(Salvage(task.number, there.root, place.path, task.name, limit_s))
        told, now = _path(task, place), surroundings.clock.monotonic
        pace = SalvagePace(limit_s, now())
        with surroundings.salvages.running(execution.id, told):
            while isinstance(answer := await process.receive(), Salvaging):
                standing = pace.observe(answer.size, answer.saved, answer.untried, now())
                surroundings.salvages.tell(surroundings.bus, execution.id, told, standing)
    finally:
        await process.end()
    if not isinstance(answer, Salvaged):
        raise MoverError("a mover died while it salvaged", hint=f"what it saved may be beside the target of {name}")
    if answer.fault is not None:
        kind = Conflict if answer.fault.kind == "exists" else MigmondError
        raise kind(f"{name} cannot be salvaged: {answer.fault.message}", errno=answer.fault.errno or None)
    view = _view(target_of(execution.plan.sources[place.root], to), task, place, answer)
    before = (await journal.faults(execution.key, [task.number])).get(task.number)
    fault = before.fault if before is not None else Fault(Phase.READ, "EIO", 5, "Input/output error")
    remark = f"{show_size(view.saved_bytes)} of {show_size(view.size_bytes)} as {view.saved_as}"
    message = fault.message.split(SALVAGED)[0] + SALVAGED + remark
    at = before.at if before is not None else surroundings.clock.wall()
    await journal.apply([AddFault(execution.key, task.number, at, msgspec.structs.replace(fault, message=message))])
    return view


def _path(task: Task, place: Directory) -> str:
    """Return where it lies below its source, for people."""
    return to_text(os.path.join(place.path, task.name) if task.directory else b"") or "."


def _view(base: bytes, task: Task, place: Directory, answer: Salvaged) -> SalvageView:
    """`base`: path of its source's target."""
    directory = os.path.join(base, place.path) if task.directory else os.path.dirname(base)
    missing = [r for r in answer.ranges if r.status != RESCUED]
    saved = sum(r.size for r in answer.ranges if r.status == RESCUED)
    return SalvageView(
        path=_path(task, place),
        saved_as=to_text(os.path.join(directory, answer.name)),
        map=to_text(os.path.join(directory, answer.map_name)),
        size_bytes=answer.size,
        saved_bytes=saved,
        missing_bytes=answer.size - saved,
        missing_ranges=len(missing),
        missing=tuple(MissingRange(r.start, r.size, r.status != UNTRIED) for r in missing[:MOST_RANGES]),
    )
