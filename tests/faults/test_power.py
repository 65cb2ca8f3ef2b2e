"""Power that fails after a move has ended, and in its middle: on real file systems, journal included."""

from __future__ import annotations

import fcntl
import os
import random
import struct
import subprocess
from pathlib import Path

import pytest
import trio

import loopfs
import trees
from engine_harness import laboratory, plan
from loopfs import LoopFs, mounted
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState
from migmond.engine.settings import EngineSettings
from oracle import differences

SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = struct.pack("I", 2)
SETTINGS = EngineSettings(workers=1, group_entries=20, group_age_s=0.1)
SBIN = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


def cut(fs: LoopFs) -> None:
    """Whatever is not on the device yet is lost."""
    fd = os.open(fs.root, os.O_RDONLY)
    fcntl.ioctl(fd, SHUTDOWN, NO_LOG_FLUSH)
    os.close(fd)


def boot(fs: LoopFs) -> None:
    """Mount it again."""
    subprocess.run(["umount", "-l", fs.root], env=SBIN, check=True)
    subprocess.run(["mount", "-o", "loop", fs.image, fs.root], env=SBIN, check=True)


@pytest.mark.hazard(1, 2, 3, 7)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
async def test_what_has_been_moved_survives_a_power_cut_at_once(tmp_path: Path, kind: str) -> None:
    if reason := loopfs.missing(kind):
        pytest.skip(reason)
    source, pristine = tmp_path / "source", tmp_path / "pristine"
    trees.random_tree(source, random.Random(1), 200)
    subprocess.run(["cp", "-a", source, pristine], check=True)
    with mounted(tmp_path / "disk", kind) as fs:
        async with laboratory(fs.root / "state", SETTINGS) as lab:
            done = await lab.run(plan(source, fs.root / "new" / "target", Operation.MOVE))
            assert done.state is ExecutionState.COMPLETED, done.reason
            cut(fs)
        boot(fs)
        assert not source.exists()
        assert differences(pristine, fs.root / "new" / "target") == []
        async with laboratory(fs.root / "state", SETTINGS) as lab:
            assert lab.engine.find(done.id).state is ExecutionState.COMPLETED
            assert await lab.journal.check() == []


@pytest.mark.hazard(1, 2, 3, 7)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
async def test_a_power_cut_in_the_middle_loses_nothing_and_the_rest_is_moved(tmp_path: Path, kind: str) -> None:
    if reason := loopfs.missing(kind):
        pytest.skip(reason)
    source, pristine = tmp_path / "source", tmp_path / "pristine"
    trees.small_files(source, 400, 3000, random.Random(1), per_directory=50)
    subprocess.run(["cp", "-a", source, pristine], check=True)
    with mounted(tmp_path / "disk", kind) as fs:
        target, state = fs.root / "target", tmp_path / "state"
        async with laboratory(state, SETTINGS) as lab:
            execution = await lab.start(plan(source, target, Operation.MOVE, limits=Limits(io_ops_per_s=300.0)))
            await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries >= 40)
            cut(fs)
            await trio.lowlevel.checkpoint()
        boot(fs)
        for path in pristine.rglob("f*"):
            name = path.relative_to(pristine)
            there = [(root / name).read_bytes() for root in (source, target) if (root / name).exists()]
            assert there, f"{name} is gone"
            assert set(there) == {path.read_bytes()}, f"{name} is not what it was"
        async with laboratory(state, SETTINGS) as lab:
            now = lab.engine.find(execution.id)
            if now.holds or now.state is ExecutionState.FAILED:
                await lab.engine.resume(now, "me", "power is back")
            done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert differences(pristine, target) == []
