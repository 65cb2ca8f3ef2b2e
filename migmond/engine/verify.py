"""Re-checks a finished execution: every target is read past the page cache and compared with the journal."""

from __future__ import annotations

import os

import trio

from migmond.domain.entry import EntryType
from migmond.domain.errors import MoverError
from migmond.domain.execution import Execution, Tally, Verification
from migmond.domain.names import to_text
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Directory, Task
from migmond.engine.account import task_bytes
from migmond.engine.crew import open_mover
from migmond.engine.opening import opening_for
from migmond.engine.places import Places
from migmond.engine.process import MoverProcess
from migmond.engine.settings import Surroundings
from migmond.ports import Journal
from migmond.wire.items import VerifyDirectory, VerifyItem
from migmond.wire.mover import Open, Verified, Verify

PAGE_TASKS = 500
PAGE_BYTES = 64 << 20
MAX_EXAMPLES = 100
_SLOT = 2000


class Verifier:
    """One pass over the targets of an execution.

    Attributes:
        checked: entries and bytes checked so far.
    """

    def __init__(self, surroundings: Surroundings, execution: Execution) -> None:
        self._surroundings = surroundings
        self._execution = execution
        self._places = Places(surroundings.journal, execution.key)
        self._mismatches = 0
        self._unhashed = 0
        self._examples: list[str] = []
        self.checked = Tally()

    async def run(self) -> Verification:
        """Check everything that is DONE (directories excepted) and return what was found.

        Raises:
            MoverError: movers keep dying.
            PlanInfeasible, NotPermitted: the target cannot be opened.
        """
        opening = await self._opening()
        workers = self._execution.plan.workers or self._surroundings.settings.default_workers
        send, receive = trio.open_memory_channel[list[Task]](workers)
        async with trio.open_nursery() as nursery:
            for slot in range(workers):
                nursery.start_soon(self._work, _SLOT + slot, opening, receive.clone())
            receive.close()
            async with send:
                await self._feed(self._surroundings.journal, send)
        return Verification(
            self._surroundings.clock.wall(), self.checked, self._unhashed, self._mismatches, tuple(self._examples)
        )

    async def _opening(self) -> Open:
        """The sources are not looked at: a move's are gone."""
        opening = await opening_for(self._execution, self._surroundings)
        return Open(opening.roots, opening.options, make_targets=False, may_be_gone=tuple(range(len(opening.roots))))

    async def _feed(self, journal: Journal, send: trio.MemorySendChannel[list[Task]]) -> None:
        after = 0
        while True:
            page = await journal.tasks(
                self._execution.key,
                after=after,
                limit=PAGE_TASKS,
                states=(TaskState.DONE, TaskState.DURABLE),
                directories=False,
            )
            if not page:
                return
            after = page[-1].number
            batch: list[Task] = []
            size = 0
            for task in page:
                batch.append(task)
                size += task_bytes(task)
                if size >= PAGE_BYTES:
                    await send.send(batch)
                    batch, size = [], 0
            if batch:
                await send.send(batch)

    async def _work(self, slot: int, opening: Open, receive: trio.MemoryReceiveChannel[list[Task]]) -> None:
        process, _ = await open_mover(slot, self._execution.identity, opening)
        try:
            async with receive:
                async for tasks in receive:
                    await self._check(process, tasks)
        finally:
            await process.end()

    async def _check(self, process: MoverProcess, tasks: list[Task]) -> None:
        places = await self._places.find(t.directory for t in tasks if t.directory)
        directories: dict[tuple[int, bytes], list[VerifyItem]] = {}
        for task in tasks:
            place = places[task.directory] if task.directory else Directory(0, task.number - 1, b"")
            directories.setdefault((place.root, place.path), []).append(
                VerifyItem(task.number, task.target_name or task.name, task.type, task.size, task.digest)
            )
        await process.send(
            Verify(1, tuple(VerifyDirectory(root, path, tuple(items)) for (root, path), items in directories.items()))
        )
        answer = await process.receive()
        if not isinstance(answer, Verified):
            raise MoverError("a mover died while it verified", hint="try again: migmon verify")
        by_number = {t.number: t for t in tasks}
        for failure in answer.failures:
            self._mismatches += 1
            task = by_number[failure.number]
            if len(self._examples) < MAX_EXAMPLES:
                parent = places.get(task.directory)
                path = os.path.join(parent.path, task.name) if parent is not None else task.name
                self._examples.append(f"{to_text(path)}: {failure.fault.message}")
        self._unhashed += sum(
            1 for t in tasks if t.digest is None and t.type is EntryType.FILE and t.outcome is not Outcome.NONE
        )
        self.checked = self.checked.plus(len(tasks), sum(task_bytes(t) for t in tasks))
