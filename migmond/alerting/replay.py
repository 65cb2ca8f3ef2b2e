"""A rule over stored history: the evaluator that judges what is measured now, fed with what was measured then."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec

from migmond.alerting.evaluator import Evaluator
from migmond.domain.alert import Aggregation, Alert, AlertRule, AlertState, Operator
from migmond.domain.telemetry import Batch, Chart, Curve, MetricKind, Reading, series_of

_BEYOND = {Operator.ABOVE, Operator.ABOVE_OR_EQUAL}


class Episode(msgspec.Struct, frozen=True):
    """Once that a rule would have fired; times are wall clock seconds, `resolved_at` None at the end of the record."""

    series: tuple[tuple[str, str], ...]
    fired_at: float
    resolved_at: float | None
    worst: float | None


class Replay:
    """Takes charts of one rule's series in order of time.

    A bucket counts as one reading, made at its end: of its highest for `max`, its lowest for `min`, all its readings
    together for `sum`, else their mean. A gap is no reading. What is firing when a series ends for good goes on firing,
    as it would have done, but for those of migrations that ended.

    Args:
        ended: by id, of executions that have ended, when: wall clock seconds.
        kept: episodes that are remembered, those that ended last; all are counted.
    """

    def __init__(self, rule: AlertRule, ended: Mapping[str, float], kept: int = 10_000) -> None:
        self._ended = ended
        self._executions: set[str] = set()
        self._rule = msgspec.structs.replace(rule, enabled=True)
        numbers = itertools.count(1)
        self._make_id = lambda: f"a-{next(numbers)}"
        self._evaluator: Evaluator | None = None
        self._open: dict[str, Episode] = {}
        self._totals: dict[tuple[tuple[str, str], ...], float] = {}
        self._over: deque[Episode] = deque(maxlen=kept)
        self._times, self._firing_s = 0, 0.0
        self._at = 0.0
        self.covered_s = 0.0
        self.series: set[tuple[tuple[str, str], ...]] = set()

    def take(self, chart: Chart, end: float, watched: Sequence[bool] | None = None) -> None:
        """Take in a chart that begins where the one before ended; of its buckets only those that end by `end`.

        Args:
            watched: of each bucket whether anybody looked then; None when that is not known: somebody did.
        """
        if self._evaluator is None:
            self._evaluator = Evaluator(self._make_id, 2.5 * chart.step_s)
            self._evaluator.watch([self._rule])
        self._evaluator.longest_step_s = 2.5 * chart.step_s
        for curve in chart.curves:
            self.series.add(curve.series.labels)
            if curve.series.execution:
                self._executions.add(curve.series.execution)
        for i in range(chart.buckets):
            at = chart.first_at + (i + 1) * chart.step_s
            if at <= self._at:  # charts begin at multiples of their step: the last one had it
                continue
            if at > end:
                return
            self._at = at
            if watched is not None and not watched[i]:
                continue
            for curve in chart.curves:
                value = self._reading(curve, i, chart.step_s)
                if value is not None:
                    self.covered_s += chart.step_s
                    kind = MetricKind.COUNTER if curve.series.kind is MetricKind.COUNTER else MetricKind.GAUGE
                    series = series_of(curve.series.metric, dict(curve.series.labels), kind)
                    self._evaluator.put(Batch(at, chart.step_s, (Reading(series, value),)), at)
            self._judge(at)

    def _reading(self, curve: Curve, i: int, step_s: float) -> float | None:
        mean = curve.mean[i]
        if mean is None:
            return None
        if curve.series.kind is MetricKind.COUNTER:  # what is on record is the rate: the total is made of it again
            total = self._totals.get(curve.series.labels, 0.0) + mean * step_s
            self._totals[curve.series.labels] = total
            return total
        aggregation = self._rule.condition.aggregation
        if aggregation is Aggregation.MAX:
            return curve.high[i]
        if aggregation is Aggregation.SUM:
            return mean * curve.count[i]
        return curve.low[i] if aggregation is Aggregation.MIN else mean

    def _judge(self, at: float) -> None:
        assert self._evaluator is not None
        changed = self._evaluator.evaluate(self._rule, at, at)
        over = {id_ for id_ in self._executions if self._ended.get(id_, at) < at}
        changed += self._evaluator.close(lambda alert: "it has ended" if alert.execution in over else "", at)
        self._evaluator.forget(at, over)
        for before, after in changed:
            if after.state is AlertState.PENDING or after.fired_at is None:
                continue
            known = self._open.get(after.id)
            episode = known or Episode(after.series, after.fired_at, None, after.value)
            episode = msgspec.structs.replace(episode, worst=self._worse(episode.worst, after))
            self._open[after.id] = episode
            if after.state is AlertState.RESOLVED and before is not None:
                self._over.append(msgspec.structs.replace(episode, resolved_at=at))
                self._times += 1
                self._firing_s += at - episode.fired_at
                del self._open[after.id]

    def _worse(self, worst: float | None, alert: Alert) -> float | None:
        value = alert.value
        if value is None or alert.state is AlertState.RESOLVED:
            return worst
        if worst is None:
            return value
        return max(worst, value) if self._rule.condition.operator in _BEYOND else min(worst, value)

    def finish(self) -> list[Episode]:
        """Return the episodes that are remembered by time, with those that fire still."""
        return sorted([*self._over, *self._open.values()], key=lambda e: (e.fired_at, e.series))

    def total(self, end: float) -> tuple[int, float]:
        """Return how often it would have fired, and for how many seconds in all, until `end`."""
        still = [end - e.fired_at for e in self._open.values()]
        return self._times + len(still), self._firing_s + sum(still)
