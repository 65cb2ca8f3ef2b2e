"""Parameter and result types of the socket API that are about alerts; `api` says what all of them keep."""

from __future__ import annotations

from collections.abc import Mapping

from migmond.domain.alert import ActionCall, Condition, Severity
from migmond.domain.api import Params, Result


class AlertsParams(Params, frozen=True):
    """`view`: `active` (pending or firing, worst first), `silenced` (of these, those whose actions are not called), or
    `history` (resolved, newest first). `execution`: id, prefix or name; `rule`: id or name; "" for all.
    `severity`: this one or worse. `before`: the `next` of the page before, history only."""

    view: str = "active"
    execution: str = ""
    rule: str = ""
    severity: Severity | None = None
    before: int | None = None
    limit: int = 100


class DeliveryView(Result, frozen=True):
    """One call of an action. `state`: `waiting`, `done` or `given up`; `error`: why the last try failed."""

    id: str
    action: str
    firing: bool
    state: str
    attempts: int
    created_at: str
    error: str


class AlertView(Result, frozen=True):
    """`state`: `pending`, `firing` or `resolved`. `value` is null when nothing is told. `unit`: of value and threshold.
    `quiet`: why its actions are not called, "" when they are. `execution_name`: "" when it is not known any more."""

    id: str
    rule: str
    rule_name: str
    severity: str
    state: str
    message: str
    execution: str
    execution_name: str
    device: str
    labels: Mapping[str, str]
    metric: str
    unit: str
    value: float | None
    threshold: float
    operator: str
    pending_at: str
    updated_at: str
    fired_at: str | None
    resolved_at: str | None
    acknowledged_at: str | None
    acknowledged_by: str
    note: str
    quiet: str
    deliveries: tuple[DeliveryView, ...] = ()


class AlertPage(Result, frozen=True):
    """`counts`: all that fire, by severity. `next`: pass it as `before` for the following page; null at the end."""

    alerts: tuple[AlertView, ...]
    counts: dict[str, int]
    next: int | None


class AckParams(Params, frozen=True):
    """`alert`: its id. `note`: for people, at most 500 characters."""

    alert: str
    note: str = ""


class SilenceParams(Params, frozen=True):
    """What is silenced: alerts that match all that is given. `rule`: id or name. `for_s`: for how long, seconds."""

    for_s: float
    rule: str = ""
    execution: str = ""
    labels: Mapping[str, str] = {}
    reason: str = ""


class UnsilenceParams(Params, frozen=True):
    silence: str


class SilenceView(Result, frozen=True):
    """`own`: it is about alerts of its author's executions only. `rule`: id; `rule_name`: "" when it is no more."""

    id: str
    author: str
    reason: str
    since: str
    until: str
    rule: str
    execution: str
    labels: Mapping[str, str]
    own: bool
    rule_name: str = ""


class SilenceList(Result, frozen=True):
    """Those in force, the one that ends first first."""

    silences: tuple[SilenceView, ...]


class RuleSpec(Params, frozen=True):
    """A rule as it is made. `description`: what is wrong when it fires: its first sentence begins every message.
    `inhibits`: names of rules whose alerts of the same execution or device call no actions while this one fires, and
    for five minutes more if they began meanwhile."""

    name: str
    condition: Condition
    severity: Severity = Severity.WARNING
    description: str = ""
    actions: tuple[ActionCall, ...] = ()
    enabled: bool = True
    cooldown_s: float = 300.0
    labels: Mapping[str, str] = {}
    inhibits: tuple[str, ...] = ()


class RulePutParams(Params, frozen=True):
    """`replace`: id or name of the rule that this one takes the place of; "" makes a new one."""

    rule: RuleSpec
    replace: str = ""


class RuleParams(Params, frozen=True):
    """`rule`: id or name."""

    rule: str


class RuleEnableParams(Params, frozen=True):
    rule: str
    enabled: bool


class RuleView(Result, frozen=True):
    """`expression`: the condition as `migmon rules add --when` takes it. `builtin`: it came with migmond; `changed`:
    then, that somebody edited it. `own`: it looks only at its owner's executions. `firing`: alerts of it that fire."""

    id: str
    rule: RuleSpec
    expression: str
    builtin: bool
    changed: bool
    own: bool
    owner: int | None
    created_at: str | None
    changed_at: str | None
    firing: int


class RuleList(Result, frozen=True):
    rules: tuple[RuleView, ...]


class RuleTestParams(Params, frozen=True):
    """`rule`: id or name of one that there is; or `spec`, one that is not. `span_s`: how far back, seconds."""

    rule: str = ""
    spec: RuleSpec | None = None
    span_s: float = 7 * 86_400.0


class EpisodeView(Result, frozen=True):
    """Once that it would have fired. `resolved_at`: null when it would fire still. `worst`: the value farthest beyond
    the threshold."""

    labels: Mapping[str, str]
    fired_at: str
    resolved_at: str | None
    seconds: float
    worst: float | None


class RuleTestView(Result, frozen=True):
    """What a rule would have done over stored history.

    `episodes`: the newest of `times`, oldest first. `firing_s`: seconds in which it would have fired, all series
    together. `series`: how many were looked at. `covered_s`: seconds of all of them for which anything is on record;
    what is not is a gap, in which nothing begins or ends. `step_s`: how finely it was looked at: what is shorter may
    have been missed.
    """

    times: int
    firing_s: float
    episodes: tuple[EpisodeView, ...]
    series: int
    start: str
    end: str
    step_s: float
    covered_s: float
    unit: str
