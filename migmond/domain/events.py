"""What the daemon tells its subscribers: one class per event type, tagged with its dotted name."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from migmond.domain.api import (
    ExecutionView,
    InterventionView,
    TaskView,
    VerificationView,
)


class _Event(msgspec.Struct, frozen=True, tag_field="type"):
    """Base: `id` rises by one with every event of this daemon's life and continues over restarts; `at` is RFC 3339."""

    id: int
    at: str


class ExecutionCreated(_Event, frozen=True, tag="execution.created"):
    execution: str
    view: ExecutionView


class ExecutionStateChanged(_Event, frozen=True, tag="execution.state"):
    """`before` and `after` are states; the view is the one after."""

    execution: str
    before: str
    after: str
    view: ExecutionView


class ExecutionProgress(_Event, frozen=True, tag="execution.progress"):
    """The only event that is coalesced: a subscriber gets the newest, at most one per interval."""

    execution: str
    view: ExecutionView


class ScanCompleted(_Event, frozen=True, tag="execution.scan_completed"):
    execution: str
    entries: int
    bytes: int


class HoldChanged(_Event, frozen=True, tag="execution.hold"):
    """`change`: `set`, `lifted` or `expired`."""

    execution: str
    hold: str
    change: str
    reason: str
    note: str


class InterventionRecorded(_Event, frozen=True, tag="execution.intervention"):
    execution: str
    intervention: InterventionView


class ExecutionVerified(_Event, frozen=True, tag="execution.verified"):
    execution: str
    verification: VerificationView


class TaskFailed(_Event, frozen=True, tag="task.failed"):
    """At most 20 a second and execution are sent; `suppressed` counts the ones left out before this one."""

    execution: str
    task: TaskView
    suppressed: int


class MoverStarted(_Event, frozen=True, tag="mover.started"):
    execution: str
    slot: int
    pid: int


class MoverDied(_Event, frozen=True, tag="mover.died"):
    """`returned`: tasks that went back to pending."""

    execution: str
    slot: int
    pid: int
    reason: str
    file: str | None
    returned: int


class MoverStalled(_Event, frozen=True, tag="mover.stalled"):
    """A system call has taken longer than the stall limit. `file` is what it hangs on."""

    execution: str
    slot: int
    pid: int
    doing: str
    file: str | None
    seconds: float


class MoverRecovered(_Event, frozen=True, tag="mover.recovered"):
    execution: str
    slot: int
    pid: int


class PluginQuarantined(_Event, frozen=True, tag="plugin.quarantined"):
    plugin: str
    reason: str


class DaemonStopping(_Event, frozen=True, tag="daemon.stopping"):
    reason: str


Event: TypeAlias = (
    ExecutionCreated
    | ExecutionStateChanged
    | ExecutionProgress
    | ScanCompleted
    | HoldChanged
    | InterventionRecorded
    | ExecutionVerified
    | TaskFailed
    | MoverStarted
    | MoverDied
    | MoverStalled
    | MoverRecovered
    | PluginQuarantined
    | DaemonStopping
)


class Delivery(msgspec.Struct, frozen=True):
    """Parameters of the notification `event`.

    `missed`: events that this subscriber lost before this one because it read too slowly; 0 normally.
    A client that sees `missed` > 0 asks for a new snapshot.
    """

    subscription: int
    event: Event
    missed: int = 0
