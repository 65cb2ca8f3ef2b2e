"""A rule over charts is what the rule would have done: gaps, ends and overlaps of the charts included."""

from __future__ import annotations

import itertools

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.alerting.evaluator import Evaluator
from migmond.alerting.replay import Replay
from migmond.domain.alert import Aggregation, AlertRule, AlertState, Condition, Operator, Severity
from migmond.domain.telemetry import Batch, Chart, Curve, MetricKind, Reading, Selection, Series, series_of
from migmond.plugin_api.memory_history import MemoryHistory

SERIES = series_of("speed", {"execution": "aa"})
T0 = 1_790_000_040.0
"""Where a minute begins, and so a bucket of every width."""
LOOK_S = 2.0


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


def test_of_many_episodes_all_count_and_the_newest_are_remembered() -> None:
    replay = Replay(rule(), {}, kept=2)
    replay.take(chart(0.0, *[4.0, 9.0] * 50, 4.0), 1010.0)
    assert replay.total(1020.0) == (51, 510.0)
    assert [e.fired_at for e in replay.finish()] == [970.0, 990.0, 1010.0]


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


def lived(rule: AlertRule, values: list[float | None], series: Series = SERIES) -> list[tuple[float, float | None]]:
    """What the rule does while values come, one each look, the first at 0: when it fires, and when that is over."""
    numbers = itertools.count(1)
    judge = Evaluator(lambda: f"a-{next(numbers)}", 10.0)
    judge.watch([rule])
    found: dict[str, tuple[float, float | None]] = {}
    for i, value in enumerate(values):
        now = i * LOOK_S
        if value is not None:
            judge.put(Batch(now, LOOK_S, (Reading(series, value),)), now)
        for _, after in judge.evaluate(rule, now, now):
            if after.fired_at is not None and after.state is not AlertState.PENDING:
                found[after.id] = (after.fired_at, after.resolved_at)
    return sorted(found.values())


@settings(max_examples=300)
@given(
    values=st.lists(st.one_of(st.none(), st.integers(0, 10).map(float)), min_size=1, max_size=80),
    above=st.booleans(),
    apart=st.integers(0, 3),
    times=st.tuples(st.sampled_from([0.0, 2.0, 6.0, 15.0]), st.sampled_from([0.0, 2.0, 8.0])),
    window_s=st.sampled_from([1.0, 10.0, 30.0]),
    aggregation=st.sampled_from(list(Aggregation)),
)
def test_what_every_look_is_on_record_of_fires_as_it_did(
    values: list[float | None],
    above: bool,
    apart: int,
    times: tuple[float, float],
    window_s: float,
    aggregation: Aggregation,
) -> None:
    tried = rule(
        operator=Operator.ABOVE if above else Operator.BELOW,
        resolve_threshold=5.0 - apart if above else 5.0 + apart,
        aggregation=aggregation,
        window_s=window_s,
        for_s=times[0],
        keep_firing_for_s=times[1],
    )
    told, n = tuple(values), len(values)
    curve = Curve(SERIES, told, told, told, tuple(0 if v is None else 1 for v in values))
    replay = Replay(tried, {})
    replay.take(Chart(T0, LOOK_S, LOOK_S, n, (curve,)), T0 + n * LOOK_S)
    # A reading counts as made at the end of its bucket.
    found = [(e.fired_at - T0 - LOOK_S, e.resolved_at) for e in replay.finish()]
    assert [(f, None if r is None else r - T0 - LOOK_S) for f, r in found] == lived(tried, values)


PHASES = st.lists(st.tuples(st.sampled_from([1.0, 9.0]), st.integers(60, 150)), min_size=1, max_size=6)


@settings(max_examples=100, deadline=None)
@given(
    phases=PHASES,
    aggregation=st.sampled_from(list(Aggregation)),
    above=st.booleans(),
    for_s=st.sampled_from([0.0, 40.0]),
    step_s=st.sampled_from([2, 10, 30]),
)
def test_a_real_history_says_what_happened_to_within_its_steps(
    phases: list[tuple[float, int]], aggregation: Aggregation, above: bool, for_s: float, step_s: int
) -> None:
    """Values that stay for some minutes: whatever the tier, it fires as often as it did, at about those times. Rates
    are of a counter that grows by the value each second; of one that jumps they would be the same."""
    rates = [value for value, looks in phases for _ in range(looks)]
    counter = aggregation is Aggregation.RATE
    series = series_of("speed", {"execution": "aa"}, MetricKind.COUNTER if counter else MetricKind.GAUGE)
    values = [*itertools.accumulate(v * LOOK_S for v in rates)] if counter else rates
    scale = 60.0 / LOOK_S if aggregation is Aggregation.SUM else 1.0
    tried = rule(
        operator=Operator.ABOVE if above else Operator.BELOW, threshold=5.0 * scale, aggregation=aggregation,
        window_s=60.0, for_s=for_s,
    )  # fmt: skip

    async def replayed() -> list[tuple[float, float | None]]:
        history, end = MemoryHistory({}), T0 + len(values) * LOOK_S
        batches = [Batch(T0 + i * LOOK_S, LOOK_S, (Reading(series, v),)) for i, v in enumerate(values)]
        await history.append(batches)
        points = int((end - T0) / step_s) + 2
        chart = await history.query([Selection("speed")], T0, end, points, most_series=1)
        assert chart.step_s <= step_s + 2
        replay = Replay(tried, {})
        replay.take(chart, end)
        return [(e.fired_at - T0, None if e.resolved_at is None else e.resolved_at - T0) for e in replay.finish()]

    expected, found = lived(tried, list(values), series), trio.run(replayed)
    late = 3 * step_s + 2 * LOOK_S
    for (fired, resolved), (did_fire, was_resolved) in zip(found, expected, strict=False):
        assert abs(fired - did_fire) <= late
        if resolved is not None and was_resolved is not None:
            assert abs(resolved - was_resolved) <= late
    more = found[len(expected) :] + expected[len(found) :]  # what fires at the very end is seen by one of them only
    assert all(fired > (len(values) - 1) * LOOK_S - 2 * late for fired, _ in more)


def test_a_sum_is_of_all_readings_whatever_the_step() -> None:
    tried = Replay(rule(operator=Operator.ABOVE, threshold=100.0, aggregation=Aggregation.SUM, window_s=60.0), {})
    series = series_of("speed", {"execution": "aa"})
    means = (4.0,) * 12
    tried.take(Chart(0.0, 10.0, 2.0, 12, (Curve(series, means, means, means, (5,) * 12),)), 120.0)
    ((fired_at, worst),) = [(e.fired_at, e.worst) for e in tried.finish()]
    assert (fired_at, worst) == (60.0, 120.0)  # 30 readings of 4 a minute
