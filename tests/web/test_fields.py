"""Which parameter it is that the daemon refuses, as the gateway hands it on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from daemon import EmbeddedDaemon
from gateway import Browser, RunningGateway

LONG = "x" * 5000
RULE = {"name": "slow", "condition": {"metric": "migmond_execution_bytes_per_second", "operator": "<", "threshold": 5}}
PANEL = {"kind": "chart", "title": "one"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    home = tmp_path_factory.mktemp("fields") / "home"
    with EmbeddedDaemon(home) as daemon, RunningGateway(daemon) as running:
        signed_in = Browser(running)
        assert signed_in.sign_in().status == 201
        yield signed_in


@pytest.fixture(scope="module")
def id_(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a migration that has something left to be done."""
    source = tmp_path_factory.mktemp("held") / "source"
    source.mkdir()
    for i in range(40):
        (source / f"{i}").write_bytes(b"x")
    plan = {"sources": [{"path": str(source)}], "destination": f"{source}-copy", "limits": {"io_ops_per_s": 1.0}}
    started = browser.ask("POST", "/migrations", {"plan": plan, "name": "held"})
    assert started.status == 201, started.body
    return str(started.json["id"])


def plan(**changes: Any) -> dict[str, Any]:
    sources = [{"path": "/a", "into": "a"}, {"path": "/b", "into": "b"}]
    return {"plan": {"sources": sources, "destination": "/c", **changes}}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sources": []}, "plan.sources"),
        ({"sources": [{"path": "/a"}, {"path": "b"}]}, "plan.sources[1].path"),
        ({"sources": [{"path": "/a", "into": "../x"}]}, "plan.sources[0].into"),
        ({"sources": [{"path": "/a\\x0"}]}, "plan.sources[0].path"),
        ({"destination": "c/d"}, "plan.destination"),
        ({"destination": "/c/../d"}, "plan.destination"),
        ({"destination": 5}, "plan.destination"),
        ({"name": "two\nlines"}, "plan.name"),
        ({"workers": 0}, "plan.workers"),
        ({"workers": "four"}, "plan.workers"),
        ({"conflict": "perhaps"}, "plan.conflict"),
        ({"colour": "red"}, "plan.colour"),
        ({"limits": {"io_bytes_per_s": 0}}, "plan.limits.io_bytes_per_s"),
        ({"limits": {"memory_bytes": 1}}, "plan.limits.memory_bytes"),
        ({"limits": {"timetable": "25:00,5MiB"}}, "plan.limits.timetable"),
        ({"limits": {"timetable": "08:00,much"}}, "plan.limits.timetable"),
        ({"selector": {"include": ["[a"]}}, "plan.selector.include"),
        ({"selector": {"exclude": ["{a,b"]}}, "plan.selector.exclude"),
        ({"selector": {"types": ["film"]}}, "plan.selector.types"),
        ({"selector": {"states": ["odd"]}}, "plan.selector.states"),
        ({"selector": {"larger_than": -1}}, "plan.selector.larger_than"),
        ({"selector": {"under": "a\\x"}}, "plan.selector.under"),
    ],
)
def test_of_a_plan(browser: Browser, changes: dict[str, Any], field: str) -> None:
    assert refused(browser, "POST", "/plans/check", plan(**changes)) == field
    assert refused(browser, "POST", "/migrations", plan(**changes)) == field


@pytest.mark.parametrize(
    ("action", "field"),
    [
        ({"type": "throttle"}, "action"),
        ({"type": "throttle", "cpu_percent": 0}, "action.cpu_percent"),
        ({"type": "throttle", "io_ops_per_s": -1}, "action.io_ops_per_s"),
        ({"type": "throttle", "timetable": "noon,5MiB"}, "action.timetable"),
        ({"type": "workers", "count": 0}, "action.count"),
        ({"type": "workers", "count": 256}, "action.count"),
        ({"type": "batch_size", "entries": -1}, "action.entries"),
        ({"type": "weight", "weight": 0}, "action.weight"),
        ({"type": "skip", "selector": {}}, "action.selector"),
        ({"type": "skip", "selector": {"types": ["film"]}}, "action.selector.types"),
        ({"type": "priority", "selector": {"include": ["*.x"]}, "level": "utmost"}, "action.level"),
        ({"type": "reorder", "selector": {"include": ["*.x"]}, "place": "before"}, "action.before"),
        ({"type": "route", "selector": {"include": ["*.x"]}, "destination": "away"}, "action.destination"),
    ],
)
def test_of_a_change(browser: Browser, id_: str, action: dict[str, Any], field: str) -> None:
    assert refused(browser, "POST", f"/{id_}/interventions", {"action": action, "dry_run": True}) == field


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"for_s": -1}, "for_s"),
        ({"reason": LONG}, "reason"),
        ({"request_id": LONG}, "request_id"),
        ({"dry_run": "maybe"}, "dry_run"),
    ],
)
def test_of_what_goes_with_a_change(browser: Browser, id_: str, more: dict[str, Any], field: str) -> None:
    asked = {"action": {"type": "pause"}, "dry_run": True, **more}
    assert refused(browser, "POST", f"/{id_}/interventions", asked) == field


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/migrations?limit=0", "limit"),
        ("/migrations?offset=-1", "offset"),
        ("/migrations?sort=size", "sort"),
        ("/migrations?states=no-such", "states"),
        (f"/migrations?search={LONG}", "search"),
        ("/ID/files?after=-1", "after"),
        ("/ID/files?limit=100000", "limit"),
        (f"/ID/files?selector={quote(json.dumps({'include': ['[a']}))}", "selector.include"),
        (f"/ID/files?selector={quote(json.dumps({'states': ['odd']}))}", "selector.states"),
        ("/ID/breakdown?by=colour", "by"),
        ("/ID/breakdown?limit=0", "limit"),
        ("/ID/large-files?offset=-1", "offset"),
        ("/browse?path=here", "path"),
        ("/browse?path=/&after=x", "after"),
        ("/browse?path=/&limit=0", "limit"),
        ("/reports?since=yesterday", "since"),
        ("/reports?until=2026-01-01", "until"),
        ("/reports?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", "since"),
        ("/reports?span_s=-1", "span_s"),
        ("/reports?limit=0", "limit"),
        ("/reports?states=odd", "states"),
        ("/compare?ids=ID", "ids"),
        ("/compare?ids=ID&ids=ID", "ids"),
        ("/export?table=none", "table"),
        ("/export?table=executions&format=xls", "format"),
        ("/export?table=executions&after=-1", "after"),
        ("/export?table=files", "execution"),
        ("/export?table=history&points=1", "points"),
        ("/history?metric=a&points=1", "points"),
        ("/history?metric=a&start=now", "start"),
        ("/history?metric=a&end=2026-11-26", "end"),
        ("/history?points=60", "metric"),
        ("/history/series?after=-1", "after"),
        ("/alerts?view=odd", "view"),
        ("/alerts?limit=0", "limit"),
    ],
)
def test_of_a_question(browser: Browser, id_: str, path: str, field: str) -> None:
    assert refused(browser, "GET", path.replace("ID", id_)) == field


@pytest.mark.parametrize(
    ("verb", "path", "body", "field"),
    [
        ("POST", "/history", {"select": []}, "select"),
        ("POST", "/history", {"select": [{"metric": "a"}], "span_s": 0}, "span_s"),
        ("POST", "/history", {"select": [{"metric": "a"}, {"labels": {}}]}, "select[1].metric"),
        ("POST", "/migrations", {}, "plan"),
        ("POST", "/migrations", {**plan(), "name": LONG}, "name"),
        ("PUT", "/plans", plan(), "plan.name"),
        ("POST", "/alerts/silences", {"for_s": -1}, "for_s"),
        ("POST", "/alerts/rules", {"rule": {**RULE, "name": "-"}}, "rule.name"),
        ("POST", "/alerts/rules", {"rule": {**RULE, "cooldown_s": -1}}, "rule.cooldown_s"),
        ("POST", "/alerts/rules", {"rule": {**RULE, "actions": [{"name": "shout"}]}}, "rule.actions[0].name"),
        (
            "POST", "/alerts/rules",
            {"rule": {**RULE, "actions": [{"name": "pause"}, {"name": "pause", "parameters": {"odd": 1}}]}},
            "rule.actions[1].parameters",
        ),
        ("POST", "/alerts/rules", {"rule": {**RULE, "condition": {**RULE["condition"], "metric": "none"}}},  # type: ignore[dict-item]
         "rule.condition.metric"),
        ("POST", "/alerts/rules/test", {"spec": {**RULE, "condition": {**RULE["condition"], "window_s": 0}}},  # type: ignore[dict-item]
         "spec.condition.window_s"),
        ("POST", "/alerts/rules/test", {"rule": "any", "span_s": 1}, "span_s"),
        ("PUT", "/dashboards", {"dashboard": {"name": "", "panels": []}}, "dashboard.name"),
        ("PUT", "/dashboards", {"dashboard": {"name": "d", "panels": [PANEL, {**PANEL, "width": 9}]}},
         "dashboard.panels[1].width"),
    ],
)  # fmt: skip
def test_of_what_is_sent(browser: Browser, verb: str, path: str, body: Any, field: str) -> None:
    assert refused(browser, verb, path, body) == field


def test_what_is_not_one_parameter_names_none(browser: Browser) -> None:
    answer = browser.ask("POST", "/migrations", plan(sources=[{"path": "/a"}, {"path": "/a"}]))
    assert (answer.status, answer.json["error"]["code"]) == (422, "plan_infeasible")
    assert answer.json["error"]["field"] is None


def refused(browser: Browser, verb: str, path: str, body: Any = None) -> str | None:
    """Return the field that is named."""
    answer = browser.ask(verb, path, body)
    assert answer.status == 422, answer.body
    assert answer.json["error"]["message"]
    field: str | None = answer.json["error"]["field"]
    return field
