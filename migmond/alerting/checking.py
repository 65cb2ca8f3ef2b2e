"""Whether a rule from outside makes sense: every refusal says what is wrong and what to write instead."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping

import msgspec

from migmond.alerting.metrics import Known
from migmond.domain.alert import MAX_HELD_S, MAX_WINDOW_S, Aggregation, AlertRule, Condition, Missing, Operator
from migmond.domain.errors import InvalidInput, about
from migmond.domain.telemetry import MAX_LABELS, MAX_TEXT, MAX_VALUE, MetricKind

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_OWN_IDS = re.compile(r"[ars]-[0-9]+")
MAX_ACTIONS = 10
MAX_INHIBITS = 20
_LONGEST = 2000
"""Characters of a description."""
MAX_ACTIONS_BYTES = 64 << 10
"""Of all actions of a rule, as JSON: each alert and each call has a copy on record."""


def check_rule(rule: AlertRule, metrics: Mapping[str, Known]) -> None:
    """Raise InvalidInput when a rule makes no sense.

    Args:
        metrics: all that rules may name.
    """
    if not _NAME.fullmatch(rule.name) or _OWN_IDS.fullmatch(rule.name):
        raise InvalidInput(
            f"{rule.name[:40]!r} is no name for a rule",
            hint="a letter, then up to 63 letters, digits, dots, dashes and underscores; not like r-1",
            field="name",
        )
    if len(rule.description) > _LONGEST:
        raise InvalidInput(
            "the description is too long", hint=f"use at most {_LONGEST:,} characters", field="description"
        )
    if len(rule.actions) > MAX_ACTIONS:
        raise InvalidInput(f"{len(rule.actions)} actions", hint=f"a rule has at most {MAX_ACTIONS}", field="actions")
    if len(msgspec.json.encode(rule.actions)) > MAX_ACTIONS_BYTES:
        raise InvalidInput(
            "the actions have too long parameters", hint=f"at most {MAX_ACTIONS_BYTES >> 10} KiB", field="actions"
        )
    if len(rule.inhibits) > MAX_INHIBITS:
        raise InvalidInput(f"it inhibits {len(rule.inhibits)} rules", hint=f"at most {MAX_INHIBITS}", field="inhibits")
    if any(len(name) > MAX_TEXT for name in rule.inhibits):
        raise InvalidInput("a name in inhibits is too long", hint="give names of rules", field="inhibits")
    check_labels(rule.labels)
    _check_seconds("cooldown_s", rule.cooldown_s, MAX_HELD_S)
    with about("condition"):
        check_condition(rule.condition, metrics)


def check_inhibition(rule: AlertRule, others: Iterable[AlertRule]) -> None:
    """Raise InvalidInput when rules would keep one another quiet in a circle: when all fire nobody would be told.

    Args:
        others: all rules beside this one, which may have an older one with its id among them.
    """
    named = {name: r for r in (*others, rule) for name in (r.id, r.name) if r.id != rule.id or r is rule}
    todo, seen = [(rule, rule.name)], {rule.id}
    while todo:
        at, path = todo.pop()
        for other in (named[name] for name in at.inhibits if name in named):
            if other is rule:
                raise InvalidInput(
                    f"rules would keep one another quiet, and when they fire nobody is told: {path} → {rule.name}",
                    hint="take one of them out of inhibits",
                    field="inhibits",
                )
            if other.id not in seen:
                seen.add(other.id)
                todo.append((other, f"{path} → {other.name}"))


def check_condition(condition: Condition, metrics: Mapping[str, Known]) -> None:
    """Raise InvalidInput when a condition makes no sense."""
    metric = metrics.get(condition.metric)
    if metric is None:
        near = difflib.get_close_matches(condition.metric[:MAX_TEXT], metrics, 1, 0.5)
        hint = f"did you mean {near[0]}?  (migmon metrics)" if near else "migmon metrics lists what there is"
        raise InvalidInput(f"there is no metric {condition.metric[:60]!r}", hint=hint, field="metric")
    check_labels(condition.labels)
    unknown = sorted(set(condition.labels) - set(metric.labels))
    if unknown:
        have = ", ".join(metric.labels) or "none"
        no_label = f"{condition.metric} has no label {unknown[0][:40]!r}"
        raise InvalidInput(no_label, hint=f"its labels: {have}", field="labels")
    for name, value in (("threshold", condition.threshold), ("resolve_threshold", condition.resolve_threshold)):
        if value is not None and not (math.isfinite(value) and abs(value) <= MAX_VALUE):
            raise InvalidInput(f"{name} is {value}", hint="give a number", field=name)
    if not (math.isfinite(condition.window_s) and 1.0 <= condition.window_s <= MAX_WINDOW_S):
        hint = f"1 s to {MAX_WINDOW_S / 3600:.0f} h"
        raise InvalidInput(f"a window of {condition.window_s} s", hint=hint, field="window_s")
    _check_seconds("for_s", condition.for_s, MAX_HELD_S)
    _check_seconds("keep_firing_for_s", condition.keep_firing_for_s, MAX_HELD_S)
    _check_resolve(condition)
    if metric.kind is MetricKind.COUNTER and condition.aggregation in (Aggregation.AVG, Aggregation.SUM):
        raise InvalidInput(
            f"{condition.metric} is a counter: its {condition.aggregation.value} means nothing",
            hint=f"write rate({condition.metric})",
            field="aggregation",
        )
    if condition.missing is Missing.FIRE and condition.for_s < 1:
        raise InvalidInput(
            "a rule that fires on missing data fires at every start", hint="add e.g. for 5m", field="for_s"
        )


def _check_resolve(condition: Condition) -> None:
    resolve, threshold = condition.resolve_threshold, condition.threshold
    if resolve is None:
        return
    match condition.operator:
        case Operator.ABOVE | Operator.ABOVE_OR_EQUAL:
            wrong, side = resolve > threshold, "below"
        case Operator.BELOW | Operator.BELOW_OR_EQUAL:
            wrong, side = resolve < threshold, "above"
        case _:
            field = "resolve_threshold"
            raise InvalidInput(f"a resolve threshold with {condition.operator.value}", hint="leave it out", field=field)
    if wrong:
        raise InvalidInput(
            f"it would be resolved at {resolve:g} while it fires {condition.operator.value} {threshold:g}",
            hint=f"the resolve threshold lies {side} the threshold, or at it",
            field="resolve_threshold",
        )


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise InvalidInput when there are too many labels, or too long ones."""
    if len(labels) > MAX_LABELS:
        raise InvalidInput(f"{len(labels):,} labels", hint=f"at most {MAX_LABELS}", field="labels")
    if any(len(text) > MAX_TEXT for pair in labels.items() for text in pair):
        raise InvalidInput("a label is too long", hint=f"at most {MAX_TEXT} characters", field="labels")


def _check_seconds(name: str, seconds: float, most: float) -> None:
    if not (math.isfinite(seconds) and 0 <= seconds <= most):
        raise InvalidInput(f"{name} is {seconds}", hint=f"0 to {most / 86_400:.0f} days", field=name)
