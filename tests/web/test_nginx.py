"""contrib/nginx in a real nginx: TLS before the gateway's port, and people whom nginx knows, before its socket."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon import EmbeddedDaemon
from gateway import BASE, RunningGateway
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.people import CloseParams, PersonSessions
from nginx import Nginx, missing
from several_users import NOBODY, ROLES, SystemDaemon, gid, passable

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
GATEWAY_GROUP = "irc"


def test_signing_in_and_live_updates_through_nginx(tmp_path: Path) -> None:
    nginx = Nginx(tmp_path, "migmond.conf")
    with EmbeddedDaemon(tmp_path / "home") as daemon, RunningGateway(daemon, "--origin", nginx.origin) as gateway:
        nginx.change({"http://127.0.0.1:7447": gateway.origin})
        with nginx:
            assert nginx.ask("GET", "/")[0].status == 200
            answer, _ = nginx.ask("POST", f"{BASE}/session", f'{{"link": "{gateway.link()}"}}')
            assert answer.status == 201
            given = answer.getheader("set-cookie") or ""
            assert "Secure" in given
            cookie = {"Cookie": given.partition(";")[0]}
            assert nginx.ask("GET", f"{BASE}/dashboard", None, cookie)[0].status == 200
            assert nginx.heard(b'"kind":"hello"', cookie).startswith(b"HTTP/1.1 101")


def test_who_tries_to_sign_in_through_nginx_is_told_from_others(tmp_path: Path) -> None:
    """Behind it everybody had one address: ten wrong passwords a minute kept all others out."""
    nginx = Nginx(tmp_path, "migmond.conf")
    options = ("--origin", nginx.origin, "--address-header", "X-Forwarded-For")
    with EmbeddedDaemon(tmp_path / "home") as daemon, RunningGateway(daemon, *options) as gateway:
        nginx.change({"http://127.0.0.1:7447": gateway.origin})

        def tried(number: int, source: str) -> int:
            body = json.dumps({"user": f"nobody-{number}", "password": "guessed"})
            claimed = {"X-Forwarded-For": f"192.0.2.{number}"}  # it has no say in that
            return nginx.ask("POST", f"{BASE}/session", body, claimed, source)[0].status

        with nginx:
            assert [tried(n, "127.0.0.2") for n in range(12)] == [403] * 10 + [429] * 2
            assert tried(12, "127.0.0.3") == 403


# --- people whom nginx knows -----------------------------------------------------------------------

PASSWORDS = {"root": "r", "games": "g", "news": "n", "daemon": "d"}
"""Users that every Debian has, by their groups: the administrator, an operator, a viewer, somebody without a role."""


def as_one(user: str, **more: str) -> dict[str, str]:
    """Headers with that user's name and password."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{PASSWORDS[user]}'.encode()).decode()}", **more}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nginx, SystemDaemon]]:
    """nginx before a gateway's Unix socket. The gateway has no rights, and the daemon serves several users."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a daemon that serves several users")
    directory = passable(tmp_path_factory.mktemp("proxied"))
    users, place = directory / "users", directory / "run"
    users.write_text("".join(f"{name}:{{PLAIN}}{word}\n" for name, word in PASSWORDS.items()))
    place.mkdir()
    os.chown(place, NOBODY, gid(GATEWAY_GROUP))
    nginx = Nginx(directory, "migmond-people.conf")
    options = ("--origin", nginx.origin, "--proxy-header", "X-Remote-User")
    configuration = ROLES + f'[web]\ngroup = "{GATEWAY_GROUP}"\ntrust_proxy = true\n'
    with SystemDaemon(directory / "daemon", configuration) as daemon:
        gateway = RunningGateway(daemon, *options, unix=place / "socket", owner=(NOBODY, gid(GATEWAY_GROUP)))
        with gateway:
            nginx.change({
                "unix:/run/migmond-web/socket": f"unix:{place / 'socket'}", "/etc/nginx/migmond.users": str(users),
            })  # fmt: skip
            with nginx:
                yield nginx, daemon


def asked(nginx: Nginx, user: str, path: str, verb: str = "GET", body: Any = None, **headers: str) -> tuple[int, Any]:
    """Return status and answer."""
    sent = None if body is None else json.dumps(body)
    answer, found = nginx.ask(verb, BASE + path, sent, as_one(user, **headers))
    return answer.status, json.loads(found)


def test_whom_nginx_lets_in_is_signed_in_with_the_rights_of_that_user(people: tuple[Nginx, SystemDaemon]) -> None:
    nginx, _ = people
    assert nginx.ask("GET", f"{BASE}/session")[0].status == 401
    found = {user: asked(nginx, user, "/session") for user in ("root", "games", "news")}
    assert {user: (status, who["user"], who["role"]) for user, (status, who) in found.items()} == {
        "root": (200, "root", "admin"), "games": (200, "games", "operator"), "news": (200, "news", "viewer"),
    }  # fmt: skip
    status, refused = asked(nginx, "daemon", "/session")
    assert (status, refused["error"]["code"]) == (403, "not_permitted")
    assert asked(nginx, "news", "/plans", "DELETE", {"name": "nightly"})[0] in (403, 404)
    plan = {"sources": [{"path": "/nothing"}], "destination": "/nowhere"}
    assert asked(nginx, "news", "/migrations", "POST", {"plan": plan})[0] == 403


def test_nobody_says_who_they_are_but_nginx(people: tuple[Nginx, SystemDaemon]) -> None:
    nginx, _ = people
    for name in ("X-Remote-User", "x-remote-user", "X_Remote_User", "Remote-User"):
        assert asked(nginx, "news", "/session", **{name: "root"})[1]["user"] == "news"
    root = next(s for s in asked(nginx, "root", "/sessions")[1]["sessions"] if s["user"] == "root")
    assert asked(nginx, "games", f"/sessions/{root['id']}", "DELETE", {})[0] == 404


def test_one_session_serves_all_requests_of_a_person_and_another_follows_when_it_ends(
    people: tuple[Nginx, SystemDaemon],
) -> None:
    nginx, daemon = people
    ids = {asked(nginx, "games", "/session")[1]["session"] for _ in range(3)}
    assert len(ids) == 1
    with Client(daemon.socket) as client:
        client.call("session.close", CloseParams(ids.pop()), api.Acknowledged)
        for path in ("/session", "/dashboard", "/session"):
            assert asked(nginx, "games", path)[0] == 200
        sessions = client.call("session.list", api.Nothing(), PersonSessions).sessions
    assert [s.user for s in sessions].count("games") == 1
    daemon.kill(movers=True)
    daemon.start()
    assert asked(nginx, "games", "/session")[0] == 200


def test_live_updates_reach_people_whom_nginx_knows(people: tuple[Nginx, SystemDaemon]) -> None:
    nginx, _ = people
    heard = nginx.heard(b'"kind":"hello"', as_one("games"))
    assert heard.startswith(b"HTTP/1.1 101")
    assert b'"kind":"hello"' in heard
    assert nginx.heard(b"\r\n\r\n", {}).startswith(b"HTTP/1.1 401")


def test_a_change_needs_more_than_what_a_browser_sends_by_itself(people: tuple[Nginx, SystemDaemon]) -> None:
    """A browser sends a password that it knows with whatever another site makes it ask."""
    nginx, _ = people
    plan = {"plan": {"sources": [{"path": "/nothing"}], "destination": "/nowhere"}}
    assert asked(nginx, "games", "/plans/check", "POST", plan, Origin="https://evil.example")[0] == 403
    assert asked(nginx, "games", "/plans/check", "POST", plan, **{"Sec-Fetch-Site": "cross-site"})[0] == 403
