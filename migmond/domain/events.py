"""What the daemon tells its subscribers: one class per event type, tagged with its dotted name."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from migmond.domain.alert_api import AlertView
from migmond.domain.api import ExecutionView, TaskView, VerificationView
from migmond.domain.steering_api import InterventionView


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


class ExecutionProgress(_Event, frozen=True, tag="execution.progress", omit_defaults=True):
    """The only event that is coalesced: a subscriber gets the newest, at most one per interval.

    It has either `view` or `changes`. `changes` is for those who subscribed with `deltas`: of the view, only what is
    not as in the event before that told of this execution (one with `view` or `changes`, of any type). It is put into
    that view as a JSON merge patch (RFC 7396): an object is merged into the object that is there, everything else,
    lists and null included, takes the place of what is there. The first of a subscription, the first after events
    were missed, and the first of an execution that goes on after it had ended, have `view`.
    """

    execution: str
    view: ExecutionView | None = None
    changes: dict[str, Any] | None = None


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


class ExecutionForgotten(_Event, frozen=True, tag="execution.forgotten"):
    """It is not there any more. `by`: who wanted that, or `retention`: it was beyond what the configuration keeps."""

    execution: str
    name: str
    by: str


class SalvageProgress(_Event, frozen=True, tag="execution.salvage"):
    """How far the salvage of a damaged file has come, twice a second. Of its `size_bytes`, `saved_bytes` were read,
    `failed_bytes` could not be so far (smaller pieces of them are tried in the end), `untried_bytes` are next.
    `bytes_per_s`: lately; `seconds_remaining`: until all was tried once; null when that is not known."""

    execution: str
    path: str
    size_bytes: int
    saved_bytes: int
    failed_bytes: int
    untried_bytes: int
    bytes_per_s: float | None
    seconds_remaining: float | None


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


class AlertPending(_Event, frozen=True, tag="alert.pending"):
    """A rule's condition holds, but not for so long yet that it fires. Told again when it is over before it has fired:
    then `alert.state` is `resolved`. `execution`: "" when it concerns none."""

    execution: str
    alert: AlertView


class AlertFiring(_Event, frozen=True, tag="alert.firing"):
    """`execution`: "" when it concerns none."""

    execution: str
    alert: AlertView


class AlertResolved(_Event, frozen=True, tag="alert.resolved"):
    """Only of alerts that have fired."""

    execution: str
    alert: AlertView


class AlertAcknowledged(_Event, frozen=True, tag="alert.acknowledged"):
    """Somebody sees to it: its actions are not called any more."""

    execution: str
    alert: AlertView


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
    | ExecutionForgotten
    | TaskFailed
    | SalvageProgress
    | MoverStarted
    | MoverDied
    | MoverStalled
    | MoverRecovered
    | AlertPending
    | AlertFiring
    | AlertResolved
    | AlertAcknowledged
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
