"""What one journal transaction consists of: the changes, and what is put on record with them."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from migmond.domain.alert import Delivery
from migmond.domain.alert_changes import AlertChange
from migmond.domain.copy_times import CopyTimes
from migmond.domain.execution import Execution
from migmond.domain.fault import Fault
from migmond.domain.file_kinds import FileKind
from migmond.domain.intervention import Intervention
from migmond.domain.plan import Plan
from migmond.domain.session import SessionRecord
from migmond.domain.task import CommitGroup, Directory, Listing, Task, TaskResult
from migmond.domain.timeline import Milestone


class PutExecution(msgspec.Struct, frozen=True):
    """Insert or replace the execution's own row (state, totals, holds, ...), by `execution.key`."""

    execution: Execution
    request_id: str = ""
    """Only with the first PutExecution of an execution: the client's idempotency key."""


class AddRoot(msgspec.Struct, frozen=True):
    """Add the task of a source root. If it is a directory it also becomes an unread directory at path b""."""

    key: int
    root: int
    task: Task


class AddListing(msgspec.Struct, frozen=True):
    """Add the entries of a listing as tasks; entries that are directories also become unread directories.

    Entries in `listing.leaders` are added as followers of those tasks, entries in `listing.outcomes` as SKIPPED.
    `complete` marks the directory read.
    Returned by `apply`: nothing; totals are the engine's business.
    """

    key: int
    listing: Listing


class DirectoriesTouched(msgspec.Struct, frozen=True):
    """Intent: from now on temporaries may lie in the targets of these directories."""

    key: int
    numbers: tuple[int, ...]


class SendTo(msgspec.Struct, frozen=True):
    """Intent: these tasks go to a further destination of their execution from now on (number in `Execution.further`,
    from 1; 0 is the plan's), and temporaries may lie in the targets of their directories there."""

    key: int
    destination: int
    numbers: tuple[int, ...]


class OpenGroup(msgspec.Struct, frozen=True):
    """Intent: the group is about to be published."""

    key: int
    group: CommitGroup


class CloseGroup(msgspec.Struct, frozen=True):
    """The group's names are durable (its results are in the same transaction) or it was given up."""

    key: int
    group: int


class Record(msgspec.Struct, frozen=True):
    """Set state and outcome of tasks, and keep the birth times of their sources that are told."""

    key: int
    results: tuple[TaskResult, ...]


class KeepKinds(msgspec.Struct, frozen=True):
    """The contents of these files, by number, told what kind each is of: their names do not. The last word counts."""

    key: int
    kinds: dict[int, FileKind]


class KeepCopyTimes(msgspec.Struct, frozen=True):
    """Copies have got their names, at these times. Of a number that has one already the later one counts."""

    key: int
    times: tuple[CopyTimes, ...]


class Refresh(msgspec.Struct, frozen=True):
    """The source of a task changed after the scan; this is the version that was copied in the end."""

    key: int
    number: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    links: int


class ReceiptSeal(msgspec.Struct, frozen=True):
    """What the receipt of an ended execution was when it was first asked for: whoever rewrites one later, its own hash
    included, cannot make it this one.

    Attributes:
        sha256: of all lines but the last, as the last line has it; 32 bytes.
        format: version of the receipt's format.
        at: wall clock seconds of this record.
        ended_at: of the execution then; it may have been set going again since.
    """

    sha256: bytes
    format: int
    at: float
    ended_at: float | None


class SealReceipt(msgspec.Struct, frozen=True):
    """Keep a seal; one with the same hash that is there stays as it is."""

    key: int
    seal: ReceiptSeal


class KeepBreakdown(msgspec.Struct, frozen=True):
    """Keep what the engine knows of an execution's progress by parts in place of what is kept; b"" keeps nothing."""

    key: int
    body: bytes


class AddMilestone(msgspec.Struct, frozen=True):
    """Keep what happened to an execution, after what is kept already."""

    key: int
    milestone: Milestone


class PutSession(msgspec.Struct, frozen=True):
    """Insert or replace what is kept of how an execution went."""

    record: SessionRecord


class AddTasks(msgspec.Struct, frozen=True):
    """Add tasks as they are, in ascending order of their numbers, which need not follow without gaps.

    Those that are directories become directories that are read: `places` says where they are.
    """

    key: int
    tasks: tuple[Task, ...]
    places: tuple[Directory, ...]


class Retry(msgspec.Struct, frozen=True):
    """Failed tasks are pending again, with all their attempts; their faults stay on record.

    `durable`: they are durable instead: only their sources are to be deleted.
    """

    key: int
    durable: bool = False


class RetrySome(msgspec.Struct, frozen=True):
    """Those of the tasks `numbers` that failed are pending again, with all their attempts: a part of what Retry does,
    so small that whoever else wants to write does not wait long. `durable`: see Retry."""

    key: int
    numbers: tuple[int, ...]
    durable: bool = False


class CancelPending(msgspec.Struct, frozen=True):
    """Every task that is pending, durable or failed becomes cancelled (`apply` does it in bulk)."""

    key: int


class CancelSome(msgspec.Struct, frozen=True):
    """Those tasks with `after` < number <= `last` that are pending become cancelled: a part of what CancelPending does,
    so small that whoever else wants to write does not wait long."""

    key: int
    after: int
    last: int


class LeaveOut(msgspec.Struct, frozen=True):
    """Those of the tasks that are pending become SKIPPED with LEFT_OUT, and it is kept that `by` did it."""

    key: int
    by: str
    numbers: tuple[int, ...]


class BringBack(msgspec.Struct, frozen=True):
    """Those of the tasks that are LEFT_OUT are pending again, and nobody has left them out."""

    key: int
    numbers: tuple[int, ...]


class Promote(msgspec.Struct, frozen=True):
    """Followers whose leader has no target: the first pending one loses its leader, the other pending ones get it as
    leader, and so do those that failed or are LEFT_OUT, the old leader among them: when they are tried again or brought
    back, they are further names like the others."""

    key: int
    leader: int


class AddFault(msgspec.Struct, frozen=True):
    """Task `number` met `fault` at wall clock `at`; raises its attempts by one."""

    key: int
    number: int
    at: float
    fault: Fault


class PutIntervention(msgspec.Struct, frozen=True):
    """Insert what was changed about an execution, or replace the record of the same id: it is over now."""

    intervention: Intervention


class ForgetExecution(msgspec.Struct, frozen=True):
    """Remove an execution that has ended for good: from now on nobody finds it, nor by its request id. Its
    interventions, milestones, seals, breakdown, open groups and resolved alerts go at once; its entries, which may be
    millions, with ForgetSome. What stays: how it went (see PruneSessions), which forecasts and trends learn from, calls
    of alert actions, and that its key was used."""

    key: int


class ForgetSome(msgspec.Struct, frozen=True):
    """Of what an execution that was forgotten has left, remove `rows` entries, the highest numbers first, and what is
    on record about them. Nothing of one that is there.

    What is left of it is always what a scan that was cut off leaves: each entry's directory is there, as it has a lower
    number. `rows` is so small that whoever else wants to write does not wait long."""

    key: int
    rows: int


class PruneSessions(msgspec.Struct, frozen=True):
    """Of how executions went that were forgotten, remove what is not among the newest `keep` records of all, `rows` of
    it at most, the oldest first."""

    keep: int
    rows: int


class SavePlan(msgspec.Struct, frozen=True):
    """Insert or replace a saved plan of user `uid` under its name."""

    uid: int
    plan: Plan
    at: float


class RemovePlan(msgspec.Struct, frozen=True):
    uid: int
    name: str


class PutDelivery(msgspec.Struct, frozen=True):
    """Insert or replace a call of an alert action, by `delivery.id`; one that is replaced keeps its place."""

    delivery: Delivery


class PruneDeliveries(msgspec.Struct, frozen=True):
    """Of the calls of alert actions that are settled, only the newest `keep` stay."""

    keep: int


Change: TypeAlias = (
    PutExecution
    | AddRoot
    | AddListing
    | AddTasks
    | DirectoriesTouched
    | SendTo
    | OpenGroup
    | CloseGroup
    | Record
    | KeepKinds
    | KeepCopyTimes
    | Refresh
    | SealReceipt
    | KeepBreakdown
    | AddMilestone
    | PutSession
    | Retry
    | RetrySome
    | CancelPending
    | CancelSome
    | LeaveOut
    | BringBack
    | Promote
    | AddFault
    | PutIntervention
    | ForgetExecution
    | ForgetSome
    | PruneSessions
    | SavePlan
    | RemovePlan
    | PutDelivery
    | PruneDeliveries
    | AlertChange
)
