"""Gives pending tasks to movers: by directory, in scan order, about 100 ms of work at a time."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable

import msgspec
import trio

from migmond.domain.changes import Change, Promote
from migmond.domain.entry import Lost
from migmond.domain.file_kinds import FileKind
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Directory, Task
from migmond.engine.account import task_bytes
from migmond.engine.agenda import Agenda
from migmond.engine.faults import FaultDesk
from migmond.engine.flight import Batch
from migmond.engine.gate import Mode
from migmond.engine.names_back import names_back
from migmond.engine.scope import Scope
from migmond.engine.station import Station
from migmond.engine.touching import REMEMBERED, Touching
from migmond.planning.batching import BatchLimit
from migmond.wire.items import WorkItem
from migmond.wire.slots import Control
from migmond.wire.to_mover import Flush, Work
from migmond.wire.work import WorkDirectory, is_plain, plain_files, plain_item

PAGE_TASKS = 4000
BATCHES_OUT = 2
"""One at work and one waiting per mover: no mover idles, and holds and limits still bite at once."""
_PROBE_S = 0.5
"""So much later it is seen whether what was tried alone of a device that may be back went well."""
_LEADER_READY = frozenset({TaskState.DONE, TaskState.DURABLE})


class _Leader(msgspec.Struct, frozen=True):
    """The target of a file's first name; `lost`: what it could not keep, nor can its further names."""

    root: int
    path: bytes
    inode: int
    lost: Lost


_NO_LEADER = _Leader(-1, b"", 0, Lost.NOTHING)


class Dispatcher:
    """One pass over the pending tasks at a time. Directories are not its business: they are finished at the end."""

    def __init__(self, scope: Scope, agenda: Agenda, faults: FaultDesk) -> None:
        self._scope = scope
        self._agenda = agenda
        self._faults = faults
        self._touching = Touching(scope, agenda.rules)
        self._tidy: OrderedDict[tuple[int, bytes], None] = OrderedDict()
        """Target directories in which a mover looks for what earlier attempts left."""
        self._deaths = 0
        self._orphaned: dict[int, tuple[Task, Task]] = {}
        """Leaders that have no target, by number, each with the first of its followers."""

    async def entries(self) -> None:
        """Dispatch everything but directories and followers, until all of it is settled or the execution ends."""
        await self._pass(followers=False)

    async def followers(self) -> bool:
        """Dispatch the further names of hard-linked files whose first name is there.

        Returns:
            True when `entries` is due again: there were followers of leaders that have no target, and they, or their
            leaders, are ordinary tasks now; or entries were tried again while this was on its way.
        """
        scope = self._scope
        await self._pass(followers=True)
        if scope.gate.ending:
            return False
        if self._orphaned:
            async with self._agenda.naming:
                await self._promote()
        return bool(self._orphaned) or self._agenda.left_behind

    async def _promote(self) -> None:
        """Let orphans have a leader of their own, as they are now: a leader may be pending again, tried once more or
        brought back, and gets its target in the next pass; an heir may have been left out, and another one is next."""
        scope, changes = self._scope, list[Change]()
        await scope.ledger.settled()
        numbers = [t.number for pair in self._orphaned.values() for t in pair]
        now = await scope.surroundings.journal.get_tasks(scope.key, sorted(numbers))
        for number, (_, heir) in sorted(self._orphaned.items()):
            if now[number].state is not TaskState.PENDING and now[heir.number].state is TaskState.PENDING:
                scope.account.inherit(now[number], now[heir.number])
                changes.append(Promote(scope.key, number))
        await scope.ledger.commit(changes)

    async def quiet(self) -> None:
        """Wait until nothing is in flight any more; groups are flushed, published and durable then."""
        scope = self._scope
        while not self._quiet():
            await self._flush()
            with trio.move_on_after(0.5):
                await scope.progress.wait()
        await scope.ledger.settled()

    def _quiet(self) -> bool:
        crew = self._scope.crew
        return not self._scope.unsettled and all(s.flight.empty for s in crew.stations.values())

    def _parked(self) -> frozenset[int]:
        """Return what movers wait with, see `Parking`, if they have nothing else in hand but copies that wait with it;
        else nothing."""
        crew, numbers = self._scope.crew, set[int]()
        for slot, station in crew.stations.items():
            if station.flight.empty:
                continue
            if crew.told.get(slot) is not Control.PAUSE or station.flight.deletes or len(station.flight.batches) != 1:
                return frozenset()
            numbers.update(n for batch in station.flight.batches.values() for n in batch.tasks)
        return frozenset(numbers)

    async def _pass(self, *, followers: bool) -> None:
        scope = self._scope
        self._orphaned = {}
        cursor, agenda = 0, self._agenda
        waiting: deque[Task] = deque()
        agenda.begin()
        version = agenda.version
        while await scope.gate.passed():
            if agenda.version != version:
                version, cursor = agenda.version, 0
                self._put_back(waiting)
            if not waiting:
                waiting.extend(scope.requeue.take(scope.now(), PAGE_TASKS))
                if agenda.active:
                    for task in waiting:
                        agenda.rules.judge_anew(task.number)
                self._put_back(waiting)
            if not waiting:
                if scope.unsettled:
                    with trio.move_on_after(1.0):
                        await scope.progress.wait()
                    continue
                scan_done = scope.scan_done  # read before the query: what it adds later wakes us
                woken = scope.progress.mark()
                if agenda.active:
                    page = await agenda.take(followers=followers)
                    waiting.extend(page)
                    if agenda.version != version:
                        continue
                else:
                    with scope.in_hand.reading():
                        page = await self._page(cursor, followers=followers)
                        waiting.extend(scope.in_hand.take_all(page))
                if page:
                    cursor = page[-1].number
                elif scan_done and not scope.requeue and self._quiet() and agenda.exhausted(followers=followers):
                    await scope.ledger.settled()  # the next pass reads from the journal what became of this one
                    return
                else:
                    if scan_done:
                        await self._flush()
                        if not scope.requeue and (parked := self._parked()):
                            agenda.stands_still(parked, followers=followers)
                    with trio.move_on_after(min(1.0, scope.requeue.wait_s(scope.now()))):
                        await woken.wait()
                    continue
            await self._touching.touch(waiting)
            if agenda.version == version:
                await self._send(waiting, version, followers=followers)
        # What was taken off the requeue and not sent is still pending in the journal: a resume finds it.
        for task in waiting:
            scope.in_hand.leave(task.number)

    async def _page(self, cursor: int, *, followers: bool) -> list[Task]:
        """Read pending tasks in scan order."""
        return await self._scope.surroundings.journal.tasks(
            self._scope.key,
            after=cursor,
            limit=PAGE_TASKS,
            states=(TaskState.PENDING,),
            followers=followers,
            directories=False,
        )

    def _put_back(self, waiting: deque[Task]) -> None:
        """What is next may be something else now, if anybody says what."""
        if self._agenda.active:
            while waiting:
                self._agenda.put_back(waiting.popleft())

    async def _flush(self) -> None:
        if self._scope.gate.frozen:
            return
        for station in list(self._scope.crew.stations.values()):
            if station.flight.wants_flush:
                station.flight.flushing = True
                await station.send(Flush())

    async def _send(self, waiting: deque[Task], version: int, *, followers: bool) -> None:
        scope = self._scope
        places = await scope.bound_for(list(waiting))
        leaders = await self._leaders(waiting) if followers else {}
        names = await names_back(scope, waiting)
        withheld = await self._agenda.withheld(waiting)
        while waiting and (station := await self._free_station(waiting, version)) is not None:
            limit = station.sizer.limit
            tasks: dict[int, Task] = {}
            sent: list[int] = []
            packing = _Packing()
            size, room, most = 0, limit.bytes, limit.entries
            if self._faults.probing:
                most = 1
                self._faults.mix(waiting)
            changed, doubtful = self._faults.changed, self._faults.doubtful
            tried = self._devices_out() if doubtful else set[int]()
            while waiting and len(tasks) < most and (not tasks or size + task_bytes(waiting[0]) <= room):
                task = waiting.popleft()
                number = task.number
                if task.device in doubtful:
                    if task.device in tried:
                        scope.requeue.ready(task, scope.now() + _PROBE_S)
                        continue
                    tried.add(task.device)
                packing.enter(places[number])
                if is_plain(task) and number not in changed and number not in names and number not in withheld:
                    packing.add_plain(task)
                else:
                    item = self._item(task, leaders, names.get(number, b""), withheld.get(number, ()))
                    if item is None:
                        scope.in_hand.leave(number)
                        continue
                    packing.add(item)
                sent.append(number)
                tasks[number] = task
                size += task_bytes(task)
            if not tasks:
                continue
            scope.in_hand.send_all(sent)
            # Since the choice of the station nothing was awaited: it cannot have died in between.
            batch = scope.next_batch()
            station.flight.batches[batch] = Batch(tasks, size, scope.now())
            scope.share_limits()  # before it begins: no two may take the whole of it
            work = packing.directories(self._untidy)
            await station.send(Work(batch, work, scope.mover_name(station.number), tuple(scope.dead_movers)))

    def _devices_out(self) -> set[int]:
        """Return the devices of the sources of what movers have in hand."""
        stations = self._scope.crew.stations.values()
        return {t.device for s in stations for batch in s.flight.batches.values() for t in batch.tasks.values()}

    def _untidy(self, root: int, path: bytes) -> bool:
        """Whether nobody was told to look there since the last mover died (or this run took over from another)."""
        scope = self._scope
        if not scope.untidy:
            return False
        if self._deaths != scope.deaths:
            self._deaths = scope.deaths
            self._tidy.clear()
        if (root, path) in self._tidy:
            return False
        self._tidy[root, path] = None
        if len(self._tidy) > REMEMBERED:
            self._tidy.popitem(last=False)
        return True

    async def _free_station(self, waiting: deque[Task], version: int) -> Station | None:
        """Wait for a mover that can take a batch of `waiting`, and until nothing is unsettled; None when the execution
        ends or is paused, or something else is next. A single batch is not worth to let further movers come: it waits
        behind another one, but never behind a large file, which may be held for as long as somebody likes."""
        scope = self._scope
        while scope.gate.mode is Mode.RUN and self._agenda.version == version:
            station = min(scope.crew.ready, key=_busy, default=None)
            if station is not None and not scope.unsettled and self._faults.may_send():
                out = len(station.flight.batches)
                if not out:
                    return station
                enough = _is_one_batch(waiting, station.sizer.limit) or scope.crew.call_all()
                if enough and out < BATCHES_OUT and not _is_stuck(station):
                    return station
            with trio.move_on_after(1.0):
                await scope.progress.wait()
        return None

    async def _leaders(self, followers: deque[Task]) -> dict[int, _Leader]:
        """Return for each leader where its target is and what it is known by; note those that have no target."""
        scope = self._scope
        numbers = sorted({t.leader for t in followers if t.leader})
        leaders = await scope.surroundings.journal.get_tasks(scope.key, numbers)
        places = await scope.bound_for(list(leaders.values()))
        names = await names_back(scope, leaders.values())
        found: dict[int, _Leader] = {}
        for number, leader in leaders.items():
            place: Directory = places[number]
            name = leader.target_name or names.get(number, leader.name)
            path = os.path.join(place.path, name) if place.path else name
            if _has_target(leader):
                found[number] = _Leader(place.root, path, leader.target_inode, leader.lost & ~Lost.LINKS)
        for task in followers:
            if task.leader and task.leader not in found:
                heir = self._orphaned.get(task.leader, (None, task))[1]
                self._orphaned[task.leader] = leaders[task.leader], min(heir, task, key=lambda t: t.number)
        return found

    def _item(
        self, task: Task, leaders: dict[int, _Leader], as_name: bytes, withhold: tuple[FileKind, ...]
    ) -> WorkItem | None:
        leader, as_found = _NO_LEADER, task.number in self._faults.changed
        if task.leader:
            found = leaders.get(task.leader)
            if found is None:
                return None
            leader = found
        return WorkItem(
            task.number,
            task.name,
            task.type,
            task.size,
            task.mtime_ns,
            task.ctime_ns,
            task.inode,
            task.device,
            task.links,
            leader.root,
            leader.path,
            as_found=as_found,
            earlier_inode=task.target_inode,
            earlier_name=task.target_name or b"",
            leader_inode=leader.inode,
            leader_lost=leader.lost,
            earlier_digest=task.digest if task.target_inode else None,
            as_name=as_name,
            keep=task.outcome is Outcome.UNCHANGED,
            withhold=withhold,
        )


class _Packing:
    """Puts a batch together, by directory."""

    def __init__(self) -> None:
        self._places: list[tuple[Directory, list[WorkItem], list[Task]]] = []
        self._last: Directory | None = None

    def enter(self, place: Directory) -> None:
        """What is added from now on lies there."""
        last = self._last
        if place is last:
            return
        if last is None or (place.root, place.path) != (last.root, last.path):
            self._places.append((place, [], []))
        self._last = place

    def add(self, item: WorkItem) -> None:
        self._places[-1][1].append(item)

    def add_plain(self, task: Task) -> None:
        """Add what `is_plain`."""
        plain = self._places[-1][2]
        if plain and plain[0].device != task.device:
            self.add(plain_item(task))
        else:
            plain.append(task)

    def directories(self, untidy: Callable[[int, bytes], bool]) -> tuple[WorkDirectory, ...]:
        """Return what was added."""
        found: list[WorkDirectory] = []
        for place, items, tasks in self._places:
            root, path = place.root, place.path
            plain = plain_files(tasks) if tasks else None
            if plain is None:
                items += [plain_item(task) for task in tasks]
            if items or plain is not None:
                found.append(WorkDirectory(root, path, tuple(items), untidy(root, path), plain))
        return tuple(found)


def _is_one_batch(waiting: deque[Task], limit: BatchLimit) -> bool:
    return len(waiting) <= limit.entries and sum(task_bytes(task) for task in waiting) <= limit.bytes


def _busy(station: Station) -> int:
    """How little it should get: nothing waits behind a large file as long as others are there."""
    return BATCHES_OUT if _is_stuck(station) else len(station.flight.batches)


def _is_stuck(station: Station) -> bool:
    """Whether it has a file that is more than a batch."""
    return any(len(b.tasks) == 1 and b.size_bytes > station.sizer.limit.bytes for b in station.flight.batches.values())


def _has_target(leader: Task) -> bool:
    return leader.state in _LEADER_READY or leader.outcome is Outcome.UNCHANGED
