"""Whose actions are called: acknowledged, silenced, inhibited and cooling alerts call none; groups are one notice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from migmond.alerting.messages import sentence
from migmond.alerting.quiet import Around, by_subject, is_told, notices, why_quiet
from migmond.domain.alert import (
    ActionCall,
    Aggregation,
    Alert,
    AlertRule,
    AlertState,
    Condition,
    Missing,
    Operator,
    Severity,
    Silence,
)

AT = 1000.0
CONDITION = Condition("migmond_execution_bytes_per_second", Operator.BELOW, 20 << 20, Aggregation.AVG, 300.0)


def rule(id_: str = "slow", **fields: Any) -> AlertRule:
    made = AlertRule(id_, id_, "It is slow. And more.", CONDITION, Severity.WARNING, cooldown_s=60.0)
    return msgspec.structs.replace(made, **fields)


def alert(id_: str = "a-1", rule_id: str = "slow", **fields: Any) -> Alert:
    made = Alert(
        id_, rule_id, rule_id, Severity.WARNING, AlertState.FIRING, "m", "aa", "", {"execution": "aa"}, 5.0, 6.0,
        900.0, AT, fired_at=950.0, series=(("execution", "aa"),),
    )  # fmt: skip
    return msgspec.structs.replace(made, **fields)


def around(*rules: AlertRule, **fields: Any) -> Around:
    made = Around(
        {r.id: r for r in rules or (rule(),)}, (), {}, {}, lambda uid, execution: (uid, execution) == (7, "aa")
    )
    return msgspec.structs.replace(made, **fields)


def silence(**fields: Any) -> Silence:
    return msgspec.structs.replace(Silence("s-1", "ana", "", 900.0, 1100.0), **fields)


@pytest.mark.parametrize(
    ("fields", "quiet"),
    [
        ({}, True),
        ({"rule": "slow"}, True),
        ({"rule": "other"}, False),
        ({"execution": "aa"}, True),
        ({"execution": "bb"}, False),
        ({"labels": {"execution": "aa"}}, True),
        ({"labels": {"execution": "aa", "disk": "sda"}}, False),
        ({"until": AT}, False),
        ({"since": AT + 1}, False),
        ({"owner": 7, "own": True}, True),
        ({"owner": 8, "own": True}, False),
    ],
)
def test_silences(fields: Mapping[str, Any], quiet: bool) -> None:
    found = why_quiet(alert(), rule(), around(silences=(silence(**fields),)), AT)
    assert found == ("silenced by s-1" if quiet else "")


@pytest.mark.parametrize(
    ("other", "quiet"),
    [
        (alert("a-2", "stalled"), True),
        (alert("a-2", "stalled", execution="bb"), False),
        (alert("a-2", "stalled", execution="", device="sda"), False),
        (alert("a-2", "errors"), False),
        (alert("a-2", "stalled", resolved_at=AT - 299), True),  # the mean of some minutes remembers it
        (alert("a-2", "stalled", resolved_at=AT - 300), False),
        (alert("a-2", "stalled", resolved_at=AT + 60), False),  # the clock was set back
    ],
)
def test_inhibition_is_about_the_same_migration_or_disk(other: Alert, quiet: bool) -> None:
    rules = rule(), rule("stalled", inhibits=("slow",)), rule("errors")
    slow = alert(pending_at=600.0)
    found = why_quiet(slow, rule(), around(*rules, inhibiting=by_subject((slow, other))), AT)
    assert found == ("inhibited by a-2 (stalled)" if quiet else "")


def test_what_begins_when_the_other_has_ended_is_told() -> None:
    rules, ended = (rule(), rule("stalled", inhibits=("slow",))), alert("a-2", "stalled", resolved_at=950.0)
    inhibiting = by_subject((ended,))
    for pending_at, quiet in ((949.0, True), (950.0, False)):
        found = why_quiet(alert(pending_at=pending_at), rule(), around(*rules, inhibiting=inhibiting), AT)
        assert bool(found) is quiet


def test_a_cooldown_is_of_one_series() -> None:
    told = {("slow", (("execution", "aa"),)): AT - 59}
    assert why_quiet(alert(), rule(), around(told_at=told), AT) == "cooldown"
    assert why_quiet(alert(), rule(), around(told_at=told), AT + 1) == ""
    other = alert(series=(("execution", "bb"),))
    assert why_quiet(other, rule(), around(told_at=told), AT) == ""


def test_who_sees_to_it_is_not_told_again() -> None:
    seen = alert(acknowledged_at=AT, acknowledged_by="ana")
    assert why_quiet(seen, rule(), around(), AT) == "acknowledged by ana"


def test_what_fires_together_is_one_notice_but_each_is_paused() -> None:
    actions = (ActionCall("webhook", {"url": "x"}), ActionCall("pause", on_resolve=False))
    six = [alert(f"a-{n}", execution=f"e{n}") for n in range(6)]
    found = list(notices((a, actions) for a in six))
    assert [(n.alert.id, n.call.name) for n in found] == [("a-0", "webhook"), *((f"a-{n}", "pause") for n in range(6))]
    assert found[0].alert.message == "6 alerts: m; also e1, e2, e3 and 2 more"
    assert [n.also for n in found] == [("a-1", "a-2", "a-3", "a-4", "a-5"), *[()] * 6]
    assert list(notices((a, ()) for a in six)) == []
    # Two that were told by an earlier version of the rule end with one that was not.
    mixed = [(six[0], actions[:1]), (six[1], list(actions[:1])), (six[2], ())]
    assert [(n.alert.id, n.also) for n in notices((a, tuple(calls)) for a, calls in mixed)] == [("a-0", ("a-1",))]


def test_only_who_was_told_of_the_beginning_is_told_of_the_end() -> None:
    before, after = alert(), alert(state=AlertState.RESOLVED, notified_at=960.0, told=(ActionCall("webhook"),))
    assert is_told(before, after)
    assert not is_told(before, msgspec.structs.replace(after, told=()))
    assert not is_told(alert(state=AlertState.PENDING), after)
    assert not is_told(before, before)


def test_a_message_has_value_threshold_and_since_when() -> None:
    slow = alert(value=float(5 << 20))
    text = sentence(rule(), slow, "bytes per second", "photos")
    assert text == (
        "photos: It is slow: mean of migmond_execution_bytes_per_second over 5 min is 5.00 MiB/s, "
        "below 20.0 MiB/s since 1970-01-01 00:15:00 UTC"
    ).replace("5.00", "5").replace("20.0", "20")
    ended = msgspec.structs.replace(slow, state=AlertState.RESOLVED, ending="the migration has ended")
    assert "resolved, the migration has ended; it fired at 1970-01-01 00:15:50 UTC" in sentence(rule(), ended, "", "")
    between = msgspec.structs.replace(slow, value=float(22 << 20))  # it resolves at 25 MiB/s
    assert sentence(rule(), between, "bytes per second", "").endswith(
        "is 22 MiB/s; it was below 20 MiB/s at 1970-01-01 00:15:00 UTC, and that is not over yet"
    )
    assert "is not told now; it was below" in sentence(rule(), alert(value=None), "", "")
    must_be = rule(condition=msgspec.structs.replace(CONDITION, missing=Missing.FIRE))
    assert "is not told, which counts as below" in sentence(must_be, alert(value=None), "", "")
