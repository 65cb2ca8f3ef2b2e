"""What an alert says: one sentence with value, threshold and since when."""

from __future__ import annotations

import datetime

from migmond.alerting.judging import Verdict, verdict
from migmond.domain.alert import Aggregation, Alert, AlertRule, AlertState, Condition, Missing, Operator
from migmond.domain.units import show_amount, show_duration

_WORDS = {
    Operator.ABOVE: "above", Operator.ABOVE_OR_EQUAL: "at or above", Operator.BELOW: "below",
    Operator.BELOW_OR_EQUAL: "at or below", Operator.EQUAL: "equal to", Operator.NOT_EQUAL: "not equal to",
}  # fmt: skip
_AGGREGATES = {
    Aggregation.AVG: "mean", Aggregation.MAX: "highest", Aggregation.MIN: "lowest", Aggregation.SUM: "sum",
    Aggregation.RATE: "rate",
}  # fmt: skip


def time_of(at: float) -> str:
    """Return wall clock seconds as `2026-11-26 14:02:31 UTC`."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def sentence(rule: AlertRule, alert: Alert, unit: str, subject: str) -> str:
    """Return what is said of an alert as it is now.

    Args:
        unit: of the metric.
        subject: what it is about, for people: a migration's name, a disk; "" for the machine.
    """
    condition = rule.condition
    per_second = condition.aggregation is Aggregation.RATE
    threshold = show_amount(condition.threshold, unit, per_second=per_second)
    of = f"{subject}: " if subject else ""
    how = _AGGREGATES.get(condition.aggregation)
    name = f"{how} of {condition.metric} over {show_duration(condition.window_s)}" if how else condition.metric
    what = rule.description.split(". ")[0].rstrip(".") or rule.name
    line = f"{of}{what}: {name} is {_how_it_is(condition, alert, unit, threshold)}"
    if alert.state is AlertState.RESOLVED:
        value = alert.value
        why = f"{name} is {'not told' if value is None else show_amount(value, unit, per_second=per_second)}"
        why = alert.ending or why
        fired, pending = alert.fired_at, time_of(alert.pending_at)
        begin = f"it fired at {time_of(fired)}" if fired is not None else f"it was so since {pending}, and never fired"
        line = f"{of}{what}: resolved, {why}; {begin}, threshold {threshold}"
    return line


def _how_it_is(condition: Condition, alert: Alert, unit: str, threshold: str) -> str:
    """Return the rest of `METRIC is ...` of one that is pending or fires."""
    beyond, since = f"{_WORDS[condition.operator]} {threshold}", time_of(alert.pending_at)
    if alert.value is None:
        if condition.missing is Missing.FIRE:
            return f"not told, which counts as {beyond}, since {since}"
        return f"not told now; it was {beyond} at {since}"
    value = show_amount(alert.value, unit, per_second=condition.aggregation is Aggregation.RATE)
    if verdict(condition, alert.value, firing=False) is Verdict.CLEAR:
        return f"{value}; it was {beyond} at {since}, and that is not over yet"
    return f"{value}, {beyond} since {since}"
