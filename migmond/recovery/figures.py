"""What figures were around errors: before the first, at worst meanwhile, and after the last. Pure: they come from what
was recorded then, not from what is so when somebody asks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from migmond.domain.telemetry import Chart, Curve, MetricKind, Selection
from migmond.domain.units import show_amount
from migmond.recovery.correlation import Fact, FactKind, Found, Where

AROUND_S = 600.0
"""So long before the first and after the last error: disks are asked for their health every five minutes."""
MOST_POINTS = 600
FINEST_S = 2.0
"""The finest that a history keeps (`analytics.tiers`)."""

K = FactKind
_COUNTS = frozenset({K.SMART, K.LINK})


class Figure(msgspec.Struct, frozen=True):
    """What one series was.

    Attributes:
        kind: of the fact that it may make.
        subject: disk or mount point.
        title: what it is, a few words.
        before, after: its last value before the first error and its first after the last one; None when nothing is on
            record there.
        worst: from the first error to the last; None when nothing is on record. Of a counter what was added.
        worst_at: wall clock seconds at which the bucket of the worst value begins.
    """

    kind: FactKind
    metric: str
    unit: str
    subject: str
    title: str
    before: float | None
    worst: float | None
    worst_at: float
    after: float | None

    @property
    def text(self) -> str:
        """One sentence for people."""
        said = [
            f"{show_amount(value, self.unit)} {word}"
            for value, word in (
                (self.before, "before"),
                (self.worst, "at worst while it failed"),
                (self.after, "after"),
            )
            if value is not None
        ]
        return f"{self.title} of {self.subject}: {', '.join(said)}"


class _Metric(msgspec.Struct, frozen=True):
    """`label`: by which it tells what it is about; `low`: the lowest is the worst."""

    name: str
    label: str
    kind: FactKind
    title: str
    low: bool = False


_METRICS = (
    _Metric("migmond_filesystem_available_bytes", "mount", K.NO_SPACE, "free room", low=True),
    _Metric("migmond_filesystem_free_inodes", "mount", K.NO_INODES, "free inodes", low=True),
    _Metric("migmond_disk_temperature_celsius", "device", K.HOT, "temperature"),
    _Metric("migmond_disk_pending_sectors", "device", K.SMART, "sectors that wait to be replaced"),
    _Metric("migmond_disk_offline_uncorrectable_sectors", "device", K.SMART, "sectors that cannot be read"),
    _Metric("migmond_disk_reallocated_sectors", "device", K.SMART, "sectors that were replaced"),
    _Metric("migmond_disk_media_errors_total", "device", K.SMART, "media errors"),
    _Metric("migmond_disk_link_errors_total", "device", K.LINK, "errors of the link"),
)


def selections(where: Where) -> list[Selection]:
    """Return which series tell of what a group's entries are on."""
    named = {"mount": [where.mount] if where.mount else [], "device": list(where.disks)}
    return [Selection(m.name, ((m.label, subject),)) for m in _METRICS for subject in named[m.label]]


def span(first_at: float, last_at: float, now: float) -> tuple[float, float, float]:
    """Return from when to when to look, and in what steps; wall clock seconds."""
    start, end = max(0.0, first_at - AROUND_S), max(min(last_at + AROUND_S, now), first_at + FINEST_S)
    return start, end, max(FINEST_S, (end - start) / MOST_POINTS)


def figures(chart: Chart, first_at: float, last_at: float) -> list[Figure]:
    """Return what a chart says of the time around errors; series that say nothing are left out.

    Args:
        chart: of `selections`, over `span`.
        first_at, last_at: of the errors, wall clock seconds.
    """
    by_name = {m.name: m for m in _METRICS}
    found = []
    for curve in chart.curves:
        metric = by_name.get(curve.series.metric)
        subject = dict(curve.series.labels).get(metric.label, "") if metric is not None else ""
        if metric is None or not subject:
            continue
        figure = _figure(chart, curve, metric, subject, first_at, last_at)
        if figure is not None:
            found.append(figure)
    return sorted(found, key=lambda f: (f.kind, f.subject, f.metric))


def _figure(
    chart: Chart, curve: Curve, metric: _Metric, subject: str, first_at: float, last_at: float
) -> Figure | None:
    step, counter = chart.step_s, curve.series.kind is MetricKind.COUNTER
    first = math.floor((first_at - chart.first_at) / step)
    last = math.floor((last_at - chart.first_at) / step)
    before = _last(curve.mean[: max(0, first)])
    after = _last(curve.mean[max(0, last + 1) :][::-1])
    within = range(max(0, first), min(chart.buckets, last + 1))
    if counter:  # what is on record is a rate
        told = [curve.mean[i] for i in within]
        added = [value * step for value in told if value is not None]
        worst, at = (sum(added) if added else None), first
        before, after = None, None
    else:
        values = [(v, i) for i in within if (v := (curve.low if metric.low else curve.high)[i]) is not None]
        worst, at = (
            (min(values) if metric.low else max(values, key=lambda v: (v[0], -v[1]))) if values else (None, first)
        )
    if before is None and worst is None and after is None:
        return None
    at_s = chart.first_at + max(0, at) * step
    unit = curve.series.unit
    return Figure(metric.kind, metric.name, unit, subject, metric.title, before, worst, at_s, after)


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def concerning(cause: Found, told: Iterable[Figure]) -> tuple[Figure, ...]:
    """Return the figures that have to do with a cause; a disk that never counted an error of a kind tells nothing."""
    kinds = cause.cause.facts.keys()
    return tuple(f for f in told if f.kind in kinds and (f.kind not in _COUNTS or f.before or f.worst or f.after))


def fact_of(figure: Figure) -> Fact:
    """Return a figure that is out of the ordinary as what was noticed then."""
    return Fact(figure.kind, figure.worst_at, figure.subject, figure.text)


def has_risen(figure: Figure) -> bool:
    """Whether a count of errors rose while there were errors, or soon after."""
    if figure.kind not in _COUNTS:
        return False
    if figure.before is None:  # a counter: `worst` is what was added
        return figure.metric.endswith("_total") and bool(figure.worst)
    return max(figure.worst or 0.0, figure.after or 0.0) > figure.before
