"""What is saved of a file on a disk with bad spots, by a real daemon."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import sickfs
from daemon import EmbeddedDaemon, kill_all
from migmond.cli.commands.salvage import salvage_lines
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.error_api import ErrorGroups, SalvageParams, SalvageView
from migmond.domain.steering_api import InterventionList, StopAllParams, StopAllResult
from salvage_map import parse_map
from sickfs import SickFs, sick_fs

pytestmark = pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")

MIB, PAGE = 1 << 20, 4096
SIZE = 3 * MIB + 1000
ENDED = ("completed", "completed_with_errors", "failed")


@pytest.fixture
def sick(tmp_path: Path) -> Iterator[SickFs]:
    with sick_fs(tmp_path / "disk") as mounted:
        yield mounted


def failed_one(client: Client, source: Path, target: Path, failed: int = 1) -> str:
    """Migrate a directory of which a file cannot be read, or several, to the end."""
    spec = api.PlanSpec((api.SourceSpec(str(source)),), str(target), name="it")
    id_ = client.call("execution.start", api.StartParams(spec), api.ExecutionView).id
    end = time.monotonic() + 60
    while (view := client.call("execution.get", api.GetParams(id_), api.ExecutionView)).state not in ENDED:
        assert time.monotonic() < end, view
        time.sleep(0.05)
    assert (view.state, view.progress.failed.entries) == ("completed_with_errors", failed)
    return id_


def film(sick: SickFs, seed: int) -> bytes:
    """Make the file that is to be salvaged, and return its content."""
    content = random.Random(seed).randbytes(SIZE)
    (sick.backing / "source").mkdir()
    (sick.backing / "source" / "film").write_bytes(content)
    return content


def salvaged(client: Client, id_: str, path: str) -> SalvageView:
    return client.call("execution.salvage", SalvageParams(id_, path), SalvageView)


class InTheBackground:
    """A salvage by a client of its own, and how it ended."""

    def __init__(self, socket: str, id_: str, path: str) -> None:
        self._asked = (socket, id_, path)
        self.view: SalvageView | None = None
        self.refused = ""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        socket, id_, path = self._asked
        with Client(socket, timeout_s=60) as client:
            try:
                self.view = salvaged(client, id_, path)
            except RemoteError as e:
                self.refused = str(e)

    def wait(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", where], check=True)
    yield where
    subprocess.run(["umount", "-l", where], check=True)


@pytest.mark.hazard(21)
def test_what_can_be_read_is_saved_under_another_name_with_a_map(tmp_path: Path, sick: SickFs) -> None:
    source, target = sick.root / "source", tmp_path / "target"
    (sick.backing / "source" / "d").mkdir(parents=True)
    content = random.Random(7).randbytes(SIZE)
    (sick.backing / "source" / "d" / "film").write_bytes(content)
    (sick.backing / "source" / "d" / "well").write_bytes(b"x" * 100)
    bad = [(MIB + 3 * PAGE, PAGE), (2 * MIB + 10 * PAGE, 2 * PAGE)]
    for start, size in bad:
        sick.fall_ill("read", path="/source/d/film", start=start, end=start + size, error="EIO")
    with EmbeddedDaemon(tmp_path / "daemon") as daemon, Client(daemon.socket, timeout_s=60) as client:
        id_ = failed_one(client, source, target)
        found = client.call("execution.salvage", SalvageParams(id_, "d/film"), SalvageView)
        page = client.call("execution.files", api.FilesParams(id_, api.SelectorSpec(states=("failed",))), api.TaskPage)
        again = client.call("execution.salvage", SalvageParams(id_, "d/film"), SalvageView)
        with pytest.raises(RemoteError) as whole:
            client.call("execution.salvage", SalvageParams(id_, "d/well"), SalvageView)
        (group,) = client.call("execution.errors", api.ExecutionParams(id_), ErrorGroups).groups
    assert not (target / "d" / "film").exists()
    saved = (target / "d" / "film.migmond-salvage").read_bytes()
    assert len(saved) == SIZE
    missing = [(r.start, r.size) for r in found.missing]
    assert all(r.tried for r in found.missing)
    assert found.saved_bytes == SIZE - sum(size for _, size in missing)
    # The kernel reads whole pages and may ask FUSE for some at once: a neighbour may be lost with a bad page, no more.
    for start, size in bad:
        assert any(s <= start and start + size <= s + n for s, n in missing)
    assert found.missing_bytes <= 2 * sum(size for _, size in bad)
    expected = bytearray(content)
    for start, size in missing:
        expected[start : start + size] = bytes(size)
    assert saved == bytes(expected)
    ranges = parse_map((target / "d" / "film.migmond-salvage.map").read_text())
    assert [(r.start, r.size) for r in ranges if r.status != "+"] == missing
    assert os.stat(target / "d" / "film.migmond-salvage").st_mode & 0o777 == 0o600
    ((task,),) = (page.tasks,)
    assert task.state == "failed"
    assert "salvaged 2.99 MiB of 3 MiB as" in (task.fault or "")
    assert group.message == "Input/output error"
    assert again == found
    assert whole.value.kind == "conflict"
    assert any("ranges are missing" in line for line in salvage_lines(found))


@pytest.mark.hazard(21)
def test_a_salvage_goes_on_from_its_map_when_the_disk_reads_again(tmp_path: Path, sick: SickFs) -> None:
    """What is saved is not read again: that wears the disk. Complete or not, it does not get the file's name."""
    source, target = sick.root / "source", tmp_path / "target"
    content = film(sick, 8)
    sick.fall_ill("read", path="/source/film", start=MIB + 3 * PAGE, end=MIB + 9 * PAGE, error="EIO")
    with EmbeddedDaemon(tmp_path / "daemon") as daemon, Client(daemon.socket, timeout_s=60) as client:
        id_ = failed_one(client, source, target)
        first = salvaged(client, id_, "film")
        assert first.missing_bytes > 0
        sick.heal()
        sick.fall_ill("read", path="/source/film", start=0, end=MIB - 64 * PAGE, error="EIO")
        then = salvaged(client, id_, "film")
        assert (then.saved_bytes, then.missing) == (SIZE, ())
        assert Path(then.saved_as).read_bytes() == content
        assert not (target / "film").exists()
        sick.heal()
        daemon.migmon("retry", id_[:6])
        daemon.migmon("watch", id_[:6])
        assert (target / "film").read_bytes() == content


@pytest.mark.hazard(21)
def test_a_salvage_of_another_version_is_not_mixed_with_this_one(tmp_path: Path, sick: SickFs) -> None:
    """And nothing is read before that is known: a map alone is found out at once."""
    source, target = sick.root / "source", tmp_path / "target"
    film(sick, 9)
    sick.fall_ill("read", path="/source/film", start=0, end=PAGE, error="EIO")
    with EmbeddedDaemon(tmp_path / "daemon") as daemon, Client(daemon.socket, timeout_s=60) as client:
        id_ = failed_one(client, source, target)
        first = salvaged(client, id_, "film")
        saved = Path(first.saved_as).read_bytes()
        os.utime(sick.backing / "source" / "film", ns=(1, 10**18))
        with pytest.raises(RemoteError, match="is of another version of the file: remove or rename both first"):
            salvaged(client, id_, "film")
        assert Path(first.saved_as).read_bytes() == saved
        Path(first.saved_as).unlink()
        Path(first.map).write_text(Path(first.map).read_text().replace("modified ", "modified 1"))
        with pytest.raises(RemoteError, match="is of another version of the file: remove or rename it first"):
            salvaged(client, id_, "film")
        assert not Path(first.saved_as).exists()
        Path(first.map).unlink()
        Path(first.saved_as).write_bytes(b"somebody's")
        with pytest.raises(RemoteError, match="without a map: remove or rename it first"):
            salvaged(client, id_, "film")
        assert Path(first.saved_as).read_bytes() == b"somebody's"
        assert not Path(first.map).exists()


@pytest.mark.hazard(6)
def test_a_salvage_whose_mover_was_killed_can_be_gone_on_with(tmp_path: Path, sick: SickFs) -> None:
    source, target = sick.root / "source", tmp_path / "target"
    content = film(sick, 10)
    bad = sick.fall_ill("read", path="/source/film", start=0, end=PAGE, error="EIO")
    with EmbeddedDaemon(tmp_path / "daemon") as daemon, Client(daemon.socket, timeout_s=60) as client:
        id_ = failed_one(client, source, target)
        hangs = sick.fall_ill("read", path="/source/film", start=2 * MIB, end=2 * MIB + PAGE, hang=True)
        salvage = InTheBackground(daemon.socket, id_, "film")
        sick.until_hanging()
        with pytest.raises(RemoteError, match="is being salvaged already"):
            salvaged(client, id_, "film")
        kill_all(daemon.movers())
        sick.heal(hangs)
        salvage.wait()
        assert "a mover died while it salvaged film" in salvage.refused
        assert sorted(p.name for p in target.iterdir()) == ["film.migmond-salvage", "film.migmond-salvage.map"]
        sick.heal(bad)
        found = salvaged(client, id_, "film")
    assert (found.saved_bytes, found.missing) == (SIZE, ())
    assert Path(found.saved_as).read_bytes() == content
    assert sorted(p.name for p in target.iterdir()) == ["film.migmond-salvage", "film.migmond-salvage.map"]


def test_the_longest_name_is_salvaged(tmp_path: Path, sick: SickFs) -> None:
    """With what is added to it there is no such name: it is cut."""
    source, target = sick.root / "source", tmp_path / "target"
    (sick.backing / "source").mkdir()
    names = ["n" * 255, "m" * 237]
    for name in names:
        (sick.backing / "source" / name).write_bytes(b"x" * (2 * PAGE))
    sick.fall_ill("read", path="/source/*", start=0, end=PAGE, error="EIO")
    with EmbeddedDaemon(tmp_path / "daemon") as daemon, Client(daemon.socket, timeout_s=60) as client:
        id_ = failed_one(client, source, target, failed=2)
        for name in names:
            found = salvaged(client, id_, name)
            assert Path(found.saved_as).stat().st_size == 2 * PAGE
            assert parse_map(Path(found.map).read_text())
            assert salvaged(client, id_, name) == found


@pytest.mark.hazard(13)
def test_what_was_saved_stays_when_the_target_is_full(tmp_path: Path, sick: SickFs, small: Path) -> None:
    """The disk may not read it a second time."""
    source, target = sick.root / "source", small / "target"
    content = film(sick, 11)
    sick.fall_ill("read", path="/source/film", start=0, end=PAGE, error="EIO")
    with EmbeddedDaemon(tmp_path / "daemon") as daemon, Client(daemon.socket, timeout_s=60) as client:
        id_ = failed_one(client, source, target)
        with contextlib.suppress(OSError), (small / "of somebody else").open("wb", buffering=0) as other:
            while os.statvfs(small).f_bavail * os.statvfs(small).f_frsize > 3 * MIB // 2:
                other.write(bytes(MIB // 8))
        full = daemon.migmon("salvage", id_[:6], "film", check=False)
        assert full.returncode == 1
        assert f"then the salvage could not go on: {os.strerror(28)}" in full.stderr
        assert "the same command goes on from there" in full.stderr
        assert (target / "film.migmond-salvage").stat().st_size == SIZE
        (small / "of somebody else").unlink()
        sick.heal()
        sick.fall_ill("read", path="/source/film", start=MIB, end=MIB + MIB // 2, error="EIO")  # was saved before
        found = salvaged(client, id_, "film")
    assert found.saved_bytes == SIZE
    assert Path(found.saved_as).read_bytes() == content


def test_a_salvage_keeps_nobody_from_looking_and_ends_when_all_is_stopped(tmp_path: Path, sick: SickFs) -> None:
    source, target = sick.root / "source", tmp_path / "target"
    (sick.backing / "source").mkdir()
    names = ("a", "b", "c")
    for name in names:
        (sick.backing / "source" / name).write_bytes(bytes(20 * MIB))
    sick.fall_ill("read", path="/source/*", start=0, end=PAGE, error="EIO")
    with EmbeddedDaemon(tmp_path / "daemon") as daemon, Client(daemon.socket, timeout_s=20) as client:
        id_ = failed_one(client, source, target, failed=3)
        hangs = sick.fall_ill("read", path="/source/*", start=MIB, end=2 * MIB, hang=True)
        salvages = [InTheBackground(daemon.socket, id_, name) for name in names]
        end = time.monotonic() + 60
        while sick.hanging < 3:
            assert time.monotonic() < end
            time.sleep(0.01)
        groups = client.call("execution.errors", api.ExecutionParams(id_), ErrorGroups).groups
        assert [g.count for g in groups] == [3]
        sick.fall_ill("read", path="/source/*", delay_s=0.2)
        sick.heal(hangs)
        stopped = client.call("system.stop_all", StopAllParams("smoke"), StopAllResult)
        for salvage in salvages:
            salvage.wait()
            assert "was stopped" in salvage.refused
        done = client.call("execution.interventions", api.ExecutionParams(id_), InterventionList).interventions
    assert [(s.id, s.undo) for s in stopped.stopped] == [(id_, "")]
    assert [(i.kind, i.reason, i.before, i.undo) for i in done] == [("stop_all", "smoke", "salvaging", "")]
    for name in names:
        assert parse_map((target / f"{name}.migmond-salvage.map").read_text())
