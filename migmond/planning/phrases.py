"""Changes of executions in words: short phrases for lists, records and previews. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from migmond.domain.limits import Limits
from migmond.domain.names import to_text
from migmond.domain.selector import Selector
from migmond.domain.steering import (
    Action,
    BatchSize,
    Cancel,
    Drain,
    Move,
    Pause,
    Place,
    Prioritise,
    Reordering,
    Resume,
    Retry,
    Route,
    Skip,
    Throttle,
    Weight,
    Workers,
)
from migmond.domain.units import show_duration, show_number, show_rate, show_size

_SHOWN = 300
"""Characters of a selector that people are shown."""


def selector_phrase(selector: Selector) -> str:
    """Return what a selector picks: `type video, larger than 1 GiB`; `everything` for one without conditions."""
    s = selector
    parts = [
        *(f"'{p}'" for p in s.include),
        *(f"not '{p}'" for p in s.exclude),
        *([f"under {to_text(s.under)}"] if s.under else []),
        *([f"larger than {show_size(s.larger_than)}"] if s.larger_than is not None else []),
        *([f"smaller than {show_size(s.smaller_than)}"] if s.smaller_than is not None else []),
        *([f"newer than {show_duration(s.newer_than)}"] if s.newer_than is not None else []),
        *([f"older than {show_duration(s.older_than)}"] if s.older_than is not None else []),
        *([f"type {' or '.join(s.types)}"] if s.types else []),
        *([f"state {' or '.join(s.states)}"] if s.states else []),
        *([f"error {' or '.join(s.errors)}"] if s.errors else []),
        *(["on that disk"] if s.devices else []),
    ]
    text = ", ".join(parts) or "everything"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def limit_phrases(limits: Limits, names: frozenset[str], now: Mapping[str, float | None]) -> str:
    """Return what limits say: `I/O 50 MiB/s, CPU 80%`.

    Args:
        names: fields that are told of, also when they limit nothing.
        now: what is used of those that are not limited, per second, by field; shown in place of "unlimited".
    """
    parts = []
    for name, show in _LIMITS.items():
        if name not in names:
            continue
        value = getattr(limits, name)
        value = value if value is not None else now.get(name)
        parts.append(f"{_NAMES[name]} {show(value) if value else 'unlimited'}")
    if "timetable" in names:
        parts.append(f"timetable {limits.timetable}" if limits.timetable else "no timetable")
    return ", ".join(parts)


_LIMITS = {
    "io_bytes_per_s": show_rate,
    "io_ops_per_s": lambda value: f"{show_number(value)}/s",
    "network_bytes_per_s": show_rate,
    "cpu_percent": lambda value: f"{value:g}%",
    "memory_bytes": show_size,
}
_NAMES = {
    "io_bytes_per_s": "I/O",
    "io_ops_per_s": "operations",
    "network_bytes_per_s": "network",
    "cpu_percent": "CPU",
    "memory_bytes": "memory",
}


def told_limits(action: Throttle) -> frozenset[str]:
    """Return which limits it sets."""
    return frozenset(name for name, value in msgspec.structs.asdict(action).items() if value is not UNSET)


def action_phrase(action: Action) -> str:
    """Return what is asked for: `throttle I/O 50 MiB/s`, `workers 4`, `skip type video`."""
    match action:
        case Throttle():
            told = {n: v for n, v in msgspec.structs.asdict(action).items() if v is not UNSET}
            if len(told) == len(action.__struct_fields__) and not any(told.values()):
                return "throttle off"
            return f"throttle {limit_phrases(Limits(**told), frozenset(told), {})}"
        case Workers():
            return f"workers {action.count}"
        case BatchSize():
            return f"batch {action.entries or 'auto'}"
        case Reordering():
            return f"order {action.order.value}"
        case Weight():
            return f"weight {action.weight:g}"
        case Prioritise():
            return f"priority {action.level.value}: {selector_phrase(action.selector)}"
        case Move():
            place = f"before entry {action.before}" if action.place is Place.BEFORE else action.place.value
            return f"reorder {place}: {selector_phrase(action.selector)}"
        case Skip():
            return f"skip {selector_phrase(action.selector)}"
        case Route():
            return f"route to {to_text(action.destination)}: {selector_phrase(action.selector)}"
        case Pause() | Resume() | Retry():
            name = str(action.__struct_config__.tag)
            return name if action.selector.selects_all else f"{name} {selector_phrase(action.selector)}"
        case Cancel() | Drain():
            return str(action.__struct_config__.tag)
