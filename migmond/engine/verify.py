"""Re-checks a finished execution: every target is read past the page cache and compared with the journal."""

from __future__ import annotations

import contextlib
import os

import msgspec
import trio

from migmond.domain.entry import EntryType, Lost
from migmond.domain.errors import MoverError
from migmond.domain.execution import Execution, Tally, Verification
from migmond.domain.fault import Fault
from migmond.domain.mover_slots import VERIFYING_SLOT
from migmond.domain.names import to_text
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Directory, Task
from migmond.domain.units import show_size
from migmond.engine.account import task_bytes
from migmond.engine.crew import open_mover
from migmond.engine.limiter import Limiter
from migmond.engine.opening import fresh_opening, roots_of
from migmond.engine.places import Places
from migmond.engine.process import MoverProcess
from migmond.engine.routes import Routes
from migmond.engine.settings import Surroundings
from migmond.engine.turns import crew_size
from migmond.planning.allowances import Circumstances, allowance_of
from migmond.planning.timetable import in_force, local_time, parse_timetable
from migmond.wire.from_mover import Verified
from migmond.wire.items import VerifyDirectory, VerifyItem
from migmond.wire.slots import Control
from migmond.wire.to_mover import Open, Verify

PAGE_TASKS = 500
PAGE_BYTES = 64 << 20
MAX_EXAMPLES = 100
_THERE = (TaskState.DONE, TaskState.DURABLE, TaskState.CANCELLED)
_COPIES = frozenset({Outcome.COPIED, Outcome.REFLINKED, Outcome.LINKED, Outcome.CREATED})
"""Of what was cancelled: these were durable, and stay at the target beside their sources."""


class Verifier:
    """One pass over the targets of an execution. Sources are not looked at: a move's are gone.

    Attributes:
        held: it reads nothing for now.
        stopped_by: id of the intervention that holds it, "" for none.
        finished: set when nothing works on it any more and its result is known.
    """

    def __init__(self, surroundings: Surroundings, execution: Execution) -> None:
        self._surroundings = surroundings
        self._execution = execution
        self._places = Places(surroundings.journal, execution.key)
        self._routes = Routes(surroundings.journal, execution)
        self._checked = Tally()
        self._unhashed = 0
        self._differences = _Findings()
        self._unreadable = _Findings()
        self._readers: dict[MoverProcess, int] = {}
        """Movers at work, each with how much it had read when it last answered."""
        self._limiter = Limiter(surroundings.groups, f"{execution.id}-verify")
        self._scope = trio.CancelScope()
        self._cancelled_by = ""
        self.held = False
        self.stopped_by = ""
        self.finished = trio.Event()

    async def run(self) -> Verification:
        """Check everything that was brought over and return what was found.

        Raises:
            MoverError: a mover cannot be had, or died.
        """
        with self._scope, contextlib.closing(self._limiter):
            opening = await self._opening()
            workers = crew_size(self._execution, self._surroundings.settings)
            self._limiter.allow(allowance_of(self._execution.limits, self._around()), workers)
            send, receive = trio.open_memory_channel[list[Task]](workers)
            async with trio.open_nursery() as nursery:
                for slot in range(workers):
                    nursery.start_soon(self._work, VERIFYING_SLOT + slot, opening, receive.clone())
                receive.close()
                async with send:
                    await self._feed(send)
            return self.result()
        return self.result(f"cancelled by {self._cancelled_by}")

    def _around(self) -> Circumstances:
        surroundings, timetable = self._surroundings, self._execution.limits.timetable
        wall = surroundings.clock.wall()
        scheduled = in_force(parse_timetable(timetable), local_time(wall))
        return Circumstances(scheduled=scheduled, share=surroundings.whole().alone_at(wall))

    def cancel(self, author: str) -> None:
        """End it as soon as its movers have ended."""
        self._cancelled_by = author
        self._scope.cancel()

    @property
    def movers(self) -> list[MoverProcess]:
        """That read."""
        return list(self._readers)

    def hold(self, intervention: str) -> None:
        """Read nothing more until `go_on`; `intervention` is the id of the one that wants it."""
        self.held, self.stopped_by = True, intervention
        for process in self._readers:
            process.control.set_control(Control.PAUSE)

    def go_on(self) -> None:
        """Go on after `hold`."""
        self.held, self.stopped_by = False, ""
        for process in self._readers:
            process.control.set_control(Control.RUN)

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
        planned = self._execution.totals.brought.entries
        doing = "its verification is held" if self.held else "verifying"
        return (
            f"{doing}: {self._checked.entries:,} of about {planned:,} entries, "
            f"{show_size(self._checked.bytes + reading)} read"
        )

    async def _opening(self) -> Open:
        execution, journal = self._execution, self._surroundings.journal
        fresh = fresh_opening(execution.id, execution.plan, self._surroundings)
        specs, sources = roots_of(execution.plan, execution.further), len(execution.plan.sources)
        roots = await journal.get_tasks(execution.key, range(1, sources + 1))
        types = tuple(roots[i % sources + 1].type for i in range(len(specs)))
        anchors = (*execution.anchors, *(a for d in execution.further for a in d.anchors))
        return Open(specs, fresh.options, make_targets=False, anchors=anchors, known_types=types)

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
        if self.held:
            process.control.set_control(Control.PAUSE)
        try:
            await self._limiter.admit(process)
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
        own = {t.number: places[t.directory] if t.directory else Directory(0, t.number - 1, b"") for t in tasks}
        return await self._routes.applied(tasks, own)


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
