"""Another disk in the place of the one that a migration works on: the roots of all ext4 are inode 2."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import loopfs
import trees
from engine_harness import laboratory, plan
from loopfs import LoopFs, mounted
from migmond.domain.changes import (
    PutExecution,
)
from migmond.domain.execution import Anchor, Execution
from migmond.domain.fault import Disposition, Phase
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation, Plan, VerifyLevel
from migmond.domain.states import ExecutionState
from migmond.engine.settings import EngineSettings
from migmond.mover.context import fault_of
from migmond.mover.roots import open_roots
from migmond.recovery.dispositions import disposition_of
from migmond.wire.items import MoverOptions, RootSpec
from migmond.wire.to_mover import Open
from migmond_sqlite import open_journal
from oracle import differences

pytestmark = [
    pytest.mark.hazard(18),
    pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-"),
]

SLOWLY = Limits(io_ops_per_s=150.0)
SETTINGS = EngineSettings(workers=1, hold_s=0.5, group_entries=10, group_age_s=0.1, attempts=2)
OPTIONS = MoverOptions(
    "0" * 12, Operation.COPY, ConflictPolicy.FAIL, VerifyLevel.HASH, one_file_system=True, reflink=False, rename=False
)
OTHER = "another file system is mounted there now"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopFs]:
    with mounted(tmp_path / "disk", "ext4", size_bytes=64 << 20) as fs:
        (fs.root / "lost+found").rmdir()
        yield fs


@pytest.fixture
def other(tmp_path: Path) -> Iterator[LoopFs]:
    with mounted(tmp_path / "other", "ext4", size_bytes=64 << 20) as fs:
        (fs.root / "lost+found").rmdir()
        yield fs


@contextlib.contextmanager
def swapped(disk: LoopFs, other: LoopFs, *, lazily: bool = False) -> Iterator[LoopFs]:
    """While the context lasts, `other` is mounted where `disk` was."""
    if lazily:  # movers have it open
        subprocess.run(["umount", "-l", disk.root], check=True)
    else:
        disk.unmount()
    other.unmount()
    there = LoopFs(disk.root, other.image, "ext4")
    there.mount()
    try:
        yield there
    finally:
        subprocess.run(["umount", "-l", there.root], check=True)
        disk.mount()
        other.mount()


async def cut_off(state: Path, what: Plan) -> Execution:
    """Start it, and end the daemon in the middle of it."""
    async with laboratory(state, SETTINGS) as lab:
        execution = await lab.start(what)
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries >= 20)
        assert lab.engine.find(execution.id).totals.done.entries < 400, "not in the middle"
    return execution


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
async def test_another_target_disk_is_refused_and_gets_nothing(
    tmp_path: Path, disk: LoopFs, other: LoopFs, operation: Operation
) -> None:
    source, pristine = tmp_path / "source", tmp_path / "pristine"
    trees.small_files(source, 400, 2000, random.Random(1), per_directory=50)
    subprocess.run(["cp", "-a", source, pristine], check=True)
    execution = await cut_off(tmp_path / "state", plan(source, disk.root, operation, limits=SLOWLY))
    with swapped(disk, other):
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            refused = await lab.ended(execution)
            assert refused.state is ExecutionState.FAILED
            assert OTHER in refused.reason
            assert str(disk.root) in refused.reason
            assert list(disk.root.iterdir()) == []
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        await lab.engine.resume(lab.engine.find(execution.id), "me", "")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(pristine, disk.root) == []


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
async def test_another_source_disk_is_refused(
    tmp_path: Path, disk: LoopFs, other: LoopFs, operation: Operation
) -> None:
    pristine, target = tmp_path / "pristine", tmp_path / "target"
    trees.small_files(disk.root, 400, 2000, random.Random(1), per_directory=50)
    subprocess.run(["cp", "-a", disk.root, pristine], check=True)
    (other.root / "precious").write_text("not ours")
    execution = await cut_off(tmp_path / "state", plan(disk.root, target, operation, limits=SLOWLY))
    with swapped(disk, other):
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            refused = await lab.ended(execution)
            assert refused.state is ExecutionState.FAILED
            assert OTHER in refused.reason
            assert (disk.root / "precious").read_text() == "not ours"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        await lab.engine.resume(lab.engine.find(execution.id), "me", "")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(pristine, target) == []


@pytest.mark.parametrize("at_source", [False, True])
async def test_a_mover_that_is_replaced_notices_it(
    tmp_path: Path, disk: LoopFs, other: LoopFs, *, at_source: bool
) -> None:
    elsewhere = tmp_path / "elsewhere"
    source, target = (disk.root, elsewhere) if at_source else (elsewhere, disk.root)
    trees.small_files(source, 400, 2000, random.Random(1), per_directory=50)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, target, Operation.COPY, limits=SLOWLY))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries >= 20)
        run = lab.engine.run_of(execution.id)
        assert run is not None
        assert run._scope is not None
        processes = list(run._scope.crew.processes.values())
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        with swapped(disk, other, lazily=True):
            for process in processes:
                os.kill(process.pid, signal.SIGKILL)
            refused = await lab.ended(execution)
            assert list(disk.root.iterdir()) == []
    assert refused.state is ExecutionState.FAILED
    assert OTHER in refused.reason


async def test_verify_does_not_look_at_another_disk(tmp_path: Path, disk: LoopFs, other: LoopFs) -> None:
    source = tmp_path / "source"
    trees.small_files(source, 20, 2000, random.Random(1))
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        done = await lab.run(plan(source, disk.root))
        with swapped(disk, other):
            refused = await lab.verified(done)
        assert OTHER in refused.failure
        assert refused.mismatches == 0
        fine = await lab.verified(done)
    assert (fine.failure, fine.mismatches) == ("", 0)


async def test_what_an_older_version_started_goes_on(tmp_path: Path, disk: LoopFs) -> None:
    source = tmp_path / "source"
    trees.small_files(source, 400, 2000, random.Random(1), per_directory=50)
    execution = await cut_off(tmp_path / "state", plan(source, disk.root, limits=SLOWLY))
    async with open_journal(tmp_path / "state", 0) as journal:
        (found,) = await journal.executions()
        anchors = tuple(Anchor(a.path, a.inode) for a in found.anchors)
        await journal.apply([PutExecution(msgspec.structs.replace(found, anchors=anchors, source_file_systems=()))])
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, disk.root) == []


def test_a_target_that_is_opened_after_the_swap_is_not_written_to(tmp_path: Path, disk: LoopFs, other: LoopFs) -> None:
    """A mover opens its targets when it needs them first; that may be long after it has looked at them."""
    (tmp_path / "source").mkdir()
    opening = Open((RootSpec(bytes(tmp_path / "source"), bytes(disk.root / "new")),), OPTIONS, make_targets=False)
    (root,) = open_roots(opening)
    with swapped(disk, other):
        for make in (True, False):
            with pytest.raises(OSError) as error:  # noqa: PT011 (which one is looked at below)
                root.target_fd(make=make)
            assert (error.value.errno, make) in ((errno.ESTALE, True), (errno.ENOENT, False))
        assert disposition_of(fault_of(Phase.COPY, OSError(errno.ESTALE, OTHER))) is Disposition.HOLD
        assert list(disk.root.iterdir()) == []
        (disk.root / "new").mkdir()
        with pytest.raises(OSError, match=OTHER):
            root.target_fd()
    root.target_fd()
    assert (disk.root / "new").is_dir()
    os.close(root.target_fd())
