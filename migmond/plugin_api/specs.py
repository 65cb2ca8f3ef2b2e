"""What plugins register: collectors, alert actions, optimization strategies and storage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from migmond.domain.samples import NoData
from migmond.domain.telemetry import MetricKind
from migmond.ports import (
    History,
    Journal,
)

MAX_INTERVAL_S = 86_400.0


class MetricDesc(msgspec.Struct, frozen=True):
    """One metric. `unit` is a base unit (`bytes`, `seconds`, `celsius`, `ratio`, ""); `labels` are label names.

    Names follow Prometheus (https://prometheus.io/docs/practices/naming/): the unit comes last, a counter ends in
    `_total`.
    """

    name: str
    unit: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()


class Sample(msgspec.Struct, frozen=True):
    """One value of one metric; `labels` has a value for each of the metric's label names."""

    metric: str
    value: float | NoData
    labels: Mapping[str, str] = {}


class Note(msgspec.Struct, frozen=True):
    """Something told in words that belongs to a moment and, mostly, a device, such as a message of the kernel.

    Attributes:
        at: wall clock seconds, when it happened as far as is known.
        kind: one of the spec's `note_kinds`.
        message: one line, for people.
        device: as the kernel calls it, "" when none is named.
    """

    at: float
    kind: str
    message: str
    device: str = ""


class Collector(Protocol):
    """An open collector."""

    async def collect(self) -> Iterable[Sample | Note]:
        """Return one sample for each series there is now, and the notes since the last call, in any order.

        Called once per interval, never twice at a time.
        """


class CollectorSpec(msgspec.Struct, frozen=True):
    """Something to measure.

    Attributes:
        name: unique among collectors.
        interval_s: seconds from one collection to the next.
        metrics: every metric that it may yield.
        open: makes the collector; leaving the context closes it.
        deadline_s: opening, collecting or closing that takes longer is cancelled and counts as a failure. What may
            block (a dead mount, a sleeping disk) belongs in a thread with `abandon_on_cancel=True`: a call that goes
            on after it was cancelled has its plugin quarantined at once.
        note_kinds: every kind of note that it may leave, with its meaning. The host keeps the newest notes.
    """

    name: str
    interval_s: float
    metrics: tuple[MetricDesc, ...]
    open: Callable[[], AbstractAsyncContextManager[Collector]]
    deadline_s: float = 10.0
    note_kinds: Mapping[str, str] = {}


class AlertNotice(msgspec.Struct, frozen=True):
    """What an alert action is told. Text in it may hold names of files, which are hostile: escape it for where it goes.

    Attributes:
        delivery: id of this call, the same on every try: what a receiver tells repeated ones by (idempotency key).
        alert: id of the alert.
        also: ids of further alerts that it tells of: several of one rule that fire, or end, at the same time are one
            notice, and `message` counts them.
        rule: name of the rule. `severity`: `info`, `warning`, `error` or `critical`.
        message: one sentence for people, with value, threshold and since when.
        firing: False when it tells that the alert is resolved.
        at: RFC 3339, when that was. `since`: when the alert began to fire.
        value, threshold: in the metric's unit; `value` is None when there are no readings.
        execution, execution_name: "" when it concerns none.
        device: as the kernel calls it, "" when it concerns none.
        labels: of the series, and the rule's own.
        host: name of this machine.
        attempt: 1 for the first try.
    """

    delivery: str
    alert: str
    rule: str
    severity: str
    message: str
    firing: bool
    at: str
    since: str
    value: float | None
    threshold: float
    execution: str = ""
    execution_name: str = ""
    device: str = ""
    labels: Mapping[str, str] = {}
    host: str = ""
    attempt: int = 1
    also: tuple[str, ...] = ()


class ActionFailed(Exception):
    """Raised by an alert action for what may happen to a good one: nobody answers, a script fails. It is tried again,
    and the plugin is not to blame. Whatever else it raises is its own mistake: three in a row quarantine it.

    Args:
        why: one sentence for people; it is shown, so there must be no secret in it.
        final: trying again would not help.
        after_s: seconds after which the receiver wants it tried again; None when it does not say.
        said: what else there is to say, for the log.
    """

    def __init__(self, why: str, *, final: bool = False, after_s: float | None = None, said: str = "") -> None:
        super().__init__(why)
        self.said = said
        self.why = why
        self.final = final
        self.after_s = after_s


def _will_do(parameters: Any) -> str:
    return ""


class AlertActionSpec(msgspec.Struct, frozen=True):
    """Something to do about an alert.

    It is called until it succeeds or the time for it is over, at least once, also again after a crash when it had been
    done but that was not recorded yet: with the same `notice.delivery`.

    Attributes:
        name: unique among alert actions.
        help: one sentence for people who choose it.
        parameters: frozen Struct that a rule's parameters are decoded to. Whoever may make rules chooses them, and
            they are shown: no secrets, and nothing that only an admin may decide.
        run: does it; (notice, parameters). Returns what it has to say for the log, or None. Raises ActionFailed.
        deadline_s: it is abandoned after that.
        check: returns why parameters would never do, "" when they may: asked when a rule is made. Must not block.
    """

    name: str
    help: str
    parameters: type[msgspec.Struct]
    run: Callable[[AlertNotice, Any], Awaitable[str | None]]
    deadline_s: float = 30.0
    check: Callable[[Any], str] = _will_do


class Snapshot(msgspec.Struct, frozen=True):
    """What a strategy decides on: one execution at one moment.

    Attributes:
        execution: its id.
        workers: movers that are at work.
        bytes_per_s, entries_per_s: now; None when not measured yet.
        metrics: as far as known: `share_CAUSE`, of the movers' time in the last minute, by `analytics.shares.Cause`;
            `cpu_busy`, `source_busy`, `target_busy`: of processors and disks, 0 to 1; `most_workers`: that may be asked
            for; `pending`: entries that nobody has in hand.
    """

    execution: str
    workers: int
    bytes_per_s: float | None
    entries_per_s: float | None
    metrics: Mapping[str, float] = {}


class Proposal(msgspec.Struct, frozen=True):
    """A change that a strategy would like. It is shown among the suggestions; people apply it, or not.

    Attributes:
        action, value: `workers`, a number of movers; `batch`, entries that a mover gets at once, 0 to let the daemon
            find out; `io`, bytes per second at most.
        why: one sentence for people, with the figures that it rests on.
        expected_gain: by how much the rate rises at best, as a share of what it is; 0 when it is for something else.
    """

    action: str
    value: float
    why: str
    expected_gain: float


class StrategySpec(msgspec.Struct, frozen=True):
    """An optimization strategy. `propose(snapshot, now)` is pure; `now` is monotonic seconds. It is called in a thread,
    every ten seconds for each execution that is at work, and has two seconds."""

    name: str
    help: str
    propose: Callable[[Snapshot, float], Sequence[Proposal]]


class StorageContext(msgspec.Struct, frozen=True):
    """Where a storage may keep its files, and how much room it keeps there for a full disk."""

    state_directory: Path
    ballast_bytes: int = 0


class HistoryContext(msgspec.Struct, frozen=True):
    """Where a history may keep its files, for how long, and what it must leave to others.

    Attributes:
        keep_s: seconds that each tier is kept, by its width in seconds (`migmond.analytics.tiers.WIDTHS_S`).
        spare_bytes: so much of the file system must stay free; with less, nothing is recorded.
    """

    state_directory: Path
    keep_s: Mapping[int, float]
    spare_bytes: int = 0


class StorageSpec(msgspec.Struct, frozen=True):
    """A journal. `open(context)` yields one that keeps every promise of `migmond.ports.Journal`
    (`migmond.plugin_api.conformance` checks them). `restore(context, backup)`, called while no daemon runs, puts a
    backup in its place, holds what ran, and returns what it did as text; None when there are no backups.
    `open_history(context)` yields a `migmond.ports.History` (`migmond.plugin_api.history_conformance`); None when this
    storage keeps no telemetry. It is opened after the journal and closed before it."""

    name: str
    open: Callable[[StorageContext], AbstractAsyncContextManager[Journal]]
    restore: Callable[[StorageContext, Path], str] | None = None
    open_history: Callable[[HistoryContext], AbstractAsyncContextManager[History]] | None = None
