"""What the campaign of interference has found, each as small as it gets: no file is lost, and what is told adds up.

Whatever a migration does about it is right (it may fail the entry), as long as every content is still there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trio

import loopfs
from driving import ended, start
from engine_harness import Laboratory, laboratory, plan
from forked import ForkedDaemon
from loopfs import mounted
from migmond.domain.events import ScanCompleted
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation
from migmond.domain.states import ExecutionState
from migmond.engine.deleter import Deleter
from migmond.engine.settings import EngineSettings
from oracle import count
from tracing import TracedMovers
from trial import CONFIGURATION

pytestmark = pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")

MOVE = Operation.MOVE
Spoil: TypeAlias = Callable[[Path], None]
PRECIOUS = b"precious content"
SLOWLY = Limits(io_bytes_per_s=4 << 20)
"""So long takes what comes after the file that it is all about, and its delete waits for that."""


@contextmanager
def two_disks(base: Path) -> Iterator[tuple[Path, Path]]:
    """Source and target on two file systems that leases can be had on; the source is there."""
    with mounted(base / "one", "ext4") as one, mounted(base / "two", "ext4") as two:
        (one.root / "source").mkdir()
        yield one.root / "source", two.root / "target"


def contents(*roots: Path) -> list[bytes]:
    files = (path for root in roots for path in root.rglob("*") if not path.name.startswith(".migmond-"))
    return [path.read_bytes() for path in files if path.is_file()]


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    """As many bytes, and the time set back."""
    st = path.stat()
    with path.open("r+b") as file:
        file.write(b"somebody else's!")
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def recreate(path: Path) -> None:
    """ext4 gives the inode number that has just become free to the next file."""
    path.unlink()
    path.write_bytes(b"somebody else's, and longer")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"somebody else's!")
    other.rename(path)


@pytest.fixture
def deletes(monkeypatch: pytest.MonkeyPatch) -> trio.Event:
    """Nothing is deleted before this is set."""
    allowed, give = trio.Event(), Deleter._give

    async def later(deleter: Deleter, *work: Any) -> None:
        await allowed.wait()
        await give(deleter, *work)

    monkeypatch.setattr(Deleter, "_give", later)
    return allowed


async def published(lab: Laboratory, source: Path, target: Path, *names: str, **fields: object) -> tuple[str, str]:
    """Start a move, and wait until one of `names` is at the target and still at the source; returns id and name."""
    (source / "zlarge").write_bytes(os.urandom(8 << 20))
    execution = await lab.start(plan(source, target, MOVE, limits=SLOWLY, **fields))  # type: ignore[arg-type]
    await lab.until(lambda: any((target / name).exists() for name in names))
    found = next(name for name in names if (target / name).exists())
    assert (source / found).exists(), "too late"
    return execution.id, found


@pytest.mark.hazard(1)
@pytest.mark.parametrize("spoil", [truncate, overwrite, recreate, replace])
async def test_a_source_stays_whose_copy_was_altered(tmp_path: Path, deletes: trio.Event, spoil: Spoil) -> None:
    with two_disks(tmp_path) as (source, target):
        (source / "doc").write_bytes(PRECIOUS)
        async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
            id_, _ = await published(lab, source, target, "doc")
            spoil(target / "doc")
            deletes.set()
            await lab.ended(lab.engine.find(id_))
        assert PRECIOUS in contents(source, target)


@pytest.mark.hazard(29)
@pytest.mark.parametrize("spoil", [truncate, replace])
async def test_further_names_stay_when_the_first_copy_was_altered(
    tmp_path: Path, deletes: trio.Event, spoil: Spoil
) -> None:
    with two_disks(tmp_path) as (source, target):
        (source / "a").write_bytes(PRECIOUS)
        for name in "bc":
            os.link(source / "a", source / name)
        async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
            id_, leader = await published(lab, source, target, "a", "b", "c")
            spoil(target / leader)
            deletes.set()
            await lab.ended(lab.engine.find(id_))
        assert PRECIOUS in contents(source, target)


async def test_what_somebody_wrote_into_a_copy_is_not_taken_back_with_it(tmp_path: Path, deletes: trio.Event) -> None:
    """The source changes as well, so it is copied again, and the earlier copy makes room."""
    with two_disks(tmp_path) as (source, target):
        (source / "doc").write_bytes(PRECIOUS)
        async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
            id_, _ = await published(lab, source, target, "doc", conflict=ConflictPolicy.RENAME)
            overwrite(target / "doc")
            (source / "doc").write_bytes(b"a later version")
            deletes.set()
            done = await lab.ended(lab.engine.find(id_))
            if done.state is not ExecutionState.COMPLETED:
                await lab.engine.resume(done, "me", "")
                await lab.ended(done)
        found = contents(source, target)
    assert b"a later version" in found
    assert b"somebody else's!" in found


@pytest.mark.hazard(25)
def test_what_is_saved_over_a_source_while_it_is_deleted_is_kept(tmp_path: Path) -> None:
    movers = TracedMovers(tmp_path / "movers")
    with two_disks(tmp_path) as (source, target):
        (source / "doc").write_bytes(PRECIOUS)
        (source.parent / "desk").write_bytes(b"an hour of work")
        with ForkedDaemon(tmp_path / "daemon", CONFIGURATION, movers.interpreter) as daemon:
            movers.order("-e", "trace=unlinkat,renameat2,renameat", "-e", "inject=unlinkat:delay_enter=1000000")
            execution = start(daemon.socket, source, target, MOVE, workers=1)
            deadline = time.monotonic() + 60
            while not any("unlinkat" in x and '"doc"' in x for x in movers.output().splitlines()):
                if not (source / "doc").exists() or time.monotonic() > deadline:
                    break  # it is deleted in another way
            os.rename(source.parent / "desk", source / "doc")
            ended(daemon.socket, execution, 120)
            movers.detach()
        assert b"an hour of work" in contents(source, target)


@pytest.mark.hazard(16)
async def test_two_moves_in_opposite_directions_keep_what_both_sides_have(tmp_path: Path) -> None:
    files = 600
    with two_disks(tmp_path) as (here, there):
        for number in range(files):
            (here / f"f{number:04}").write_bytes(b"content %d" % number)
        async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
            assert (await lab.run(plan(here, there))).state is ExecutionState.COMPLETED
            one, two = await lab.start(plan(here, there, MOVE)), await lab.start(plan(there, here, MOVE))
            for execution in (one, two):
                await lab.ended(execution)
        there_now = set(contents(*(root for root in (here, there) if root.exists())))
    assert len(there_now) == files


async def test_symlinks_that_change_after_the_scan_add_no_bytes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "a").write_bytes(b"12345")
    (source / "link").symlink_to("a")
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, workers=1, limits=Limits(io_ops_per_s=2)))
        await lab.until(lambda: any(isinstance(e, ScanCompleted) for e in lab.events))
        (source / "new").symlink_to("/somewhere/else")
        (source / "new").rename(source / "link")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert done.totals.planned == done.totals.done
    assert (done.totals.planned.entries, done.totals.planned.bytes) == (count(source), 5)


@pytest.mark.hazard(26, 29)
async def test_what_is_saved_over_a_further_name_is_not_taken_for_its_old_content(tmp_path: Path) -> None:
    """As long and as old as the file it was a name of (seeds 21, trials 66 and 74)."""
    with two_disks(tmp_path) as (source, target):
        (source / "a").write_bytes(PRECIOUS)
        os.link(source / "a", source / "b")
        async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
            execution = await lab.start(plan(source, target, MOVE, limits=Limits(io_ops_per_s=2)))
            await lab.until(lambda: any(isinstance(e, ScanCompleted) for e in lab.events))
            tasks = await lab.journal.tasks(execution.key, after=0, limit=10)
            (further,) = (source / os.fsdecode(task.name) for task in tasks if task.leader)
            st, new = further.stat(), source.parent / "desk"
            new.write_bytes(b"somebody else's!")
            os.utime(new, ns=(st.st_atime_ns, st.st_mtime_ns))
            new.rename(further)
            done = await lab.ended(execution)
            if done.state is not ExecutionState.COMPLETED:
                await lab.engine.resume(done, "me", "")
                await lab.ended(done)
        found = contents(source, target)
    assert PRECIOUS in found
    assert b"somebody else's!" in found
