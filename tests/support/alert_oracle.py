"""The naive oracle of alerts: it keeps every reading and every look, and works everything out anew each time."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Mapping

import msgspec

from migmond.domain.alert import Aggregation, Condition, Missing, Operator
from migmond.domain.telemetry import MetricKind

Raw = list[tuple[float, float]]
HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


def value_of(
    raw: Raw, aggregation: Aggregation, window_s: float, kind: MetricKind, now: float, every_s: float
) -> float | None:
    """Return the value of a window from all readings there ever were, in order of time."""
    span = max(window_s, 2.5 * every_s)
    inside = [(at, value) for at, value in raw if now - span < at <= now]
    if not inside:
        return None
    values = [value for _, value in inside]
    covered = inside[-1][0] - inside[0][0]
    if aggregation is Aggregation.LAST:
        return values[-1]
    if aggregation is Aggregation.RATE:
        if covered <= 0 or covered < window_s / 2:
            return None
        risen = 0.0
        for before, after in itertools.pairwise(values):
            reset = after < before and kind is MetricKind.COUNTER
            risen += after if reset else after - before
        return risen / covered
    if aggregation is Aggregation.SUM:
        return sum(values) if (len(values) + 0.5) * every_s >= 0.9 * window_s else None
    if covered + every_s < window_s / 2:
        return None
    found = {
        Aggregation.AVG: sum(values) / len(values),
        Aggregation.MAX: max(values),
        Aggregation.MIN: min(values),
    }
    return found[aggregation]


class Look(msgspec.Struct, frozen=True):
    """What one look saw. `restarted`: another daemon looked before it."""

    now: float
    value: float | None
    restarted: bool = False


class Told(msgspec.Struct, frozen=True):
    """An alert as it stands: index of the look at which it fired, and at which it was resolved."""

    fired: int
    resolved: int | None = None


def alerts_of(looks: list[Look], condition: Condition, longest_step_s: float) -> tuple[list[Told], bool]:
    """Return every alert that fired, and whether one is on its way (pending) after the last look.

    For each look at which something could change, the looks before are walked back and their time added up.
    """
    told: list[Told] = []
    firing_since: int | None = None
    begin: int | None = None  # of the condition being met
    for i in range(len(looks)):
        if firing_since is None:
            said = _said(condition, looks[i], firing=False)
            if said is False:
                begin = None
            elif said is True and begin is None:
                begin = i
            enough = begin is not None and _time(looks, condition, begin, i, longest_step_s, False, True) >= (
                condition.for_s
            )
            if said is True and enough:
                firing_since = i
                told.append(Told(i))
        else:
            said = _said(condition, looks[i], firing=True)
            first = i
            while first > firing_since + 1 and _said(condition, looks[first - 1], firing=True) is not True:
                first -= 1
            cleared = _time(looks, condition, first, i, longest_step_s, True, False)
            if said is False and cleared >= condition.keep_firing_for_s:
                told[-1] = msgspec.structs.replace(told[-1], resolved=i)
                firing_since = begin = None
    return told, begin is not None and firing_since is None


def _said(condition: Condition, look: Look, *, firing: bool) -> bool | None:
    if look.value is None:
        return True if condition.missing is Missing.FIRE else None
    threshold = condition.threshold
    if firing and condition.resolve_threshold is not None:
        threshold = condition.resolve_threshold
    return HOLDS[Operator(condition.operator).value](look.value, threshold)


def _time(
    looks: list[Look], condition: Condition, first: int, last: int, longest_step_s: float, firing: bool, met: bool
) -> float:
    """Seconds between neighbouring looks from `first` to `last` that both said `met`."""
    total = 0.0
    for a, b in zip(looks[first:last], looks[first + 1 : last + 1], strict=True):
        both = _said(condition, a, firing=firing) is met and _said(condition, b, firing=firing) is met
        if both and not b.restarted and b.now - a.now <= longest_step_s:
            total += b.now - a.now
    return total
