"""The built-in rules on labelled traces: a small version of `scripts/alert-harness`, and the harness itself."""

from __future__ import annotations

import random

import msgspec
import pytest

from alert_scores import Score, precision, recall, run, scored
from alert_traces import KINDS, Incident, Trace
from migmond.alerting.builtin import builtin_rules
from migmond.domain.alert import Alert, AlertState, Severity


def test_what_is_wrong_is_told_and_nothing_else() -> None:
    scores = run([1, 2])
    assert precision(scores) >= 0.99, [s for s in scores if s.wrong]
    assert recall(scores) >= 0.99, [s for s in scores if s.missed]
    assert {s.kind for s in scores} == set(KINDS)
    assert sum(s.right for s in scores) >= 12


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_within_their_traces_and_about_rules_that_there_are(kind: str) -> None:
    rules = {rule.id for rule in builtin_rules()}
    for seed in range(5):
        trace = KINDS[kind](random.Random(seed))
        for incident in trace.incidents:
            assert incident.rule in rules
            assert 0 <= incident.begin < incident.told_by
            assert incident.begin < incident.end
        assert trace.implied <= rules


def alert(rule: str, at: float) -> Alert:
    made = Alert("a-1", rule, rule, Severity.INFO, AlertState.FIRING, "", "", "", {}, 1.0, 1.0, at, at, fired_at=at)
    return msgspec.structs.replace(made, id=f"a-{at}")


@pytest.mark.parametrize(
    ("alerts", "right", "missed", "wrong"),
    [
        ([], 0, 1, 0),
        ([("stalled", 150)], 1, 0, 0),
        ([("stalled", 90)], 0, 1, 1),  # before it began
        ([("stalled", 250)], 0, 1, 0),  # too late
        ([("stalled", 150), ("stalled", 180)], 1, 0, 1),  # twice
        ([("stalled", 150), ("slow", 160)], 1, 0, 0),  # implied
        ([("stalled", 150), ("slow", 20)], 1, 0, 1),  # before there was a reason
        ([("stalled", 150), ("errors", 160)], 1, 0, 1),
    ],
)
def test_the_harness_counts_what_is_wrong(alerts: list[tuple[str, float]], right: int, missed: int, wrong: int) -> None:
    trace = Trace("x", (), (Incident("stalled", 100, 300, 200),), frozenset({"slow"}))
    score = Score("x")
    scored(trace, [alert(rule, at) for rule, at in alerts], score)
    assert (score.right, score.missed, score.wrong) == (right, missed, wrong)
