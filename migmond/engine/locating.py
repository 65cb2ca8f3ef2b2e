"""The order in which the content of pending files lies on its disks, asked of a mover of its own."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, Sequence

import msgspec
import trio

from migmond.domain.entry import EntryType
from migmond.domain.errors import MoverError, NotPermitted, PlanInfeasible
from migmond.domain.execution import Execution
from migmond.domain.mover_slots import LOCATING_SLOT
from migmond.domain.states import TaskState
from migmond.domain.task import Directory, Task
from migmond.engine.crew import open_mover
from migmond.engine.forecasting import sides
from migmond.engine.opening import opening_for
from migmond.engine.places import Places, by_directory
from migmond.engine.process import MoverProcess
from migmond.engine.scope import Scope
from migmond.engine.settings import Surroundings
from migmond.planning.orders import by_address
from migmond.wire.from_mover import Located
from migmond.wire.to_mover import Locate

PIECE = 500
"""Entries of one question: with a limit on operations it is answered in a moment."""
LOT = 100_000
"""Entries that are put in order together: sorting more would keep the loop for longer than 50 ms. A disk's head goes
over it once for each lot, and lots are in the order of inodes."""
TRIED = 50
"""Files that are asked to find out whether a file system tells at all."""
_STILL = {"ssd": "a solid-state disk", "nvme": "a solid-state disk", "memory": "memory"}


async def by_extent(scope: Scope, numbers: array[int]) -> AsyncGenerator[tuple[int, str], None]:
    """Put `numbers` in order, a lot at a time. Yields after each lot at which position it begins, and why some files
    have no place ("" when the file systems tell).

    Args:
        numbers: of pending tasks in the order of their inodes: close to that of directories on the disk, in which they
            are looked at. Changed in place.

    Raises:
        MoverError: it died.
        PlanInfeasible, NotPermitted: the roots cannot be opened (any more).
    """
    execution, surroundings = scope.account.execution, scope.surroundings
    opening = await opening_for(execution, surroundings)
    process, _ = await open_mover(surroundings.pool, LOCATING_SLOT, execution.identity, opening)
    try:
        with scope.crew.enlisted(process):
            await scope.limiter.admit(process)
            scope.share_limits()
            for start in range(0, len(numbers), LOT):
                lot, unable = numbers[start : start + LOT], ""
                devices, addresses = array("q"), array("q")
                for at in range(0, len(lot), PIECE):
                    if not await scope.gate.passed():
                        return
                    unable = await _asked(scope, process, lot[at : at + PIECE], devices, addresses)
                if all(address < 0 for address in addresses):
                    yield start, unable
                    return  # the rest is in the order of inodes already
                numbers[start : start + LOT] = await trio.to_thread.run_sync(by_address, lot, devices, addresses)
                yield start, unable
    finally:
        await process.end()


async def _asked(
    scope: Scope, process: MoverProcess, numbers: array[int], devices: array[int], addresses: array[int]
) -> str:
    tasks = await scope.surroundings.journal.get_tasks(scope.key, list(numbers))
    files = [t for t in tasks.values() if t.type is EntryType.FILE and t.size]
    answer = await located(process, files, await scope.directory_of(files))
    for number in numbers:
        task = tasks.get(number)
        devices.append(task.device if task is not None else 0)
        addresses.append(answer.places.get(number, -1))
    return answer.unable


async def located(process: MoverProcess, files: Sequence[Task], places: dict[int, Directory]) -> Located:
    """Ask a mover that has nothing else to do. Raises MoverError when it dies."""
    await process.send(Locate(1, by_directory(files, places)))
    answer = await process.receive()
    if not isinstance(answer, Located):
        raise MoverError("a mover died while it looked where files lie on their disks")
    return answer


async def extent_notes(surroundings: Surroundings, execution: Execution) -> tuple[str, ...]:
    """Return what whoever asks for this order should know: that the source's file system does not tell where files lie,
    that its disks gain nothing by it, or that nobody can look now, as when an ended execution's disk is not there."""
    try:
        return await _extent_notes(surroundings, execution)
    except (MoverError, PlanInfeasible, NotPermitted) as e:
        return (f"where files lie cannot be looked at now ({e.message}): by inode instead where that stays so",)


async def _extent_notes(surroundings: Surroundings, execution: Execution) -> tuple[str, ...]:
    journal, key, notes = surroundings.journal, execution.key, list[str]()
    pending = await journal.tasks(key, limit=TRIED, states=(TaskState.PENDING,), followers=False, directories=False)
    files = [t for t in pending if t.type is EntryType.FILE and t.size]
    if not files:
        return ()
    found = await Places(journal, key).find(t.directory for t in files if t.directory)
    places = {t.number: found[t.directory] if t.directory else Directory(0, t.number - 1, b"") for t in files}
    opening = msgspec.structs.replace(await opening_for(execution, surroundings), make_targets=False)
    process, opened = await open_mover(surroundings.pool, LOCATING_SLOT, execution.identity, opening)
    try:
        answer = await located(process, files, places)
    finally:
        await process.end()
    if answer.unable and not answer.places:
        notes.append(f"the source's file system does not tell where files lie ({answer.unable}): by inode instead")
    source, _ = await sides(opened.roots[0].source_device, opened.roots[0].target_device)
    if source.kind in _STILL:
        notes.append(f"the source is on {_STILL[source.kind]}, which does not seek: this order gains nothing there")
    return tuple(notes)
