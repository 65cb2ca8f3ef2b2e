"""Whose migrations somebody may see and steer over HTTP, where one daemon serves several people."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from as_user import as_user
from gateway import Browser, RunningGateway
from migmond.client.sync import Client
from migmond.domain.people import Link, LinkParams
from several_users import (
    ADMINS,
    ANA,
    BEN,
    GUEST,
    NOBODY,
    OPERATORS,
    ROLES,
    VIEWERS,
    SystemDaemon,
    gid,
    passable,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a daemon that serves several users")
GATEWAY_GROUP = "irc"
BOSS = 40005


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One without rights of its own, as its unit has it."""
    home = passable(tmp_path_factory.mktemp("rights")) / "daemon"
    with (
        SystemDaemon(home, ROLES + f'[web]\ngroup = "{GATEWAY_GROUP}"\n') as daemon,
        RunningGateway(daemon, owner=(NOBODY, gid(GATEWAY_GROUP))) as running,
    ):
        yield running


def signed_in(gateway: RunningGateway, uid: int, group: str) -> Browser:
    """Return a browser of somebody in that group."""

    def ask() -> str:
        with Client(gateway.daemon.socket) as client:
            return client.call("session.link", LinkParams(), Link).link

    browser = Browser(gateway)
    assert browser.sign_in(link=as_user(ask, uid=uid, gid=uid, groups=(gid(group),))).status == 201
    return browser


@pytest.fixture(scope="module")
def people(gateway: RunningGateway) -> dict[str, Browser]:
    return {
        "ana": signed_in(gateway, ANA, OPERATORS),
        "ben": signed_in(gateway, BEN, OPERATORS),
        "guest": signed_in(gateway, GUEST, VIEWERS),
        "boss": signed_in(gateway, BOSS, ADMINS),
    }


@pytest.fixture(scope="module")
def of_ana(people: dict[str, Browser], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migration of Ana's that lasts."""
    home = passable(tmp_path_factory.mktemp("ana"))
    source = home / "source"
    source.mkdir()
    for i in range(400):
        (source / f"{i}").write_bytes(b"x")
    for path in (home, source, *source.iterdir()):
        os.chown(path, ANA, ANA)
    plan = {"sources": [{"path": str(source)}], "destination": str(home / "target"), "limits": {"io_ops_per_s": 2.0}}
    started = people["ana"].ask("POST", "/migrations", {"plan": plan, "name": "of ana"})
    assert (started.status, started.json["uid"]) == (201, ANA), started.body
    id_: str = started.json["id"]
    deadline = time.monotonic() + 30
    while people["ana"].ask("GET", f"/{id_}/view").json["state"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return id_


LOOKS = ("", "/view", "/files", "/errors", "/breakdown", "/timeline", "/large-files", "/batches", "/why",
         "/interventions", "/performance-analysis", "/report")  # fmt: skip
PAUSE = {"action": {"type": "pause"}}


def changes(id_: str, intervention: str) -> list[tuple[str, str, Any]]:
    """Return everything by which a migration is changed."""
    actions: list[Any] = [
        {"type": "pause"}, {"type": "resume"}, {"type": "cancel"}, {"type": "drain"}, {"type": "retry"},
        {"type": "throttle", "io_bytes_per_s": 1 << 20}, {"type": "workers", "count": 1},
        {"type": "batch_size", "entries": 10}, {"type": "order", "order": "small-first"},
        {"type": "skip", "selector": {"include": ["*"]}},
        {"type": "priority", "selector": {"include": ["*"]}, "level": "high"},
    ]  # fmt: skip
    bodies = [{"action": action, "dry_run": dry} for action in actions for dry in (True, False)]
    return [
        *(("POST", f"/{id_}/interventions", body) for body in bodies),
        ("DELETE", f"/{id_}/interventions/{intervention}", {}),
        ("POST", f"/{id_}/verify", {}), ("POST", f"/{id_}/rollback", {}),
    ]  # fmt: skip


def test_another_operator_neither_sees_nor_steers_it(people: dict[str, Browser], of_ana: str) -> None:
    """By its id, its beginning or its name; and nothing of it is in lists."""
    ana, ben = people["ana"], people["ben"]
    own = ana.ask("POST", f"/{of_ana}/interventions", {"action": {"type": "throttle", "io_ops_per_s": 3.0}}).json
    before = ana.ask("GET", f"/{of_ana}/interventions").json
    for name in (of_ana, of_ana[:8], "of%20ana"):
        for part in LOOKS:
            assert ben.ask("GET", f"/{name}{part}").status == 404, part
        for verb, path, body in changes(name, own["intervention"]["id"]):
            answer = ben.ask(verb, path, body)
            assert (answer.status, answer.json["error"]["code"]) == (404, "not_found"), (verb, path, body, answer.body)
    assert ben.ask("GET", "/migrations").json["total"] == 0
    assert ben.ask("GET", "/dashboard").json["executions"] == []
    assert ben.ask("GET", f"/compare?ids={of_ana}&ids={of_ana}").status == 404
    assert ben.ask("GET", f"/export?table=files&execution={of_ana}").status in (404, 422)
    assert ana.ask("GET", f"/{of_ana}/interventions").json == before
    assert ana.ask("GET", f"/{of_ana}/view").json["state"] == "running"


def test_a_viewer_sees_it_and_changes_nothing(people: dict[str, Browser], of_ana: str) -> None:
    guest = people["guest"]
    for part in LOOKS:
        assert guest.ask("GET", f"/{of_ana}{part}").status == 200, part
    for verb, path, body in changes(of_ana, "i-1"):
        answer = guest.ask(verb, path, body)
        assert (answer.status, answer.json["error"]["code"]) == (403, "not_permitted"), (verb, path, body)
    assert guest.ask("GET", f"/{of_ana}/view").json["state"] == "running"


def test_an_administrator_steers_it_under_the_own_name_and_its_owner_sees_who_it_was(
    people: dict[str, Browser], of_ana: str
) -> None:
    ana, boss = people["ana"], people["boss"]
    made = boss.ask("POST", f"/{of_ana}/interventions", {**PAUSE, "reason": "the disk is needed"})
    assert made.status == 200, made.body
    assert ana.ask("GET", f"/{of_ana}/view").json["state"] == "paused"
    newest = ana.ask("GET", f"/{of_ana}/interventions").json["interventions"][-1]
    assert (newest["author"], newest["reason"]) == (f"uid {BOSS}", "the disk is needed")
    undone = boss.ask("DELETE", f"/{of_ana}/interventions/{made.json['intervention']['id']}", {})
    assert undone.status == 200, undone.body
    assert ana.ask("GET", f"/{of_ana}/view").json["state"] == "running"


def test_nobody_signs_somebody_else_out_or_hears_of_anothers_migration(people: dict[str, Browser], of_ana: str) -> None:
    ana, ben = people["ana"], people["ben"]
    session = ana.ask("GET", "/session").json["session"]
    assert [s["user"] for s in ben.ask("GET", "/sessions").json["sessions"]] == [f"uid {BEN}"]
    assert ben.ask("DELETE", f"/sessions/{session}", {}).status == 404
    assert ana.ask("GET", "/session").status == 200
    assert ben.ask("GET", f"/{of_ana}/stream").status == 404
