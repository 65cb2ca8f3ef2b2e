"""Copied → synced → journaled → published → durable → journaled: the way of a commit group."""

from __future__ import annotations

import msgspec

from migmond.analytics.batches import BatchRecord
from migmond.analytics.files_at_hand import LARGE_BYTES
from migmond.domain.changes import (
    Change,
    CloseGroup,
    KeepCopyTimes,
    KeepKinds,
    OpenGroup,
    Record,
    Refresh,
    SendTo,
)
from migmond.domain.entry import EntryType, Lost
from migmond.domain.errors import MoverError
from migmond.domain.execution import Tally
from migmond.domain.fault import Fault, Phase
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Member, Task, TaskResult
from migmond.engine.account import stands, task_bytes
from migmond.engine.agenda import Agenda
from migmond.engine.deleter import Deleter
from migmond.engine.faults import ABANDONED, FaultDesk
from migmond.engine.flight import Batch, Group, GroupState
from migmond.engine.names_back import names_back
from migmond.engine.scope import Orphan, Scope
from migmond.engine.station import Station
from migmond.planning.pace import percent
from migmond.planning.routes import destination_at
from migmond.wire.from_mover import Copied, Published, Settled, Synced
from migmond.wire.items import WITHHELD, ItemFault, Seen, SettleItem
from migmond.wire.to_mover import Publish, Settle
from migmond.wire.work import COPY, PlainCopies

_LEFT_ALONE = frozenset({Outcome.EXISTS, Outcome.OLDER, Outcome.UNCHANGED})
_COPIES = frozenset({Outcome.COPIED, Outcome.REFLINKED, Outcome.LINKED, Outcome.CREATED})
"""What is at the target is ours, and the source is there as well."""
_GIVEN_BACK = frozenset({WITHHELD, ABANDONED})
_COPIED, _NOTHING = Outcome.COPIED, Lost.NOTHING


class Commits:
    """Takes what copying movers tell and carries every group to its end."""

    def __init__(self, scope: Scope, agenda: Agenda, faults: FaultDesk, deleter: Deleter) -> None:
        self._scope = scope
        self._agenda = agenda
        self._faults = faults
        self._deleter = deleter

    def copied(self, station: Station, message: Copied) -> None:
        """A batch came back: its copies wait in a group under temporary names."""
        scope, now = self._scope, self._scope.now()
        batch = station.flight.batches.pop(message.batch)
        seconds = now - max(batch.sent_at, station.last_answer_at)
        self._note(station, batch, message, seconds)
        station.sizer.observe(len(batch.tasks), batch.size_bytes, seconds)
        station.last_answer_at = now
        station.answered_for = Tally(message.entries_total, message.bytes_total)
        left_alone: list[TaskResult] = []
        self._learn(batch, message)
        for copies in message.plain:
            self._plain(station, batch, copies)
        for result in message.results:
            task = batch.tasks.pop(result.number)
            if result.fault is not None and result.fault.kind == WITHHELD:
                scope.requeue.put(task, now)
            elif result.fault is not None:
                self._faults.meet(task, result.fault)
            elif result.group == 0:
                left_alone.append(scope.account.settle(task, TaskState.SKIPPED, result.outcome))
            else:
                if result.size:
                    self._faults.went_well(task.device)
                self._faults.mended((task.number,))
                if task.lost and result.inode == task.target_inode:  # it is the copy that an earlier attempt made
                    result = msgspec.structs.replace(result, lost=result.lost | task.lost)
                if result.seen is not None:
                    task = self._refreshed(task, result.seen)
                if result.root >= 0:  # before the group is: whoever settles it looks for it there
                    destination = destination_at(result.root, len(scope.plan.sources))
                    scope.ledger.record([SendTo(scope.key, destination, (task.number,))])
                self._group(station, result.group).add(task, result)
        for task in batch.tasks.values():
            self._faults.meet(task, Fault(Phase.MOVER, "mover_died", 0, "the mover gave no answer for it"))
        if left_alone:
            scope.ledger.record([Record(scope.key, tuple(left_alone))])
        scope.progress.set()

    def _learn(self, batch: Batch, message: Copied) -> None:
        """Files whose names do not tell what they are have been read."""
        scope = self._scope
        kinds = {number: kind for number, kind in message.kinds.items() if number in batch.tasks}
        if kinds:
            scope.account.read((batch.tasks[number], kind) for number, kind in kinds.items())
            scope.ledger.record([KeepKinds(scope.key, kinds)])
        for result in message.results:
            if result.fault is not None and result.fault.kind in _GIVEN_BACK and result.number in kinds:
                self._agenda.learned(result.number, kinds[result.number])

    def _note(self, station: Station, batch: Batch, message: Copied, seconds: float) -> None:
        """Let people see how long it took, and each large file in it: of several its part by bytes."""
        scope, limit, parts = self._scope, station.sizer.limit, self._scope.parts
        totals, wall = scope.account.totals, scope.wall()
        record = BatchRecord(
            wall, station.slot, len(batch.tasks), batch.size_bytes, seconds, limit.entries, limit.bytes
        )  # fmt: skip
        parts.batches.add(record, None if totals.growing else percent(totals.there, totals.planned))
        if batch.size_bytes < LARGE_BYTES:
            return
        for result in message.results:
            task = batch.tasks[result.number]
            if task_bytes(task) >= LARGE_BYTES:
                how = result.fault.kind if result.fault is not None else result.outcome.name.lower()
                its_s = seconds * task.size / batch.size_bytes
                parts.files.ended(station.slot, task.number, task.size, its_s, wall, how)

    def _plain(self, station: Station, batch: Batch, copies: PlainCopies) -> None:
        group, size_bytes = self._group(station, copies.group), 0
        tasks, members, hashed, take = group.tasks, group.members, copies.hashed, batch.tasks.pop
        for number, inode, size, birth_ns, attempt, digest in COPY.iter_unpack(copies.copies):
            tasks[number] = take(number)
            members[number] = Member(
                number, inode, _COPIED, _NOTHING, digest if hashed else None, size, birth_ns, attempt
            )
            size_bytes += size
        group.size_bytes += size_bytes
        if size_bytes:
            self._faults.went_well(tasks[number].device, len(copies.copies) // COPY.size)
        self._faults.mended(number for number, *_ in COPY.iter_unpack(copies.copies))

    def _group(self, station: Station, number: int) -> Group:
        """Return the commit group that a mover calls so."""
        groups = station.flight.groups
        group = groups.get(number)
        if group is None:
            scope = self._scope
            group = groups[number] = Group(scope.next_group(), scope.mover_name(station.number))
        return group

    def _refreshed(self, task: Task, seen: Seen) -> Task:
        """The source changed after the scan and was copied as it was found: that version is now the promised one."""
        scope = self._scope
        scope.account.resize(task, seen.size)
        scope.ledger.record(
            [Refresh(scope.key, task.number, seen.size, seen.mtime_ns, seen.ctime_ns, seen.inode, seen.links)]
        )
        self._faults.changed.discard(task.number)
        return msgspec.structs.replace(
            task, size=seen.size, mtime_ns=seen.mtime_ns, ctime_ns=seen.ctime_ns, inode=seen.inode, links=seen.links
        )

    def synced(self, station: Station, message: Synced) -> None:
        """A sync ended: its group may be published once the intent is journaled; earlier groups are done."""
        scope, flight = self._scope, station.flight
        flight.flushing = False
        changes: list[Change] = []
        deletable: list[Task] = []
        published_ns: dict[int, int] = {}
        for number in message.durable:
            group, before = flight.groups.pop(number), len(deletable)
            changes += self._close(group.journal_id, group.tasks, group.members, group.names, deletable)
            if group.copy_times:
                changes.append(KeepCopyTimes(scope.key, group.copy_times))
            as_of = group.as_of_ns
            published_ns |= {t.number: as_of[t.number] for t in deletable[before:] if t.number in as_of}
        for number, failures in message.doubtful.items():
            group = flight.groups.pop(number)
            self._meet_all(group, failures, standing=True)
            changes.append(CloseGroup(scope.key, group.journal_id))
        publish: Publish | None = None
        group_or_none = flight.groups.get(message.group) if message.group else None
        if group_or_none is not None:
            self._meet_all(group_or_none, message.failures)
            group_or_none.state = GroupState.SYNCED
            changes.append(OpenGroup(scope.key, group_or_none.to_journal()))
            publish = Publish(message.group, tuple(f.number for f in message.failures))

        def journaled() -> None:
            if publish is not None:
                scope.nursery.start_soon(self._publish, station, publish)
            self._deleter.add(deletable, published_ns)
            scope.progress.set()

        if changes:
            scope.ledger.record(changes, journaled)
        scope.progress.set()

    async def _publish(self, station: Station, publish: Publish) -> None:
        await self._scope.gate.thawed()
        await station.send(publish)

    def _meet_all(self, group: Group, failures: tuple[ItemFault, ...], *, standing: bool = False) -> None:
        """`standing`: their copies have their names, and whoever takes the tasks up again looks at these first. So have
        all that were renamed, as soon as they are members."""
        for failure in failures:
            member, name = group.members.get(failure.number), group.names.get(failure.number)
            task = group.remove(failure.number)
            if task is None or member is None:
                continue
            named = standing or member.outcome is Outcome.RENAMED
            self._faults.meet(self._standing(task, member, name) if named else task, failure.fault)

    def _standing(self, task: Task, member: Member, name: bytes | None) -> Task:
        """Return the task with its copy, which may not last. That is on record from now on: whoever takes the task up
        in another run, sends it elsewhere or rolls it back has to know where it stands."""
        if member.outcome is Outcome.UNCHANGED:
            return task  # it is not ours: whoever takes the task up looks at whatever has the name then
        task = msgspec.structs.replace(
            task, target_inode=member.inode, target_name=name, digest=member.digest, lost=member.lost
        )
        self._scope.ledger.record([Record(self._scope.key, (stands(task),))])
        return task

    def published(self, station: Station, message: Published) -> None:
        """A group has its names; they are durable with the mover's next sync."""
        scope = self._scope
        group = station.flight.groups[message.group]
        group.state = GroupState.PUBLISHED
        group.as_of_ns, group.copy_times = message.as_of_ns, message.copy_times
        for result in message.results:
            if result.fault is not None:
                task = group.remove(result.number)
                if task is not None:
                    self._faults.meet(task, result.fault)
            elif result.outcome in _LEFT_ALONE:
                task = group.remove(result.number)
                if task is not None:
                    skipped = scope.account.settle(task, TaskState.SKIPPED, result.outcome)
                    scope.ledger.record([Record(scope.key, (skipped,))])
            elif result.target_name is not None:
                group.names[result.number] = result.target_name
        scope.progress.set()

    def lost(self, station: Station) -> int:
        """The mover died: take back what it had; returns how many tasks are pending again."""
        scope = self._scope
        tasks, groups = station.flight.lost()
        at_hand = station.last_glimpse.task if station.last_glimpse else 0
        for task in tasks:
            if task.number == at_hand:
                self._faults.meet(task, Fault(Phase.MOVER, "mover_died", 0, "a mover died while it worked on this"))
            else:
                scope.requeue.put(task, scope.now())
        for group in groups:
            scope.orphans.append(Orphan(group.to_journal(), dict(group.tasks)))
        for deletes in station.flight.deletes.values():
            self._deleter.add(list(deletes.values()))
        station.flight.deletes.clear()
        scope.untidy = True
        scope.deaths += 1
        scope.dead_movers.append(station.number)
        return len(tasks)

    async def settle(self, station: Station) -> None:
        """Let a fresh mover find out what became of groups whose mover died; it has no other work yet.

        Raises:
            MoverError: it died as well; the groups stay orphans.
        """
        scope = self._scope
        await scope.ledger.settled()
        while scope.orphans:
            orphan = scope.orphans.pop()
            scope.settling += 1
            try:
                try:
                    answer = await self._ask_what_became(station, orphan)
                except BaseException:
                    scope.orphans.append(orphan)
                    raise
                await self._settled(orphan, answer)
            finally:
                scope.settling -= 1
        scope.progress.set()

    async def _ask_what_became(self, station: Station, orphan: Orphan) -> Settled:
        scope, tasks, members = self._scope, orphan.tasks, orphan.members
        places = await scope.bound_for(list(tasks.values()))
        names = await names_back(scope, tasks.values())
        items = tuple(
            SettleItem(
                n,
                places[n].root,
                places[n].path,
                names.get(n, task.name),
                members[n].inode,
                tag=orphan.group.tag(members[n]),
                size=members[n].size if members[n].outcome in _COPIES and task.type is EntryType.FILE else None,
            )
            for n, task in tasks.items()
        )
        await station.process.send(Settle(scope.next_batch(), items))
        answer = await station.process.receive()
        while answer is not None and not isinstance(answer, Settled):
            answer = await station.process.receive()
        if answer is None:
            raise MoverError(f"mover {station.slot} died while it settled what another one left")
        return answer

    async def _settled(self, orphan: Orphan, answer: Settled) -> None:
        """Everything that was asked about is dealt with before anything is awaited: whatever happens then, no task of
        it is an orphan's and somebody else's at once."""
        scope, tasks = self._scope, orphan.tasks
        names: dict[int, bytes] = {}
        settled: dict[int, Task] = {}
        for result in answer.published:
            if result.fault is not None:
                task = tasks[result.number]
                if result.fault.phase is Phase.SYNC:
                    task = self._standing(task, orphan.members[result.number], result.target_name)
                self._faults.meet(task, result.fault)
            elif result.outcome in _LEFT_ALONE:
                skipped = scope.account.settle(tasks[result.number], TaskState.SKIPPED, result.outcome)
                scope.ledger.record([Record(scope.key, (skipped,))])
            else:
                settled[result.number] = tasks[result.number]
                if result.target_name is not None:
                    names[result.number] = result.target_name
        deletable: list[Task] = []
        changes = self._close(orphan.group.id, settled, orphan.members, names, deletable)
        for number in answer.lost:
            scope.requeue.put(tasks[number], scope.now())
        await scope.ledger.commit(changes)
        self._deleter.add(deletable)

    def _close(
        self,
        journal_id: int,
        tasks: dict[int, Task],
        members: dict[int, Member],
        names: dict[int, bytes],
        deletable: list[Task],
    ) -> list[Change]:
        scope = self._scope
        results = scope.account.settle_copies(tasks, members, names, moving=scope.moving)
        if scope.moving:
            deletable += [
                msgspec.structs.replace(
                    tasks[result.number],
                    state=result.state,
                    outcome=result.outcome,
                    lost=result.lost,
                    digest=result.digest,
                    target_name=result.target_name,
                    target_inode=result.target_inode,
                )
                for result in results
                if result.state is TaskState.DURABLE and tasks[result.number].links == 1
            ]
        return [Record(scope.key, tuple(results)), CloseGroup(scope.key, journal_id)]
