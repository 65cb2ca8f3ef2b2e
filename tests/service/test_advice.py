"""The command that is told beside a group of errors is typed, as it stands: it does what is said."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import sickfs
from daemon import EmbeddedDaemon
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.error_api import ErrorGroup, ErrorGroups
from sickfs import SickFs, sick_fs

pytestmark = pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")

PAGE = 4096
ENDED = ("completed", "completed_with_errors", "failed")


@pytest.fixture
def sick(tmp_path: Path) -> Iterator[SickFs]:
    with sick_fs(tmp_path / "disk") as mounted:
        yield mounted


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path / "daemon") as running:
        yield running


def filled(place: Path) -> Path:
    (place / "d").mkdir(parents=True)
    for name in ("bad one", "good", "d/bad too"):
        (place / name).write_bytes(name.encode() * PAGE)
    return place


def ended(client: Client, id_: str) -> api.ExecutionView:
    end = time.monotonic() + 60
    while (view := client.call("execution.get", api.GetParams(id_), api.ExecutionView)).state not in ENDED:
        assert time.monotonic() < end, view
        time.sleep(0.05)
    return view


def migrated(daemon: EmbeddedDaemon, source: Path, target: Path, failed: int) -> tuple[str, ErrorGroup]:
    """Copy to the end; return the id and the only group of errors."""
    with Client(daemon.socket) as client:
        spec = api.PlanSpec((api.SourceSpec(str(source)),), str(target), name="it")
        id_ = client.call("execution.start", api.StartParams(spec), api.ExecutionView).id
        view = ended(client, id_)
        assert (view.state, view.progress.failed.entries) == ("completed_with_errors", failed), view
        (group,) = client.call("execution.errors", api.ExecutionParams(id_), ErrorGroups).groups
    assert (group.count, group.waiting) == (failed, 0)
    return id_, group


def typed(daemon: EmbeddedDaemon, told: str, destination: Path | None = None) -> str:
    """Type what is told; returns what it says."""
    program, *arguments = shlex.split(told)
    assert program == "migmon"
    if destination is not None:
        assert arguments.pop() == "OTHER_DESTINATION"
        arguments.append(str(destination))
    done = daemon.migmon(*arguments, check=False)
    assert done.returncode in (0, 6), done.stderr
    return done.stdout + done.stderr


def test_retry(daemon: EmbeddedDaemon, sick: SickFs, tmp_path: Path) -> None:
    source = filled(sick.backing / "source")
    sick.fall_ill("open", path="/source/*bad*", error="EACCES")
    id_, group = migrated(daemon, sick.root / "source", tmp_path / "target", 2)
    assert (group.kind, group.next) == ("EACCES", f"migmon retry {id_[:6]} --error read:EACCES:13")
    sick.heal()
    typed(daemon, group.next)
    with Client(daemon.socket) as client:
        assert ended(client, id_).state == "completed"
    assert (tmp_path / "target" / "bad one").read_bytes() == (source / "bad one").read_bytes()


def test_skip(daemon: EmbeddedDaemon, sick: SickFs, tmp_path: Path) -> None:
    source = filled(tmp_path / "source")
    sick.fall_ill("create", path="*", error="EILSEQ", times=0)
    id_, group = migrated(daemon, source, sick.root / "target", 3)
    assert (group.kind, group.next) == ("EILSEQ", f"migmon skip {id_[:6]} --error copy:EILSEQ:84")
    assert "3 entries" in typed(daemon, f"{group.next} -n")
    typed(daemon, group.next)
    with Client(daemon.socket) as client:
        view = ended(client, id_)
        assert client.call("execution.errors", api.ExecutionParams(id_), ErrorGroups).groups == ()
    assert (view.state, view.progress.failed.entries, view.progress.skipped.entries) == ("completed", 0, 3)
    assert all((source / name).exists() for name in ("bad one", "good", "d/bad too"))


def test_route(daemon: EmbeddedDaemon, sick: SickFs, tmp_path: Path) -> None:
    source, elsewhere = filled(tmp_path / "source"), tmp_path / "elsewhere"
    sick.fall_ill("write", path="*", error="EFBIG")
    id_, group = migrated(daemon, source, sick.root / "target", 3)
    assert (group.kind, group.next) == ("EFBIG", f"migmon route {id_[:6]} --error copy:EFBIG:27 OTHER_DESTINATION")
    typed(daemon, group.next, elsewhere)
    with Client(daemon.socket) as client:
        assert ended(client, id_).state == "completed"
    for name in ("bad one", "good", "d/bad too"):
        assert (elsewhere / name).read_bytes() == (source / name).read_bytes()


def test_salvage(daemon: EmbeddedDaemon, sick: SickFs, tmp_path: Path) -> None:
    filled(sick.backing / "source")
    sick.fall_ill("read", path="/source/bad one", start=0, end=PAGE, error="EIO")
    id_, group = migrated(daemon, sick.root / "source", tmp_path / "target", 1)
    assert group.next == f"migmon salvage {id_[:6]} 'bad one'"
    assert "saved" in typed(daemon, group.next)
    assert (tmp_path / "target" / "bad one.migmond-salvage").exists()
    daemon.migmon("skip", id_[:6], "--error", "EIO")
    with Client(daemon.socket) as client:
        assert ended(client, id_).state == "completed"
    assert "saved" in typed(daemon, group.next)  # what was left out for its error can be saved still


def test_salvage_of_a_source_that_is_a_file(daemon: EmbeddedDaemon, sick: SickFs, tmp_path: Path) -> None:
    (sick.backing / "film").write_bytes(os.urandom(3 * PAGE))
    sick.fall_ill("read", path="/film", start=0, end=PAGE, error="EIO")
    id_, group = migrated(daemon, sick.root / "film", tmp_path / "copy", 1)
    assert group.next == f"migmon salvage {id_[:6]} ."
    assert "saved" in typed(daemon, group.next)
    assert (tmp_path / "copy.migmond-salvage").stat().st_size == 3 * PAGE


def test_what_has_failed_of_several_sources_is_told_by_its_full_path(
    daemon: EmbeddedDaemon, sick: SickFs, tmp_path: Path
) -> None:
    filled(tmp_path / "healthy")
    filled(sick.backing / "sick")
    sick.fall_ill("read", path="/sick/bad one", start=0, end=PAGE, error="EIO")
    sources = tuple(api.SourceSpec(str(s), s.name) for s in (tmp_path / "healthy", sick.root / "sick"))
    with Client(daemon.socket) as client:
        spec = api.PlanSpec(sources, str(tmp_path / "target"), name="both")
        id_ = client.call("execution.start", api.StartParams(spec), api.ExecutionView).id
        assert ended(client, id_).state == "completed_with_errors"
        (group,) = client.call("execution.errors", api.ExecutionParams(id_), ErrorGroups).groups
    assert group.next == f"migmon salvage {id_[:6]} '{sick.root}/sick/bad one'"
    typed(daemon, group.next)
    assert (tmp_path / "target" / "sick" / "bad one.migmond-salvage").exists()
