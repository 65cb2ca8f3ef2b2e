"""A journal in memory: the reference for what a storage means, and a fast one for tests. Durable it is not."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TypeVar

import msgspec
import trio

from migmond.domain.changes import (
    AddFault,
    AddIntervention,
    AddListing,
    AddMilestone,
    AddRoot,
    CancelPending,
    CancelSome,
    Change,
    CloseGroup,
    DirectoriesTouched,
    KeepBreakdown,
    OpenGroup,
    Promote,
    PutExecution,
    PutSession,
    ReceiptSeal,
    Record,
    Refresh,
    RemovePlan,
    Retry,
    SavePlan,
    SealReceipt,
)
from migmond.domain.entry import EntryType
from migmond.domain.errors import JournalDamaged, JournalError
from migmond.domain.execution import Execution
from migmond.domain.intervention import Intervention
from migmond.domain.plan import Plan
from migmond.domain.session import SessionRecord
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import CommitGroup, Directory, Listing, Task
from migmond.domain.timeline import Milestone
from migmond.ports import (
    FaultGroup,
    FaultRecord,
    JournalBackup,
    JournalCondition,
    Sift,
)

V = TypeVar("V")


class _State:
    """Everything, by execution key and number. Plain and obvious rather than fast."""

    def __init__(self) -> None:
        self.executions: dict[int, Execution] = {}
        self.requests: dict[tuple[str, int], str] = {}
        self.tasks: dict[tuple[int, int], Task] = {}
        self.directories: dict[tuple[int, int], Directory] = {}
        self.unread: set[tuple[int, int]] = set()
        self.touched: set[tuple[int, int]] = set()
        self.groups: dict[tuple[int, int], CommitGroup] = {}
        self.births: dict[tuple[int, int], int] = {}
        self.seals: dict[tuple[int, bytes], ReceiptSeal] = {}
        self.breakdowns: dict[int, bytes] = {}
        self.milestones: dict[int, tuple[Milestone, ...]] = {}
        self.sessions: dict[int, SessionRecord] = {}
        self.faults: dict[tuple[int, int], tuple[FaultRecord, float]] = {}
        self.interventions: list[Intervention] = []
        self.plans: dict[tuple[int, str], tuple[Plan, float]] = {}

    def of(self, key: int) -> Iterator[tuple[tuple[int, int], Task]]:
        return ((k, t) for k, t in sorted(self.tasks.items()) if k[0] == key)

    def update(self, at: tuple[int, int], **fields: object) -> None:
        if at in self.tasks:
            self.tasks[at] = msgspec.structs.replace(self.tasks[at], **fields)


class MemoryJournal:
    """Implements `migmond.ports.Journal`."""

    def __init__(self) -> None:
        self._state = _State()
        self._counters = {"key": 1, "event": 1}

    async def apply(self, changes: Sequence[Change]) -> None:
        await trio.lowlevel.checkpoint()
        state = copy.copy(self._state)
        for name, value in vars(self._state).items():
            setattr(state, name, copy.copy(value))
        for change in changes:
            _apply(state, change)
        self._state = state

    async def executions(self) -> list[Execution]:
        return [e for _, e in sorted(self._state.executions.items())]

    async def find_request(self, request_id: str, uid: int) -> str | None:
        return self._state.requests.get((request_id, uid))

    async def next_key(self) -> int:
        return self._reserve("key", 1)

    async def next_event(self, reserve: int) -> int:
        return self._reserve("event", reserve)

    def _reserve(self, name: str, count: int) -> int:
        first = self._counters[name]
        self._counters[name] += count
        return first

    async def last_number(self, key: int) -> int:
        return max((n for k, n in self._state.tasks if k == key), default=0)

    async def tasks(
        self,
        key: int,
        *,
        after: int = 0,
        limit: int = 1000,
        states: tuple[TaskState, ...] = (),
        followers: bool | None = None,
        directories: bool | None = None,
        sift: Sift | None = None,
    ) -> list[Task]:
        found = [
            t
            for _, t in self._state.of(key)
            if t.number > after
            and (not states or t.state in states)
            and (followers is None or (t.leader > 0) is followers)
            and (directories is None or (t.type is EntryType.DIRECTORY) is directories)
            and (sift is None or _passes(t, sift))
        ]
        return found[:limit]

    async def directories_backwards(self, key: int, *, before: int, limit: int) -> list[Task]:
        numbers = sorted((n for k, n in self._state.directories if k == key and n < before), reverse=True)
        return [self._state.tasks[key, n] for n in numbers[:limit]]

    async def get_tasks(self, key: int, numbers: Sequence[int]) -> dict[int, Task]:
        return {n: self._state.tasks[key, n] for n in numbers if (key, n) in self._state.tasks}

    async def places(self, key: int, numbers: Sequence[int]) -> dict[int, Directory]:
        return {n: self._state.directories[key, n] for n in numbers if (key, n) in self._state.directories}

    async def unread_directories(self, key: int, *, after: int = 0, limit: int = 1000) -> list[Directory]:
        return self._marked(self._state.unread, key, after, limit)

    async def touched_directories(self, key: int, *, after: int = 0, limit: int = 1000) -> list[Directory]:
        return self._marked(self._state.touched, key, after, limit)

    def _marked(self, marks: set[tuple[int, int]], key: int, after: int, limit: int) -> list[Directory]:
        return [self._state.directories[at] for at in sorted(marks) if at[0] == key and at[1] > after][:limit]

    async def leaders(self, key: int, device: int, inodes: Sequence[int]) -> dict[int, int]:
        found: dict[int, int] = {}
        for _, t in self._state.of(key):
            leading = t.type is EntryType.FILE and t.links > 1 and not t.leader and t.state is not TaskState.SKIPPED
            if leading and t.device == device and t.inode in inodes:
                found.setdefault(t.inode, t.number)
        return found

    async def names_in(self, key: int, directory: int) -> list[bytes]:
        return [t.name for _, t in self._state.of(key) if t.directory == directory and t.number > directory]

    async def open_groups(self, key: int) -> list[CommitGroup]:
        return [g for (k, _), g in sorted(self._state.groups.items()) if k == key]

    async def births(self, key: int, numbers: Sequence[int]) -> dict[int, int]:
        return {n: self._state.births[key, n] for n in numbers if (key, n) in self._state.births}

    async def sessions(self, *, after: int = 0, limit: int = 1000) -> list[SessionRecord]:
        return [record for key, record in sorted(self._state.sessions.items()) if key > after][:limit]

    async def session(self, key: int) -> SessionRecord | None:
        return self._state.sessions.get(key)

    async def seals(self, key: int) -> list[ReceiptSeal]:
        return sorted((s for (k, _), s in self._state.seals.items() if k == key), key=lambda s: (s.at, s.sha256))

    async def breakdown(self, key: int) -> bytes:
        return self._state.breakdowns.get(key, b"")

    async def milestones(self, key: int) -> list[Milestone]:
        return list(self._state.milestones.get(key, ()))

    async def faults(self, key: int, numbers: Sequence[int]) -> dict[int, FaultRecord]:
        return {n: self._state.faults[key, n][0] for n in numbers if (key, n) in self._state.faults}

    async def fault_groups(self, key: int) -> list[FaultGroup]:
        by_cause: dict[tuple[str, str, int], list[tuple[FaultRecord, float]]] = {}
        for (k, n), (record, first_at) in self._state.faults.items():
            task = self._state.tasks.get((k, n))
            if k == key and task is not None and task.state is TaskState.FAILED:
                fault = record.fault
                by_cause.setdefault((fault.phase, fault.kind, fault.errno), []).append((record, first_at))
        groups = []
        for records in by_cause.values():
            latest = sorted(records, key=lambda r: (r[0].at, r[0].number), reverse=True)
            fault = msgspec.structs.replace(
                latest[0][0].fault, message=max(record.fault.message for record, _ in records)
            )
            examples = tuple(record.number for record, _ in latest[:3])
            first = min(first_at for _, first_at in records)
            groups.append(FaultGroup(fault, len(records), first, latest[0][0].at, examples))
        return sorted(groups, key=lambda g: (-g.count, g.fault.phase, g.fault.kind))

    async def interventions(self, execution: str) -> list[Intervention]:
        return [i for i in self._state.interventions if i.execution == execution]

    async def plans(self, uid: int) -> list[tuple[Plan, float]]:
        return [saved for (u, _), saved in sorted(self._state.plans.items()) if u == uid]

    async def check(self) -> list[str]:
        return []

    def condition(self) -> JournalCondition:
        return JournalCondition()

    async def room(self) -> str:
        return ""

    async def until_damaged(self) -> JournalDamaged:
        await trio.sleep_forever()

    async def backup(self, keep: int) -> JournalBackup:
        raise JournalError("a journal in memory has no backups")

    async def backups(self) -> list[JournalBackup]:
        return []

    def changed_since_backup(self) -> bool:
        return False


@contextlib.asynccontextmanager
async def open_memory_journal() -> AsyncIterator[MemoryJournal]:
    """Open an empty journal that is forgotten on leaving."""
    yield MemoryJournal()


def _apply(state: _State, change: Change) -> None:
    match change:
        case PutExecution():
            new = change.execution.key not in state.executions
            state.executions[change.execution.key] = change.execution
            if new and change.request_id:
                state.requests[change.request_id, change.execution.identity.uid] = change.execution.id
        case AddRoot():
            at = (change.key, change.task.number)
            state.tasks[at] = change.task
            if change.task.type is EntryType.DIRECTORY:
                state.directories[at] = Directory(change.task.number, change.root, b"")
                state.unread.add(at)
        case AddListing():
            _add_listing(state, change.key, change.listing)
        case DirectoriesTouched():
            state.touched |= {(change.key, n) for n in change.numbers}
        case OpenGroup():
            state.groups[change.key, change.group.id] = change.group
        case CloseGroup():
            state.groups.pop((change.key, change.group), None)
        case Record():
            for r in change.results:
                state.update(
                    (change.key, r.number),
                    state=r.state,
                    outcome=r.outcome,
                    lost=r.lost,
                    digest=r.digest,
                    target_name=r.target_name,
                    target_inode=r.target_inode,
                )
                if r.birth_ns:
                    state.births[change.key, r.number] = r.birth_ns
        case Refresh():
            state.update(
                (change.key, change.number),
                size=change.size,
                mtime_ns=change.mtime_ns,
                ctime_ns=change.ctime_ns,
                inode=change.inode,
                links=change.links,
            )
        case PutSession():
            state.sessions[change.record.key] = change.record
        case SealReceipt():
            state.seals.setdefault((change.key, change.seal.sha256), change.seal)
        case KeepBreakdown():
            state.breakdowns[change.key] = change.body
        case AddMilestone():
            state.milestones[change.key] = (*state.milestones.get(change.key, ()), change.milestone)
        case Retry():
            for at, task in state.of(change.key):
                if task.state is TaskState.FAILED:
                    state.update(at, state=TaskState.PENDING, attempts=0)
        case CancelPending():
            states = (TaskState.PENDING, TaskState.DURABLE, TaskState.FAILED)
            _set_state(state, change.key, states, TaskState.CANCELLED)
        case CancelSome():
            for at, task in state.of(change.key):
                if task.state is TaskState.PENDING and change.after < task.number <= change.last:
                    state.update(at, state=TaskState.CANCELLED)
        case Promote():
            names = [(at, t.state) for at, t in state.of(change.key) if t.leader == change.leader]
            followers = [at for at, its in names if its is TaskState.PENDING]
            old = (change.key, change.leader)
            if old in state.tasks:
                names.append((old, state.tasks[old].state))
            for position, at in enumerate(followers):
                state.update(at, leader=0 if position == 0 else followers[0][1])
            for at, its in names if followers else ():
                if its is TaskState.FAILED:
                    state.update(at, leader=followers[0][1])
        case AddFault():
            at = (change.key, change.number)
            first_at = state.faults[at][1] if at in state.faults else change.at
            state.faults[at] = (FaultRecord(change.number, change.at, change.fault), first_at)
            if at in state.tasks:
                state.update(at, attempts=state.tasks[at].attempts + 1)
        case AddIntervention():
            state.interventions.append(change.intervention)
        case SavePlan():
            state.plans[change.uid, change.plan.name] = (change.plan, change.at)
        case RemovePlan():
            state.plans.pop((change.uid, change.name), None)


def _passes(task: Task, sift: Sift) -> bool:
    return (
        task.number <= sift.last
        and (not sift.types or task.type in sift.types)
        and (sift.larger_than is None or task.size > sift.larger_than)
        and (sift.smaller_than is None or task.size < sift.smaller_than)
        and sift.directory in (None, task.directory)
        and sift.name in (None, task.name)
    )


def _add_listing(state: _State, key: int, listing: Listing) -> None:
    place = state.directories.get((key, listing.directory))
    for position, e in enumerate(listing.entries):
        number = listing.first + position
        outcome = listing.outcomes.get(position, Outcome.NONE)
        leader = listing.leaders.get(position, 0)
        state.tasks[key, number] = Task(
            number, listing.directory, e.name, e.type, e.size, e.mtime_ns, e.ctime_ns, e.inode, listing.device, e.links,
            TaskState.SKIPPED if outcome else TaskState.PENDING, outcome, leader,
        )  # fmt: skip
        if e.type is EntryType.DIRECTORY and not outcome and place is not None:
            path = place.path + b"/" + e.name if place.path else e.name
            state.directories[key, number] = Directory(number, place.root, path)
            state.unread.add((key, number))
    if listing.complete:
        state.unread.discard((key, listing.directory))


def _set_state(state: _State, key: int, before: tuple[TaskState, ...], after: TaskState) -> None:
    for at, task in list(state.of(key)):
        if task.state in before:
            state.update(at, state=after)
