"""What each mover has in hand: batches under way and commit groups on their way to being durable. Pure bookkeeping."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from migmond.domain.copy_times import CopyTimes
from migmond.domain.execution import Tally
from migmond.domain.task import CommitGroup, Member, Task
from migmond.engine.account import task_bytes
from migmond.wire.items import CopyResult

WORTH_BYTES = 1 << 20
"""Of what is in flight, only files of this size are looked for one by one: smaller ones come by the thousand, and are
settled before anybody misses them."""


class GroupState(enum.Enum):
    FILLING = enum.auto()
    """The mover adds copies to it."""
    SYNCED = enum.auto()
    """Its copies are durable under temporary names; intent is on its way to the journal."""
    PUBLISHED = enum.auto()
    """Its names are given; durable with the mover's next sync."""


class Group:
    """A commit group of one mover and the tasks in it.

    Attributes:
        journal_id: its number in the journal, unique within the execution.
        mover: what the mover is called (see `wire.to_mover.Work`).
        tasks: by number, as they were dispatched.
        members: by number, what the mover said of them.
        size_bytes: what its tasks count for.
        names: by number, the name that the conflict policy chose.
        as_of_ns, copy_times: see `wire.from_mover.Published`.
    """

    def __init__(self, journal_id: int, mover: bytes) -> None:
        self.journal_id = journal_id
        self.mover = mover
        self.state = GroupState.FILLING
        self.tasks: dict[int, Task] = {}
        self.members: dict[int, Member] = {}
        self.size_bytes = 0
        self.names: dict[int, bytes] = {}
        self.as_of_ns: dict[int, int] = {}
        self.copy_times: tuple[CopyTimes, ...] = ()

    def add(self, task: Task, result: CopyResult) -> None:
        self.tasks[task.number] = task
        self.size_bytes += task_bytes(task)
        self.members[task.number] = Member(
            task.number,
            result.inode,
            result.outcome,
            result.lost,
            result.digest,
            result.size,
            result.birth_ns,
            result.attempt,
        )

    def remove(self, number: int) -> Task | None:
        """Take a task out (it failed or was skipped); returns it if it was in."""
        self.members.pop(number, None)
        task = self.tasks.pop(number, None)
        if task is not None:
            self.size_bytes -= task_bytes(task)
        return task

    def to_journal(self) -> CommitGroup:
        return CommitGroup(self.journal_id, tuple(self.members.values()), self.mover)


class Batch:
    """Tasks that a mover has been given and has not answered for."""

    def __init__(self, tasks: dict[int, Task], size_bytes: int, sent_at: float) -> None:
        self.tasks = tasks
        self.size_bytes = size_bytes
        self.sent_at = sent_at


class Flight:
    """Everything that one mover has in hand."""

    def __init__(self) -> None:
        self.batches: dict[int, Batch] = {}
        self.deletes: dict[int, dict[int, Task]] = {}
        self.groups: dict[int, Group] = {}
        self.flushing = False

    @property
    def empty(self) -> bool:
        return not self.batches and not self.deletes and not self.groups

    @property
    def wants_flush(self) -> bool:
        """Something waits for a sync that nothing but a flush would bring about soon."""
        return (
            not self.batches
            and not self.flushing
            and any(g.state is not GroupState.SYNCED for g in self.groups.values())
        )

    def copied(self, at_hand: int, done: int) -> Iterator[tuple[Task, Tally]]:
        """Yield what the mover has copied of files of `WORTH_BYTES` and more that are not settled: of all of them
        together it is known from its slot, of these one by one.

        Args:
            at_hand: the task that it is at, 0 for none.
            done: bytes of it that are copied.
        """
        for batch in self.batches.values():
            task = batch.tasks.get(at_hand)
            if task is not None and task.size >= WORTH_BYTES:
                yield task, Tally(0, min(done, task_bytes(task)))
        for group in self.groups.values():
            if group.size_bytes < WORTH_BYTES:
                continue
            for task in group.tasks.values():
                if task.size >= WORTH_BYTES:
                    yield task, Tally(1, task_bytes(task))

    def lost(self) -> tuple[list[Task], list[Group]]:
        """The mover died: return tasks to be dispatched again, and groups that have to be settled."""
        tasks = [t for batch in self.batches.values() for t in batch.tasks.values()]
        unsettled: list[Group] = []
        for group in self.groups.values():
            if group.state is GroupState.FILLING:
                tasks.extend(group.tasks.values())
            else:
                unsettled.append(group)
        self.batches.clear()
        self.groups.clear()
        return tasks, unsettled
