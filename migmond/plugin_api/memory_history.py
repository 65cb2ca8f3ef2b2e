"""A history in memory: the reference for what a storage means, and one for tests. It is gone with its process.

Plain and obvious rather than fast: every reading goes into every tier at once, so there is nothing to roll up.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator, Container, Mapping, Sequence

import msgspec

from migmond.analytics import rollup, tiers
from migmond.analytics.rates import CARRY_S, Counters
from migmond.domain.errors import LimitExceeded
from migmond.domain.telemetry import (
    MAX_TEXT,
    Annotation,
    Batch,
    Chart,
    HistoryCondition,
    HistorySize,
    MetricKind,
    Reading,
    Selection,
    Series,
    SeriesInfo,
    is_shown,
    is_sound,
    is_value,
)

MAX_SERIES = 100_000
"""A collector that puts something unbounded into a label must not fill memory and disk."""


class MemoryHistory:
    """Implements `migmond.ports.History`.

    Attributes:
        kept_from: wall clock seconds from which on each tier, by its width, has everything.

    Args:
        keep_s: seconds that each tier is kept, by its width.
    """

    def __init__(self, keep_s: Mapping[int, float]) -> None:
        self._keep_s = keep_s
        self._series: dict[Series, SeriesInfo] = {}
        self._number = 0
        self._buckets: dict[tuple[int, int], dict[int, rollup.Stat]] = {}
        self.kept_from = dict.fromkeys(tiers.WIDTHS_S, 0.0)
        self._newest = 0.0
        self._counters: Counters[int] = Counters()
        self._annotations: list[Annotation] = []

    async def append(self, batches: Sequence[Batch], annotations: Sequence[Annotation] = ()) -> int:
        left_out = 0
        for batch in batches:
            for reading in batch.readings:
                left_out += not (batch.has_time and self._book(batch, reading))
            if batch.has_time:
                self._newest = max(self._newest, batch.at)
        for note in annotations:
            if math.isfinite(note.at):
                self._annotations.append(msgspec.structs.replace(note, text=note.text[:MAX_TEXT]))
            else:
                left_out += 1
        return left_out

    def _book(self, batch: Batch, reading: Reading) -> bool:
        series, at, every_s = reading.series, batch.at, batch.every_s
        identity = msgspec.structs.replace(series, unit="")
        if not (is_value(reading.value) and is_sound(series)):
            return False
        info = self._series.get(identity)
        if info is None:
            if len(self._series) >= MAX_SERIES:
                return False
            self._number += 1
            info = SeriesInfo(self._number, series, every_s, at, at)
        first, last = min(info.first_at, at), max(info.last_at, at)
        self._series[identity] = SeriesInfo(info.number, series, every_s, first, last)
        stat = rollup.of_value(reading.value)
        if series.kind is MetricKind.COUNTER:
            rate = self._counters.rate(info.number, at, reading.value, every_s)
            if rate is None:
                return True
            stat = rollup.of_value(*rate)
        for width in tiers.WIDTHS_S:
            buckets, index = self._buckets.setdefault((width, info.number), {}), int(at // width)
            buckets[index] = rollup.merged_stat(buckets[index], stat) if index in buckets else stat
        return True

    async def query(
        self,
        selections: Sequence[Selection],
        start: float,
        end: float,
        points: int,
        *,
        most_series: int,
        executions: Container[str] | None = None,
    ) -> Chart:
        found = [
            info
            for info in self._series.values()
            if any(s.picks(info.series) for s in selections)
            and is_shown(info.series.execution, executions)
            and info.first_at <= end
            and info.last_at >= start
        ]
        if len(found) > most_series:
            raise LimitExceeded(f"{len(found)} series match", hint=f"name labels: at most {most_series} at a time")
        kept = [self.kept_from[w] for w in tiers.WIDTHS_S]
        width = tiers.WIDTHS_S[tiers.choose(start, end, points, tiers.WIDTHS_S, kept)]
        on = tiers.grid(start, end, points, width)
        curves = []
        for info in sorted(found, key=lambda i: (i.series.metric, i.series.labels)):
            far = rollup.reach(info.every_s, on.step_s)
            buckets = rollup.points_of(self._buckets.get((width, info.number), {}).items())
            all_points = rollup.coarser(buckets, on.step_s // width).between(on.first - far, on.first + on.count + far)
            drawn = rollup.curve(info.series, all_points, on, info.every_s, min(end, self._newest))
            if drawn is not None:
                curves.append(drawn)
        return Chart(float(on.start), float(on.step_s), float(width), on.count, tuple(curves))

    async def series(
        self,
        *,
        metric: str = "",
        execution: str = "",
        after: int = 0,
        limit: int = 1000,
        executions: Container[str] | None = None,
    ) -> list[SeriesInfo]:
        found = [
            info
            for info in sorted(self._series.values(), key=lambda i: i.number)
            if info.number > after
            and metric in ("", info.series.metric)
            and execution in ("", info.series.execution)
            and is_shown(info.series.execution, executions)
        ]
        return found[:limit]

    async def annotations(
        self, start: float, end: float, *, limit: int, executions: Container[str] | None = None
    ) -> list[Annotation]:
        found = [a for a in self._annotations if start <= a.at < end and is_shown(a.execution, executions)]
        return sorted(found, key=lambda a: a.at)[-limit:]

    async def forget(self, execution: str) -> None:
        gone = {s: info.number for s, info in self._series.items() if s.execution == execution}
        self._drop(gone)
        self._annotations = [a for a in self._annotations if a.execution != execution]

    def _drop(self, gone: Mapping[Series, int]) -> None:
        numbers = set(gone.values())
        self._counters.forget(numbers)
        self._series = {s: info for s, info in self._series.items() if s not in gone}
        self._buckets = {key: b for key, b in self._buckets.items() if key[1] not in numbers}

    async def prune(self, now: float) -> None:
        for width in tiers.WIDTHS_S:
            # If the clock was ahead when this was last done: from now on, at least, everything is there.
            self.kept_from[width] = max(min(self.kept_from[width], now), now - self._keep_s[width])
        for (width, _), buckets in self._buckets.items():
            for index in [i for i in buckets if (i + 1) * width <= self.kept_from[width]]:
                del buckets[index]
        longest = self.kept_from[tiers.WIDTHS_S[-1]]
        self._drop({s: info.number for s, info in self._series.items() if info.last_at < longest})
        self._annotations = [a for a in self._annotations if a.at >= longest]
        self._counters.drop_older(now - CARRY_S)

    async def size(self) -> HistorySize:
        held = {w: sum(len(b) for (width, _), b in self._buckets.items() if width == w) for w in tiers.WIDTHS_S}
        return HistorySize(0, len(self._series), held)

    def condition(self) -> HistoryCondition:
        return HistoryCondition()


@contextlib.asynccontextmanager
async def open_memory_history(keep_s: Mapping[int, float] | None = None) -> AsyncIterator[MemoryHistory]:
    """Yield an empty one."""
    yield MemoryHistory(keep_s or dict(zip(tiers.WIDTHS_S, tiers.KEEP_S, strict=True)))
