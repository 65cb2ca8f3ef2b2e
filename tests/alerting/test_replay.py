"""A rule over charts is what the rule would have done: gaps, ends and overlaps of the charts included."""

from __future__ import annotations

from migmond.alerting.replay import Replay
from migmond.domain.alert import Aggregation, AlertRule, Condition, Operator, Severity
from migmond.domain.telemetry import Chart, Curve, MetricKind, series_of

SERIES = series_of("speed", {"execution": "aa"})


def chart(first_at: float, *means: float | None, kind: MetricKind = MetricKind.GAUGE) -> Chart:
    series = series_of("speed", {"execution": "aa"}, kind)
    count = tuple(0 if m is None else 1 for m in means)
    high = tuple(None if m is None else m + 1 for m in means)
    low = tuple(None if m is None else m - 1 for m in means)
    return Chart(first_at, 10.0, 10.0, len(means), (Curve(series, low, means, high, count),))


def rule(**fields: object) -> AlertRule:
    values: dict[str, object] = {"metric": "speed", "operator": Operator.BELOW, "threshold": 5.0, **fields}
    return AlertRule("r-1", "slow", "", Condition(**values), Severity.WARNING)  # type: ignore[arg-type]


def test_episodes_have_begin_end_and_worst_value() -> None:
    replay = Replay(rule(for_s=10.0), {})
    replay.take(chart(0.0, 9.0, 4.0, 3.0, 4.0, 9.0, 1.0, 9.0), 70.0)
    (episode,) = replay.finish()
    assert (episode.fired_at, episode.resolved_at, episode.worst) == (30.0, 50.0, 3.0)
    assert (replay.covered_s, replay.series) == (70.0, {SERIES.labels})


def test_gaps_neither_begin_nor_end_anything() -> None:
    replay = Replay(rule(for_s=30.0, window_s=10.0), {})  # a reading counts for 25 s, 20 of them as time
    replay.take(chart(0.0, 4.0, None, None, None, None, None, None, None, None, 4.0, 4.0), 110.0)
    replay.take(chart(110.0, None, None, 9.0), 140.0)
    (episode,) = replay.finish()
    assert (episode.fired_at, episode.resolved_at) == (110.0, 140.0)


def test_charts_that_overlap_count_once_and_what_is_not_over_waits_for_the_next() -> None:
    whole, parts = Replay(rule(), {}), Replay(rule(), {})
    means = [9.0, 4.0, 4.0, 9.0, 2.0, 9.0]
    whole.take(chart(0.0, *means), 60.0)
    parts.take(chart(0.0, *means[:4]), 35.0)
    parts.take(chart(20.0, *means[2:]), 60.0)
    assert whole.finish() == parts.finish()
    assert len(whole.finish()) == 2


def test_what_ended_is_over_and_is_not_told_twice() -> None:
    replay = Replay(rule(), {"aa": 15.0})
    replay.take(chart(0.0, 9.0, 4.0, None, None, None, None, None, None), 80.0)
    (episode,) = replay.finish()
    assert (episode.fired_at, episode.resolved_at) == (20.0, 20.0)


def test_highest_lowest_and_rates_are_of_what_is_on_record() -> None:
    high = Replay(rule(operator=Operator.ABOVE, threshold=9.5, aggregation=Aggregation.MAX, window_s=10.0), {})
    high.take(chart(0.0, 5.0, 9.0, 5.0, 5.0, 5.0, 5.0), 60.0)
    assert [e.fired_at for e in high.finish()] == [20.0]
    rate = Replay(rule(aggregation=Aggregation.RATE, window_s=20.0), {})
    rate.take(chart(0.0, 9.0, 9.0, 9.0, 1.0, 1.0, 1.0, 1.0, kind=MetricKind.COUNTER), 70.0)
    ((fired_at, resolved_at),) = [(e.fired_at, e.resolved_at) for e in rate.finish()]
    assert 40.0 <= fired_at <= 60.0
    assert resolved_at is None
