"""What an alert says: one sentence with value, threshold and since when."""

from __future__ import annotations

import datetime

from migmond.domain.alert import Aggregation, Alert, AlertRule, AlertState, Operator
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
    if alert.value is None:
        said = f"{name} is not told"
    else:
        said = f"{name} is {show_amount(alert.value, unit, per_second=per_second)}"
    line = f"{of}{what}: {said}, {_WORDS[condition.operator]} {threshold} since {time_of(alert.pending_at)}"
    if alert.state is AlertState.RESOLVED:
        why = alert.ending or f"{name} is {_or_nothing(alert, unit, per_second=per_second)}"
        fired, pending = alert.fired_at, time_of(alert.pending_at)
        begin = f"it fired at {time_of(fired)}" if fired is not None else f"it was so since {pending}, and never fired"
        line = f"{of}{what}: resolved, {why}; {begin}, threshold {threshold}"
    return line


def _or_nothing(alert: Alert, unit: str, *, per_second: bool) -> str:
    return "not told" if alert.value is None else show_amount(alert.value, unit, per_second=per_second)
