"""Telemetry over time, as clients ask for it and see it."""

from __future__ import annotations

import msgspec

from migmond.domain.api import (
    Params,
    Result,
)

MAX_POINTS = 2000
"""Of one series: more than a screen has columns."""
MAX_SERIES = 50
MAX_TOTAL_POINTS = 60_000
"""Of all series of one query together: about 2 MiB of answer."""
MAX_SERIES_PAGE = 1000
MAX_ANNOTATIONS = 500


class SeriesSelector(Params, frozen=True):
    """Series of a metric that have all of these labels with these values, and any others."""

    metric: str
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class HistoryParams(Params, frozen=True):
    """Which series, over which time.

    `end`: RFC 3339 with zone, "" for now. `start`: likewise; "" is `span_s` seconds before the end.
    `points`: at most so many per series, 2 to 2,000; at most 50 series and 60,000 points in all.
    `annotations`: whether to tell events in that time as well: phases, interventions, alerts.
    """

    select: tuple[SeriesSelector, ...]
    start: str = ""
    end: str = ""
    span_s: float = 3600.0
    points: int = 600
    annotations: bool = False


class CurveView(Result, frozen=True):
    """One series; value i of each list is of the time from `first_s + i * step_s` to the next.

    `kind`: `gauge`, or `counter`, whose values are rates: `unit` per second.
    `low`, `mean`, `high`: null where nothing was recorded though it was due. `count`: readings; 0 beside a value means
    that none was due, and the value is that of the neighbour.
    """

    metric: str
    labels: dict[str, str]
    unit: str
    kind: str
    low: tuple[float | None, ...]
    mean: tuple[float | None, ...]
    high: tuple[float | None, ...]
    count: tuple[int, ...]


class AnnotationView(Result, frozen=True):
    """An event on the time axis. `at_s`: seconds since the epoch; `execution`: its id, "" for none."""

    at: str
    at_s: float
    kind: str
    execution: str
    text: str


class HistoryView(Result, frozen=True):
    """The answer: all curves on one time axis, by metric and labels; series without anything there are left out.

    `start`, `first_s`: when the first bucket begins, RFC 3339 and seconds since the epoch. `step_s`: how long a bucket
    is; `tier_s`: of those on record from which they were made. `annotations`: of too many the newest.
    """

    start: str
    first_s: float
    step_s: float
    tier_s: float
    points: int
    series: tuple[CurveView, ...]
    annotations: tuple[AnnotationView, ...] = ()


class HistorySeriesParams(Params, frozen=True):
    """`metric`, `execution`: only its; "" for all. `after`: `next` of the page before, 0 for the first."""

    metric: str = ""
    execution: str = ""
    after: int = 0
    limit: int = 200


class SeriesView(Result, frozen=True):
    """A series on record. `every_s`: seconds between its newest readings; `last_at` may be late by 10 minutes."""

    metric: str
    labels: dict[str, str]
    unit: str
    kind: str
    every_s: float
    first_at: str
    last_at: str


class SeriesPage(Result, frozen=True):
    """`next`: what to give as `after` for the next page, null when this is the last."""

    series: tuple[SeriesView, ...]
    next: int | None
