"""Every state and every change of state: one table for executions, one for tasks, one for alerts.

Nothing else in migmond decides whether a change of state is legal; diagrams are generated from here
(`python -m migmond.domain.states` prints them as Mermaid).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar

from migmond.domain.alert import AlertState
from migmond.domain.errors import IllegalTransition


class ExecutionState(enum.StrEnum):
    """Where one run of a plan stands."""

    CREATED = "created"
    """Journaled; nothing has been touched."""
    WAITING = "waiting"
    """As many run as the administrator allows; it begins by itself when its turn has come."""
    RUNNING = "running"
    """Scanning, moving or finishing. A daemon that starts and finds this state resumes the execution."""
    PAUSED = "paused"
    """A hold covers everything; movers keep their place."""
    DRAINING = "draining"
    """Finishes what runs, starts nothing; `resume` takes that back."""
    DRAINED = "drained"
    """Stopped at a safe boundary; `resume` goes on."""
    CANCELLING = "cancelling"
    """Being undone down to the last temporary file; survives a daemon restart."""
    COMPLETED = "completed"
    """Every task is done or was skipped by the plan's own policy."""
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    """Finished, but some tasks failed; their sources are untouched."""
    FAILED = "failed"
    """Could not go on (source vanished, destination not writable); the reason says why."""
    CANCELLED = "cancelled"
    """Ended by request; what was done stays done, no partial file is left."""


class TaskState(enum.IntEnum):
    """Where one directory entry stands. The numbers are what the journal stores: never renumber."""

    PENDING = 0
    RUNNING = 1
    """Handed to a mover. Never journaled: a task that ran when the daemon died is pending again."""
    DURABLE = 2
    """Move only: complete and durable at the target, the source is still there."""
    DONE = 3
    SKIPPED = 4
    """Left alone on purpose; the outcome says why. Its source stays."""
    FAILED = 5
    CANCELLED = 6


class Outcome(enum.IntEnum):
    """How a task ended, or why it was left alone. The numbers are journaled: never renumber."""

    NONE = 0
    COPIED = 1
    REFLINKED = 2
    RENAMED = 3
    LINKED = 4
    """A further name of an inode that this execution brought over already."""
    CREATED = 5
    """A directory, symlink or special file was made."""
    UNCHANGED = 6
    """The destination already had the same entry (copy: size and time; move or read-back: the content too)."""
    EXISTS = 7
    """Policy skip: the destination has something else under that name."""
    OLDER = 8
    """Policy newer: the destination is at least as new."""
    NOT_SELECTED = 9
    OTHER_FILE_SYSTEM = 10
    """A mount point below the source; crossing was not asked for."""
    SOURCE_GONE = 11
    """The entry vanished between scan and copy, not by our hand."""
    TEMPORARY = 12
    """A copy that another migration is still making there: it is not whole, and about to get another name."""
    TARGET_GONE = 13
    """Rollback: what was brought there is not there any more."""
    TARGET_CHANGED = 14
    """Rollback: what stands there is not, or not any more, what was brought there."""
    LAST_COPY = 15
    """Rollback of a copy: its source is gone or changed since, and what was copied is nowhere else."""
    SOURCE_CHANGED = 16
    """Recovery: the source is another version than the one that was copied."""
    LEFT_OUT = 17
    """Somebody had it skipped while the execution was running; taken back, it is pending again."""


_E = ExecutionState
EXECUTION_TRANSITIONS: Mapping[ExecutionState, frozenset[ExecutionState]] = {
    _E.CREATED: frozenset({_E.RUNNING, _E.CANCELLED, _E.FAILED}),
    _E.WAITING: frozenset({_E.RUNNING, _E.DRAINED, _E.CANCELLING, _E.CANCELLED, _E.FAILED}),
    _E.RUNNING: frozenset({_E.PAUSED, _E.DRAINING, _E.CANCELLING, _E.COMPLETED, _E.COMPLETED_WITH_ERRORS, _E.FAILED}),
    _E.PAUSED: frozenset({_E.RUNNING, _E.DRAINING, _E.CANCELLING, _E.FAILED}),
    _E.DRAINING: frozenset({_E.RUNNING, _E.DRAINED, _E.CANCELLING, _E.COMPLETED, _E.COMPLETED_WITH_ERRORS, _E.FAILED}),
    _E.DRAINED: frozenset({_E.RUNNING, _E.WAITING, _E.CANCELLING}),
    _E.CANCELLING: frozenset({_E.CANCELLED, _E.FAILED}),
    _E.COMPLETED: frozenset(),
    _E.COMPLETED_WITH_ERRORS: frozenset({_E.RUNNING, _E.WAITING}),
    _E.FAILED: frozenset({_E.RUNNING, _E.WAITING, _E.CANCELLING}),
    _E.CANCELLED: frozenset(),
}
"""COMPLETED_WITH_ERRORS and FAILED go back to RUNNING, or WAITING, by `resume`, which tries the failed tasks again."""

_T = TaskState
TASK_TRANSITIONS: Mapping[TaskState, frozenset[TaskState]] = {
    _T.PENDING: frozenset({_T.RUNNING, _T.DURABLE, _T.DONE, _T.SKIPPED, _T.FAILED, _T.CANCELLED}),
    _T.RUNNING: frozenset({_T.PENDING, _T.DURABLE, _T.DONE, _T.SKIPPED, _T.FAILED, _T.CANCELLED}),
    _T.DURABLE: frozenset({_T.DONE, _T.FAILED, _T.CANCELLED}),
    _T.DONE: frozenset({_T.PENDING}),
    _T.SKIPPED: frozenset({_T.PENDING}),
    _T.FAILED: frozenset({_T.PENDING, _T.CANCELLED}),
    _T.CANCELLED: frozenset(),
}
"""PENDING reaches the later states directly because RUNNING is not journaled: settling after a crash
finds work that was finished but not yet written down.
DURABLE to FAILED: the source changed before its delete. DURABLE to CANCELLED: both names stay.
DONE to PENDING: directories only, when a resume puts something into a finished one: its times are due again.
SKIPPED to PENDING: LEFT_OUT only, when the change that skipped it is taken back or over."""

_A = AlertState
ALERT_TRANSITIONS: Mapping[AlertState, frozenset[AlertState]] = {
    _A.PENDING: frozenset({_A.FIRING, _A.RESOLVED}),
    _A.FIRING: frozenset({_A.RESOLVED}),
    _A.RESOLVED: frozenset(),
}
"""PENDING to RESOLVED: it never fired, and is not kept. What is met again after it was resolved is another alert."""

TERMINAL_EXECUTION_STATES = frozenset({_E.COMPLETED, _E.COMPLETED_WITH_ERRORS, _E.FAILED, _E.CANCELLED, _E.DRAINED})
"""States in which no scope of the engine works on the execution and a waiting client may leave."""

LIVE_EXECUTION_STATES = frozenset({_E.CREATED, _E.WAITING, _E.RUNNING, _E.PAUSED, _E.DRAINING, _E.CANCELLING})
"""States that a starting daemon takes up again."""


S = TypeVar("S", ExecutionState, TaskState, AlertState)


def advance(table: Mapping[S, frozenset[S]], before: S, after: S) -> S:
    """Return `after` if the table allows the change.

    Raises:
        IllegalTransition: it does not.
    """
    if after not in table[before]:
        raise IllegalTransition(f"{before.name.lower()} cannot become {after.name.lower()}")
    return after


def mermaid(table: Mapping[S, frozenset[S]]) -> str:
    """Return the table as a Mermaid state diagram, one arrow a line, sorted."""
    lines: list[str] = sorted(
        f"  {a.name.lower()} --> {b.name.lower()}" for a, targets in table.items() for b in targets
    )
    return "\n".join(["stateDiagram-v2", *lines])


if __name__ == "__main__":
    print(mermaid(EXECUTION_TRANSITIONS))
    print(mermaid(TASK_TRANSITIONS))
    print(mermaid(ALERT_TRANSITIONS))
