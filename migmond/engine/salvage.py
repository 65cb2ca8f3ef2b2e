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
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Directory, Task
from migmond.domain.units import show_size
from migmond.engine.crew import open_mover
from migmond.engine.opening import opening_for
from migmond.engine.places import Places
from migmond.engine.routes import Routes
from migmond.engine.settings import Surroundings
from migmond.planning.routes import target_of
from migmond.recovery.salvage import BAD, RESCUED
from migmond.recovery.salvage_pace import SalvagePace
from migmond.wire.from_mover import Salvaged, Salvaging
from migmond.wire.to_mover import Salvage

MOST_RANGES = 1000


async def salvage(surroundings: Surroundings, execution: Execution, task: Task, limit_s: float) -> SalvageView:
    """Save what can be read of the file of `task`, which has failed, or go on from where an earlier salvage has left
    it; it is remarked on its record.

    Raises:
        Conflict: it is no file that has failed, what is to be written is there already and is no salvage of it, it is
            being salvaged already, or somebody has stopped it.
        MoverError: no mover could be started, or it died.
        MigmondError: nothing could be read or written, or not all.
    """
    journal, name, known = surroundings.journal, to_text(task.name), None
    if task.type is EntryType.FILE and (task.state is TaskState.FAILED or task.outcome is Outcome.LEFT_OUT):
        known = (await journal.faults(execution.key, [task.number])).get(task.number)
    if known is None and (task.state is not TaskState.FAILED or task.type is not EntryType.FILE):
        what = task.type.name.lower() if task.type is not EntryType.FILE else task.state.name.lower()
        raise Conflict(f"{name} is {what}: only files that have failed are salvaged", hint="migmon errors lists them")
    place = Directory(0, task.number - 1, b"")
    if task.directory:
        place = (await Places(journal, execution.key).find([task.directory]))[task.directory]
    routes = Routes(journal, execution)
    there = (await routes.applied([task], {task.number: place}))[task.number]
    to = (await routes.paths([task.number])).get(task.number, execution.plan.destination)
    told = _path(task, place)
    with surroundings.salvages.running(execution.id, told):
        answer = await _saved(
            surroundings, execution, told, Salvage(task.number, there.root, place.path, task.name, limit_s)
        )
    view = _view(target_of(execution.plan.sources[place.root], to), task, place, answer)
    if answer.fault is not None and not view.saved_bytes:
        kind = Conflict if answer.fault.kind == "exists" else MigmondError
        raise kind(f"{name} cannot be salvaged: {answer.fault.message}", errno=answer.fault.errno or None)
    fault = known.fault if known is not None else Fault(Phase.READ, "EIO", 5, "Input/output error")
    remark = f"{show_size(view.saved_bytes)} of {show_size(view.size_bytes)} as {view.saved_as}"
    message = fault.message.split(SALVAGED)[0] + SALVAGED + remark
    at = known.at if known is not None else surroundings.clock.wall()
    await journal.apply([AddFault(execution.key, task.number, at, msgspec.structs.replace(fault, message=message))])
    if answer.fault is not None:
        raise MigmondError(
            f"{remark}; then the salvage could not go on: {answer.fault.message}",
            hint="when that is mended, the same command goes on from there",
            errno=answer.fault.errno or None,
        )
    return view


async def _saved(surroundings: Surroundings, execution: Execution, path: str, order: Salvage) -> Salvaged:
    """Let a mover carry out `order`. `path`: of the file, for people."""
    salvages, goes_on = surroundings.salvages, "the same command goes on from what was saved"
    opening = msgspec.structs.replace(await opening_for(execution, surroundings), make_targets=False)
    process, _ = await open_mover(surroundings.pool, SALVAGING_SLOT, execution.identity, opening)
    now = surroundings.clock.monotonic
    pace = SalvagePace(order.limit_s, now())
    try:
        salvages.begun(execution.id, path, process)
        await process.send(order)
        while isinstance(answer := await process.receive(), Salvaging):
            standing = pace.observe(answer.size, answer.saved, answer.untried, now())
            salvages.tell(surroundings.bus, execution.id, path, standing)
    except MoverError:
        if not salvages.stopped(execution.id, path):
            raise
        answer = None
    finally:
        await process.end()
    if isinstance(answer, Salvaged):
        return answer
    if salvages.stopped(execution.id, path):
        raise Conflict(f"the salvage of {path} was stopped", hint=goes_on)
    raise MoverError(f"a mover died while it salvaged {path}", hint=goes_on)


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
        missing=tuple(MissingRange(r.start, r.size, r.status == BAD) for r in missing[:MOST_RANGES]),
    )
