"""Whether the actions of an alert are called, and for how many at once: silences, inhibition, cooldown, groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from migmond.domain.alert import (
    STEERING_ACTIONS,
    ActionCall,
    Alert,
    AlertRule,
    AlertState,
    Silence,
)

SETTLES_S = 300.0
"""What began while another alert kept it quiet is told only when it outlasts that one by so much: the mean of some
minutes remembers a stall, and who was told of the stall need not hear that it was slow as well."""
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


def _subjects(alert: Alert) -> Iterator[tuple[str, str]]:
    if alert.execution:
        yield "execution", alert.execution
    if alert.device:
        yield "device", alert.device


def by_subject(alerts: Iterable[Alert]) -> Mapping[tuple[str, str], Sequence[Alert]]:
    """Return alerts by the execution and the device that they are about."""
    found: defaultdict[tuple[str, str], list[Alert]] = defaultdict(list)
    for alert in alerts:
        for subject in _subjects(alert):
            found[subject].append(alert)
    return found


def _lasts(inhibiting: Alert, alert: Alert, at: float) -> bool:
    """Whether an alert still keeps another quiet at wall clock `at`."""
    ended = inhibiting.resolved_at
    return ended is None or (alert.pending_at < ended and 0 <= at - ended < SETTLES_S)


class Around(msgspec.Struct, frozen=True):
    """What a decision about notices needs to know.

    Attributes:
        rules: by id.
        silences: all that have not ended.
        inhibiting: alerts that fire now, or have ended not longer than SETTLES_S ago, and whose rules inhibit others
            about the same execution or device; see `by_subject`.
        told_at: by rule and series, when actions were called last, wall clock seconds.
        owns: whether a user (uid) owns an execution (id).
    """

    rules: Mapping[str, AlertRule]
    silences: Sequence[Silence]
    inhibiting: Mapping[tuple[str, str], Sequence[Alert]]
    told_at: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
    owns: Callable[[int, str], bool]


def why_quiet(alert: Alert, rule: AlertRule, around: Around, at: float) -> str:
    """Return why the actions of a firing alert are not called now; "" when they are."""
    if alert.acknowledged_at is not None:
        return f"acknowledged by {alert.acknowledged_by}"
    for silence in around.silences:
        if silences(silence, alert, at, around.owns):
            return f"silenced by {silence.id}"
    for other in (o for subject in _subjects(alert) for o in around.inhibiting.get(subject, ())):
        if other.id != alert.id and _lasts(other, alert, at):
            theirs = around.rules.get(other.rule)
            if theirs is not None and not {rule.id, rule.name}.isdisjoint(theirs.inhibits):
                return f"inhibited by {other.id} ({other.rule_name})"
    told_at = around.told_at.get((alert.rule, alert.series))
    if told_at is not None and 0 <= at - told_at < rule.cooldown_s:
        return "cooldown"
    return ""


class Notice(msgspec.Struct, frozen=True):
    """What is to be delivered.

    Attributes:
        also: ids of the alerts that it tells of besides.
    """

    alert: Alert
    call: ActionCall
    also: tuple[str, ...] = ()


def notices(calls: Iterable[tuple[Alert, Sequence[ActionCall]]]) -> Iterator[Notice]:
    """Yield what is to be delivered about alerts of one rule that fire, or are resolved, at the same time.

    Those with the same calls are one notice, of the first with a message that counts the others; actions that change
    executions are called for each.

    Args:
        calls: of each alert.
    """
    groups: list[tuple[Sequence[ActionCall], list[Alert]]] = []
    for alert, its in calls:
        group = next((alerts for known, alerts in groups if known == its), None)
        if group is None:
            groups.append((its, group := []))
        group.append(alert)
    for its, alerts in groups:
        first, also = grouped(alerts), tuple(a.id for a in alerts[1:])
        for call in its:
            if call.name in STEERING_ACTIONS:
                yield from (Notice(alert, call) for alert in alerts)
            else:
                yield Notice(first, call, also)


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
    """Whether the end of an alert is told to anybody: only to who was told of its beginning."""
    return (
        before is not None
        and before.state is AlertState.FIRING
        and after.state is AlertState.RESOLVED
        and bool(after.told)
    )
