"""Alerts of a real daemon over its real socket: from what is measured to who is told, over restarts, for everybody."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from daemon import EmbeddedDaemon
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import alert_api as a
from migmond.domain import api, daemon_api
from migmond.domain.alert import Condition, Operator, Severity
from migmond.domain.event_api import SubscribeParams, Subscription
from migmond.domain.events import AlertAcknowledged, AlertFiring, AlertPending, AlertResolved
from migmond.domain.history import HistoryParams, HistoryView, SeriesSelector
from migmond.domain.limits import Limits
from patience import until

CONFIGURATION = '[monitor]\ninterval = "200ms"\n[history]\nflush_every = "1s"\n'
BYTES_PER_S = "migmond_execution_bytes_per_second"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path / "daemon", CONFIGURATION) as running:
        yield running


def start(client: Client, tmp_path: Path, name: str, limit: int | None, size: int = 64 << 20) -> str:
    source = tmp_path / f"source-{name}"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(size))
    plan = api.PlanSpec(
        (api.SourceSpec(str(source)),), str(tmp_path / f"target-{name}"), name=name, limits=Limits(io_bytes_per_s=limit)
    )
    return client.call("execution.start", api.StartParams(plan), api.ExecutionView).id


def listed(client: Client, **params: Any) -> tuple[a.AlertView, ...]:
    return client.call("alerts.list", a.AlertsParams(**params), a.AlertPage).alerts


def put(client: Client, name: str, condition: Condition, **fields: Any) -> a.RuleView:
    return client.call("rules.put", a.RulePutParams(a.RuleSpec(name, condition, **fields)), a.RuleView)


_ALERTS = (AlertPending, AlertFiring, AlertAcknowledged, AlertResolved)
SLOW = Condition(BYTES_PER_S, Operator.BELOW, 32 << 20, for_s=0.5)


def test_an_alert_fires_is_seen_to_and_ends_with_its_migration(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    with Client(daemon.socket) as client, Client(daemon.socket) as listening:
        listening.call("events.subscribe", SubscribeParams(types=("alert.",)), Subscription)
        client.call("rules.enable", a.RuleEnableParams("finished", enabled=False), a.RuleView)
        put(client, "too-slow", SLOW, severity=Severity.ERROR, description="It is too slow")
        id_ = start(client, tmp_path, "photos", 4 << 20)
        (alert,) = until(lambda: listed(client, rule="too-slow", severity=Severity.ERROR))
        until(lambda: listed(client, rule="too-slow")[0].state == "firing")
        (alert,) = listed(client, rule="too-slow")
        assert (alert.execution, alert.execution_name, alert.unit) == (id_, "photos", "bytes per second")
        assert alert.message.startswith("photos: It is too slow: ")
        assert "below 32 MiB/s since " in alert.message
        assert client.call("system.status", api.Nothing(), daemon_api.Status).alerts == {"error": 1}
        done = client.call("alerts.acknowledge", a.AckParams(alert.id, "I am on it"), a.AlertView)
        assert (done.note, bool(done.acknowledged_by)) == ("I am on it", True)
        client.call("execution.cancel", api.ReasonParams(id_), api.ExecutionView)
        past = until(lambda: listed(client, view="history", rule="too-slow"))
        assert [(p.id, p.state, p.note) for p in past] == [(alert.id, "resolved", "I am on it")]
        assert "the migration has ended" in past[0].message
        assert listed(client, rule="too-slow") == ()
        its = (d.event for d in listening.events(10.0) if d is not None and isinstance(d.event, _ALERTS))
        told = (event for event in its if event.alert.rule_name == "too-slow")
        types = [event.__struct_config__.tag for event in itertools.islice(told, 4)]
        assert types == ["alert.pending", "alert.firing", "alert.acknowledged", "alert.resolved"]


def test_alerts_rules_and_silences_outlive_the_daemon(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    with Client(daemon.socket) as client:
        put(client, "too-slow", SLOW)
        client.call("rules.enable", a.RuleEnableParams("finished", enabled=False), a.RuleView)
        id_ = start(client, tmp_path, "photos", 2 << 20)
        (before,) = until(lambda: [x for x in listed(client, rule="too-slow") if x.state == "firing"])
        silence = client.call("alerts.silence", a.SilenceParams(3600.0, "too-slow", reason="known"), a.SilenceView)
    daemon.kill(movers=True)
    daemon.start()
    with Client(daemon.socket) as client:
        (after,) = listed(client, rule="too-slow")
        assert (after.id, after.state, after.fired_at) == (before.id, "firing", before.fired_at)
        found = {r.id: r for r in client.call("rules.list", api.Nothing(), a.RuleList).rules}
        assert not found["finished"].rule.enabled
        assert found["finished"].changed
        assert found["stalled"].builtin
        assert not found["stalled"].changed
        assert client.call("alerts.silences", api.Nothing(), a.SilenceList).silences == (silence,)
        client.call("execution.cancel", api.ReasonParams(id_), api.ExecutionView)
        until(lambda: listed(client, view="history", rule="too-slow"))
        assert listed(client, view="history", rule="finished") == ()
    daemon.stop()
    with apsw.Connection(str(daemon.home / "state" / "journal.db"), flags=apsw.SQLITE_OPEN_READONLY) as db:
        query = "SELECT rule_id, execution_id, severity, acknowledged, resolved_at >= triggered_at FROM active_alerts"
        assert list(db.execute(query)) == [("r-1", id_, "warning", 0, 1)]
        assert list(db.execute("SELECT name, enabled, cooldown FROM alert_rules WHERE id = 'r-1'")) == [
            ("too-slow", 1, 300)
        ]


def test_what_ended_is_told_once_to_whoever_asks_for_it(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    with Client(daemon.socket) as client:
        # Another rule that looks at the same: what has come to an end for it is looked at no more by any.
        put(client, "beside", Condition("migmond_execution_finished", Operator.EQUAL, 1.0))

        def looked_at(id_: str) -> bool:
            return [x.state for x in listed(client, view="history", rule="beside", execution=id_)] == ["resolved"]

        unasked = start(client, tmp_path, "unasked", None, 1 << 20)
        until(lambda: looked_at(unasked))
        client.call("rules.enable", a.RuleEnableParams("finished", enabled=True), a.RuleView)
        id_ = start(client, tmp_path, "quick", None, 1 << 20)
        (past,) = until(lambda: listed(client, view="history", rule="finished"))
        assert (past.rule, past.severity) == ("finished", "info")
        until(lambda: looked_at(id_))
        assert [x.execution for x in listed(client, view="history", rule="finished")] == [id_]


def test_a_rule_is_replayed_over_history_as_it_would_have_fired(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    with Client(daemon.socket) as client:
        id_ = start(client, tmp_path, "photos", 4 << 20, 40 << 20)
        until(lambda: client.call("execution.get", api.GetParams(id_), api.ExecutionView).state == "completed")
        query = HistoryParams((SeriesSelector(BYTES_PER_S, {"execution": id_}),), span_s=120, points=100)
        until(lambda: client.call("history.query", query, HistoryView).series)
        slow = a.RuleSpec("x", Condition(BYTES_PER_S, Operator.BELOW, 32 << 20, for_s=2.0))
        found = client.call("rules.test", a.RuleTestParams(spec=slow, span_s=120), a.RuleTestView)
        assert (found.times, found.series) == (1, 1)
        assert found.episodes[0].labels == {"execution": id_}
        assert found.episodes[0].worst is not None
        until(lambda: _replayed(client, slow).episodes[0].resolved_at)  # it has ended
        assert found.episodes[0].worst < 32 << 20
        never = a.RuleSpec("x", Condition(BYTES_PER_S, Operator.ABOVE, float(1 << 40)))
        none = client.call("rules.test", a.RuleTestParams(spec=never, span_s=120), a.RuleTestView)
        assert (none.times, none.covered_s > 0) == (0, True)


def _replayed(client: Client, spec: a.RuleSpec) -> a.RuleTestView:
    return client.call("rules.test", a.RuleTestParams(spec=spec, span_s=120), a.RuleTestView)


@pytest.mark.parametrize(
    ("method", "params", "kind", "said"),
    [
        ("rules.get", {"rule": "nope"}, "not_found", "nope"),
        ("rules.remove", {"rule": "stalled"}, "conflict", "comes with migmond"),
        ("alerts.acknowledge", {"alert": "a-99"}, "not_found", "a-99"),
        ("alerts.silence", {"for_s": 0}, "invalid_input", "makes no sense"),
        ("alerts.silence", {"for_s": 60, "rule": "nope"}, "not_found", "nope"),
        ("alerts.list", {"view": "all"}, "invalid_input", "view"),
        ("rules.test", {}, "invalid_input", "either"),
        ("rules.test", {"rule": "stalled", "span_s": 1e12}, "invalid_input", "span"),
    ],
)
def test_what_makes_no_sense_is_refused(
    daemon_once: EmbeddedDaemon, method: str, params: dict[str, Any], kind: str, said: str
) -> None:
    with Client(daemon_once.socket) as client, pytest.raises(RemoteError) as e:
        client.call(method, params, dict)
    assert e.value.kind == kind
    assert said in e.value.message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"metric": "migmond_execution_bytes_per_secon"}, "did you mean migmond_execution_bytes_per_second"),
        ({"labels": {"disk": "sda"}}, "its labels: execution"),
        ({"window_s": 0.5}, "1 s to 1 h"),
        ({"for_s": -1}, "0 to 7 days"),
        ({"resolve_threshold": 1}, "above the threshold"),
        ({"metric": "migmond_execution_bytes_total", "aggregation": "avg"}, "write rate("),
        ({"missing": "fire"}, "for 5m"),
        ({"operator": "==", "resolve_threshold": 3}, "leave it out"),
    ],
)
def test_conditions_that_make_no_sense_say_what_to_write(
    daemon_once: EmbeddedDaemon, fields: dict[str, Any], said: str
) -> None:
    condition = {"metric": BYTES_PER_S, "operator": "<", "threshold": 5, **fields}
    with Client(daemon_once.socket) as client, pytest.raises(RemoteError) as e:
        client.call("rules.put", {"rule": {"name": "x", "condition": condition}}, dict)
    assert e.value.kind == "invalid_input"
    assert said in f"{e.value.message} {e.value.hint}"


def test_built_in_rules_are_edited_and_come_back(daemon_once: EmbeddedDaemon) -> None:
    with Client(daemon_once.socket) as client:
        before = client.call("rules.get", a.RuleParams("stalled"), a.RuleView)
        spec = a.RuleSpec("stalled", Condition("migmond_execution_stalled_seconds", Operator.ABOVE, 600.0))
        edited = client.call("rules.put", a.RulePutParams(spec, "stalled"), a.RuleView)
        assert (edited.builtin, edited.changed, edited.rule.condition.threshold) == (True, True, 600.0)
        with pytest.raises(RemoteError, match="already"):
            client.call("rules.put", a.RulePutParams(spec), a.RuleView)
        client.call("rules.remove", a.RuleParams("stalled"), api.Acknowledged)
        assert client.call("rules.get", a.RuleParams("stalled"), a.RuleView) == before


@pytest.fixture(scope="module")
def daemon_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path_factory.mktemp("alerts"), CONFIGURATION) as running:
        yield running
