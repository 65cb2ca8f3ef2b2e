"""The evaluator against an oracle that works everything out anew from all readings."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from alert_oracle import Look, Raw, alerts_of, value_of
from migmond.alerting.evaluator import Evaluator
from migmond.domain.alert import Aggregation, Alert, AlertRule, AlertState, Condition, Missing, Operator, Severity
from migmond.domain.telemetry import Batch, MetricKind, Reading, Series, series_of

LONGEST_S = 10.0
SERIES = series_of("speed", {"execution": "aa"})


def rule(condition: Condition, **fields: object) -> AlertRule:
    made = AlertRule("r-1", "slow", "It is slow", condition, Severity.WARNING)
    return msgspec.structs.replace(made, **fields)


def evaluator(*rules: AlertRule) -> Evaluator:
    made = Evaluator(_ids(), LONGEST_S)
    made.watch(rules)
    return made


def _ids() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"a-{next(numbers)}"


def batch(value: float, series: Series = SERIES, every_s: float = 2.0) -> Batch:
    return Batch(0.0, every_s, (Reading(series, value),))


CONDITIONS = st.builds(
    lambda above, threshold, apart, for_s, keep_s, aggregation, missing, window_s: Condition(
        "speed",
        Operator.ABOVE if above else Operator.BELOW_OR_EQUAL,
        float(threshold),
        aggregation,
        window_s,
        resolve_threshold=None if apart is None else float(threshold + (-apart if above else apart)),
        for_s=for_s,
        keep_firing_for_s=keep_s,
        missing=missing,
    ),
    st.booleans(),
    st.integers(3, 7),
    st.one_of(st.none(), st.integers(0, 3)),
    st.sampled_from([0.0, 2.0, 6.0, 15.0]),
    st.sampled_from([0.0, 2.0, 8.0]),
    st.sampled_from([Aggregation.LAST, Aggregation.AVG, Aggregation.MAX]),
    st.sampled_from(list(Missing)),
    st.sampled_from([1.0, 10.0, 30.0]),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([1.0, 2.0, 2.0, 2.0, 5.0, 30.0]),
        st.one_of(st.none(), st.integers(0, 10).map(float)),
        st.sampled_from([False] * 9 + [True]),
    ),
    max_size=60,
)


@given(condition=CONDITIONS, steps=STEPS)
def test_alerts_are_what_all_readings_say(condition: Condition, steps: list[tuple[float, float | None, bool]]) -> None:
    """Gaps, silences of the source and restarts of the daemon included: a restart forgets readings, not alerts."""
    made = rule(condition)
    judge, raw, looks, now = evaluator(made), Raw(), list[Look](), 0.0
    seen: list[tuple[Alert | None, Alert]] = []
    for i, (step, told_value, restarted) in enumerate(steps):
        now, value = now + step, told_value
        if restarted:
            kept = list(judge.open_alerts())
            judge = evaluator(made)
            judge.restore(kept)
            raw.clear()
        if value is None and condition.missing is Missing.FIRE and (restarted or i == 0):
            value = 5.0  # where there is no series at all is another test's matter
        if value is not None:
            judge.put(batch(value), now)
            raw.append((now, value))
        known = value_of(raw, condition.aggregation, condition.window_s, MetricKind.GAUGE, now, 2.0)
        looks.append(Look(now, known, restarted))
        seen += judge.evaluate(made, now, float(i))
        told, pending = alerts_of(looks, condition, LONGEST_S)
        fired = [int(a.fired_at) for b, a in seen if a.fired_at is not None and (b is None or b.fired_at is None)]
        ended = [int(a.resolved_at) for _, a in seen if a.resolved_at is not None and a.fired_at is not None]
        assert fired == [t.fired for t in told]
        assert ended == [t.resolved for t in told if t.resolved is not None]
        assert [a.state is AlertState.PENDING for a in judge.open_alerts()] == (
            [True] if pending else [False] if len(fired) > len(ended) else []
        )


def test_missing_data_neither_begins_nor_ends_an_alert() -> None:
    made = rule(Condition("speed", Operator.BELOW, 5.0, for_s=4.0))
    judge = evaluator(made)
    for now in (0.0, 2.0):
        judge.put(batch(1.0), now)
        judge.evaluate(made, now, now)
    for now in (100.0, 102.0, 104.0):  # nothing is told: the two seconds stay two
        judge.evaluate(made, now, now)
    (alert,) = judge.open_alerts()
    assert (alert.state, alert.met_s, alert.value) == (AlertState.PENDING, 2.0, None)
    for now in (200.0, 202.0):
        judge.put(batch(1.0), now)
        judge.evaluate(made, now, now)
    (alert,) = judge.open_alerts()
    assert alert.state is AlertState.FIRING
    judge.evaluate(made, 100_000.0, 100_000.0)
    assert [a.state for a in judge.open_alerts()] == [AlertState.FIRING]


def test_what_must_be_there_fires_when_there_is_nothing_at_all_and_ends_when_there_is() -> None:
    made = rule(Condition("speed", Operator.BELOW, 5.0, for_s=4.0, missing=Missing.FIRE))
    judge = evaluator(made)
    for now in (0.0, 2.0, 4.0):
        changed = judge.evaluate(made, now, now)
    assert changed[-1][1].state is AlertState.FIRING
    judge.put(batch(9.0), 6.0)
    assert [a.state for _, a in judge.evaluate(made, 6.0, 6.0)] == [AlertState.RESOLVED]
    assert list(judge.open_alerts()) == []


def test_each_series_has_its_own_alert_and_labels_choose() -> None:
    made = rule(Condition("speed", Operator.BELOW, 5.0, labels={"disk": "sda"}), labels={"team": "x"})
    judge = evaluator(made)
    for execution, disk in (("aa", "sda"), ("bb", "sda"), ("cc", "sdb")):
        judge.put(batch(1.0, series_of("speed", {"execution": execution, "disk": disk})), 0.0)
    judge.put(batch(1.0, series_of("other", {"disk": "sda"})), 0.0)
    found = [a for _, a in judge.evaluate(made, 0.0, 7.0)]
    assert [(a.execution, a.state, a.fired_at) for a in found] == [
        ("aa", AlertState.FIRING, 7.0),
        ("bb", AlertState.FIRING, 7.0),
    ]
    assert found[0].labels == {"team": "x", "execution": "aa", "disk": "sda"}
    assert judge.evaluate(made, 0.0, 7.0, {"cc"}) == []


def test_what_has_ended_is_resolved_and_its_readings_are_forgotten() -> None:
    made = rule(Condition("speed", Operator.BELOW, 5.0))
    judge = evaluator(made)
    judge.put(batch(1.0), 0.0)
    judge.evaluate(made, 0.0, 0.0)
    judge.forget(1.0, {"aa"})
    ((before, after),) = judge.close(lambda a: "the migration has ended" if a.execution == "aa" else "", 3.0)
    assert before is not None
    assert (after.state, after.resolved_at, after.ending) == (AlertState.RESOLVED, 3.0, "the migration has ended")
    assert judge.evaluate(made, 1.0, 4.0) == []


def test_what_comes_while_a_round_is_under_way_is_looked_at_in_the_next() -> None:
    made = rule(Condition("finished", Operator.EQUAL, 1.0))
    judge, finished = evaluator(made), series_of("finished", {"execution": "aa"})
    assert judge.evaluate(made, 10.0, 10.0) == []
    judge.put(batch(1.0, finished), 10.5)  # the sampler does not wait for the rules
    judge.forget(10.0, {"aa"})
    ((_, after),) = judge.evaluate(made, 12.0, 12.0)
    assert after.state is AlertState.FIRING
    judge.forget(12.0, {"aa"})
    assert judge.evaluate(made, 14.0, 14.0)[-1][1].value is None


def test_watching_other_rules_keeps_the_readings_of_windows_that_stay() -> None:
    first = rule(Condition("speed", Operator.BELOW, 5.0, Aggregation.AVG, 20.0))
    second = rule(Condition("speed", Operator.BELOW, 5.0), id="r-2", name="b")
    judge = evaluator(first)
    for now in range(0, 20, 2):
        judge.put(batch(1.0), float(now))
    judge.watch((first, second))
    assert len(judge.evaluate(first, 18.0, 18.0)) == 1
    assert judge.evaluate(second, 18.0, 18.0) == []  # it has not seen anything yet
    judge.watch(())
    judge.put(batch(1.0), 20.0)
    judge.watch((first,))
    ((_, after),) = judge.evaluate(first, 20.0, 20.0)  # its alert is still there, the readings are not
    assert (after.state, after.value) == (AlertState.FIRING, None)
