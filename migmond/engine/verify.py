"""Re-checks a finished execution: every target is read past the page cache and compared with the journal."""

from __future__ import annotations

import os

import msgspec
import trio

from migmond.domain.entry import EntryType, Lost
from migmond.domain.errors import MoverError
from migmond.domain.execution import Execution, Tally, Verification
from migmond.domain.fault import Fault
from migmond.domain.names import to_text
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Directory, Task
from migmond.domain.units import show_size
from migmond.engine.account import task_bytes
from migmond.engine.crew import open_mover
from migmond.engine.opening import fresh_opening
from migmond.engine.places import Places
from migmond.engine.process import MoverProcess
from migmond.engine.settings import Surroundings
from migmond.engine.turns import crew_size
from migmond.wire.items import VerifyDirectory, VerifyItem
from migmond.wire.mover import Open, Verified, Verify

PAGE_TASKS = 500
PAGE_BYTES = 64 << 20
MAX_EXAMPLES = 100
_SLOT = 2000
_THERE = (TaskState.DONE, TaskState.DURABLE, TaskState.CANCELLED)
_COPIES = frozenset({Outcome.COPIED, Outcome.REFLINKED, Outcome.LINKED, Outcome.CREATED})
"""Of what was cancelled: these were durable, and stay at the target beside their sources."""


class Verifier:
    """One pass over the targets of an execution. Sources are not looked at: a move's are gone.

    Attributes:
        finished: set when nothing works on it any more and its result is known.
    """

    def __init__(self, surroundings: Surroundings, execution: Execution) -> None:
        self._surroundings = surroundings
        self._execution = execution
        self._places = Places(surroundings.journal, execution.key)
        self._checked = Tally()
        self._unhashed = 0
        self._differences = _Findings()
        self._unreadable = _Findings()
        self._readers: dict[MoverProcess, int] = {}
        """Movers at work, each with how much it had read when it last answered."""
        self._scope = trio.CancelScope()
        self._cancelled_by = ""
        self.finished = trio.Event()

    async def run(self) -> Verification:
        """Check everything that was brought over and return what was found.

        Raises:
            MoverError: a mover cannot be had, or died.
        """
        with self._scope:
            opening = await self._opening()
            workers = crew_size(self._execution, self._surroundings.settings)
            send, receive = trio.open_memory_channel[list[Task]](workers)
            async with trio.open_nursery() as nursery:
                for slot in range(workers):
                    nursery.start_soon(self._work, _SLOT + slot, opening, receive.clone())
                receive.close()
                async with send:
                    await self._feed(send)
            return self.result()
        return self.result(f"cancelled by {self._cancelled_by}")

    def cancel(self, author: str) -> None:
        """End it as soon as its movers have ended."""
        self._cancelled_by = author
        self._scope.cancel()

    def result(self, failure: str = "") -> Verification:
        """Return what was found so far. `failure`: why that is not all."""
        now = self._surroundings.clock.wall()
        differences, unreadable = self._differences, self._unreadable
        return Verification(
            now, self._checked, self._unhashed, differences.count, tuple(differences.examples), failure,
            unreadable.count, tuple(unreadable.examples),
        )  # fmt: skip

    @property
    def progress(self) -> str:
        """How far it is, for people."""
        reading = sum(max(0, p.control.look().bytes_total - answered) for p, answered in self._readers.items())
        planned = self._execution.totals.done.entries
        return (
            f"verifying: {self._checked.entries:,} of about {planned:,} entries, "
            f"{show_size(self._checked.bytes + reading)} read"
        )

    async def _opening(self) -> Open:
        execution, journal = self._execution, self._surroundings.journal
        fresh = fresh_opening(execution.id, execution.plan, self._surroundings)
        numbers = range(1, len(fresh.roots) + 1)
        roots = await journal.get_tasks(execution.key, numbers)
        types = tuple(roots[n].type for n in numbers)
        return Open(
            fresh.roots, fresh.options, make_targets=False, anchors=execution.anchors, known_types=types
        )  # fmt: skip

    async def _feed(self, send: trio.MemorySendChannel[list[Task]]) -> None:
        after = 0
        while True:
            page = await self._surroundings.journal.tasks(
                self._execution.key, after=after, limit=PAGE_TASKS, states=_THERE
            )
            if not page:
                return
            after = page[-1].number
            batch: list[Task] = []
            size = 0
            for task in page:
                if task.state is TaskState.CANCELLED and task.outcome not in _COPIES:
                    continue
                batch.append(task)
                size += task_bytes(task)
                if size >= PAGE_BYTES:
                    await send.send(batch)
                    batch, size = [], 0
            if batch:
                await send.send(batch)

    async def _work(self, slot: int, opening: Open, receive: trio.MemoryReceiveChannel[list[Task]]) -> None:
        process, _ = await open_mover(self._surroundings.pool, slot, self._execution.identity, opening)
        self._readers[process] = 0
        try:
            async with receive:
                async for tasks in receive:
                    await self._check(process, tasks)
        finally:
            del self._readers[process]
            await process.end()

    async def _check(self, process: MoverProcess, tasks: list[Task]) -> None:
        leaders = await self._leaders(tasks)
        places = await self._places_of([*tasks, *leaders.values()])
        directories: dict[tuple[int, bytes], list[VerifyItem]] = {}
        items: dict[int, VerifyItem] = {}
        for task in tasks:
            place = places[task.number]
            items[task.number] = item = _item(task, leaders.get(task.leader), places)
            directories.setdefault((place.root, place.path), []).append(item)
        await process.send(
            Verify(1, tuple(VerifyDirectory(root, path, tuple(items)) for (root, path), items in directories.items()))
        )
        answer = await process.receive()
        if not isinstance(answer, Verified):
            raise MoverError("a mover died while it verified", hint="try again: migmon verify")
        by_number = {t.number: t for t in tasks}
        for findings, faults in ((self._differences, answer.differences), (self._unreadable, answer.unreadable)):
            for found in faults:
                path = os.path.join(places[found.number].path, by_number[found.number].name)
                findings.add(path, found.fault)
        self._unhashed += sum(1 for i in items.values() if i.type is EntryType.FILE and i.digest is None)
        self._checked = self._checked.plus(len(tasks), answer.bytes_read)
        self._readers[process] += answer.bytes_read

    async def _leaders(self, tasks: list[Task]) -> dict[int, Task]:
        """Return what the further names among `tasks` were made names of."""
        numbers = sorted({t.leader for t in tasks if t.leader and t.outcome is Outcome.LINKED})
        return await self._surroundings.journal.get_tasks(self._execution.key, numbers)

    async def _places_of(self, tasks: list[Task]) -> dict[int, Directory]:
        places = await self._places.find(t.directory for t in tasks if t.directory)
        return {t.number: places[t.directory] if t.directory else Directory(0, t.number - 1, b"") for t in tasks}


class _Findings:
    """How many there are of a kind, and the first of them as text."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[str] = []

    def add(self, path: bytes, fault: Fault) -> None:
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{to_text(path) or '.'}: {fault.message}")


def _item(task: Task, leader: Task | None, places: dict[int, Directory]) -> VerifyItem:
    timed = task.type in (EntryType.FILE, EntryType.SYMLINK) and not task.lost & Lost.TIMES
    item = VerifyItem(
        task.number,
        task.target_name or task.name,
        task.type,
        task.size,
        task.digest,
        task.mtime_ns if timed else None,
    )
    if leader is None or task.outcome is not Outcome.LINKED:
        return item
    above = places[leader.number]
    return msgspec.structs.replace(
        item,
        digest=leader.digest,
        leader_root=above.root,
        leader_path=os.path.join(above.path, leader.target_name or leader.name),
    )
