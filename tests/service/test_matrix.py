"""Who may call what: every method of the registry times everybody, on a real daemon.

The expectations are written down here, one row for each method: a method that has none fails the test.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from as_user import as_user
from migmond.client.errors import ClientError, RemoteError
from migmond.client.sync import Client
from migmond.domain.identity import Role
from migmond.rpc.methods import standard_registry
from several_users import ADMINS, ANA, BEN, GUEST, NOBODY, OPERATORS, ROLES, VIEWERS, SystemDaemon, gid, passable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a daemon that serves several users")

ADMIN = 40005
OK, NO, HIDDEN = "ok", "not_permitted", "not_found"
"""HIDDEN: what is named is not there for this one, as if it did not exist."""
PEOPLE: Mapping[str, tuple[int, str | None]] = {
    "root": (0, None),
    "admin": (ADMIN, ADMINS),
    "owner": (ANA, OPERATORS),
    "operator": (BEN, OPERATORS),
    "viewer": (GUEST, VIEWERS),
    "nobody": (NOBODY, None),
}
EVERYBODY = {"root": OK, "admin": OK, "owner": OK, "operator": OK, "viewer": OK, "nobody": NO}
ADMINS_ONLY = {"root": OK, "admin": OK, "owner": NO, "operator": NO, "viewer": NO, "nobody": NO}
THEIR_OWN = {"root": OK, "admin": OK, "owner": OK, "operator": OK, "viewer": NO, "nobody": NO}
LOOK = {"root": OK, "admin": OK, "owner": OK, "operator": HIDDEN, "viewer": OK, "nobody": NO}
STEER = {"root": OK, "admin": OK, "owner": OK, "operator": HIDDEN, "viewer": NO, "nobody": NO}
NO_SUCH = {"root": HIDDEN, "admin": HIDDEN, "owner": HIDDEN, "operator": HIDDEN, "viewer": NO, "nobody": NO}
MATRIX: Mapping[str, Mapping[str, str]] = {
    "system.hello": EVERYBODY,
    "system.methods": EVERYBODY,
    "system.status": EVERYBODY,
    "system.doctor": EVERYBODY,
    "system.backup": ADMINS_ONLY,
    "plan.check": THEIR_OWN,
    "plan.save": THEIR_OWN,
    "plan.browse": THEIR_OWN,
    "plan.list": EVERYBODY,
    "plan.remove": THEIR_OWN,
    "execution.start": THEIR_OWN,
    "execution.list": EVERYBODY,
    "execution.get": LOOK,
    "execution.files": LOOK,
    "execution.errors": LOOK,
    "execution.interventions": LOOK,
    "execution.breakdown": LOOK,
    "execution.large_files": LOOK,
    "execution.batches": LOOK,
    "execution.timeline": LOOK,
    "execution.pause": STEER,
    "execution.resume": STEER,
    "execution.cancel": STEER,
    "execution.drain": STEER,
    "execution.intervene": STEER,
    "execution.undo": {**dict.fromkeys(THEIR_OWN, HIDDEN), "viewer": NO, "nobody": NO},
    "system.stop_all": THEIR_OWN,
    "execution.salvage": STEER,
    "execution.verify": STEER,
    "execution.cancel_verification": STEER,
    "execution.forget": STEER,
    "execution.rollback": STEER,
    "execution.recover": STEER,
    "execution.rollback_plan": STEER,
    "execution.receipt": LOOK,
    "execution.seal_receipt": LOOK,
    "events.subscribe": EVERYBODY,
    "events.unsubscribe": {**dict.fromkeys(EVERYBODY, HIDDEN), "nobody": NO},
    "plugin.list": EVERYBODY,
    "config.get": EVERYBODY,
    "metrics.list": EVERYBODY,
    "metrics.latest": EVERYBODY,
    "metrics.notes": THEIR_OWN,
    "execution.report": LOOK,
    "execution.compare": LOOK,
    "report.since": EVERYBODY,
    "report.export": EVERYBODY,
    "history.query": EVERYBODY,
    "execution.session": LOOK,
    "execution.why": LOOK,
    "history.series": EVERYBODY,
    "dashboard.list": EVERYBODY,
    "dashboard.put": EVERYBODY,
    "dashboard.remove": {**dict.fromkeys(EVERYBODY, HIDDEN), "nobody": NO},
    "session.link": EVERYBODY,
    "session.list": EVERYBODY,
    "session.open": {**dict.fromkeys(EVERYBODY, "invalid_input"), "nobody": NO},
    "session.assume": {**dict.fromkeys(EVERYBODY, HIDDEN), "nobody": NO},
    "session.close": {**dict.fromkeys(EVERYBODY, HIDDEN), "nobody": NO},
    "alerts.deliveries": EVERYBODY,
    "alerts.list": EVERYBODY,
    "alerts.acknowledge": NO_SUCH,
    "alerts.silence": THEIR_OWN,
    "alerts.unsilence": NO_SUCH,
    "alerts.silences": EVERYBODY,
    "rules.list": EVERYBODY,
    "rules.get": EVERYBODY,
    "rules.put": THEIR_OWN,
    "rules.remove": ADMINS_ONLY,
    "rules.enable": ADMINS_ONLY,
    "rules.test": EVERYBODY,
}
GOES_ON = ("conflict", "plan_infeasible")
"""It has ended, so that there is nothing to pause; or it was rolled back by then, so that there is nothing to undo."""
NAMES_AN_EXECUTION = [m.name for m in standard_registry().all() if "id" in m.params.__struct_fields__]
NAMES_SEVERAL = [m.name for m in standard_registry().all() if "ids" in m.params.__struct_fields__]
CONFIGURATION = ROLES + '[plugins.sqlite]\nenabled = true\n[plugins.hook]\nenabled = false\ntoken = "sesame"\n'


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = passable(tmp_path_factory.mktemp("matrix"))
    for uid in (ADMIN, ANA, BEN):
        home = base / str(uid)
        (home / "source").mkdir(parents=True)
        (home / "source" / "private-name").write_bytes(b"x")
        for path in (home, home / "source", home / "source" / "private-name"):
            os.chown(path, uid, uid)
        home.chmod(0o700)
    return base


@pytest.fixture(scope="module")
def daemon(base: Path) -> Iterator[SystemDaemon]:
    with SystemDaemon(base / "daemon", CONFIGURATION) as running:
        yield running


def ask(daemon: SystemDaemon, who: str, method: str, params: dict[str, Any]) -> Any:
    """The result as `who` gets it, or the kind of the error as text."""
    uid, group = PEOPLE[who]

    def call() -> Any:
        try:
            with Client(daemon.socket) as client:
                return client.call(method, params, dict)
        except RemoteError as e:
            return e.kind
        except ClientError as e:
            return f"{type(e).__name__}: {e}"

    return as_user(call, uid=uid, gid=uid, groups=() if group is None else (gid(group),)) if uid else call()


@pytest.fixture(scope="module")
def anas(daemon: SystemDaemon, base: Path) -> str:
    """The id of an execution of ana's, which has ended."""
    return _run(daemon, base, "anas")


@pytest.fixture(scope="module")
def anas_other(daemon: SystemDaemon, base: Path) -> str:
    """The id of another one."""
    return _run(daemon, base, "other")


def _run(daemon: SystemDaemon, base: Path, name: str) -> str:
    home = base / str(ANA)
    plan = {"sources": [{"path": str(home / "source")}], "destination": str(home / f"target-{name}")}
    id_ = str(ask(daemon, "owner", "execution.start", {"plan": plan, "name": name})["id"])
    deadline = time.monotonic() + 60
    while ask(daemon, "owner", "execution.get", {"id": id_})["state"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return id_


def test_every_method_has_a_row() -> None:
    assert sorted(MATRIX) == [m.name for m in standard_registry().all()], "say in MATRIX who may call it"
    assert all(set(row) == set(PEOPLE) for row in MATRIX.values())


def test_the_rows_are_what_the_registry_says() -> None:
    for method in standard_registry().all():
        assert (MATRIX[method.name]["viewer"] == NO) is (method.role > Role.VIEWER), method.name
        assert MATRIX[method.name]["nobody"] == NO
    assert {n for n, row in MATRIX.items() if row in (LOOK, STEER)} == {*NAMES_AN_EXECUTION, *NAMES_SEVERAL}


def parameters(method: str, who: str, id_: str, other: str, base: Path) -> dict[str, Any]:
    """The fewest parameters that the method takes, on what `who` has."""
    home = base / str(PEOPLE[who][0] or ANA)
    plan = {"sources": [{"path": str(home / "source")}], "destination": str(home / f"new-{who}"), "name": "saved"}
    kind = standard_registry().get(method)
    assert kind is not None
    samples: dict[str, Any] = {"id": id_, "name": "saved", "subscription": 1, "plan": plan, "plan_name": ""}
    samples["select"] = [{"metric": "cpu_ratio"}]
    samples["action"] = {"type": "workers", "count": 1}
    samples["ids"] = [id_, other]
    samples["dashboard"] = {"name": "mine"}
    samples["path"] = "private-name" if method == "execution.salvage" else str(home)
    samples["token"] = "of nobody"
    samples |= {"alert": "a-0", "silence": "s-0", "for_s": 60.0, "rule": "stalled", "enabled": True}
    if method == "rules.put":
        condition = {"metric": "migmond_execution_movers", "operator": "<", "threshold": 1}
        samples["rule"] = {"name": f"of-{who}", "condition": condition}
    if method == "rules.test":
        return {"rule": "stalled"}
    wanted = [f.name for f in msgspec.structs.fields(kind.params) if f.required]
    if method == "report.export":
        return {"table": "executions"}
    return {n: samples[n] for n in wanted} if method != "execution.start" else {"plan": plan}


@pytest.mark.parametrize("who", PEOPLE)
def test_who_may_call_what(daemon: SystemDaemon, anas: str, anas_other: str, base: Path, who: str) -> None:
    found = {}
    # A plan is removed after it was saved: by name, save comes after remove.
    for method in sorted(MATRIX, key=lambda name: (name == "plan.remove", name)):
        its = _run(daemon, base, f"for-{who}") if method == "execution.forget" else anas  # of its own: it goes
        answer = ask(daemon, who, method, parameters(method, who, its, anas_other, base))
        allowed = isinstance(answer, dict) or answer in GOES_ON
        found[method] = OK if allowed else answer
    assert found == {method: row[who] for method, row in MATRIX.items()}


@pytest.mark.parametrize("method", [*NAMES_AN_EXECUTION, *NAMES_SEVERAL])
def test_what_is_hidden_does_not_show_that_it_is_there(daemon: SystemDaemon, anas: str, method: str) -> None:
    """By id, by its beginning and by name: each answer is the one to something that never was, but for the name."""

    def answer(name: str) -> str:
        def call() -> str:
            params: dict[str, Any] = {"ids": [name, "none"]} if method in NAMES_SEVERAL else {"id": name}
            if method == "execution.salvage":
                params["path"] = "private-name"
            with Client(daemon.socket) as client, pytest.raises(RemoteError) as e:
                client.call(method, params, dict)
            return f"{e.value.kind} {e.value.message} {e.value.hint}".replace(name, "NAME")

        return as_user(call, uid=BEN, gid=BEN, groups=(gid(OPERATORS),))

    assert {answer(anas), answer(anas[:6]), answer("anas")} == {answer("ffffffffffff")}


def test_lists_events_and_counts_have_nothing_of_others(daemon: SystemDaemon, anas: str) -> None:
    listed = ask(daemon, "operator", "execution.list", {})
    assert all(view["uid"] == BEN for view in listed["executions"])
    assert listed["total"] == len(listed["executions"])
    since = ask(daemon, "operator", "events.subscribe", {"since": 0})
    assert all(view["uid"] == BEN for view in since["executions"])
    assert sum(ask(daemon, "operator", "system.status", {})["executions"].values()) == listed["total"]
    assert "private-name" in str(ask(daemon, "owner", "execution.files", {"id": anas}))
    for method in (
        "system.status", "system.doctor", "plan.list", "plugin.list", "config.get", "metrics.latest", "history.series",
        "report.since",
    ):  # fmt: skip
        assert "anas" not in str(ask(daemon, "operator", method, {})), method
        assert "private-name" not in str(ask(daemon, "operator", method, {}))


def test_settings_of_plugins_are_for_admins(daemon: SystemDaemon) -> None:
    """They may be tokens and passwords; the files that they are in may be readable by root only."""
    for who, shown in (("root", True), ("admin", True), ("owner", False), ("viewer", False)):
        for key in ("", "plugins", "plugins.hook", "plugins.hook.token"):
            answer = str(ask(daemon, who, "config.get", {"key": key}))
            assert ("sesame" in answer) is shown, (who, key)
            assert "plugins.hook.token" in answer
        assert "sesame" not in str(ask(daemon, "viewer", "plugin.list", {}))


def test_nobody_gets_a_role_by_saying_so(daemon: SystemDaemon, base: Path) -> None:
    plan = {"sources": [{"path": "/etc"}], "destination": str(base / "stolen")}
    for extra in ({"uid": 0}, {"role": "admin"}, {"identity": {"uid": 0, "gid": 0}}):
        assert ask(daemon, "owner", "execution.start", {"plan": plan, **extra}) == "invalid_input"
        assert ask(daemon, "owner", "execution.start", {"plan": {**plan, **extra}}) == "invalid_input"
    assert ask(daemon, "owner", "plan.check", {"plan": {**plan, "privileged": True}}) == NO
    assert ask(daemon, "owner", "plan.save", {"plan": {**plan, "privileged": True, "name": "p"}}) == NO
