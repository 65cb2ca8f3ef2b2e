"""Whose migrations one may stop, and whose changes one may take back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from as_user import as_user
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.limits import Limits
from migmond.domain.names import to_text
from migmond.domain.steering import Weight
from migmond.domain.steering_api import (
    InterveneParams,
    InterventionResult,
    StopAllParams,
    StopAllResult,
    UndoParams,
)
from several_users import ANA, BEN, OPERATORS, ROLES, SystemDaemon, gid, passable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a daemon that serves several users")
T = TypeVar("T")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[SystemDaemon]:
    with SystemDaemon(passable(tmp_path) / "daemon", ROLES) as running:
        yield running


def acting(uid: int, call: Callable[[], T]) -> T:
    return as_user(call, uid=uid, gid=uid, groups=(gid(OPERATORS),))


def begin(socket: str, home: Path) -> str:
    limits = Limits(io_ops_per_s=2.0)
    plan = api.PlanSpec((api.SourceSpec(to_text(bytes(home / "source"))),), to_text(bytes(home / "t")), limits=limits)
    with Client(socket) as client:
        id_ = client.call("execution.start", api.StartParams(plan), api.ExecutionView).id
        while client.call("execution.get", api.ExecutionParams(id_), api.ExecutionView).state != "running":
            time.sleep(0.02)
    return id_


def stop_all(socket: str) -> set[str]:
    with Client(socket) as client:
        return {s.id for s in client.call("system.stop_all", StopAllParams("smoke"), StopAllResult).stopped}


def undo(socket: str, id_: str) -> str:
    with Client(socket) as client:
        try:
            found = client.call("execution.undo", UndoParams(id_), InterventionResult)
        except RemoteError as e:
            return e.kind
    assert found.intervention is not None
    return found.intervention.ended_by


def weigh(socket: str, id_: str) -> str:
    with Client(socket) as client:
        found = client.call("execution.intervene", InterveneParams(id_, Weight(2.0)), InterventionResult).intervention
    assert found is not None
    return found.id


def test_one_stops_and_takes_back_what_is_ones_own_and_an_admin_everything(
    daemon: SystemDaemon, tmp_path: Path
) -> None:
    ids: dict[int, str] = {}
    for uid in (ANA, BEN):
        home = tmp_path / str(uid)
        (home / "source").mkdir(parents=True)
        for i in range(200):
            (home / "source" / str(i)).write_bytes(b"x")
        for path in (home, home / "source", *(home / "source").iterdir()):
            os.chown(path, uid, uid)
        ids[uid] = acting(uid, lambda home=home: begin(daemon.socket, home))  # type: ignore[misc]
    change = acting(ANA, lambda: weigh(daemon.socket, ids[ANA]))
    assert acting(BEN, lambda: undo(daemon.socket, change)) == "not_found"
    assert acting(BEN, lambda: undo(daemon.socket, "")) == "not_found"
    assert acting(BEN, lambda: stop_all(daemon.socket)) == {ids[BEN]}
    with Client(daemon.socket) as client:
        views = {
            uid: client.call("execution.get", api.ExecutionParams(id_), api.ExecutionView) for uid, id_ in ids.items()
        }
    assert {uid: view.state for uid, view in views.items()} == {ANA: "running", BEN: "paused"}
    assert stop_all(daemon.socket) == set(ids.values())
    assert undo(daemon.socket, change) == "root"
    with Client(daemon.socket) as client:
        for id_ in ids.values():
            client.call("execution.cancel", api.ReasonParams(id_), api.ExecutionView)
