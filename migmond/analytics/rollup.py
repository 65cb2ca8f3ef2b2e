"""Roll-up: buckets of minimum, mean, maximum and count, merged, made coarser, and laid out as a chart with its gaps.

A bucket is low, high, total, weight and count; its mean is total / weight. Of a gauge the total is the sum of the
values and the weight their count. Of a counter the values are rates, the total is what was added and the weight the
seconds in which it was: so the mean is exact whatever is merged, and sums of totals are what the counter counted.
Merging is associative and commutative but for rounding, so it does not matter in which order tiers were made.

Columns instead of objects: minimum, maximum and sum of slices run in C; 8,760 buckets become 600 in 1 ms.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from migmond.analytics.tiers import Grid
from migmond.domain.telemetry import Curve, MetricKind, Series

DUE = 2.5
"""A bucket is a gap when the readings before and after it are further apart than so many times what was announced:
a reading may come late by as much as its interval without one being missed, and half of one is tolerance."""

Stat = tuple[float, float, float, float, int]
"""low, high, total, weight, count."""


class Points(msgspec.Struct):
    """Buckets of one series and width: columns of one length, by ascending number, no number twice.

    Attributes:
        index: numbers of the buckets.
    """

    index: list[int] = msgspec.field(default_factory=list)
    low: list[float] = msgspec.field(default_factory=list)
    high: list[float] = msgspec.field(default_factory=list)
    total: list[float] = msgspec.field(default_factory=list)
    weight: list[float] = msgspec.field(default_factory=list)
    count: list[int] = msgspec.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.index)

    def put(self, index: int, stat: Stat) -> None:
        """Add a bucket behind all others, or into the last one if it has this number."""
        if self.index and self.index[-1] == index:
            stat = merged_stat((self.low[-1], self.high[-1], self.total[-1], self.weight[-1], self.count[-1]), stat)
            self.low[-1], self.high[-1], self.total[-1], self.weight[-1], self.count[-1] = stat
            return
        low, high, total, weight, count = stat
        self.index.append(index)
        self.low.append(low)
        self.high.append(high)
        self.total.append(total)
        self.weight.append(weight)
        self.count.append(count)

    def stats(self) -> Iterable[tuple[int, Stat]]:
        """Yield number and contents of each bucket."""
        return zip(self.index, zip(self.low, self.high, self.total, self.weight, self.count, strict=True), strict=True)

    def between(self, first: int, last: int) -> Points:
        """Return those with first <= number < last; `self` if these are all."""
        a, b = bisect_left(self.index, first), bisect_left(self.index, last)
        if a == 0 and b == len(self.index):
            return self
        return Points(
            self.index[a:b], self.low[a:b], self.high[a:b], self.total[a:b], self.weight[a:b], self.count[a:b]
        )


def of_value(value: float, weight: float = 1.0) -> Stat:
    """Return a bucket of one value; of a rate, `weight` is the seconds in which it was."""
    return value, value, value * weight, weight, 1


def merged_stat(a: Stat, b: Stat) -> Stat:
    """Return the bucket that holds what two hold."""
    return min(a[0], b[0]), max(a[1], b[1]), a[2] + b[2], a[3] + b[3], a[4] + b[4]


def points_of(stats: Iterable[tuple[int, Stat]]) -> Points:
    """Return buckets in any order, several of a number merged, as points."""
    found = Points()
    for index, stat in sorted(stats, key=_number):
        found.put(index, stat)
    return found


def _number(item: tuple[int, Stat]) -> int:
    return item[0]


def merged(parts: Sequence[Points]) -> Points:
    """Return all buckets of several points of one width; those with equal numbers are merged."""
    parts = [p for p in parts if p.index]
    if len(parts) == 1:
        return parts[0]
    if all(a.index[-1] < b.index[0] for a, b in itertools.pairwise(parts)):
        together = itertools.chain.from_iterable
        return Points(
            list(together([p.index for p in parts])),
            list(together([p.low for p in parts])),
            list(together([p.high for p in parts])),
            list(together([p.total for p in parts])),
            list(together([p.weight for p in parts])),
            list(together([p.count for p in parts])),
        )
    result = Points()
    for index, stat in heapq.merge(*(p.stats() for p in parts), key=_number):
        result.put(index, stat)
    return result


def coarser(points: Points, factor: int) -> Points:
    """Return the same in buckets `factor` times as wide."""
    if factor == 1 or not points.index:
        return points
    index, found = points.index, Points()
    first, last = index[0], index[-1]
    if last - first != len(index) - 1:
        _coarsen(found, points, 0, len(index), factor)
        return found
    # Without gaps, all groups but the first and the last are of `factor` buckets: half the time.
    head = min(len(index), -first % factor)
    tail = len(index) - (len(index) - head) % factor
    _coarsen(found, points, 0, head, factor)
    if head < tail:
        found.index += range((first + head) // factor, (first + tail) // factor)
        found.low += map(min, _groups(points.low, head, tail, factor))
        found.high += map(max, _groups(points.high, head, tail, factor))
        found.total += map(sum, _groups(points.total, head, tail, factor))
        found.weight += map(sum, _groups(points.weight, head, tail, factor))
        found.count += map(sum, _groups(points.count, head, tail, factor))
    _coarsen(found, points, tail, len(index), factor)
    return found


N = TypeVar("N", int, float)


def _groups(column: list[N], start: int, end: int, size: int) -> Iterator[tuple[N, ...]]:
    one = iter(column[start:end])
    return zip(*[one] * size, strict=True)


def _coarsen(found: Points, points: Points, at: int, end: int, factor: int) -> None:
    """Add the buckets from position `at` to `end`, in wider ones, behind those of `found`."""
    index = points.index
    while at < end:
        number = index[at] // factor
        # At most `factor` of them can be in this one: the search need not look at the rest.
        to = bisect_left(index, (number + 1) * factor, at, min(end, at + factor))
        found.index.append(number)
        found.low.append(min(points.low[at:to]))
        found.high.append(max(points.high[at:to]))
        found.total.append(sum(points.total[at:to]))
        found.weight.append(sum(points.weight[at:to]))
        found.count.append(sum(points.count[at:to]))
        at = to


def reach(every_s: float, step_s: int) -> int:
    """Return how many buckets further the next one with a reading may be without anything being missed.

    Args:
        every_s: seconds between readings.
        step_s: how long a bucket is.
    """
    return int(every_s * DUE / step_s) + 1


def curve(series: Series, points: Points, on: Grid, every_s: float, until: float) -> Curve | None:
    """Lay points out on a grid, with gaps where a reading was due and none came; None if it would have nothing.

    Args:
        points: in buckets of the grid's step; those within `reach` outside of it say what is at its ends.
        every_s: seconds between readings. A bucket in which none was due, since they are further apart than buckets
            begin or one came a little late, gets the values of the reading before (of a counter, whose rate is that
            of the time before it: of the reading after) and the count 0.
        until: wall clock seconds up to which there may be readings; what lies behind is a gap. The last value of a
            gauge holds until then as long as the next reading is not overdue.
    """
    cells: list[_Cell] = [_GAP] * on.count
    far, backwards = reach(every_s, on.step_s), series.kind is MetricKind.COUNTER
    last: int | None = None
    before = _GAP
    for number, (least, most, total, weight, n) in points.stats():
        here = number - on.first
        # The division rounds: a mean outside of what it is the mean of would surprise whoever compares them.
        mean = min(max(total / weight, least), most) if weight > 0 else (least + most) / 2
        cell = (least, mean, most, n)
        if last is not None and 1 < here - last <= far:
            _fill(cells, last + 1, here, cell if backwards else before)
        if 0 <= here < on.count:
            cells[here] = cell
        last, before = here, cell
    if last is not None and not backwards:
        present = int(until // on.step_s) - on.first + 1
        if present - last <= far:
            _fill(cells, last + 1, present, before)
    if all(cell is _GAP for cell in cells):
        return None
    low, middle, high, count = zip(*cells, strict=True)
    return Curve(series, low, middle, high, count)


_Cell = tuple[float | None, float | None, float | None, int]
_GAP: _Cell = (None, None, None, 0)


def _fill(cells: list[_Cell], first: int, end: int, source: _Cell) -> None:
    low, mean, high, _ = source
    for i in range(max(0, first), min(end, len(cells))):
        cells[i] = (low, mean, high, 0)
