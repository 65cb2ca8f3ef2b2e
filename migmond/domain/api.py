"""Parameter and result types of the socket API, shared by daemon and clients.

Paths are text in the form of `migmond.domain.names` (lossless). Sizes are bytes, durations seconds,
times RFC 3339 text with zone. Unknown is null.
"""

from __future__ import annotations

import msgspec

from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel

API_VERSION = 1
"""Raised when a method or field goes or changes its meaning; new ones do not raise it."""


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all parameter types: named only, unknown names refused."""


class Result(msgspec.Struct, frozen=True):
    """Base of all result types."""


class Nothing(Params, frozen=True):
    """No parameters."""


class Acknowledged(Result, frozen=True):
    """Nothing more to say."""

    ok: bool = True


# --- what is migrated ------------------------------------------------------------------------------


class SelectorSpec(Params, frozen=True):
    """A selector as it travels; see `migmond.domain.selector.Selector`. `under` is path text."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    under: str = ""
    larger_than: int | None = None
    smaller_than: int | None = None
    newer_than: float | None = None
    older_than: float | None = None
    types: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


class SourceSpec(Params, frozen=True):
    path: str
    into: str = ""


class PlanSpec(Params, frozen=True):
    """A plan as it travels; see `migmond.domain.plan.Plan`. Paths are absolute path text."""

    sources: tuple[SourceSpec, ...]
    destination: str
    name: str = ""
    operation: Operation = Operation.COPY
    selector: SelectorSpec = SelectorSpec()
    conflict: ConflictPolicy = ConflictPolicy.FAIL
    verify: VerifyLevel = VerifyLevel.HASH
    limits: Limits = Limits()
    one_file_system: bool = True
    privileged: bool = False
    workers: int | None = None
    reflink: bool = True


class PlanParams(Params, frozen=True):
    plan: PlanSpec


class PlanNameParams(Params, frozen=True):
    name: str


class Finding(Result, frozen=True):
    """One line of a verdict. `severity`: `ok`, `warning`, `blocker`.

    `count`: entries concerned, 0 when it concerns the plan; `example`: path below the source of the first one, "" for
    the source itself or when there is none.
    """

    severity: str
    kind: str
    message: str
    hint: str = ""
    count: int = 0
    example: str = ""


class TargetView(Result, frozen=True):
    """One file system that the plan writes to, by the first target on it.

    `free_bytes`, `free_inodes`: for an unprivileged user; inodes are null where their number is not fixed.
    `need_bytes`: surely needed; `need_bytes_most`: no more than about that, the difference being what is there
    already, compressed or shared. `promised_bytes`: of the free ones, what live executions have yet to fill.
    `folding`: `none`, `case`, `unicode` or `unknown`.
    """

    path: str
    file_system: str
    free_bytes: int
    free_inodes: int | None
    need_bytes: int
    need_bytes_most: int
    need_inodes: int
    promised_bytes: int
    promised_to: tuple[str, ...]
    folding: str


class PlanVerdict(Result, frozen=True):
    """What a plan would do, found without writing anything.

    `method`: `rename` (same file system move), `reflink?` (same file system copy) or `copy`.
    `bytes`: size of the files' contents, of an inode with several names once; what they take is in `targets`.
    `free_bytes`, `free_inodes`: at the first target, for an unprivileged user.
    `estimate_s`: seconds that it would take, told by earlier runs between the same disks; null when it cannot be told,
    and `estimate_reason` says why. `estimate_low_s`, `estimate_high_s`: the band that holds the truth four times of
    five. `workers`: movers that would work on it.
    """

    feasible: bool
    entries: int
    files: int
    directories: int
    bytes: int
    method: str
    free_bytes: int | None
    free_inodes: int | None
    findings: tuple[Finding, ...]
    seconds_elapsed: float
    targets: tuple[TargetView, ...] = ()
    estimate_s: float | None = None
    estimate_low_s: float | None = None
    estimate_high_s: float | None = None
    estimate_reason: str = ""
    workers: int = 0


class BrowseParams(Params, frozen=True):
    """`path`: of a directory, absolute path text. `after`: `next` of the page before, "" for the first."""

    path: str
    after: str = ""
    limit: int = 200


class BrowsedEntry(Result, frozen=True):
    """`size`: bytes of a file, 0 for everything else."""

    name: str
    type: str
    size: int


class Browsed(Result, frozen=True):
    """Directories first, then everything else, each by name. `next`: null at the end."""

    path: str
    entries: tuple[BrowsedEntry, ...]
    next: str | None


class SavedPlan(Result, frozen=True):
    name: str
    plan: PlanSpec
    saved_at: str


class SavedPlans(Result, frozen=True):
    plans: tuple[SavedPlan, ...]


# --- executions ------------------------------------------------------------------------------------


class StartParams(Params, frozen=True):
    """Exactly one of `plan` and `plan_name`. `request_id` makes a repeated start return the first one's execution."""

    plan: PlanSpec | None = None
    plan_name: str = ""
    name: str = ""
    request_id: str = ""


class ExecutionParams(Params, frozen=True):
    """`id`: an execution's id, a unique prefix of it, or a name that only one execution has."""

    id: str


class GetParams(ExecutionParams, frozen=True):
    """`newest`: of several that have the name, the newest is meant, of live ones if there are any. For what only looks:
    to steer the wrong one would be worse than to be asked which."""

    newest: bool = False


class PauseParams(Params, frozen=True):
    id: str
    for_s: float | None = None
    reason: str = ""


class ReasonParams(Params, frozen=True):
    id: str
    reason: str = ""


class ListParams(Params, frozen=True):
    """`sort`: `created`, `name`, `state`, `rate`, `eta`; worst first. Very long plans make pages shorter.
    `search`: only those that have this text in their name, id, sources or destinations, in capitals or not."""

    states: tuple[str, ...] = ()
    sort: str = "created"
    offset: int = 0
    limit: int = 100
    search: str = ""


class TallyView(Result, frozen=True):
    entries: int
    bytes: int


class HoldView(Result, frozen=True):
    """`covers`: in words what it holds, "" for everything. `intervention`: id of the one that set it, or ""."""

    id: str
    reason: str
    author: str
    since: str
    until: str | None
    note: str
    covers: str = ""
    intervention: str = ""


class ChangeView(Result, frozen=True):
    """A change that is in force. `id`: of its intervention; `what`: in words, `type`: as in `execution.intervene`."""

    id: str
    type: str
    what: str
    author: str
    since: str
    until: str | None
    reason: str


class MoverView(Result, frozen=True):
    """One mover right now. `stalled_s`: how long its present system call has taken, null when it is not stalled."""

    slot: int
    pid: int
    doing: str
    file: str | None
    file_bytes: int
    file_bytes_done: int
    stalled_s: float | None


class Progress(Result, frozen=True):
    """How far an execution is. `percent_done` never exceeds 100 and never falls; null while unknown.

    `seconds_remaining` is null when it cannot be told, and `eta_reason` says why. `eta_low_s` and `eta_high_s`: the
    band that holds the truth four times of five.
    `in_flight` is copied but not durable yet, `durable` is while its source is still to be deleted: both are in none of
    the others. `seconds_elapsed` leaves pauses out.
    `gone`: of `skipped`, what vanished from the source before it was copied; it is not counted as done.
    """

    planned: TallyView
    done: TallyView
    failed: TallyView
    skipped: TallyView
    cancelled: TallyView
    in_flight: TallyView
    growing: bool
    imperfect: int
    percent_done: float | None
    bytes_per_s: float | None
    entries_per_s: float | None
    seconds_elapsed: float
    seconds_remaining: float | None
    eta_reason: str
    gone: TallyView = TallyView(0, 0)
    eta_low_s: float | None = None
    eta_high_s: float | None = None
    durable: TallyView = TallyView(0, 0)


class VerificationView(Result, frozen=True):
    """The last verification: entries looked at and bytes re-read, files that have no hash to compare with, entries
    whose target is missing or differs, with examples. `failure`: why it ended before everything was checked, or "".
    `unreadable`: how many could not be read, so that nobody knows what they are, with examples that say why.
    """

    at: str
    checked: TallyView
    unhashed: int
    mismatches: int
    examples: tuple[str, ...]
    failure: str = ""
    unreadable: int = 0
    unreadable_examples: tuple[str, ...] = ()


class RolledBack(Result, frozen=True):
    """A rollback of an execution: its id and state, and how much it has undone."""

    id: str
    state: str
    done: TallyView


class ExecutionView(Result, frozen=True):
    """`why`: one sentence that explains the state, "" when the state says it all. `changes`: that are in force.

    `operation`: `copy`, `move`, or `rollback` or `recovery` of the execution with the id `rolls_back`.
    `rolled_back`: the rollbacks of this one, oldest first; only where it is asked for by itself.
    `further_destinations`: to which a change has sent, or sends, some of it.
    """

    id: str
    name: str
    state: str
    why: str
    stage: str
    operation: str
    sources: tuple[str, ...]
    destination: str
    uid: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    progress: Progress
    holds: tuple[HoldView, ...]
    movers: tuple[MoverView, ...]
    verify: str
    conflict: str
    verification: VerificationView | None
    as_of: str
    changes: tuple[ChangeView, ...] = ()
    rolls_back: str = ""
    rolled_back: tuple[RolledBack, ...] = ()
    further_destinations: tuple[str, ...] = ()


class ExecutionPage(Result, frozen=True):
    executions: tuple[ExecutionView, ...]
    total: int


class FilesParams(Params, frozen=True):
    """Page through the tasks of an execution in scan order. `after`: the `next` of the page before, 0 at first."""

    id: str
    selector: SelectorSpec = SelectorSpec()
    after: int = 0
    limit: int = 100


class TaskView(Result, frozen=True):
    number: int
    path: str
    type: str
    size: int
    state: str
    outcome: str
    attempts: int
    lost: tuple[str, ...]
    digest: str | None
    target_path: str | None
    fault: str | None


class TaskPage(Result, frozen=True):
    """`next`: pass it as `after` for the following page; null at the end.

    A page may have fewer tasks than asked for, or none, although more follow: the daemon looks through so many only.
    """

    tasks: tuple[TaskView, ...]
    next: int | None
