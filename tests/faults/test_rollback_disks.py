"""Rollbacks from several destinations, one of which is away when they go on."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

import loopfs
from engine_harness import ME, Laboratory, laboratory, plan
from loopfs import mounted
from migmond.domain.errors import PlanInfeasible
from migmond.domain.execution import Execution
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState
from migmond.engine.rollbacks import Rollback
from migmond.engine.settings import EngineSettings
from routing import EVERYTHING, FAST, files, make, route
from steering import change, running

pytestmark = [
    pytest.mark.hazard(18),
    pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-"),
]

MOVE = Operation.MOVE
SETTINGS = EngineSettings(workers=1)


async def moved_apart(lab: Laboratory, source: Path, target: Path, more: Path) -> Execution:
    """Move a tree to two destinations."""
    target.mkdir()  # else all of it is renamed at once
    execution = await running(lab, source, target, operation=MOVE, workers=1)
    await change(lab, execution, route(more, EVERYTHING))
    await lab.until(lambda: len(files(more)) > 20)
    await change(lab, execution, FAST)
    done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    return done


async def rolling_back(lab: Laboratory, source: Path, target: Path, more: Path) -> Execution:
    """Move a tree to two destinations, and begin to bring it back, slowly."""
    done = await moved_apart(lab, source, target, more)
    back = await lab.engine.rollback(Rollback(done), ME, "ana")  # it has the limits of the plan
    await lab.until(lambda: any(source.rglob("*.bin")))
    return back


@pytest.mark.parametrize("at", [".", "more"], ids=["the mount point", "a directory on it"])
async def test_what_is_at_a_destination_whose_disk_is_away_is_not_told_as_gone(tmp_path: Path, at: str) -> None:
    source, before = tmp_path / "source", tmp_path / "before"
    make(source, 400)
    with mounted(tmp_path / "disk", "ext4", size_bytes=64 << 20) as disk:
        (disk.root / "lost+found").rmdir()
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            await lab.run(plan(source, before))
            back = await rolling_back(lab, source, tmp_path / "target", disk.root / at)
        assert files(disk.root)
        disk.unmount()
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            stopped = await lab.ended(back)
            assert stopped.state is ExecutionState.FAILED
            assert "mount the disk that it was on" in stopped.reason
            assert str(disk.root) in stopped.reason
            disk.mount()
            await lab.engine.resume(stopped, "ana", "")
            await change(lab, lab.engine.find(back.id), FAST)
            done = await lab.ended(back)
            assert (done.state, done.reason) == (ExecutionState.COMPLETED, "")
        assert files(source) == files(before)
        assert files(disk.root) == {}


async def test_what_somebody_removed_from_a_disk_that_is_there_is_gone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    make(source, 400)
    with mounted(tmp_path / "disk", "ext4", size_bytes=64 << 20) as disk:
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            back = await rolling_back(lab, source, tmp_path / "target", disk.root / "more")
        removed = len(files(disk.root / "more"))
        assert removed
        shutil.rmtree(disk.root / "more")
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            await change(lab, lab.engine.find(back.id), FAST)
            done = await lab.ended(back)
            assert done.state is ExecutionState.COMPLETED, done.reason
    assert len(files(source)) == 402 - removed


async def test_a_rollback_does_not_begin_while_a_disk_is_away(tmp_path: Path) -> None:
    source, target, before = tmp_path / "source", tmp_path / "target", tmp_path / "before"
    make(source, 400)
    with mounted(tmp_path / "disk", "ext4", size_bytes=64 << 20) as disk:
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            await lab.run(plan(source, before))
            done = await moved_apart(lab, source, target, disk.root / "more")
            there = files(target)
            disk.unmount()
            for order in (lab.engine.rollback_plan(Rollback(done), ME), lab.engine.rollback(Rollback(done), ME, "ana")):
                with pytest.raises(PlanInfeasible, match="mount the disk that it was on"):
                    await order
            assert files(target) == there
            disk.mount()
            back = await lab.ended(await lab.engine.rollback(Rollback(done), ME, "ana"))
            assert (back.state, back.reason) == (ExecutionState.COMPLETED, "")
    assert files(source) == files(before)


async def test_the_plan_says_that_there_is_no_room_or_no_way_back(tmp_path: Path) -> None:
    """What is begun without room waits for it."""
    target = tmp_path / "target"
    with mounted(tmp_path / "disk", "ext4", size_bytes=64 << 20) as disk:
        source = disk.root / "source"
        source.mkdir()
        (source / "film").write_bytes(bytes(range(256)) * (20 << 12))
        async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=0.3)) as lab:
            done = await lab.run(plan(source, target, MOVE))
            assert (await lab.engine.rollback_plan(Rollback(done), ME)).notes == ()
            filling = disk.root / "somebody's"
            with contextlib.suppress(OSError), filling.open("wb", buffering=0) as other:
                while True:
                    other.write(bytes(1 << 20))
            (short,) = (await lab.engine.rollback_plan(Rollback(done), ME)).notes
            assert "short there" in short
            back = await lab.engine.rollback(Rollback(done), ME, "ana")
            await lab.until(lambda: lab.engine.find(back.id).state is ExecutionState.PAUSED)
            assert (target / "film").stat().st_size == 20 << 20
            await lab.engine.cancel(lab.engine.find(back.id), "ana", "")
            await lab.ended(back)
            filling.unlink()
            disk.remount("ro")
            (closed,) = (await lab.engine.rollback_plan(Rollback(done), ME)).notes
            assert "is on a read-only file system" in closed
            with pytest.raises(PlanInfeasible, match="is on a read-only file system"):
                await lab.engine.rollback(Rollback(done), ME, "ana")
            assert (target / "film").stat().st_size == 20 << 20
            disk.remount("rw")
            ended = await lab.ended(await lab.engine.rollback(Rollback(done), ME, "ana"))
        assert ended.state is ExecutionState.COMPLETED, ended.reason
        assert (source / "film").read_bytes() == bytes(range(256)) * (20 << 12)
        assert not target.exists()
