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
from migmond.engine.faults import FaultDesk
from migmond.engine.gate import Mode
from migmond.engine.names_back import names_back
from migmond.engine.pulse import Pulse
from migmond.engine.scope import Scope
from migmond.engine.station import Station
from migmond.wire.from_mover import Deleted
from migmond.wire.items import DeleteDirectory, DeleteItem
from migmond.wire.to_mover import Delete

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
            places = await scope.bound_for(tasks)
            names = await names_back(scope, tasks)
            digests = await self._of_leaders(tasks)
            station = await self._free_station()
            if station is None:
                self._queue.extendleft(reversed(tasks))
            else:
                await self._give(station, tasks, places, names, digests)
            self._preparing = 0

    async def _of_leaders(self, tasks: Iterable[Task]) -> dict[int, bytes]:
        """Return, by number, the hashes of further names: those of the copies that they are names of."""
        scope, further = self._scope, [t for t in tasks if t.leader and t.digest is None]
        if not further:
            return {}
        leaders = await scope.surroundings.journal.get_tasks(scope.key, sorted({t.leader for t in further}))
        found: dict[int, bytes] = {}
        for task in further:
            leader = leaders.get(task.leader)
            if leader is not None and leader.digest is not None and leader.target_inode == task.target_inode:
                found[task.number] = leader.digest
        return found

    async def _free_station(self) -> Station | None:
        """Wait for a mover that can take a batch; None when the execution ends or is paused."""
        scope = self._scope
        while scope.gate.mode is Mode.RUN:
            station = min(scope.crew.ready, key=lambda s: len(s.flight.deletes), default=None)
            if station is not None:
                out = len(station.flight.deletes)
                if not out or (scope.crew.call_all() and out < MAX_OUT):
                    return station
            with trio.move_on_after(1.0):
                await scope.progress.wait()
        return None

    async def _give(
        self,
        station: Station,
        tasks: list[Task],
        places: dict[int, Directory],
        names: dict[int, bytes],
        digests: dict[int, bytes],
    ) -> None:
        """Send them. From the choice of `station` to its flight nothing is awaited: it cannot die in between."""
        scope = self._scope
        directories: dict[tuple[int, bytes], list[DeleteItem]] = {}
        for task in tasks:
            place = places[task.number]
            directories.setdefault((place.root, place.path), []).append(
                _item(
                    task,
                    self._published_ns.get(task.number, 0),
                    names.get(task.number, task.name),
                    digests.get(task.number, task.digest),
                )
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
            if self._faults.unsynced(task, failure.fault) or self._faults.environmental(failure.fault, task.device):
                self.add([task])  # a disk that went read-only is one hold, not a storm of failures
            else:
                self._published_ns.pop(task.number, None)
                scope.fail(task, failure.fault)
        for number, task in tasks.items():
            self._published_ns.pop(number, None)
            self._faults.went_well(task.device)
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


def _item(task: Task, published_ns: int, target_name: bytes, digest: bytes | None) -> DeleteItem:
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
        task.target_name or target_name,
        task.target_inode,
        digest,
        published_ns,
    )
