"""Whether the actions of an alert are called, and for how many at once: silences, inhibition, cooldown, groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from migmond.domain.alert import (
    STEERING_ACTIONS,
    ActionCall,
    Alert,
    AlertRule,
    AlertState,
    Silence,
)

_NAMED = 3
"""How many of a group are named in its message."""


def silences(silence: Silence, alert: Alert, at: float, owns: Callable[[int, str], bool]) -> bool:
    """Whether a silence is about that alert at wall clock `at`.

    Args:
        owns: whether a user (uid) owns an execution (id).
    """
    return (
        silence.since <= at < silence.until
        and silence.rule in ("", alert.rule, alert.rule_name)
        and silence.execution in ("", alert.execution)
        and silence.labels.items() <= alert.labels.items()
        and (not silence.own or (silence.owner is not None and owns(silence.owner, alert.execution)))
    )


def concern_the_same(alert: Alert, other: Alert) -> bool:
    """Whether two alerts are about the same execution or the same device."""
    return bool(
        (alert.execution and alert.execution == other.execution) or (alert.device and alert.device == other.device)
    )


class Around(msgspec.Struct, frozen=True):
    """What a decision about notices needs to know.

    Attributes:
        rules: by id.
        silences: all that have not ended.
        inhibiting: alerts that fire now and whose rules inhibit others.
        told_at: by rule and series, when actions were called last, wall clock seconds.
        owns: whether a user (uid) owns an execution (id).
    """

    rules: Mapping[str, AlertRule]
    silences: Sequence[Silence]
    inhibiting: Sequence[Alert]
    told_at: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
    owns: Callable[[int, str], bool]


def why_quiet(alert: Alert, rule: AlertRule, around: Around, at: float) -> str:
    """Return why the actions of a firing alert are not called now; "" when they are."""
    if alert.acknowledged_at is not None:
        return f"acknowledged by {alert.acknowledged_by}"
    for silence in around.silences:
        if silences(silence, alert, at, around.owns):
            return f"silenced by {silence.id}"
    for other in around.inhibiting:
        if other.id != alert.id and concern_the_same(alert, other):
            theirs = around.rules.get(other.rule)
            if theirs is not None and not {rule.id, rule.name}.isdisjoint(theirs.inhibits):
                return f"inhibited by {other.id} ({other.rule_name})"
    told_at = around.told_at.get((alert.rule, alert.series))
    if told_at is not None and 0 <= at - told_at < rule.cooldown_s:
        return "cooldown"
    return ""


def notices(rule: AlertRule, alerts: Sequence[Alert], *, firing: bool) -> Iterable[tuple[Alert, ActionCall]]:
    """Yield what is to be delivered about alerts of one rule that fire, or are resolved, at the same time.

    Several are one notice, of the first with a message that counts the others; actions that change executions are
    called for each.
    """
    if not alerts:
        return
    together = grouped(alerts)
    for call in rule.actions:
        if not firing and not call.on_resolve:
            continue
        if call.name in STEERING_ACTIONS:
            yield from ((alert, call) for alert in alerts)
        else:
            yield together, call


def grouped(alerts: Sequence[Alert]) -> Alert:
    """Return the first of some alerts with a message that tells of all of them."""
    first = alerts[0]
    if len(alerts) == 1:
        return first
    others = [a.execution or a.device or a.id for a in alerts[1 : 1 + _NAMED]]
    more = len(alerts) - 1 - len(others)
    names = ", ".join(others) + (f" and {more} more" if more else "")
    return msgspec.structs.replace(first, message=f"{len(alerts)} alerts: {first.message}; also {names}")


def is_told(before: Alert | None, after: Alert) -> bool:
    """Whether the end of an alert is told to its actions: only to those that were told of its beginning."""
    return (
        before is not None
        and before.state is AlertState.FIRING
        and after.state is AlertState.RESOLVED
        and after.notified_at is not None
    )
