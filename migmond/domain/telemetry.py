"""What is measured over time: series, readings, curves of a chart, and events on the time axis.

All times are wall clock seconds since the epoch (people's), because they must mean something after a restart.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Container, Mapping

import msgspec

MAX_TEXT = 500
"""Characters of a metric's name, a label's name or value, or a unit; longer ones are refused."""
MAX_LABELS = 16
MAX_AT = float(1 << 37)
"""Year 6325: what says it is later has no clock."""
MIN_EVERY_S, MAX_EVERY_S = 0.01, 86_400.0
MAX_VALUE = 3.0e38
"""Histories may keep values as 32-bit floats, which end at 3.4e38."""


class MetricKind(enum.StrEnum):
    """GAUGE: a value that goes up and down. COUNTER: a total that only grows, or begins again at 0."""

    GAUGE = "gauge"
    COUNTER = "counter"


class Series(msgspec.Struct, frozen=True):
    """One line of a chart. Metric, labels and kind together are its identity; `unit` is told with it.

    Attributes:
        labels: pairs of name and value in ascending order of the names; `series_of` sorts them.
    """

    metric: str
    labels: tuple[tuple[str, str], ...] = ()
    kind: MetricKind = MetricKind.GAUGE
    unit: str = ""

    @property
    def execution(self) -> str:
        """The id of the execution it belongs to, "" for none."""
        return dict(self.labels).get("execution", "")


def series_of(
    metric: str, labels: Mapping[str, str] | None = None, kind: MetricKind = MetricKind.GAUGE, unit: str = ""
) -> Series:
    """Return a series with its labels in order."""
    return Series(metric, tuple(sorted((labels or {}).items())), kind, unit)


def is_sound(series: Series) -> bool:
    """Whether a history takes it: named, labels in order and each once, nothing longer than MAX_TEXT."""
    names = [name for name, _ in series.labels]
    texts = [series.metric, series.unit, *names, *(value for _, value in series.labels)]
    return (
        bool(series.metric)
        and len(names) <= MAX_LABELS
        and names == sorted(set(names))
        and all(len(text) <= MAX_TEXT and _is_utf8(text) for text in texts)
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: no database takes it
        return False
    return True


class Reading(msgspec.Struct, frozen=True):
    """One value. Of a counter it is the total as the source says it; rates are the history's business."""

    series: Series
    value: float


class Batch(msgspec.Struct, frozen=True):
    """What was read at one moment.

    Attributes:
        at: wall clock seconds.
        every_s: seconds until the next batch of these series is due; what does not come by then is a gap.
    """

    at: float
    every_s: float
    readings: tuple[Reading, ...]

    @property
    def has_time(self) -> bool:
        """Whether its times are any."""
        return 0 <= self.at < MAX_AT and MIN_EVERY_S <= self.every_s <= MAX_EVERY_S


def is_value(value: float) -> bool:
    """Whether a history can keep it."""
    return math.isfinite(value) and abs(value) <= MAX_VALUE


class Selection(msgspec.Struct, frozen=True):
    """Which series: those of the metric that have all of these labels with these values, and any others."""

    metric: str
    labels: tuple[tuple[str, str], ...] = ()

    def picks(self, series: Series) -> bool:
        """Whether it is one of these."""
        return series.metric == self.metric and set(self.labels) <= set(series.labels)


class SeriesInfo(msgspec.Struct, frozen=True):
    """A series on record.

    Attributes:
        number: of this record; ascending, never used again.
        every_s: seconds between its newest readings.
        first_at, last_at: wall clock seconds of what was recorded; the last may be older than it is by 10 minutes.
    """

    number: int
    series: Series
    every_s: float
    first_at: float
    last_at: float


class Curve(msgspec.Struct, frozen=True):
    """A series over a range: bucket i is from `Chart.first_at + i * Chart.step_s` to the next, all lists as long.

    None in the first three is a gap: nothing was recorded though it was due. A bucket in which nothing was due, since
    the series is read less often than buckets begin, has the values of its neighbour and the count 0.
    A counter's values are rates, its unit per second: `mean` is all that was added by all seconds in which it was.
    """

    series: Series
    low: tuple[float | None, ...]
    mean: tuple[float | None, ...]
    high: tuple[float | None, ...]
    count: tuple[int, ...]


class Chart(msgspec.Struct, frozen=True):
    """The answer to a query.

    Attributes:
        first_at: wall clock seconds at which the first bucket begins: a multiple of `step_s`, at most one step before
            the start that was asked for.
        step_s: how long a bucket is, seconds.
        tier_s: how long the buckets on record are from which they were made, seconds.
        curves: one for each series that has anything in the range, by metric and labels.
    """

    first_at: float
    step_s: float
    tier_s: float
    buckets: int
    curves: tuple[Curve, ...]


class Annotation(msgspec.Struct, frozen=True):
    """An event on the time axis: the phase of an execution, an intervention, an alert.

    Attributes:
        at: wall clock seconds.
        kind: `phase`, `intervention`, `alert`, `daemon` or what else its author calls it.
        execution: id of the one concerned, "" for none.
        text: one sentence, at most MAX_TEXT characters are kept.
    """

    at: float
    kind: str
    execution: str
    text: str


class HistorySize(msgspec.Struct, frozen=True):
    """How much there is: bytes on disk, series, and by tier (seconds) the rows or buckets that hold it."""

    size_bytes: int
    series: int
    tiers: dict[int, int]


class HistoryCondition(msgspec.Struct, frozen=True):
    """How a history is. Each is one sentence, "" when all is well.

    Attributes:
        trouble: why nothing is recorded now.
        lost: that an earlier one was damaged, and where it was set aside.
    """

    trouble: str = ""
    lost: str = ""


def is_shown(execution: str, executions: Container[str] | None) -> bool:
    """Whether what belongs to an execution ("" for none) is for somebody who may see these (None: all of them)."""
    return executions is None or not execution or execution in executions
