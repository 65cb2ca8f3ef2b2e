"""Targets that return errors, as the real daemon tells of them: why, show, errors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import sickfs
import trees
from daemon import EmbeddedDaemon
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.analysis import SessionView
from migmond.domain.error_api import ErrorGroups
from patience import until
from sickfs import SickFs, sick_fs

pytestmark = pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")


@pytest.fixture
def sick(tmp_path: Path) -> Iterator[SickFs]:
    with sick_fs(tmp_path / "disk") as mounted:
        yield mounted


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path / "daemon", '[monitor]\ninterval = "200ms"\n') as running:
        yield running


def start(client: Client, source: Path, target: Path) -> str:
    plan = api.PlanSpec((api.SourceSpec(str(source)),), str(target), name="it", workers=1)
    return client.call("execution.start", api.StartParams(plan), api.ExecutionView).id


def issues(session: SessionView) -> list[str]:
    return [] if session.performance is None else [issue.kind for issue in session.performance.issues]


def test_a_target_that_returns_errors_is_named(daemon: EmbeddedDaemon, sick: SickFs, tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.small_files(source, 40, 3000, random.Random(1))
    (source / "large").write_bytes(random.Random(2).randbytes(3 << 20))
    rule = sick.fall_ill("write", start=2 << 20, end=(2 << 20) + 4096, error="EIO")
    with Client(daemon.socket) as client:
        id_ = start(client, source, sick.root / "target")
        get = api.GetParams(id_)
        ended = "completed_with_errors"
        until(lambda: client.call("execution.get", get, api.ExecutionView).state == ended)
        assert sick.struck(rule) >= 1
        view = client.call("execution.get", get, api.ExecutionView)
        assert (view.progress.failed.entries, view.progress.done.entries) == (1, 42)
        groups = client.call("execution.errors", api.ExecutionParams(id_), ErrorGroups).groups
        assert [(g.phase, g.kind, g.count, g.examples) for g in groups] == [("copy", "EIO", 1, ("large",))]
    assert "EIO" in daemon.migmon("errors", id_).stdout
    why = daemon.migmon("why", id_, "large").stdout
    assert "failed" in why
    assert "Input/output error" in why or "EIO" in why


def test_a_target_that_takes_nothing_holds_the_migration_and_says_so(
    daemon: EmbeddedDaemon, sick: SickFs, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    trees.small_files(source, 200, 3000, random.Random(1))
    rule = sick.fall_ill("write", error="EIO")
    with Client(daemon.socket) as client:
        id_ = start(client, source, sick.root / "target")
        get = api.GetParams(id_)
        until(lambda: client.call("execution.get", get, api.ExecutionView).state == "paused")
        assert "is the disk there" in daemon.migmon("why", id_).stdout
        assert "is the disk there" in daemon.migmon("show", id_).stdout
        sick.heal(rule)
        client.call("execution.resume", api.ReasonParams(id_), api.ExecutionView)
        until(lambda: client.call("execution.get", get, api.ExecutionView).state.startswith("completed"))


def test_a_target_that_slows_down_is_named_and_said_to_have(
    daemon: EmbeddedDaemon, sick: SickFs, tmp_path: Path
) -> None:
    """A disk that takes 10 ms for a write, and from the middle on 160: as a shingled one whose cache is full. Nothing
    is said of that in the first minute, which is what this takes."""
    source = tmp_path / "source"
    trees.small_files(source, 1000, 128 << 10, random.Random(1))
    sick.fall_ill("write", delay_s=0.01)
    with Client(daemon.socket) as client:
        id_ = start(client, source, sick.root / "target")

        def session() -> SessionView:
            return client.call("execution.session", api.ExecutionParams(id_), SessionView)

        until(lambda: session().active_s >= 25)
        assert "slower" not in daemon.migmon("show", id_).stdout
        rule = sick.fall_ill("write", delay_s=0.15)
        until(lambda: "slow_decay" in issues(session()), "a slow decay", timeout_s=150)
        assert sick.struck(rule) >= 20
        assert "it became" in daemon.migmon("show", id_).stdout
        assert "times slower after" in daemon.migmon("show", id_).stdout
        why = daemon.migmon("why", id_).stdout
        assert "writing to the target takes" in why
        assert "times slower after" in why
        sick.heal()
        client.call("execution.cancel", api.ReasonParams(id_), api.ExecutionView)
