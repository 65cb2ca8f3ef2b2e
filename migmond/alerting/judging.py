"""From the value of a condition to the state of an alert: pure, one look at a time."""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Mapping

import msgspec

from migmond.domain.alert import Alert, AlertRule, AlertState, Condition, Missing, Operator
from migmond.domain.states import ALERT_TRANSITIONS, advance

_HOLDS: Mapping[Operator, Callable[[float, float], bool]] = {
    Operator.ABOVE: operator.gt,
    Operator.ABOVE_OR_EQUAL: operator.ge,
    Operator.BELOW: operator.lt,
    Operator.BELOW_OR_EQUAL: operator.le,
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
}


class Verdict(enum.Enum):
    """What one look says. MISSING: nobody knows: nothing begins, nothing ends, and no time counts."""

    MET = "met"
    CLEAR = "clear"
    MISSING = "missing"


def verdict(condition: Condition, value: float | None, *, firing: bool) -> Verdict:
    """Return what `value` says. Once firing, it is clear only past the resolve threshold (hysteresis)."""
    if value is None:
        return Verdict.MET if condition.missing is Missing.FIRE else Verdict.MISSING
    threshold = condition.threshold
    if firing and condition.resolve_threshold is not None:
        threshold = condition.resolve_threshold
    return Verdict.MET if _HOLDS[condition.operator](value, threshold) else Verdict.CLEAR


def stepped(alert: Alert, rule: AlertRule, said: Verdict, value: float | None, elapsed_s: float, at: float) -> Alert:
    """Return an open alert after a further look.

    Args:
        said: what that look says.
        elapsed_s: seconds since the look before, if that said the same; 0 when it did not, was too long ago or there
            was none: of the time between nobody knows.
        at: wall clock seconds.
    """
    condition = rule.condition
    if said is Verdict.MISSING:
        return msgspec.structs.replace(alert, value=None, updated_at=at)
    met_s = alert.met_s + elapsed_s if said is Verdict.MET else 0.0
    clear_s = alert.clear_s + elapsed_s if said is Verdict.CLEAR else 0.0
    state, fired_at, resolved_at = alert.state, alert.fired_at, alert.resolved_at
    if state is AlertState.PENDING:
        if said is Verdict.CLEAR:
            state, resolved_at = advance(ALERT_TRANSITIONS, state, AlertState.RESOLVED), at
        elif met_s >= condition.for_s:
            state, fired_at = advance(ALERT_TRANSITIONS, state, AlertState.FIRING), at
    elif state is AlertState.FIRING and said is Verdict.CLEAR and clear_s >= condition.keep_firing_for_s:
        state, resolved_at = advance(ALERT_TRANSITIONS, state, AlertState.RESOLVED), at
    return msgspec.structs.replace(
        alert, state=state, value=value, met_s=met_s, clear_s=clear_s, fired_at=fired_at, resolved_at=resolved_at,
        updated_at=at,
    )  # fmt: skip


def closed(alert: Alert, why: str, at: float) -> Alert:
    """Return an open alert resolved for another reason than its value: what it was about is no more.

    Args:
        why: part of a sentence: `the migration has ended`.
        at: wall clock seconds.
    """
    state = advance(ALERT_TRANSITIONS, alert.state, AlertState.RESOLVED)
    return msgspec.structs.replace(alert, state=state, resolved_at=at, updated_at=at, ending=why)
