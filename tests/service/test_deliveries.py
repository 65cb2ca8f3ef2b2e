"""Calls of alert actions by a real daemon: what it was to do when it was stopped or killed is done, to the end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from alerts_told import an_alert
from daemon import EmbeddedDaemon
from loopback import Loopback, free_port
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import alert_api as a
from migmond.domain import api, daemon_api
from migmond.domain.alert import ActionCall, Alert, Condition, Delivery, Operator, Severity
from migmond.domain.changes import PutDelivery
from migmond.domain.delivery_api import DeliveriesParams, DeliveryList
from migmond.domain.limits import Limits
from migmond.domain.steering_api import InterventionList, InterventionView
from migmond_sqlite import open_journal
from patience import until


def calls(daemon: EmbeddedDaemon, **params: Any) -> DeliveryList:
    with Client(daemon.socket) as client:
        return client.call("alerts.deliveries", DeliveriesParams(**params), DeliveryList)


def leave(
    daemon: EmbeddedDaemon, action: str, parameters: dict[str, object], alert: Alert, *, firing: bool = True
) -> str:
    """Put a call into the journal of a daemon that does not run, as rules put one; returns its id."""
    delivery = Delivery(os.urandom(12).hex(), action, parameters, alert, firing, time.time(), next_at=time.time())

    async def put() -> None:
        (daemon.home / "state").mkdir(mode=0o700, exist_ok=True)
        async with open_journal(daemon.home / "state") as journal:
            await journal.apply([PutDelivery(delivery)])

    trio.run(put)
    return delivery.id


def configured(home: Path, url: str) -> EmbeddedDaemon:
    return EmbeddedDaemon(home, f'[plugins.webhook.targets.ops]\nurl = "{url}"\n')


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def test_what_was_left_is_delivered_and_shown(tmp_path: Path, server: Loopback) -> None:
    daemon = configured(tmp_path / "daemon", server.url)
    id_ = leave(daemon, "webhook", {"target": "ops"}, an_alert(message="sda has 61 °C"))
    with daemon:
        until(lambda: [d.state for d in calls(daemon).deliveries] == ["done"])
        (seen,) = server.seen
        body = json.loads(seen.body)
        assert seen.headers["idempotency-key"] == body["delivery"] == id_
        assert (body["message"], body["state"], body["rule"]) == ("sda has 61 °C", "firing", "hot disk")
        (view,) = calls(daemon).deliveries
        assert (view.id, view.action, view.attempts, view.error, view.next_at) == (id_, "webhook", 1, "", None)
        assert "hot disk" in daemon.migmon("alerts", "deliveries").stdout
        assert json.loads(daemon.migmon("--json", "alerts", "deliveries").stdout)["data"]["deliveries"][0]["id"] == id_
    with daemon:
        assert [d.state for d in calls(daemon).deliveries] == ["done"]
    assert len(server.seen) == 1


def test_killed_between_delivery_and_record(tmp_path: Path, server: Loopback) -> None:
    daemon = configured(tmp_path / "daemon", server.url)
    server.hang.clear()  # it takes the request, and does not answer yet
    firing = leave(daemon, "webhook", {"target": "ops"}, an_alert())
    resolved = leave(daemon, "webhook", {"target": "ops"}, an_alert(), firing=False)
    with daemon:
        until(lambda: len(server.seen) == 1)
        daemon.kill(movers=True)
        server.hang.set()
        daemon.start()
        until(lambda: len(server.seen) == 3)
        until(lambda: [d.state for d in calls(daemon).deliveries] == ["done", "done"])
    assert [s.headers["idempotency-key"] for s in server.seen] == [firing, firing, resolved]


def test_a_receiver_that_is_down_for_a_while(tmp_path: Path) -> None:
    port = free_port()
    daemon = configured(tmp_path / "daemon", f"http://localhost:{port}")
    leave(daemon, "webhook", {"target": "ops"}, an_alert())
    with daemon:
        until(lambda: any(t.failing for t in calls(daemon).troubles))
        (trouble,) = calls(daemon).troubles
        assert (trouble.action, trouble.error, trouble.waiting) == (
            "webhook", "ops cannot be connected to: Connection refused", 1,
        )  # fmt: skip
        assert [d.state for d in calls(daemon, open_only=True).deliveries] == ["waiting"]
        for command in (("alerts",), ("alerts", "deliveries")):
            assert "✗ webhook fails: ops cannot be connected to" in daemon.migmon(*command).stdout
        with Client(daemon.socket) as client:
            checks = client.call("system.doctor", api.Nothing(), daemon_api.Checks).checks
        assert next(c for c in checks if c.name == "alert actions").severity == "warning"
        with Loopback(port=port) as server:
            until(lambda: [d.state for d in calls(daemon).deliveries] == ["done"])
            assert len(server.seen) == 1
        assert [(t.failing, t.waiting) for t in calls(daemon).troubles] == [(False, 0)]
        assert calls(daemon, action="email").deliveries == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: hooks lie in a directory that only root may write to")
def test_a_hook_is_run(tmp_path: Path) -> None:
    hooks, told = tmp_path / "hooks", tmp_path / "told"
    hooks.mkdir()
    (hooks / "tell").write_text(f"#!/bin/sh\ncat > {told}\necho said this\n")
    (hooks / "tell").chmod(0o755)
    daemon = EmbeddedDaemon(
        tmp_path / "daemon", f'[plugins.exec]\ndirectories = ["{hooks}"]\nuser = "{_user(tmp_path)}"\n'
    )
    leave(daemon, "exec", {"argv": [str(hooks / "tell")]}, an_alert())
    with daemon:
        until(lambda: [d.state for d in calls(daemon).deliveries] == ["done"])
        assert json.loads(told.read_text())["message"] == "sda is hot"
        assert "said this" in daemon.log()


def _user(directory: Path) -> str:
    """A user that may write there: nobody."""
    for parent in [directory, *directory.parents[:-1]]:
        parent.chmod(parent.stat().st_mode | 0o011)
    directory.chmod(0o1777)
    return "nobody"


def test_a_rule_calls_a_server_and_throttles(tmp_path: Path, server: Loopback) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "large").write_bytes(os.urandom(1 << 20) * 64)
    plan = api.PlanSpec((api.SourceSpec(str(tmp_path / "source")),), str(tmp_path / "target"), name="media")
    plan = msgspec.structs.replace(plan, limits=Limits(io_bytes_per_s=1 << 20))
    condition = Condition("migmond_execution_bytes_per_second", Operator.BELOW, 32 << 20, for_s=0.5)
    configuration = f'[monitor]\ninterval = "200ms"\n[plugins.webhook.targets.ops]\nurl = "{server.url}"\n'
    with EmbeddedDaemon(tmp_path / "daemon", configuration) as daemon, Client(daemon.socket) as client:
        for parameters, why in (({"target": "else"}, "there is no target"), ({"url": "x"}, "no parameter 'url'")):
            wrong = a.RuleSpec("creeping", condition, actions=(ActionCall("webhook", parameters),))
            with pytest.raises(RemoteError, match=why):
                client.call("rules.put", a.RulePutParams(wrong), a.RuleView)
        calls_ = (ActionCall("webhook", {"target": "ops"}), ActionCall("throttle", {"io_bytes_per_s": 1 << 19}))
        rule = a.RuleSpec("creeping", condition, severity=Severity.ERROR, actions=calls_)
        client.call("rules.put", a.RulePutParams(rule), a.RuleView)
        id_ = client.call("execution.start", api.StartParams(plan), api.ExecutionView).id
        until(lambda: len(server.seen) == 1)

        def interventions() -> list[InterventionView]:
            found = client.call("execution.interventions", api.ExecutionParams(id_), InterventionList)
            return list(found.interventions)

        until(lambda: len(interventions()) == 1)
        (record,) = interventions()
        assert (record.kind, record.author, record.automatic, record.ended_at) == (
            "throttle", "alert creeping", True, None,
        )  # fmt: skip
        assert "below 32 MiB/s" in record.reason
        body = json.loads(server.seen[0].body)
        assert (body["rule"], body["state"], body["execution"], body["execution_name"]) == (
            "creeping", "firing", id_, "media",
        )  # fmt: skip
        client.call("execution.cancel", api.ReasonParams(id_), api.ExecutionView)
        until(lambda: len(server.seen) == 2)
        again = json.loads(server.seen[1].body)
        assert (again["state"], again["alert"]) == ("resolved", body["alert"])
        assert again["delivery"] != body["delivery"]
        assert daemon.migmon("alerts").returncode == 0


def test_alerts_pause_throttle_and_stop(tmp_path: Path) -> None:
    source, daemon = tmp_path / "source", EmbeddedDaemon(tmp_path / "daemon")
    source.mkdir()
    (source / "large").write_bytes(os.urandom(1 << 20) * 64)
    plan = api.PlanSpec(
        (api.SourceSpec(str(source)),), str(tmp_path / "target"), limits=Limits(io_bytes_per_s=1 << 20), name="media"
    )
    with daemon:
        with Client(daemon.socket) as client:
            id_ = client.call("execution.start", api.StartParams(plan), api.ExecutionView).id

        def view() -> api.ExecutionView:
            with Client(daemon.socket) as client:
                return client.call("execution.get", api.GetParams(id_), api.ExecutionView)

        def interventions() -> list[InterventionView]:
            with Client(daemon.socket) as client:
                found = client.call("execution.interventions", api.ExecutionParams(id_), InterventionList)
            return list(found.interventions)

        def called(action: str, parameters: dict[str, object], *, firing: bool = True) -> None:
            until(lambda: view().state in ("running", "paused"))
            daemon.kill(movers=True)
            leave(daemon, action, parameters, an_alert(execution=id_, device=""), firing=firing)
            daemon.start()
            until(lambda: not calls(daemon, open_only=True).deliveries)

        called("pause", {"resume": True})
        assert [(h.reason, h.author) for h in view().holds] == [("alert", "alert hot disk")]
        assert view().state == "paused"
        called("throttle", {"io_bytes_per_s": 1 << 18})
        assert [(i.after, i.ended_at) for i in interventions()][1:] == [("I/O 256 KiB/s", None)]
        called("throttle", {"io_bytes_per_s": 1 << 18}, firing=False)
        called("pause", {"resume": True}, firing=False)
        assert view().holds == ()
        assert [i.ended_by for i in interventions()] == ["alert hot disk"] * 2
        called("stop-all", {})
        assert [h.reason for h in view().holds] == ["emergency"]
        kinds = [(i.kind, i.author) for i in interventions()]
        assert kinds == [(k, "alert hot disk") for k in ("pause", "throttle", "stop_all")]
        called("pause", {"lasts": "nonsense"})
        last = calls(daemon).deliveries[-1]
        daemon.kill(movers=True)  # what it has in hand would take it a minute
        assert (last.state, "nonsense" in last.error) == ("given_up", True)


def test_an_alert_takes_back_what_it_has_done_and_nothing_else(tmp_path: Path) -> None:
    """Two alerts of one rule, as about two hot disks, pause the same migration: when one is over, the other's hold
    stays, and so does what another action has done."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "large").write_bytes(os.urandom(1 << 20) * 64)
    plan = api.PlanSpec((api.SourceSpec(str(tmp_path / "source")),), str(tmp_path / "target"), name="media")
    plan = msgspec.structs.replace(plan, limits=Limits(io_bytes_per_s=1 << 20))
    pausing: dict[str, object] = {"resume": True}
    with EmbeddedDaemon(tmp_path / "daemon") as daemon:
        with Client(daemon.socket) as client:
            id_ = client.call("execution.start", api.StartParams(plan), api.ExecutionView).id
            until(lambda: client.call("execution.get", api.GetParams(id_), api.ExecutionView).state == "running")
        daemon.kill(movers=True)
        one, other = (an_alert(n, execution=id_, device="") for n in (1, 2))
        leave(daemon, "pause", pausing, one)
        leave(daemon, "throttle", {"io_bytes_per_s": 1 << 18}, one)
        leave(daemon, "throttle", {"io_bytes_per_s": 1 << 23}, other)
        leave(daemon, "pause", pausing, other)
        leave(daemon, "pause", pausing, one, firing=False)
        daemon.start()
        until(lambda: [d.state for d in calls(daemon).deliveries] == ["done"] * 5)
        with Client(daemon.socket) as client:
            view = client.call("execution.get", api.GetParams(id_), api.ExecutionView)
            found = client.call("execution.interventions", api.ExecutionParams(id_), InterventionList).interventions
        assert len(view.holds) == 1
        assert sorted((i.kind, i.ended_by) for i in found) == [
            ("pause", ""), ("pause", "alert hot disk"), ("throttle", ""),
        ]  # fmt: skip
        daemon.kill(movers=True)
