"""Rules that watch what is measured, and the alerts that they raise."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

MOST_RULES = 200
"""Of one daemon: so many are evaluated each round for a hundred executions (see `monitor.alerts`)."""
MOST_OWN = 50
"""Rules that one operator may have, and silences: nobody uses up those of all."""
MAX_WINDOW_S = 3600.0
"""Readings of a longer time are not kept at hand."""
MAX_HELD_S = 7 * 86_400.0
"""The longest `for_s`, `keep_firing_for_s` and cooldown: beyond a week nobody waits for an alert."""
STEERING_ACTIONS = frozenset({"pause", "throttle", "stop-all"})
"""Built-in actions that change an execution: they are called for each alert, never for several as one notice."""


class Severity(enum.StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Aggregation(enum.StrEnum):
    """What is made of a metric's readings within the condition's window."""

    AVG = "avg"
    MAX = "max"
    MIN = "min"
    SUM = "sum"
    RATE = "rate"
    """Change per second; of a counter, resets taken into account."""
    LAST = "last"


class Operator(enum.StrEnum):
    ABOVE = ">"
    ABOVE_OR_EQUAL = ">="
    BELOW = "<"
    BELOW_OR_EQUAL = "<="
    EQUAL = "=="
    NOT_EQUAL = "!="


class Missing(enum.StrEnum):
    """What it means that there are no readings. Never that all is well."""

    KEEP = "keep"
    """The alert stays as it is; a condition that was on its way stays on its way, and its time does not count."""
    FIRE = "fire"
    """It counts as the condition being met: for what must always be there."""


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a rule is met.

    Attributes:
        metric: name of a metric (`migmon metrics` lists them).
        labels: only series with these label values; a rule is judged for each series, or for each execution, by itself.
        aggregation: over `window_s` seconds before now.
        threshold: in the metric's unit.
        resolve_threshold: once firing, it is resolved only when the value is past this one; None for `threshold`.
        for_s: it has to be met for so long, without a break, before the alert fires.
        keep_firing_for_s: it has to be not met for so long, without a break, before the alert is resolved.
        missing: see Missing.
    """

    metric: str
    operator: Operator
    threshold: float
    aggregation: Aggregation = Aggregation.LAST
    window_s: float = 60.0
    labels: Mapping[str, str] = {}
    resolve_threshold: float | None = None
    for_s: float = 0.0
    keep_firing_for_s: float = 0.0
    missing: Missing = Missing.KEEP


class ActionCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """An alert action and what it is told. `parameters` are checked against the action's own type when a rule is made.

    Attributes:
        name: of a plugin's alert action, or of a built-in one: `pause`, `throttle`, `stop-all`.
        on_resolve: it is told as well when the alert is resolved.
    """

    name: str
    parameters: Mapping[str, Any] = {}
    on_resolve: bool = True


class AlertRule(msgspec.Struct, frozen=True):
    """A rule.

    Attributes:
        id: `r-1`, `r-2`, ..., or a built-in one's name.
        cooldown_s: an alert of the rule that fires again within so many seconds after it fired last calls no actions.
        builtin: it comes with migmond; it can be disabled and edited, not removed.
        inhibits: names of rules whose alerts of the same execution or device call no actions while this one fires, and
            for some minutes more (`alerting.quiet.SETTLES_S`) if they began meanwhile.
        created_at, changed_at: wall clock seconds.
        owner: uid of who made it; None for built-in ones.
        own: it looks only at executions of `owner`: it was made by somebody who may not see the others.
    """

    id: str
    name: str
    description: str
    condition: Condition
    severity: Severity
    actions: tuple[ActionCall, ...] = ()
    enabled: bool = True
    cooldown_s: float = 300.0
    labels: Mapping[str, str] = {}
    inhibits: tuple[str, ...] = ()
    created_at: float = 0.0
    changed_at: float = 0.0
    builtin: bool = False
    owner: int | None = None
    own: bool = False


class AlertState(enum.StrEnum):
    PENDING = "pending"
    """The condition is met, not yet for long enough."""
    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(msgspec.Struct, frozen=True):
    """One rule about one series, from when its condition was met.

    Attributes:
        id: `a-1`, `a-2`, ... within the daemon.
        rule: the rule's id; `rule_name` its name then.
        execution: id, "" when it concerns none.
        device: as the kernel calls it, "" when it concerns none.
        labels: of the series, and the rule's own.
        message: one sentence with value, threshold and since when.
        value: when it was looked at last; None when nothing was told.
        pending_at, fired_at, resolved_at, updated_at: wall clock seconds.
        acknowledged_at, acknowledged_by, note: who has seen to it.
        metric: what the rule looks at; with `series`, pairs of label and value, that is which one.
        met_s, clear_s: for how long the condition has been met, and not been met, without a break. Only time between
            two looks that both said so counts: not that in which nothing was told, nor that between two daemons.
        notified_at: when its actions were called; None: not yet, or there are none.
        told: the calls that were made then; whoever got them is told of the end as well, whatever has become of the
            rule.
        quiet: why its actions are not called, "" when they are.
        ending: why it was resolved, other than by its value: the execution ended, the rule was changed.
    """

    id: str
    rule: str
    rule_name: str
    severity: Severity
    state: AlertState
    message: str
    execution: str
    device: str
    labels: Mapping[str, str]
    value: float | None
    threshold: float
    pending_at: float
    updated_at: float
    fired_at: float | None = None
    resolved_at: float | None = None
    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    note: str = ""
    metric: str = ""
    series: tuple[tuple[str, str], ...] = ()
    met_s: float = 0.0
    clear_s: float = 0.0
    notified_at: float | None = None
    told: tuple[ActionCall, ...] = ()
    quiet: str = ""
    ending: str = ""

    @property
    def number(self) -> int:
        """The number in its id: alerts in the order in which they were made."""
        return int(self.id[2:])


class AlertFilter(msgspec.Struct, frozen=True):
    """Which alerts of the past; "" and None for all.

    Attributes:
        execution, rule: ids.
        before: only alerts with a smaller number.
    """

    execution: str = ""
    rule: str = ""
    severity: Severity | None = None
    before: int | None = None


class Silence(msgspec.Struct, frozen=True):
    """Alerts that match call no actions for a while; they are shown as silenced. Whoever was told of one before is told
    of its end all the same: what an action has done, or somebody waits for, does not last for ever.

    Attributes:
        id: `s-1`, ...
        rule: only alerts of this rule (id or name); "" for all.
        execution: only this execution's; "" for all.
        labels: only alerts with all of these.
        until: wall clock seconds.
        owner: uid; with `own`, only alerts of this user's executions are silenced.
    """

    id: str
    author: str
    reason: str
    since: float
    until: float
    rule: str = ""
    execution: str = ""
    labels: Mapping[str, str] = {}
    owner: int | None = None
    own: bool = False


class Delivery(msgspec.Struct, frozen=True):
    """One call of an action that is on its way, kept until it has succeeded or was given up.

    Attributes:
        id: of this delivery, for ever: receivers tell repeated ones by it (the idempotency key).
        told: the alert as it was when the action was called.
        also: ids of further alerts that it tells of: several that fire, or end, at the same time are one notice.
        firing: False when it tells that the alert is resolved.
        created_at: wall clock seconds.
        attempts: how often it was tried. `error`: why the last try failed.
        next_at: wall clock seconds of the next try. `done_at`: when it succeeded; `given_up`: it never did.
        delay_s: how long it waits for the next try; `waited_s`: for all tries so far, by the monotonic clock.
        tried_at: wall clock seconds of the last try; None before the first.
    """

    id: str
    action: str
    parameters: Mapping[str, Any]
    told: Alert
    firing: bool
    created_at: float
    attempts: int = 0
    next_at: float = 0.0
    done_at: float | None = None
    given_up: bool = False
    error: str = ""
    delay_s: float = 0.0
    waited_s: float = 0.0
    tried_at: float | None = None
    also: tuple[str, ...] = ()

    @property
    def alert(self) -> str:
        """Id of the alert."""
        return self.told.id

    @property
    def alerts(self) -> tuple[str, ...]:
        """Ids of all alerts that it tells of."""
        return (self.told.id, *self.also)

    @property
    def settled(self) -> bool:
        """Nothing more happens to it."""
        return self.done_at is not None or self.given_up


class Tried(msgspec.Struct, frozen=True):
    """What came of one try of an action.

    Attributes:
        error: why it failed, one sentence for people without secrets; "" when it was done.
        final: trying again would not help.
        after_s: seconds after which the receiver wants it tried again; None when it does not say.
        said: what it had to say besides, for the log.
    """

    error: str = ""
    final: bool = False
    after_s: float | None = None
    said: str = ""
