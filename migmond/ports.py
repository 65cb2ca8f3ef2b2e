"""What the engine needs from outside, as Protocols. Implementations come from plugins and the composition root."""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Sequence
from typing import Protocol

from migmond.domain.alert import Alert, AlertFilter, AlertRule, Delivery, Silence
from migmond.domain.changes import Change, ReceiptSeal
from migmond.domain.columns import Columns
from migmond.domain.errors import JournalDamaged
from migmond.domain.execution import Execution
from migmond.domain.file_kinds import FileKind
from migmond.domain.hold import HoldReason
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.journal import FaultGroup, FaultRecord, JournalBackup, JournalCondition, Sift
from migmond.domain.plan import Plan
from migmond.domain.session import SessionRecord
from migmond.domain.states import TaskState
from migmond.domain.steering import Order, Throttle
from migmond.domain.task import CommitGroup, Directory, Task
from migmond.domain.telemetry import (
    Annotation,
    Batch,
    Chart,
    HistoryCondition,
    HistorySize,
    Selection,
    SeriesInfo,
)
from migmond.domain.timeline import Milestone


class Clock(Protocol):
    """Time as the engine sees it."""

    def monotonic(self) -> float:
        """Seconds for durations."""

    def wall(self) -> float:
        """Seconds since the epoch, for people only."""


class Journal(Protocol):
    """The durable memory of all executions.

    Damage is met once: from then on every `apply` raises JournalDamaged, so that nothing is deleted on the word of
    a journal that cannot be trusted.

    `apply` is atomic and durable on return (it survives a power cut), and transactions happen in the order of the
    calls. Queries see every transaction that has returned. All methods are coroutines of trio and may be called from
    several tasks at once; a cancelled `apply` has either fully happened or not at all.
    Every method may raise JournalError, JournalDamaged or JournalFull.
    """

    async def apply(self, changes: Sequence[Change]) -> None:
        """Record all `changes` in one transaction, in order."""

    async def executions(self) -> list[Execution]:
        """Every execution, oldest first."""

    async def find_request(self, request_id: str, uid: int) -> str | None:
        """Return the id of the execution that was created with `request_id` by `uid`."""

    async def next_key(self) -> int:
        """Return a key larger than any in use (they are never reused)."""

    async def forgotten(self) -> list[int]:
        """Return the keys of executions that were forgotten (ForgetExecution) and have entries left, ascending."""

    async def last_number(self, key: int) -> int:
        """Return the highest task number, 0 if there is none."""

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
        """Return tasks with number > `after` in ascending order, at most `limit`.

        Args:
            states: only these; empty for all.
            followers: True only tasks with a leader, False only those without.
            directories: True only directories, False everything else.
            sift: only what it lets pass.
        """

    async def pending(self, key: int, *, after: int = 0, limit: int = 1000, followers: bool = False) -> Columns:
        """Return pending tasks with number > `after` that are no directories, at most `limit`.

        Args:
            followers: those with a leader, in place of those without.
        """

    async def line_up(self, key: int, order: Order) -> array[int]:
        """Return the numbers of the pending tasks that are neither directories nor followers, sorted by size or by
        device and inode, and those that are equal by number.

        Args:
            order: SMALL_FIRST, LARGE_FIRST or INODE.
        """

    async def left_out(self, key: int) -> dict[str, int]:
        """Return how many tasks are LEFT_OUT, by what left them out."""

    async def left_out_by(self, key: int, by: str, *, after: int = 0, limit: int = 1000) -> list[Task]:
        """Return tasks with number > `after` that `by` left out in ascending order, at most `limit`."""

    async def directories_backwards(self, key: int, *, before: int, limit: int) -> list[Task]:
        """Return directory tasks with number < `before` in descending order: children before their parents."""

    async def get_tasks(self, key: int, numbers: Sequence[int]) -> dict[int, Task]:
        """Return those of `numbers` that exist."""

    async def places(self, key: int, numbers: Sequence[int]) -> dict[int, Directory]:
        """Return where these directories are."""

    async def unread_directories(self, key: int, *, after: int = 0, limit: int = 1000) -> list[Directory]:
        """Return directories whose listing is not complete, by ascending number."""

    async def leaders(self, key: int, device: int, inodes: Sequence[int]) -> dict[int, int]:
        """Return by inode the number of the task that leads its names: a file of several links, no follower and not
        SKIPPED, the lowest one if there are more. Inodes without one are left out."""

    async def names_in(self, key: int, directory: int) -> list[bytes]:
        """Return the names of the tasks that lie in `directory` (slow: for one directory on resume)."""

    async def touched_directories(self, key: int, *, after: int = 0, limit: int = 1000) -> list[Directory]:
        """Return directories that may hold temporaries, by ascending number."""

    async def sent_to(self, key: int, numbers: Sequence[int]) -> dict[int, int]:
        """Return to which further destination tasks go, of those among `numbers` that do not go to the plan's."""

    async def sent_directories(
        self, key: int, *, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> list[tuple[int, int]]:
        """Return further destinations, each with the number of a directory in whose target there something may be, in
        ascending order, those behind `after`, at most `limit`."""

    async def sent_unfinished(self, key: int, of: int) -> list[tuple[int, int]]:
        """Return further destinations to which tasks of execution `key` went whose namesakes in `of` (the tasks of the
        same numbers: itself, or a rollback of it) are PENDING or DURABLE; each with the index of a source below which
        such a task lies, in ascending order (slow: for the beginning of a run)."""

    async def open_groups(self, key: int) -> list[CommitGroup]:
        """Return groups that were opened and not closed, oldest first."""

    async def births(self, key: int, numbers: Sequence[int]) -> dict[int, int]:
        """Return, in nanoseconds since the epoch, the birth times that are on record of the sources of these tasks."""

    async def kinds(self, key: int, numbers: Sequence[int]) -> dict[int, FileKind]:
        """Return what kinds of file these tasks are by their contents, as far as these were read."""

    async def copy_times(self, key: int, numbers: Sequence[int]) -> dict[int, int]:
        """Return the ctimes that are on record of the copies of these tasks, see KeepCopyTimes. `numbers` lie close
        together: what is read is what lies between them as well."""

    async def seals(self, key: int) -> list[ReceiptSeal]:
        """Return what is on record of an execution's receipts, oldest first; nothing of what was never asked for."""

    async def breakdown(self, key: int) -> bytes:
        """Return what was kept last by KeepBreakdown; b"" when nothing is."""

    async def milestones(self, key: int) -> list[Milestone]:
        """Return what happened to an execution, in the order in which it was added."""

    async def sessions(self, *, after: int = 0, limit: int = 1000) -> list[SessionRecord]:
        """Return how executions went that have a key > `after`, in ascending order, at most `limit`."""

    async def session(self, key: int) -> SessionRecord | None:
        """Return how one execution went; None when nothing is on record."""

    async def faults(self, key: int, numbers: Sequence[int]) -> dict[int, FaultRecord]:
        """Return the latest fault of each of these tasks that has one."""

    async def fault_groups(self, key: int) -> list[FaultGroup]:
        """Return the latest faults of tasks that are FAILED now, or PENDING after an attempt; largest group first."""

    async def interventions(self, execution: str) -> list[Intervention]:
        """Return the interventions on an execution, oldest first."""

    async def deliveries(self, alert: str = "", *, settled: bool | None = None, limit: int = 1000) -> list[Delivery]:
        """Return calls of alert actions in the order in which they were put first; of more than `limit` the newest.

        Args:
            alert: only those about this one; "" for all.
            settled: True only those to which nothing more happens, False only the others.
        """

    async def plans(self, uid: int) -> list[tuple[Plan, float]]:
        """Return the saved plans of `uid` with the wall clock time of saving, by name."""

    async def next_event(self, reserve: int) -> int:
        """Reserve `reserve` event ids durably and return the first, so that ids never repeat over restarts."""

    async def next_id(self, kind: str, reserve: int) -> int:
        """Reserve `reserve` numbers of a kind of ids durably and return the first; none is ever given twice. With 0 it
        is the one that would be the first."""

    async def alert_rules(self) -> list[AlertRule]:
        """Return the rules that were made or changed, by id; what is built in and as it was is not on record."""

    async def open_alerts(self) -> list[Alert]:
        """Return alerts that are pending or firing, the oldest first."""

    async def past_alerts(self, which: AlertFilter, limit: int) -> list[Alert]:
        """Return alerts that were resolved, the newest (by number) first, at most `limit`."""

    async def silences(self) -> list[Silence]:
        """Return all silences on record, those first that end first."""

    async def check(self) -> list[str]:
        """Look for damage everywhere; return one sentence for each thing found (empty: healthy)."""

    def condition(self) -> JournalCondition:
        """Return how it is, as far as is known without looking."""

    async def room(self) -> str:
        """Return `condition().short` after trying to make the reserve again."""

    async def until_damaged(self) -> JournalDamaged:
        """Wait until damage is met; return an error that says what it is."""

    async def backup(self, keep: int) -> JournalBackup:
        """Copy the journal as it is now, while it is in use; of all backups the newest `keep` stay (at least one).

        Raises:
            JournalError: this storage has none.
        """

    async def backups(self) -> list[JournalBackup]:
        """Return the backups there are, newest first."""

    def changed_since_backup(self) -> bool:
        """Whether anything was applied since this daemon's last backup, or it made none yet."""


class Deliveries(Protocol):
    """Calls of alert actions that are made for certain, though not at once."""

    def send(self, calls: Iterable[Delivery]) -> None:
        """Have calls made, which are on record already, together with what they tell of; what could not be journaled
        is made all the same. Returns at once. Calls about one alert reach an action in the order in which they were
        sent."""


class Steerer(Protocol):
    """What acts by itself (alerts, emergencies) changes executions through this; all of it is recorded as automatic.

    Every method may raise MigmondError: the execution has ended, or may not be changed like that now.
    """

    async def pause(
        self,
        execution: str,
        author: str,
        reason: str,
        why: HoldReason,
        for_s: float | None,
        request_id: str = "",
    ) -> None:
        """Hold an execution.

        Args:
            why: what the hold says of who set it.
            request_id: repeated by the same author, it changes nothing; "" for none.
        """

    async def throttle(
        self, execution: str, author: str, reason: str, limits: Throttle, for_s: float | None, request_id: str = ""
    ) -> None:
        """Limit an execution, as far as it is not limited to less already."""

    async def take_back(self, execution: str, author: str, reason: str) -> int:
        """Take back whatever `author` has changed about an execution and is still in force; returns how much."""

    async def take_back_requested(self, author: str, kind: InterventionKind, requests: str, reason: str) -> int:
        """Take back changes of one kind that `author` has asked for with a request_id that begins with `requests`,
        whatever execution they are about, as far as they are in force; returns how many."""

    async def stop_all(self, author: str, reason: str) -> None:
        """Put an emergency hold on everything."""


class History(Protocol):
    """Telemetry: what was measured, in tiers that are coarser and kept longer (`migmond.analytics.tiers`).

    It is worth less than the work that it tells of. What is appended may be lost by a power cut; a history that is
    damaged is set aside and begun afresh (`condition` says so); when its disk has not much room left it takes nothing
    more and says why, long before the journal beside it is short.

    Times are wall clock seconds. A clock that is set back makes later readings lie beside or upon earlier ones: they
    are booked where they say they are, in all tiers, merged with what is there; nothing earlier is changed or lost, and
    no query fails. Where counters meet that, see `migmond.analytics.rates`.

    All methods are coroutines of trio and may be called from several tasks at once; a cancelled `append` has either
    fully happened or not at all. Queries see every append that has returned. Every method may raise HistoryError.
    """

    async def append(self, batches: Sequence[Batch], annotations: Sequence[Annotation] = ()) -> int:
        """Record all of them in one transaction.

        Returns:
            How many of the readings and annotations cannot be kept and were left out: no finite number, a time that is
            none (`Batch.has_time`), a series that is not sound (`is_sound`) or one more than there may be.
        """

    async def query(
        self,
        selections: Sequence[Selection],
        start: float,
        end: float,
        points: int,
        *,
        most_series: int,
        executions: Container[str] | None = None,
    ) -> Chart:
        """Return the selected series over a range, each once, with at most `points` buckets each.

        Args:
            start, end: start < end; both within 0 and MAX_AT.
            points: at least 2.
            executions: leave out the series of all other executions; None for everybody's. Those of no execution are
                always there.

        Raises:
            LimitExceeded: more than `most_series` have readings in about that range.
        """

    async def series(
        self,
        *,
        metric: str = "",
        execution: str = "",
        after: int = 0,
        limit: int = 1000,
        executions: Container[str] | None = None,
    ) -> list[SeriesInfo]:
        """Return what is on record by ascending number, from those with number > `after` at most `limit`.

        Args:
            metric, execution: only its; "" for all.
            executions: as in `query`.
        """

    async def annotations(
        self, start: float, end: float, *, limit: int, executions: Container[str] | None = None
    ) -> list[Annotation]:
        """Return those with start <= at < end, of more than `limit` the newest, the oldest first."""

    async def forget(self, execution: str) -> None:
        """Remove all series and annotations of an execution."""

    async def prune(self, now: float) -> None:
        """Remove from every tier what is older than it is to be kept.

        Args:
            now: wall clock seconds. Whoever calls this makes sure that the clock is right.
        """

    async def size(self) -> HistorySize:
        """Return how much there is."""

    def condition(self) -> HistoryCondition:
        """Return how it is, as far as is known without looking."""
