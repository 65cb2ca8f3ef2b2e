"""From alerts, rules and silences to what clients see. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from migmond.alerting.metrics import Known
from migmond.domain.alert import Alert, AlertRule, Delivery, Severity, Silence
from migmond.domain.alert_api import AlertView, DeliveryView, RuleSpec, RuleView, SilenceView
from migmond.domain.alert_expression import show_condition

WORST_FIRST = (Severity.CRITICAL, Severity.ERROR, Severity.WARNING, Severity.INFO)
RANK: Mapping[Severity, int] = {severity: i for i, severity in enumerate(reversed(WORST_FIRST))}
"""The higher the worse."""


def time_text(at: float) -> str:
    """Return wall clock seconds as RFC 3339 text, as `engine.views` does."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="milliseconds")


def alert_view(
    alert: Alert, rule: AlertRule | None, known: Known | None, name: str, deliveries: Sequence[Delivery] = ()
) -> AlertView:
    """Return an alert as clients see it.

    Args:
        rule: None when it is no more.
        known: of its metric.
        name: of its execution, "" when there is none.
    """
    return AlertView(
        alert.id, alert.rule, alert.rule_name, alert.severity.value, alert.state.value, alert.message, alert.execution,
        name, alert.device, alert.labels, alert.metric, known.unit if known is not None else "", alert.value,
        alert.threshold, rule.condition.operator.value if rule is not None else "", time_text(alert.pending_at),
        time_text(alert.updated_at), _time(alert.fired_at), _time(alert.resolved_at), _time(alert.acknowledged_at),
        alert.acknowledged_by, alert.note, alert.quiet, tuple(_delivery_view(d) for d in deliveries),
    )  # fmt: skip


def _delivery_view(d: Delivery) -> DeliveryView:
    state = "done" if d.done_at is not None else "given up" if d.given_up else "waiting"
    return DeliveryView(d.id, d.action, d.firing, state, d.attempts, time_text(d.created_at), d.error)


def _time(at: float | None) -> str | None:
    return None if at is None else time_text(at)


def rule_view(rule: AlertRule, firing: int, *, changed: bool) -> RuleView:
    """Return a rule as clients see it."""
    spec = RuleSpec(
        rule.name, rule.condition, rule.severity, rule.description, rule.actions, rule.enabled, rule.cooldown_s,
        rule.labels, rule.inhibits,
    )  # fmt: skip
    return RuleView(
        rule.id, spec, show_condition(rule.condition), rule.builtin, changed, rule.own, rule.owner,
        _time(rule.created_at or None), _time(rule.changed_at or None), firing,
    )  # fmt: skip


def silence_view(s: Silence, rule: AlertRule | None) -> SilenceView:
    """Return a silence as clients see it.

    Args:
        rule: that it is about; None for all, or when it is no more.
    """
    return SilenceView(
        s.id, s.author, s.reason, time_text(s.since), time_text(s.until), s.rule, s.execution, s.labels, s.own,
        rule.name if rule is not None else "",
    )  # fmt: skip
