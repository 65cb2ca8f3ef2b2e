"""Moves only: deletes sources whose targets are durable and journaled."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import trio

from migmond.domain.changes import (
    Record,
)
from migmond.domain.states import TaskState
from migmond.domain.task import Directory, Task, TaskResult
from migmond.engine.crew import Station
from migmond.engine.faults import FaultDesk
from migmond.engine.gate import Mode
from migmond.engine.pulse import Pulse
from migmond.engine.scope import Scope
from migmond.wire.items import DeleteDirectory, DeleteItem
from migmond.wire.mover import Delete, Deleted

BATCH_TASKS = 500
ASIDE = frozenset({"kept_aside", "left_aside"})
"""Kinds of faults of sources that are under their private names."""
_MAYBE_ASIDE = ASIDE | {"source_unreachable"}
_UNKNOWN: Mapping[int, int] = MappingProxyType({})
MAX_OUT = 2
"""Delete batches that one mover may have in hand: deleting shares the mover with copying."""


class Deleter:
    """A queue of DURABLE tasks. `run` must be running while anything is to be deleted."""

    def __init__(self, scope: Scope, faults: FaultDesk) -> None:
        self._scope = scope
        self._faults = faults
        self._queue: deque[Task] = deque()
        self._wake = Pulse()
        self._preparing = 0
        self._published_ns: dict[int, int] = {}

    @property
    def idle(self) -> bool:
        return (
            not self._queue
            and not self._preparing
            and not any(s.flight.deletes for s in self._scope.crew.stations.values())
        )

    def add(self, tasks: Iterable[Task], published_ns: Mapping[int, int] = _UNKNOWN) -> None:
        """Queue tasks that the journal has as DURABLE.

        Args:
            published_ns: when each was published, of those of which this run knows (see `wire.items.DeleteItem`).
        """
        self._queue.extend(tasks)
        self._published_ns.update(published_ns)
        self._wake.set()

    async def run(self) -> None:
        """Give out deletes until cancelled. While paused, draining or cancelling, no delete is given out."""
        scope = self._scope
        while True:
            if not self._queue:
                await self._wake.wait()
                continue
            if not await scope.gate.passed():
                self._published_ns.clear()
                self._queue.clear()  # also what a dying mover gives back from now on: the journal has it as DURABLE
                scope.progress.set()
                continue
            tasks = [self._queue.popleft() for _ in range(min(BATCH_TASKS, len(self._queue)))]
            self._preparing = len(tasks)
            places = await scope.directory_of(tasks)
            station = await self._free_station()
            if station is None:
                self._queue.extendleft(reversed(tasks))
            else:
                await self._give(station, tasks, places)
            self._preparing = 0

    async def _free_station(self) -> Station | None:
        """Wait for a mover that can take a batch; None when the execution ends or is paused."""
        scope = self._scope
        while scope.gate.mode is Mode.RUN:
            station = min(scope.crew.stations.values(), key=lambda s: len(s.flight.deletes), default=None)
            if station is not None:
                out = len(station.flight.deletes)
                if not out or (scope.crew.call_all() and out < MAX_OUT):
                    return station
            with trio.move_on_after(1.0):
                await scope.progress.wait()
        return None

    async def _give(self, station: Station, tasks: list[Task], places: dict[int, Directory]) -> None:
        """Send them. From the choice of `station` to its flight nothing is awaited: it cannot die in between."""
        scope = self._scope
        directories: dict[tuple[int, bytes], list[DeleteItem]] = {}
        for task in tasks:
            place = places[task.number]
            directories.setdefault((place.root, place.path), []).append(
                _item(task, self._published_ns.get(task.number, 0))
            )
        batch = scope.next_batch()
        station.flight.deletes[batch] = {t.number: t for t in tasks}
        await station.send(
            Delete(batch, tuple(DeleteDirectory(root, path, tuple(i)) for (root, path), i in directories.items()))
        )

    def deleted(self, station: Station, message: Deleted) -> None:
        """A batch of deletes came back."""
        scope = self._scope
        tasks = station.flight.deletes.pop(message.batch)
        for failure in message.failures:
            task = tasks.pop(failure.number)
            # It may not have got its name back.
            scope.untidy |= bool(failure.fault.errno) or failure.fault.kind in _MAYBE_ASIDE
            if self._faults.unsynced(task, failure.fault) or self._faults.environmental(failure.fault):
                self.add([task])  # a disk that went read-only is one hold, not a storm of failures
            else:
                self._published_ns.pop(task.number, None)
                scope.fail(task, failure.fault)
        for number in tasks:
            self._published_ns.pop(number, None)
        results: list[TaskResult] = [
            scope.account.settle(
                task,
                TaskState.DONE,
                task.outcome,
                lost=task.lost,
                digest=task.digest,
                target_name=task.target_name,
                target_inode=task.target_inode,
            )
            for task in tasks.values()
        ]
        if results:
            scope.ledger.record([Record(scope.key, tuple(results))])
        scope.progress.set()


def _item(task: Task, published_ns: int) -> DeleteItem:
    return DeleteItem(
        task.number,
        task.name,
        task.type,
        task.size,
        task.mtime_ns,
        task.ctime_ns,
        task.inode,
        task.device,
        task.links,
        task.target_name or task.name,
        task.target_inode,
        task.digest,
        published_ns,
    )
