"""People who act through the gateway's connection: with their own rights, and never with more."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from as_user import as_user
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api, daemon_api
from migmond.domain.names import to_text
from migmond.domain.passwords import check_password, hash_password
from migmond.domain.people import (
    CloseParams,
    Link,
    LinkParams,
    OpenParams,
    Person,
    PersonSessions,
    Token,
    TokenParams,
)
from several_users import ADMINS, ANA, BEN, NOBODY, OPERATORS, ROLES, VIEWERS, SystemDaemon, gid, passable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a daemon that serves several users")

GATEWAY_GROUP = "irc"
CONFIGURATION = ROLES + f'[web]\ngroup = "{GATEWAY_GROUP}"\n'


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[SystemDaemon]:
    with SystemDaemon(passable(tmp_path) / "daemon", CONFIGURATION) as running:
        yield running


def gateway(call: Callable[[], str]) -> str:
    """Do that as the gateway."""
    return as_user(call, uid=NOBODY, groups=(gid(GATEWAY_GROUP),))


def link_of(socket: str, uid: int, group: str, role: str = "") -> str:
    def ask() -> str:
        with Client(socket) as client:
            return client.call("session.link", LinkParams(role), Link).link

    return as_user(ask, uid=uid, groups=(gid(group),))


def open_(socket: str, **params: str) -> str:
    """Return a token, or the kind of the error."""

    def ask() -> str:
        try:
            with Client(socket) as client:
                return client.call("session.open", OpenParams(**params), Token).token
        except RemoteError as e:
            return e.kind

    return gateway(ask)


def as_person(socket: str, token: str, method: str, params: api.Params, result: type[api.Result]) -> str:
    """Call a method for whoever has the token; returns repr of the result, or the kind of the error."""

    def ask() -> str:
        try:
            with Client(socket) as client:
                client.call("session.assume", TokenParams(token), Person)
                return repr(client.call(method, params, result))
        except RemoteError as e:
            return e.kind

    return gateway(ask)


def who(socket: str, token: str) -> str:
    return as_person(socket, token, "system.hello", daemon_api.HelloParams(), daemon_api.Hello)


def test_the_gateway_itself_may_do_nothing_but_sign_people_in(daemon: SystemDaemon) -> None:
    def ask() -> str:
        answers = []
        with Client(daemon.socket) as client:
            for method in client.call("system.methods", api.Nothing(), daemon_api.MethodList).methods:
                if method.role != "guest":
                    with pytest.raises(RemoteError) as e:
                        client.call(method.name, {}, api.Acknowledged)
                    answers.append(e.value.kind)
        return ",".join(sorted(set(answers))) + f" {len(answers)}"

    kinds, _, count = gateway(ask).partition(" ")
    assert kinds == "not_permitted"
    assert int(count) > 30


def test_a_link_lets_the_gateway_act_as_the_person_who_asked_for_it(daemon: SystemDaemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "photo").write_bytes(b"x")
    os.chown(source, ANA, ANA)
    target = tmp_path / "target"
    target.mkdir()
    os.chown(target, ANA, ANA)
    token = open_(daemon.socket, link=link_of(daemon.socket, ANA, OPERATORS))
    assert f"uid={ANA}" in who(daemon.socket, token)
    assert "role='operator'" in who(daemon.socket, token)
    plan = api.PlanSpec((api.SourceSpec(to_text(bytes(source))),), to_text(bytes(target)))
    started = as_person(daemon.socket, token, "execution.start", api.StartParams(plan), api.ExecutionView)
    assert f"uid={ANA}" in started
    others = open_(daemon.socket, link=link_of(daemon.socket, BEN, OPERATORS))
    seen = as_person(daemon.socket, others, "execution.list", api.ListParams(), api.ExecutionPage)
    assert "total=0" in seen


def test_a_link_opens_once_and_never_for_more_than_its_maker_may(daemon: SystemDaemon) -> None:
    link = link_of(daemon.socket, ANA, OPERATORS, "viewer")
    token = open_(daemon.socket, link=link)
    assert "role='viewer'" in who(daemon.socket, token)
    assert open_(daemon.socket, link=link) == "not_permitted"
    assert open_(daemon.socket, link="x" * 43) == "not_permitted"
    refused = as_person(daemon.socket, token, "execution.pause", api.PauseParams("any"), api.ExecutionView)
    assert refused == "not_permitted"
    with pytest.raises(AssertionError, match="you are operator"):
        link_of(daemon.socket, ANA, OPERATORS, "admin")


def test_sessions_outlive_the_daemon_and_end_when_they_are_closed(daemon: SystemDaemon) -> None:
    token = open_(daemon.socket, link=link_of(daemon.socket, ANA, OPERATORS), note="a browser")
    other = open_(daemon.socket, link=link_of(daemon.socket, ANA, OPERATORS))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    daemon.start()
    assert f"uid={ANA}" in who(daemon.socket, token)
    listed = as_person(daemon.socket, token, "session.list", api.Nothing(), PersonSessions)
    assert listed.count("PersonSession(") == 2
    assert "a browser" in listed
    assert listed.count("own=True") == 1
    stranger = open_(daemon.socket, link=link_of(daemon.socket, BEN, VIEWERS))
    assert "PersonSession(" in as_person(daemon.socket, stranger, "session.list", api.Nothing(), PersonSessions)
    assert token not in (daemon.home / "state" / "signed-in").read_bytes().decode("latin-1")
    assert "ok=True" in as_person(daemon.socket, token, "session.close", CloseParams(), api.Acknowledged)
    assert who(daemon.socket, token) == "not_found"
    assert f"uid={ANA}" in who(daemon.socket, other)


def test_a_connection_that_acts_for_somebody_ends_with_the_session(daemon: SystemDaemon) -> None:
    token = open_(daemon.socket, link=link_of(daemon.socket, ANA, OPERATORS))

    def ask() -> str:
        with Client(daemon.socket) as first, Client(daemon.socket) as second:
            for client in (first, second):
                client.call("session.assume", TokenParams(token), Person)
            with pytest.raises(RemoteError) as again:
                first.call("session.assume", TokenParams(token), Person)
            first.call("session.close", CloseParams(), api.Acknowledged)
            with pytest.raises(RemoteError) as e:
                second.call("execution.list", api.ListParams(), api.ExecutionPage)
            return f"{again.value.kind} {e.value.message}"

    assert gateway(ask) == "conflict that session is over"


def test_nobody_closes_the_session_of_somebody_else_but_an_admin(daemon: SystemDaemon) -> None:
    def session_of(token: str) -> str:
        listed = as_person(daemon.socket, token, "session.list", api.Nothing(), PersonSessions)
        return listed.split("PersonSession(id='")[1].split("'")[0]

    ana = open_(daemon.socket, link=link_of(daemon.socket, ANA, OPERATORS))
    ben = open_(daemon.socket, link=link_of(daemon.socket, BEN, OPERATORS))
    boss = open_(daemon.socket, link=link_of(daemon.socket, BEN, ADMINS))
    own = session_of(ana)
    assert as_person(daemon.socket, ben, "session.close", CloseParams(own), api.Acknowledged) == "not_found"
    assert "ok=True" in as_person(daemon.socket, boss, "session.close", CloseParams(own), api.Acknowledged)
    assert who(daemon.socket, ana) == "not_found"


def test_passwords_sign_in_and_wrong_ones_soon_no_more(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("# people\nroot:" + hash_password("correct horse") + "\nnobody:rubbish\n")
    passwords.chmod(0o600)
    configuration = CONFIGURATION + f'passwords = "{passwords}"\n'
    with SystemDaemon(passable(tmp_path) / "daemon", configuration) as daemon:
        assert "role='admin'" in who(daemon.socket, open_(daemon.socket, user="root", password="correct horse"))
        assert open_(daemon.socket, user="nobody", password="rubbish") == "not_permitted"
        assert open_(daemon.socket, user="no such user", password="x") == "not_permitted"
        wrong = [open_(daemon.socket, user="root", password="battery staple") for _ in range(6)]
        assert wrong == ["not_permitted"] * 5 + ["limit_exceeded"]
        assert open_(daemon.socket, user="root", password="correct horse") == "limit_exceeded"
        passwords.chmod(0o644)
        assert open_(daemon.socket, user="ana", password="correct horse") == "conflict"
        assert open_(daemon.socket, vouched="root") == "not_permitted"


def test_a_proxy_vouches_only_where_the_administrator_lets_it(tmp_path: Path) -> None:
    configuration = CONFIGURATION + "trust_proxy = true\n"
    with SystemDaemon(passable(tmp_path) / "daemon", configuration) as daemon:
        assert "uid=0" in who(daemon.socket, open_(daemon.socket, vouched="root"))
        assert open_(daemon.socket, vouched="daemon") == "not_permitted"  # has no role
        assert open_(daemon.socket, vouched="no such\x00user") == "not_permitted"


def test_a_password_is_checked_against_any_text() -> None:
    assert check_password("a", hash_password("a"))
    for stored in ("", "a", "scrypt$1$2$3", "scrypt$x$8$1$YQ==$YQ==", "scrypt$3$8$1$YQ==$YQ==", "md5$2$8$1$YQ==$YQ=="):
        assert not check_password("a", stored)
