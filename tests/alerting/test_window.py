"""A window's value, in constant time a reading, is what all raw readings give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_oracle import Raw, value_of
from migmond.alerting.window import Queue, Window
from migmond.domain.alert import Aggregation
from migmond.domain.telemetry import MetricKind

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.5, 1.0, 2.0, 2.0, 2.0, 7.0, 40.0, 200.0]),
        st.one_of(st.none(), st.integers(0, 1000).map(float)),
    ),
    max_size=80,
)


@given(
    steps=STEPS,
    aggregation=st.sampled_from(list(Aggregation)),
    window_s=st.sampled_from([1.0, 5.0, 30.0, 60.0, 300.0]),
    kind=st.sampled_from(list(MetricKind)),
)
def test_a_window_is_what_its_readings_give(
    steps: list[tuple[float, float | None]], aggregation: Aggregation, window_s: float, kind: MetricKind
) -> None:
    window, raw, now = Window(aggregation, window_s, kind), Raw(), 0.0
    for step, value in steps:
        now += step
        if value is not None:
            window.add(now, value, 2.0)
            raw.append((now, value))
        found, expected = window.value(now), value_of(raw, aggregation, window_s, kind, now, 2.0)
        assert (found is None) is (expected is None)
        if found is not None and expected is not None:
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_sums_do_not_drift() -> None:
    window = Window(Aggregation.AVG, 10.0, MetricKind.GAUGE)
    for i in range(1000):
        window.add(float(i), 1e17 if i < 500 else 0.1, 1.0)
    assert window.value(999.0) == pytest.approx(0.1, rel=1e-12)


def test_half_of_a_sum_is_none() -> None:
    window, told = Window(Aggregation.SUM, 60.0, MetricKind.GAUGE), list[float | None]()
    for at in range(0, 90, 2):
        if not 60 <= at < 76:  # a gap
            window.add(float(at), 1.0, 2.0)
        told.append(window.value(float(at)))
    assert told[:26] == [None] * 26
    assert {v for v in told if v is not None} == {27.0, 28.0, 29.0, 30.0}
    assert told[-1] is None  # eight lack in the minute before


def test_a_counter_that_begins_again_has_no_negative_rate() -> None:
    counter, gauge = (Window(Aggregation.RATE, 10.0, kind) for kind in (MetricKind.COUNTER, MetricKind.GAUGE))
    for at, value in enumerate((100.0, 110.0, 0.0, 10.0, 20.0, 30.0)):
        counter.add(float(at), value, 1.0)
        gauge.add(float(at), value, 1.0)
    assert counter.value(5.0) == (10 + 0 + 10 + 10 + 10) / 5
    assert gauge.value(5.0) == (30 - 100) / 5


@given(st.lists(st.one_of(st.integers(-9, 9), st.none()), max_size=60))
def test_a_queue_keeps_the_order_of_its_operation(commands: list[int | None]) -> None:
    queue, naive, clock = Queue(min), list[tuple[float, float]](), 0.0
    for command in commands:
        clock += 1
        if command is None:
            queue.drop(clock - 4)
            naive = [pair for pair in naive if pair[0] > clock - 4]
        else:
            queue.push(clock, float(command))
            naive.append((clock, float(command)))
        assert len(queue) == len(naive)
        if naive:
            assert queue.total == min(v for _, v in naive)
            assert queue.first_at == naive[0][0]
