"""Metrics as Prometheus reads them: the text format 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/ and, for names,
https://prometheus.io/docs/practices/naming/. Labels are bounded: every value of a label is a series that a server keeps
for months, so that a path, or anything else that grows with the data, is never one.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable, Iterator

import msgspec

from migmond.domain.errors import InvalidInput

MAX_LABELS = 6
MAX_SERIES = 1000
"""Of one family: 100 executions with all their causes. What is beyond is left out and counted."""
MAX_LABEL_CHARS = 120
DROPPED = "migmond_export_dropped_series"

_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_UNITS = frozenset({"bytes", "seconds", "celsius", "ratio", "joules", "watts", ""})
_UNBOUNDED = frozenset({"path", "file", "filename", "directory", "message", "inode", "task", "pid"})


class FamilyKind(enum.StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"


class Family(msgspec.Struct, frozen=True):
    """One metric. `labels`: names of its labels; `unit`: a base unit or ""."""

    name: str
    kind: FamilyKind
    unit: str
    help: str
    labels: tuple[str, ...] = ()


class Series(msgspec.Struct, frozen=True):
    """One value; `labels` has one for each of its family's, in their order. None: there is no data now."""

    labels: tuple[str, ...]
    value: float | None


def check(family: Family) -> None:
    """Refuse a family that breaks the conventions.

    Raises:
        InvalidInput: its name, unit or labels; the message says which rule.
    """

    def refuse(why: str) -> InvalidInput:
        return InvalidInput(f"metric {family.name}: {why}")

    if not _NAME.fullmatch(family.name) or not family.name.startswith("migmond_"):
        raise refuse("the name is lower case letters, digits and _, and begins with migmond_")
    if (family.kind is FamilyKind.COUNTER) != family.name.endswith("_total"):
        raise refuse("a counter, and nothing else, ends in _total")
    if family.unit not in _UNITS:
        raise refuse(f"{family.unit} is no base unit")
    if family.unit and not family.name.removesuffix("_total").endswith(f"_{family.unit}"):
        raise refuse(f"the name ends with its unit, {family.unit}")
    if not family.help:
        raise refuse("it has no help")
    if len(family.labels) > MAX_LABELS or len(set(family.labels)) != len(family.labels):
        raise refuse(f"at most {MAX_LABELS} labels, each once")
    for label in family.labels:
        if not _NAME.fullmatch(label) or label.startswith("__") or label in ("le", "quantile"):
            raise refuse(f"{label} is no name for a label")
        if label in _UNBOUNDED:
            raise refuse(f"label {label} has as many values as there is data")


def exposition(families: Iterable[tuple[Family, Iterable[Series]]]) -> Iterator[str]:
    """Yield lines, each with its newline: every family once, with its HELP and TYPE before its samples.

    A value that is not known is not there. Of two series with the same labels the first one counts. What is beyond
    `MAX_SERIES` is left out; how much that is, is a metric of its own at the end.

    Raises:
        InvalidInput: a family breaks the conventions or comes twice, or a series has not its labels.
    """
    seen: set[str] = set()
    dropped: list[Series] = []
    for family, series in families:
        check(family)
        if family.name in seen or family.name == DROPPED:
            raise InvalidInput(f"metric {family.name} comes twice")
        seen.add(family.name)
        lines, left_out = _samples(family, series)
        yield from _head(family)
        yield from lines
        dropped.append(Series((family.name,), float(left_out)))
    own = Family(DROPPED, FamilyKind.GAUGE, "", "Series that this answer leaves out, by metric: too many.", ("metric",))
    yield from _head(own)
    for one in dropped:
        yield _sample(own, one.labels, one.value or 0.0)


def _head(family: Family) -> Iterator[str]:
    text = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    yield f"# HELP {family.name} {text}\n"
    yield f"# TYPE {family.name} {family.kind.value}\n"


def _samples(family: Family, series: Iterable[Series]) -> tuple[list[str], int]:
    lines: dict[tuple[str, ...], str] = {}
    left_out = 0
    for one in series:
        if len(one.labels) != len(family.labels):
            raise InvalidInput(f"metric {family.name} has {len(family.labels)} labels, not {len(one.labels)}")
        if one.value is None:
            continue
        labels = tuple(label_text(value) for value in one.labels)
        if labels in lines or len(lines) >= MAX_SERIES:
            left_out += 1
        else:
            lines[labels] = _sample(family, labels, one.value)
    return list(lines.values()), left_out


def _sample(family: Family, labels: tuple[str, ...], value: float) -> str:
    pairs = ",".join(f'{name}="{_escaped(text)}"' for name, text in zip(family.labels, labels, strict=True))
    return f"{family.name}{{{pairs}}} {number(value)}\n" if pairs else f"{family.name} {number(value)}\n"


def label_text(value: str) -> str:
    """Return a label's value as text of bounded length."""
    text = value.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_LABEL_CHARS else text[: MAX_LABEL_CHARS - 1] + "…"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(value: float) -> str:
    """Return a value as the format has it: `NaN`, `+Inf`, `-Inf`, or the shortest text that reads back the same."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(float(value))
