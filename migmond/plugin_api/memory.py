"""A journal in memory: the reference for what a storage means, and a fast one for tests. Durable it is not."""

from __future__ import annotations

import contextlib
import copy
import os
from array import array
from collections.abc import AsyncIterator, Sequence

import msgspec
import trio

from migmond.domain.alert import Alert, AlertFilter, AlertRule, Delivery, Silence
from migmond.domain.changes import Change, ReceiptSeal
from migmond.domain.columns import Columns
from migmond.domain.entry import EntryType
from migmond.domain.errors import JournalDamaged, JournalError
from migmond.domain.execution import Execution
from migmond.domain.fault import SOURCE_PHASES
from migmond.domain.file_kinds import FileKind
from migmond.domain.intervention import Intervention
from migmond.domain.journal import FaultGroup, FaultRecord, JournalBackup, JournalCondition, Sift
from migmond.domain.plan import Plan
from migmond.domain.session import SessionRecord
from migmond.domain.states import Outcome, TaskState
from migmond.domain.steering import Order
from migmond.domain.task import CommitGroup, Directory, Task
from migmond.domain.timeline import Milestone
from migmond.plugin_api.memory_changes import apply
from migmond.plugin_api.memory_state import State


class MemoryJournal:
    """Implements `migmond.ports.Journal`."""

    def __init__(self) -> None:
        self._state = State()
        self._counters = {"key": 1, "event": 1}

    async def apply(self, changes: Sequence[Change]) -> None:
        await trio.lowlevel.checkpoint()
        state = copy.copy(self._state)
        for name, value in vars(self._state).items():
            setattr(state, name, copy.copy(value))
        for change in changes:
            apply(state, change)
        self._state = state

    async def executions(self) -> list[Execution]:
        return [e for _, e in sorted(self._state.executions.items())]

    async def find_request(self, request_id: str, uid: int) -> str | None:
        return self._state.requests.get((request_id, uid))

    async def next_key(self) -> int:
        return self._reserve("key", 1)

    async def next_event(self, reserve: int) -> int:
        return self._reserve("event", reserve)

    async def next_id(self, kind: str, reserve: int) -> int:
        self._counters.setdefault(f"id {kind}", 1)
        return self._reserve(f"id {kind}", reserve)

    def _reserve(self, name: str, count: int) -> int:
        first = self._counters[name]
        self._counters[name] += count
        return first

    async def forgotten(self) -> list[int]:
        return sorted({key for key, _ in self._state.tasks} - self._state.executions.keys())

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

    async def pending(self, key: int, *, after: int = 0, limit: int = 1000, followers: bool = False) -> Columns:
        tasks = await self.tasks(
            key, after=after, limit=limit, states=(TaskState.PENDING,), followers=followers, directories=False
        )
        return Columns(
            [t.number for t in tasks],
            [t.directory for t in tasks],
            [t.name for t in tasks],
            [t.type for t in tasks],
            [t.size for t in tasks],
            [t.mtime_ns for t in tasks],
            [t.device for t in tasks],
        )

    async def line_up(self, key: int, order: Order) -> array[int]:
        pending = (TaskState.PENDING,)
        tasks = await self.tasks(key, limit=1 << 40, states=pending, followers=False, directories=False)
        by_size, sign = order is not Order.INODE, -1 if order is Order.LARGE_FIRST else 1
        tasks.sort(key=lambda t: (sign * t.size, t.number) if by_size else (t.device, t.inode, t.number))
        return array("Q", [t.number for t in tasks])

    async def left_out(self, key: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for (k, _), by in self._state.left_out.items():
            if k == key:
                found[by] = found.get(by, 0) + 1
        return found

    async def left_out_by(self, key: int, by: str, *, after: int = 0, limit: int = 1000) -> list[Task]:
        numbers = sorted(n for (k, n), its in self._state.left_out.items() if k == key and its == by and n > after)
        return [self._state.tasks[key, n] for n in numbers[:limit]]

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

    async def sent_to(self, key: int, numbers: Sequence[int]) -> dict[int, int]:
        return {n: self._state.sent_to[key, n] for n in numbers if (key, n) in self._state.sent_to}

    async def sent_directories(
        self, key: int, *, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> list[tuple[int, int]]:
        return sorted((d, n) for k, d, n in self._state.sent_directories if k == key and (d, n) > after)[:limit]

    async def sent_unfinished(self, key: int, of: int) -> list[tuple[int, int]]:
        sent = {n: d for (k, n), d in self._state.sent_to.items() if k == key}
        return sorted(
            {
                (sent[n], self._state.directories[of, t.directory].root if t.directory else n - 1)
                for (_, n), t in self._state.of(of)
                if n in sent and t.state in (TaskState.PENDING, TaskState.DURABLE)
            }
        )

    async def leaders(self, key: int, device: int, inodes: Sequence[int]) -> dict[int, int]:
        found: dict[int, int] = {}
        for _, t in self._state.of(key):
            stays = t.state is TaskState.SKIPPED and t.outcome is not Outcome.LEFT_OUT
            leading = t.type is EntryType.FILE and t.links > 1 and not t.leader and not stays
            if leading and t.device == device and t.inode in inodes:
                found.setdefault(t.inode, t.number)
        return found

    async def names_in(self, key: int, directory: int) -> list[bytes]:
        return [t.name for _, t in self._state.of(key) if t.directory == directory and t.number > directory]

    async def open_groups(self, key: int) -> list[CommitGroup]:
        return [g for (k, _), g in sorted(self._state.groups.items()) if k == key]

    async def births(self, key: int, numbers: Sequence[int]) -> dict[int, int]:
        return {n: self._state.births[key, n] for n in numbers if (key, n) in self._state.births}

    async def kinds(self, key: int, numbers: Sequence[int]) -> dict[int, FileKind]:
        return {n: self._state.kinds[key, n] for n in numbers if (key, n) in self._state.kinds}

    async def copy_times(self, key: int, numbers: Sequence[int]) -> dict[int, int]:
        return {n: self._state.copy_times[key, n] for n in numbers if (key, n) in self._state.copy_times}

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
        by_cause: dict[tuple[str, str, int, int], list[tuple[FaultRecord, float, Task]]] = {}
        for (k, n), (record, first_at) in self._state.faults.items():
            task = self._state.tasks.get((k, n))
            if k == key and task is not None and _is_in_trouble(task):
                fault = record.fault
                device = task.device if fault.phase in SOURCE_PHASES else 0
                by_cause.setdefault((fault.phase, fault.kind, fault.errno, device), []).append((record, first_at, task))
        groups = [self._fault_group(key, device, found) for (*_, device), found in by_cause.items()]
        return sorted(groups, key=lambda g: (-g.count, g.fault.phase, g.fault.kind, g.fault.errno, g.device))

    def _fault_group(self, key: int, device: int, found: list[tuple[FaultRecord, float, Task]]) -> FaultGroup:
        latest = sorted((record for record, _, _ in found), key=lambda r: (r.at, r.number), reverse=True)
        places = [self._state.directories.get((key, task.directory)) for _, _, task in found]
        roots = {p.root if p is not None else -1 for p in places}
        alone = len(roots) == 1 and -1 not in roots
        return FaultGroup(
            msgspec.structs.replace(latest[0].fault, message=max(record.fault.message for record in latest)),
            len(found),
            min(first_at for _, first_at, _ in found),
            latest[0].at,
            tuple(record.number for record in latest[:3]),
            sum(task.state is TaskState.PENDING for _, _, task in found),
            device,
            min(roots) if alone else -1,
            os.path.commonpath([p.path for p in places if p is not None]) if alone else b"",
        )

    async def interventions(self, execution: str) -> list[Intervention]:
        return [i for i in self._state.interventions if i.execution == execution]

    async def deliveries(self, alert: str = "", *, settled: bool | None = None, limit: int = 1000) -> list[Delivery]:
        found = [d for d in self._state.deliveries.values() if alert in ("", d.alert) and settled in (None, d.settled)]
        return found[-limit:] if limit else []

    async def plans(self, uid: int) -> list[tuple[Plan, float]]:
        return [saved for (u, _), saved in sorted(self._state.plans.items()) if u == uid]

    async def alert_rules(self) -> list[AlertRule]:
        return [rule for _, rule in sorted(self._state.rules.items())]

    async def open_alerts(self) -> list[Alert]:
        return sorted((a for a in self._state.alerts.values() if a.resolved_at is None), key=lambda a: a.number)

    async def past_alerts(self, which: AlertFilter, limit: int) -> list[Alert]:
        found = [
            a
            for a in self._state.alerts.values()
            if a.resolved_at is not None
            and which.execution in ("", a.execution)
            and which.rule in ("", a.rule)
            and which.severity in (None, a.severity)
            and (which.before is None or a.number < which.before)
        ]
        return sorted(found, key=lambda a: -a.number)[:limit]

    async def silences(self) -> list[Silence]:
        return sorted(self._state.silences.values(), key=lambda s: (s.until, s.id))

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


def _is_in_trouble(task: Task) -> bool:
    return task.state is TaskState.FAILED or (task.state is TaskState.PENDING and task.attempts > 0)


def _passes(task: Task, sift: Sift) -> bool:
    return (
        task.number <= sift.last
        and (not sift.types or task.type in sift.types)
        and (sift.larger_than is None or task.size > sift.larger_than)
        and (sift.smaller_than is None or task.size < sift.smaller_than)
        and sift.directory in (None, task.directory)
        and sift.name in (None, task.name)
    )
