"""The execution's own row and its totals: every change of a task's or the execution's state passes here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from migmond.analytics.cube import Cube
from migmond.analytics.recount import Recount
from migmond.domain.entry import EntryType, Lost
from migmond.domain.execution import Execution, Stage, Tally, Totals
from migmond.domain.file_kinds import FileKind
from migmond.domain.states import (
    EXECUTION_TRANSITIONS,
    TASK_TRANSITIONS,
    ExecutionState,
    Outcome,
    TaskState,
    advance,
)
from migmond.domain.task import Listing, Member, Task, TaskResult
from migmond.engine.in_hand import InHand

# Looking a member up in its class takes as long as a function call.
_FILE, _DIRECTORY = EntryType.FILE, EntryType.DIRECTORY
_PENDING, _DURABLE, _DONE, _SKIPPED = TaskState.PENDING, TaskState.DURABLE, TaskState.DONE, TaskState.SKIPPED
_NOTHING, _RENAMED, _UNCHANGED = Lost.NOTHING, Outcome.RENAMED, Outcome.UNCHANGED
_TALLY_OF = {
    TaskState.DONE: "done",
    TaskState.SKIPPED: "skipped",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
    TaskState.DURABLE: "durable",
}
_TOLD_APART = {Outcome.SOURCE_GONE: "gone", Outcome.LEFT_OUT: "left_out"}
"""Of the skipped entries."""
_NEW = frozenset({"durable", "left_out"})
"""Older versions did not keep these: there may be less of them than is taken away."""


class Account:
    """Holds the present Execution; every method replaces it by a changed one.

    The totals count what has been *recorded*; the ledger writes them in the transaction that holds the same tasks.

    Args:
        in_hand: lets an entry be settled once only.
        counts: is told of every change of the totals, and counts the same by kind, size and directory.
    """

    def __init__(self, execution: Execution, in_hand: InHand, counts: Cube | Recount) -> None:
        self._execution = execution
        self._in_hand = in_hand
        self._counts = counts
        self._copies = not execution.plan.removes_only
        """What is durable is what was brought to the target, not what is still to be removed from there."""
        self._uncounted: dict[str, list[int]] = {}
        """Entries and bytes that were settled since anybody looked at the totals, by their fields: thousands between
        two looks."""

    @property
    def execution(self) -> Execution:
        """The execution as it is now."""
        if self._uncounted:
            self._count()
        return self._execution

    @execution.setter
    def execution(self, execution: Execution) -> None:
        self._uncounted = {}
        self._execution = execution

    @property
    def totals(self) -> Totals:
        return self.execution.totals

    def change(self, **fields: object) -> None:
        """Replace plain fields of the execution (not `state`, not `totals`)."""
        self.execution = msgspec.structs.replace(self.execution, **fields)

    def enter(self, state: ExecutionState, reason: str = "") -> None:
        """Change the execution's state.

        Raises:
            IllegalTransition: the state table does not have that change.
        """
        advance(EXECUTION_TRANSITIONS, self.execution.state, state)
        self.execution = msgspec.structs.replace(self.execution, state=state, reason=reason)

    def stage(self, stage: Stage) -> None:
        self.execution = msgspec.structs.replace(self.execution, stage=stage)

    def plan_entries(self, listing: Listing) -> None:
        """Count scanned entries as planned; those that the selector left out do not count at all."""
        planned, skipped = self._counts.plan(listing)
        spared, outcomes, leaders = 0, listing.outcomes, listing.leaders
        for position, entry in enumerate(listing.entries):
            allocated = entry.allocated
            if allocated is None or allocated >= entry.size or entry.type is not _FILE:
                continue  # as nearly all
            if position not in leaders and outcomes.get(position) is not Outcome.NOT_SELECTED:
                spared += entry.size - allocated
        totals = self.totals
        self._set_totals(
            planned=totals.planned.plus(planned.entries, planned.bytes),
            skipped=totals.skipped.plus(skipped.entries, skipped.bytes),
            spared=totals.spared + spared,
        )

    def plan_tasks(self, tasks: Sequence[Task]) -> None:
        """Count tasks as planned that begin in the states they have; those that the selector left out do not count."""
        self._counts.count(tasks)
        sums = {"planned": Tally(), "done": Tally(), "skipped": Tally(), "failed": Tally(), "durable": Tally()}
        for task in tasks:
            if task.outcome is not Outcome.NOT_SELECTED:
                for field in ("planned", self._tally_of(task.state)):
                    if field is not None:
                        sums[field] = sums[field].plus(1, task_bytes(task))
        totals = self.totals
        self._set_totals(
            **{field: getattr(totals, field).plus(sum_.entries, sum_.bytes) for field, sum_ in sums.items()}
        )

    def read(self, found: Iterable[tuple[Task, FileKind]]) -> None:
        """The contents of pending files, which a mover has in hand, told what kinds they are of: `KeepKinds` is
        recorded with it."""
        self._counts.read(found)

    def resize(self, task: Task, size: int) -> None:
        """A task's source changed its size after it was planned."""
        self._counts.resize(task, size)
        if task.type is EntryType.FILE and not task.leader:
            self._set_totals(planned=self.totals.planned.plus(0, size - task_bytes(task)))

    def inherit(self, old: Task, heir: Task) -> None:
        """Further names of `old`, which has no target, become those of `heir`: `Promote` is recorded with it.

        When `old` failed or was left out, it is one of them from now on, and its bytes are the heir's.
        """
        self._counts.inherit(old, heir)
        totals = self.totals
        self._set_totals(planned=totals.planned.plus(0, heir.size))
        lost = task_bytes(old)
        if old.state is TaskState.FAILED:
            self._set_totals(planned=self.totals.planned.plus(0, -lost), failed=totals.failed.plus(0, -lost))
        elif old.outcome is Outcome.LEFT_OUT:
            self._set_totals(planned=self.totals.planned.plus(0, -lost), skipped=totals.skipped.plus(0, -lost))
            self._add("left_out", 0, -lost)

    def scanned(self, *, complete: bool) -> None:
        self._set_totals(growing=not complete)

    def settle(
        self,
        task: Task,
        state: TaskState,
        outcome: Outcome = Outcome.NONE,
        *,
        lost: Lost = Lost.NOTHING,
        digest: bytes | None = None,
        target_name: bytes | None = None,
        target_inode: int = 0,
        birth_ns: int = 0,
    ) -> TaskResult:
        """Change a task's state and count it; returns what the journal is to record: to be done before anything else.

        Raises:
            IllegalTransition: the state table does not have that change.
            MigmondError: it is a pending entry that nobody has in hand: it was counted before.
        """
        before = task.state
        advance(TASK_TRANSITIONS, before, state)
        if before is _PENDING and task.type is not _DIRECTORY:
            self._in_hand.settle(task.number)
        field, left = self._tally_of(state), self._tally_of(before)
        if field is not None:
            self._counts.settle(task, state)
            self._add(field, 1, task_bytes(task))
            if left is not None:
                self._add(left, -1, -task_bytes(task))
            if state is _SKIPPED and outcome in _TOLD_APART:
                self._add(_TOLD_APART[outcome], 1, task_bytes(task))
        was = before is _DURABLE and task.lost is not _NOTHING
        now = lost is not _NOTHING and (state is _DONE or state is _DURABLE)
        if was is not now:
            self._add("imperfect", now - was, 0)
        return TaskResult(task.number, state, outcome, lost, digest, target_name, target_inode, birth_ns)

    def settle_copies(
        self, tasks: Mapping[int, Task], members: Mapping[int, Member], names: Mapping[int, bytes], *, moving: bool
    ) -> list[TaskResult]:
        """Settle the members of a commit group: as `settle` does, in one go for those that are pending, as nearly all
        are.

        Args:
            names: those that got another name than their own.
            moving: what was copied is DURABLE, its source is to be deleted; but for pending tasks with the outcome
                UNCHANGED, which a rollback copies back only.
        """
        results: list[TaskResult] = []
        done: list[Task] = []
        durable: list[Task] = []
        pending: list[int] = []
        imperfect = 0
        for number, task in tasks.items():
            member = members[number]
            outcome, lost = member.outcome, member.lost
            stays = outcome is _RENAMED or task.outcome is _UNCHANGED
            state = _DURABLE if moving and not stays else _DONE
            name = names.get(number) if names else None
            if name == task.name:
                name = None
            if task.state is not _PENDING or task.type is _DIRECTORY:
                results.append(
                    self.settle(
                        task, state, outcome, lost=lost, digest=member.digest, target_name=name,
                        target_inode=member.inode, birth_ns=member.birth_ns,
                    )
                )  # fmt: skip
                continue
            pending.append(number)
            (done if state is _DONE else durable).append(task)
            imperfect += lost is not _NOTHING
            results.append(TaskResult(number, state, outcome, lost, member.digest, name, member.inode, member.birth_ns))
        self._in_hand.settle_all(pending)
        for state, settled in ((_DONE, done), (_DURABLE, durable if self._copies else ())):
            told = self._counts.settle_all(settled, state)
            self._add(_TALLY_OF[state], told.entries, told.bytes)
        self._add("imperfect", imperfect, 0)
        return results

    def reopen(self, directory: Task) -> TaskResult:
        """A finished directory is to be finished again; returns what the journal is to record."""
        assert directory.type is EntryType.DIRECTORY
        advance(TASK_TRANSITIONS, directory.state, TaskState.PENDING)
        self._counts.reopen(directory)
        totals = self.totals
        self._set_totals(done=totals.done.plus(-1, 0), imperfect=totals.imperfect - bool(directory.lost))
        return TaskResult(directory.number, TaskState.PENDING, target_inode=directory.target_inode)

    def try_again(self, failed: Task) -> Task:
        """A failed entry is pending again: `RetrySome` is recorded with it. Returns it as it is then."""
        advance(TASK_TRANSITIONS, failed.state, TaskState.PENDING)
        self._counts.unfail(failed)
        self._set_totals(failed=self.totals.failed.plus(-1, -task_bytes(failed)))
        return msgspec.structs.replace(failed, state=TaskState.PENDING, attempts=0)

    def bring_back(self, task: Task) -> None:
        """What was left out is pending again: `BringBack` is recorded with it."""
        advance(TASK_TRANSITIONS, task.state, TaskState.PENDING)
        self._counts.bring_back(task)
        self._add("skipped", -1, -task_bytes(task))
        self._add("left_out", -1, -task_bytes(task))

    def leave_out(self, directory: Task) -> TaskResult:
        """A directory that the plan's selector picked nothing in: like all that it leaves out, it does not count."""
        advance(TASK_TRANSITIONS, directory.state, TaskState.SKIPPED)
        self._counts.leave_out(directory)
        self._set_totals(planned=self.totals.planned.plus(-1, 0))
        return TaskResult(directory.number, TaskState.SKIPPED, Outcome.NOT_SELECTED)

    def cancel_rest(self, failed: Sequence[Task]) -> tuple[TaskResult, ...]:
        """Everything not done or skipped is cancelled (the journal does it in bulk), but for tasks that have to stay
        failed; returns what the journal is to record of them after that."""
        self._counts.cancel_rest(failed)
        totals = self.totals
        told = Tally(len(failed), sum(task_bytes(t) for t in failed))
        entries = totals.planned.entries - totals.done.entries - totals.skipped.entries - told.entries
        size = totals.planned.bytes - totals.done.bytes - totals.skipped.bytes - told.bytes
        self._set_totals(failed=told, cancelled=Tally(entries, size), durable=Tally())
        return tuple(
            TaskResult(t.number, TaskState.FAILED, Outcome.NONE, t.lost, t.digest, t.target_name, t.target_inode)
            for t in failed
        )

    def conclusion(self) -> tuple[ExecutionState, str]:
        """Return how an execution ends whose every stage was gone through, and why so."""
        totals = self.totals
        if totals.failed.entries:
            one, many = "1 entry failed, its source is untouched", "entries failed, their sources are untouched"
            failed = totals.failed.entries
            return ExecutionState.COMPLETED_WITH_ERRORS, one if failed == 1 else f"{failed:,} {many}"
        forgotten = totals.planned.entries - totals.settled.entries
        if forgotten > 0:
            # No stage leaves any. Should one do so all the same, nobody may be told that all of it was moved.
            what = "1 entry was" if forgotten == 1 else f"{forgotten:,} entries were"
            return ExecutionState.FAILED, f"{what} passed over by a mistake of migmond; resume it"
        return ExecutionState.COMPLETED, ""

    def recounted(self, durable: Tally) -> None:
        """What the journal has as durable was counted: an older version did not keep it in the totals."""
        self._set_totals(durable=durable)

    def _tally_of(self, state: TaskState) -> str | None:
        return _TALLY_OF.get(state) if self._copies or state is not _DURABLE else None

    def _add(self, field: str, entries: int, size_bytes: int) -> None:
        sums = self._uncounted.setdefault(field, [0, 0])
        sums[0] += entries
        sums[1] += size_bytes

    def _count(self) -> None:
        uncounted, self._uncounted = self._uncounted, {}
        totals = self._execution.totals
        fields: dict[str, object] = {"imperfect": totals.imperfect + uncounted.pop("imperfect", (0, 0))[0]}
        for field, (entries, size_bytes) in uncounted.items():
            tally: Tally = getattr(totals, field)
            sum_ = tally.plus(entries, size_bytes)
            fields[field] = Tally(max(0, sum_.entries), max(0, sum_.bytes)) if field in _NEW else sum_
        self._execution = msgspec.structs.replace(self._execution, totals=msgspec.structs.replace(totals, **fields))

    def _set_totals(self, **fields: object) -> None:
        totals = msgspec.structs.replace(self.execution.totals, **fields)
        self.execution = msgspec.structs.replace(self.execution, totals=totals)


def stands(task: Task) -> TaskResult:
    """Return what the journal is to record of an entry that is not settled, and has a copy at its destination."""
    return TaskResult(
        task.number, task.state, Outcome.NONE, task.lost, task.digest, task.target_name, task.target_inode
    )  # fmt: skip


def task_bytes(task: Task) -> int:
    """Return the bytes that a task counts for: those of regular files, once for all names of one."""
    return task.size if task.type is _FILE and not task.leader else 0
