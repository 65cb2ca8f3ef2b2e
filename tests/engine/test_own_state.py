"""The daemon does not move its own journal, socket and configuration from under its feet."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_harness import Laboratory, laboratory, plan
from loopfs import tmpfs
from migmond.daemon.own import own_places
from migmond.domain.errors import PlanInfeasible
from migmond.domain.file_system import Own
from migmond.domain.plan import Operation, Plan
from migmond.domain.states import ExecutionState

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")


class Home:
    """Somebody's home, with the daemon's state in it, a socket beside it, and configuration."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state, self.socket, self.config = root / "local" / "state", root / "run" / "socket", root / "config"
        for directory in (self.state, self.socket.parent, self.config, root / "papers"):
            directory.mkdir(parents=True)
        (root / "papers" / "letter").write_text("dear")
        (self.config / "migmond.toml").write_text("")

    @property
    def own(self) -> tuple[Own, ...]:
        return own_places(self.state, str(self.socket), [self.config, self.root / "no such"])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@contextlib.contextmanager
def bound(what: Path, where: Path) -> Iterator[Path]:
    where.mkdir()
    subprocess.run(["mount", "--bind", what, where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", where], check=True)


async def refused(lab: Laboratory, home: Home, what: Plan) -> str:
    """Let `plan` and `run` refuse it, and return with which words."""
    before = sorted(home.root.rglob("*"))
    verdict = await lab.check(what)
    assert not verdict.feasible
    (blocker,) = [f for f in verdict.findings if f.severity == "blocker"]
    assert blocker.hint
    with pytest.raises(PlanInfeasible) as error:
        await lab.start(what)
    assert error.value.message == blocker.message
    assert sorted(home.root.rglob("*")) == before
    return blocker.message


@pytest.mark.parametrize("source", [".", "local", "local/state", "local/state/backups", "run", "config"])
async def test_a_move_of_it_is_refused(tmp_path: Path, home: Home, source: str) -> None:
    (home.state / "backups").mkdir()
    async with laboratory(home.state, own=home.own) as lab:
        said = await refused(lab, home, plan(home.root / source, tmp_path / "target", Operation.MOVE))
    what = {"run": "its socket", "config": "its configuration"}.get(source, "the journal of the daemon")
    assert what in said
    assert str({"run": home.socket, "config": home.config}.get(source, home.state)) in said


async def test_by_what_it_is_and_not_by_its_name(tmp_path: Path, home: Home) -> None:
    (tmp_path / "link").symlink_to(home.root)
    async with laboratory(home.state, own=home.own) as lab:
        await refused(lab, home, plan(tmp_path / "link", tmp_path / "target", Operation.MOVE))
        await refused(lab, home, plan(tmp_path / "link" / "papers" / "..", tmp_path / "target", Operation.MOVE))


@needs_root
async def test_through_bind_mounts_of_the_source_and_of_the_state(tmp_path: Path, home: Home) -> None:
    with bound(home.root, tmp_path / "again") as again:
        async with laboratory(home.state, own=home.own) as lab:
            await refused(lab, home, plan(again, tmp_path / "target", Operation.MOVE))
            await refused(lab, home, plan(again / "local", tmp_path / "target", Operation.MOVE))
        with bound(home.state, tmp_path / "state"):  # no parent of it is the source
            own = own_places(tmp_path / "state", str(tmp_path / "elsewhere" / "socket"), [])
            async with laboratory(home.state, own=own) as lab:
                await refused(lab, home, plan(home.root, tmp_path / "target", Operation.MOVE))


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
async def test_nothing_is_written_in_it(home: Home, operation: Operation) -> None:
    async with laboratory(home.state, own=home.own) as lab:
        for target in (home.state / "new" / "papers", home.config / "migmond.conf.d"):
            said = await refused(lab, home, plan(home.root / "papers", target, operation))
            assert "lies in" in said


async def test_a_copy_of_it_carries_a_remark(tmp_path: Path, home: Home) -> None:
    async with laboratory(home.state, own=home.own) as lab:
        verdict = await lab.check(plan(home.root, tmp_path / "target"))
    assert verdict.feasible
    assert [f.severity for f in verdict.findings if f.kind == "own_state"] == ["warning"]


async def test_what_lies_beside_it_is_moved(tmp_path: Path, home: Home) -> None:
    async with laboratory(home.state, own=home.own) as lab:
        what = plan(home.root / "papers", home.root / "local" / "papers", Operation.MOVE)
        assert (await lab.check(what)).feasible
        assert (await lab.run(what)).state is ExecutionState.COMPLETED
    assert (home.root / "local" / "papers" / "letter").read_text() == "dear"


@needs_root
async def test_what_is_mounted_below_the_source_stays_there_anyway(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("x")
    with tmpfs(tmp_path / "source" / "mnt", "size=20m") as mounted:
        home = Home(mounted / "home")
        async with laboratory(home.state, own=home.own) as lab:
            what = plan(tmp_path / "source", tmp_path / "target", Operation.MOVE)
            assert (await lab.check(what)).feasible
            across = plan(tmp_path / "source", tmp_path / "target", Operation.MOVE, one_file_system=False)
            await refused(lab, home, across)
