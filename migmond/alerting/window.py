"""What is made of a series' readings within a window: constant time a reading, whatever the window's length.

Sums are kept by two stacks (a queue that knows the sum of all it holds, by an operation that has no inverse): nothing
is ever subtracted, so that no rounding piles up over months, and the greatest and least come by the same means.
"""

from __future__ import annotations

from collections.abc import Callable

from migmond.domain.alert import Aggregation
from migmond.domain.telemetry import MetricKind

LEAST_COVER = 0.5
"""A window of which readings cover less says nothing yet: after a start or a gap the first readings are no average."""
SUM_COVER = 0.9
"""Of a sum nearly all readings must be there: the sum of half of them is half of it, below many a threshold."""
STALE_AFTER = 2.5
"""The newest reading counts for so many intervals: one that is late is not missing."""


class Queue:
    """Timed values, first in first out, with the `operation` of all of them. It is associative."""

    def __init__(self, operation: Callable[[float, float], float]) -> None:
        self._operation = operation
        self._old: list[tuple[float, float]] = []
        """The oldest last: (time, operation of its value and all newer ones here)."""
        self._new: list[tuple[float, float]] = []
        self._all_new = 0.0

    def push(self, at: float, value: float) -> None:
        """Add the newest."""
        self._all_new = self._operation(self._all_new, value) if self._new else value
        self._new.append((at, value))

    def drop(self, until: float) -> None:
        """Drop those with a time <= `until`."""
        while self._old or self._new:
            if not self._old:
                self._turn()
            if self._old[-1][0] > until:
                return
            self._old.pop()

    def _turn(self) -> None:
        total = 0.0
        for at, value in reversed(self._new):
            total = self._operation(value, total) if self._old else value
            self._old.append((at, total))
        self._new.clear()

    def __len__(self) -> int:
        return len(self._old) + len(self._new)

    @property
    def first_at(self) -> float:
        """Time of the oldest; there must be one."""
        return self._old[-1][0] if self._old else self._new[0][0]

    @property
    def total(self) -> float:
        """Operation of all; there must be one."""
        if not self._old:
            return self._all_new
        return self._operation(self._old[-1][1], self._all_new) if self._new else self._old[-1][1]


def _add(a: float, b: float) -> float:
    return a + b


_OPERATIONS: dict[Aggregation, Callable[[float, float], float]] = {Aggregation.MAX: max, Aggregation.MIN: min}


class Window:
    """One aggregation of one series over `window_s` seconds. Readings come in order of time.

    `now`, and the times of readings, are seconds of any one clock that is never set back.
    """

    def __init__(self, aggregation: Aggregation, window_s: float, kind: MetricKind) -> None:
        self._aggregation = aggregation
        self._window_s = window_s
        self._counter = kind is MetricKind.COUNTER
        self._queue = Queue(_OPERATIONS.get(aggregation, _add))
        self._last: tuple[float, float] | None = None
        self._every_s = 0.0

    def add(self, at: float, value: float, every_s: float) -> None:
        """Take a reading in; the next one is due after `every_s`."""
        last, self._last, self._every_s = self._last, (at, value), every_s
        if self._aggregation is Aggregation.LAST:
            return
        if self._aggregation is not Aggregation.RATE:
            self._queue.push(at, value)
        elif last is not None and at > last[0]:
            risen = value - last[1]
            if risen < 0 and self._counter:
                risen = value  # it began again at 0: all of it is new, as Prometheus has it
            self._queue.push(last[0], risen)  # an increase counts as long as the reading before it is in the window

    def value(self, now: float) -> float | None:
        """Return what the readings with now - window < time <= now give; None when they say nothing."""
        if self._last is None:
            return None
        span_s = max(self._window_s, STALE_AFTER * self._every_s)
        at, newest = self._last
        if at <= now - span_s:
            return None
        if self._aggregation is Aggregation.LAST:
            return newest
        self._queue.drop(now - span_s)
        count = len(self._queue)
        if not count:
            return None
        covered = at - self._queue.first_at
        if self._aggregation is not Aggregation.RATE:
            covered += self._every_s
        if self._aggregation is Aggregation.SUM:
            if (count + 0.5) * self._every_s < SUM_COVER * self._window_s:
                return None
        elif covered < LEAST_COVER * self._window_s:
            return None
        if self._aggregation is Aggregation.RATE:
            return self._queue.total / covered
        return self._queue.total / count if self._aggregation is Aggregation.AVG else self._queue.total
