"""A system daemon as root: who may do what, by the kernel's word, on the real socket."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from as_user import as_user
from migmond.cli.follow import ENDED
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api, daemon_api
from migmond.domain.event_api import SubscribeParams, Subscription
from migmond.domain.names import to_text
from several_users import ANA, BEN, GUEST, NOBODY, OPERATORS, ROLES, VIEWERS, SystemDaemon, gid, passable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a daemon that serves several users")


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    return passable(tmp_path)


@pytest.fixture
def daemon(open_path: Path) -> Iterator[SystemDaemon]:
    with SystemDaemon(open_path / "daemon", ROLES) as running:
        yield running


def run(path: str, source: Path, target: Path, **fields: object) -> str:
    """Start a copy, wait for its end, return its state or the kind of the error."""
    plan = api.PlanSpec((api.SourceSpec(to_text(bytes(source))),), to_text(bytes(target)), **fields)  # type: ignore[arg-type]
    with Client(path) as client:
        try:
            view = client.call("execution.start", api.StartParams(plan), api.ExecutionView)
            client.call("events.subscribe", SubscribeParams(("execution.",), (view.id,)), Subscription)
            while view.state not in ENDED:
                view = client.call("execution.get", api.ExecutionParams(view.id), api.ExecutionView)
        except RemoteError as e:
            return e.kind
    return view.state


def seen(path: str) -> int:
    """How many executions the caller sees."""
    with Client(path) as client:
        return len(client.call("execution.list", api.ListParams(), api.ExecutionPage).executions)


def hello(path: str) -> str:
    """The caller's role, or the kind of the refusal."""
    try:
        with Client(path) as client:
            return client.call("system.hello", daemon_api.HelloParams(), daemon_api.Hello).role
    except RemoteError as e:
        return e.kind


def test_roles_come_from_the_kernel(daemon: SystemDaemon) -> None:
    operators, viewers = gid(OPERATORS), gid(VIEWERS)
    assert hello(daemon.socket) == "admin"
    assert as_user(lambda: hello(daemon.socket), uid=ANA, gid=ANA, groups=(operators,)) == "operator"
    assert as_user(lambda: hello(daemon.socket), uid=ANA, gid=operators, groups=()) == "operator"
    assert as_user(lambda: hello(daemon.socket), uid=GUEST, gid=GUEST, groups=(viewers,)) == "viewer"
    assert as_user(lambda: hello(daemon.socket), uid=NOBODY, gid=NOBODY, groups=()) == "not_permitted"


@pytest.mark.hazard(14)
def test_a_user_moves_own_files_with_own_rights_and_sees_only_them(daemon: SystemDaemon, open_path: Path) -> None:
    home, secret = open_path / "home", open_path / "secret"
    for directory, uid, mode in ((home, ANA, 0o755), (secret, BEN, 0o700)):
        (directory / "data").mkdir(parents=True)
        (directory / "data" / "file").write_bytes(b"mine")
        for path in (directory, directory / "data", directory / "data" / "file"):
            os.chown(path, uid, uid)
        directory.chmod(mode)
    operators = (gid(OPERATORS),)

    def as_ana(source: Path, target: Path, **fields: object) -> str:
        return as_user(lambda: run(daemon.socket, source, target, **fields), uid=ANA, gid=ANA, groups=operators)

    assert as_ana(home / "data", home / "copy") == "completed"
    assert (home / "copy" / "file").read_bytes() == b"mine"
    assert (home / "copy" / "file").stat().st_uid == ANA
    assert as_ana(secret / "data", home / "stolen") == "not_permitted"
    assert as_ana(home / "data", secret / "planted") in ("not_permitted", "plan_infeasible", "failed")
    assert as_ana(home / "data", home / "p", privileged=True) == "not_permitted"
    assert not (home / "stolen").exists()
    assert not (secret / "planted").exists()
    assert run(daemon.socket, secret / "data", secret / "copy") == "completed"
    assert (secret / "copy" / "file").stat().st_uid == BEN

    assert as_user(lambda: seen(daemon.socket), uid=ANA, gid=ANA, groups=operators) < seen(daemon.socket)
    assert as_user(lambda: seen(daemon.socket), uid=BEN, gid=BEN, groups=operators) == 0
    viewers = (gid(VIEWERS),)
    assert as_user(lambda: seen(daemon.socket), uid=GUEST, gid=GUEST, groups=viewers) == seen(daemon.socket)
    assert (
        as_user(lambda: run(daemon.socket, home, home / "x"), uid=GUEST, gid=GUEST, groups=viewers) == "not_permitted"
    )


def test_others_executions_are_not_there_for_an_operator(daemon: SystemDaemon, open_path: Path) -> None:
    (open_path / "s").mkdir()
    assert run(daemon.socket, open_path / "s", open_path / "t") == "completed"
    with Client(daemon.socket) as client:
        id_ = client.call("execution.list", api.ListParams(), api.ExecutionPage).executions[0].id

    def look(method: str) -> str:
        with Client(daemon.socket) as client:
            try:
                client.call(method, {"id": id_}, dict)
            except RemoteError as e:
                return e.kind
        return "done"

    looks = ("get", "files", "receipt", "errors", "interventions")
    for method in (*looks, "pause", "resume", "cancel", "drain", "verify", "cancel_verification"):
        name = f"execution.{method}"
        assert as_user(lambda name=name: look(name), uid=BEN, gid=BEN, groups=(gid(OPERATORS),)) == "not_found"  # type: ignore[misc]


def test_hostile_clients_leave_the_daemon_unharmed(daemon: SystemDaemon) -> None:
    hostile = [
        b"\xff" * 4096,
        b"\0\0\0\0" * 100,
        b"\0\xff\xff\xff" + b"x" * 100,
        b"{" * 100_000 + b"\n",
        b'{"jsonrpc":"2.0","method":"execution.start","params":{"plan":' + b"[" * 50_000 + b"]" * 50_000 + b"}}\n",
        (200).to_bytes(4, "big") + b"truncated",
        b"",
    ]
    for data in hostile:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(daemon.socket)
            try:
                sock.sendall(data)
            except OSError:
                continue
    idle = [socket.socket(socket.AF_UNIX) for _ in range(300)]
    for sock in idle:
        sock.connect(daemon.socket)
    assert hello(daemon.socket) == "admin"
    for sock in idle:
        sock.close()
    assert daemon.process is not None
    assert daemon.process.poll() is None
    assert "Traceback" not in daemon.log()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
