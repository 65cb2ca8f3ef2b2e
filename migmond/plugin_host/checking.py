"""What a spec must be to be accepted. Structs do not look at what they are made of, so the host does."""

from __future__ import annotations

import math
import re
from typing import Any, TypeGuard

import msgspec

from migmond.domain.errors import PluginError
from migmond.domain.limits import MAX_INTEGER
from migmond.plugin_api.specs import MAX_INTERVAL_S, CollectorSpec, MetricDesc, Proposal

MIN_INTERVAL_S = 0.1

_LEAST = {"workers": 1, "batch": 0, "io": 1}
"""Of what a strategy may propose, the smallest value; see `Proposal`."""
_MOST_GAIN = 100.0
"""A rate that is a hundred times what it is: nobody can know of more."""
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LABEL_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_spec(name: Any, call: Any, *, text: Any = "none is asked for", deadline_s: Any = 1.0) -> None:
    """Check what specs of all kinds have.

    Args:
        call: what the host will call.
        text: its help.

    Raises:
        PluginError: says which spec and what is wrong with it.
    """
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise PluginError(f"the name {name!r} is not lower case letters, digits, - and _")
    if not callable(call):
        raise PluginError(f"{name} has nothing to call: {call!r}")
    if not (isinstance(text, str) and text.strip()):
        raise PluginError(f"{name} has no help")
    if not _is_number(deadline_s) or deadline_s <= 0:
        raise PluginError(f"{name}: the deadline {deadline_s!r} is out of range")


def check_collector(spec: CollectorSpec) -> None:
    """Check interval, metrics and kinds of notes.

    Raises:
        PluginError: says what is wrong.
    """
    if not _is_number(spec.interval_s) or not MIN_INTERVAL_S <= spec.interval_s <= MAX_INTERVAL_S:
        raise PluginError(f"collector {spec.name}: the interval {spec.interval_s!r} is out of range")
    names: set[str] = set()
    for metric in spec.metrics:
        _check_metric(metric)
        if metric.name in names:
            raise PluginError(f"collector {spec.name} describes {metric.name} twice")
        names.add(metric.name)
    if not names:
        raise PluginError(f"collector {spec.name} describes no metric")
    for kind, text in spec.note_kinds.items():
        check_spec(kind, str, text=text)


def check_proposal(proposal: Proposal) -> None:
    """Check that a proposal can be made a command of.

    Raises:
        PluginError: says what is wrong with it.
    """
    value: Any = proposal.value
    why: Any = proposal.why
    least = _LEAST.get(proposal.action)
    if least is None:
        raise PluginError(f"there is no action {proposal.action!r}; there are: {', '.join(_LEAST)}")
    if not _is_number(value) or not least <= value <= MAX_INTEGER or value != int(value):
        raise PluginError(f"{proposal.action} {value!r} is no whole number from {least} on")
    if not _is_number(proposal.expected_gain) or not 0 <= proposal.expected_gain <= _MOST_GAIN:
        raise PluginError(f"{proposal.action}: the gain {proposal.expected_gain!r} is no share")
    if not (isinstance(why, str) and why.strip()):
        raise PluginError(f"{proposal.action}: it does not say why")


def is_struct_type(kind: Any) -> TypeGuard[type[msgspec.Struct]]:
    """Can msgspec decode a table to it, key by key?"""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _check_metric(metric: Any) -> None:
    if not isinstance(metric, MetricDesc):
        raise PluginError(f"{metric!r} is no MetricDesc")
    name: Any = metric.name
    text: Any = metric.help
    if not (isinstance(name, str) and _METRIC_NAME.fullmatch(name)):
        raise PluginError(f"the metric's name {name!r} is not lower case letters, digits and _")
    if not (isinstance(text, str) and text.strip()):
        raise PluginError(f"metric {name} has no help")
    labels: Any = metric.labels
    if bad := [label for label in labels if not (isinstance(label, str) and _LABEL_NAME.fullmatch(label))]:
        raise PluginError(f"metric {name}: the label {bad[0]!r} is not lower case letters, digits and _")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
