"""File systems that are taken away, made read-only, filled or frozen while a migration uses them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio

import loopfs
import sickfs
import trees
from engine_harness import Laboratory, laboratory, plan
from loopfs import LoopFs, mounted
from migmond.domain.events import HoldChanged, MoverRecovered, MoverStalled
from migmond.domain.execution import Execution
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState, TaskState
from migmond.engine.settings import EngineSettings
from oracle import differences
from sickfs import sick_fs

pytestmark = pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")

MOVE = Operation.MOVE
SLOWLY = Limits(io_ops_per_s=150.0)
CRAWLING = Limits(io_ops_per_s=60.0)
"""For what is not waited for to its end: a busy machine still meets it in the middle."""
SETTINGS = EngineSettings(workers=2, hold_s=0.5, group_entries=10, group_age_s=0.1, attempts=2)
SBIN = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


def run(*command: str | Path) -> None:
    subprocess.run(command, env=SBIN, check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopFs]:
    with mounted(tmp_path / "disk", "ext4", size_bytes=64 << 20) as fs:
        yield fs


@contextlib.contextmanager
def seen_again(fs: LoopFs, at: Path) -> Iterator[Path]:
    """What is on a disk after it was plugged in again somewhere else."""
    at.mkdir()
    run("mount", "-o", "loop", fs.image, at)
    try:
        yield at
    finally:
        run("umount", at)


async def some_done(lab: Laboratory, execution: Execution, entries: int = 20) -> None:
    await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries >= entries)
    totals = lab.engine.find(execution.id).totals
    assert totals.done.entries < totals.planned.entries, "not in the middle"


async def not_running(lab: Laboratory, execution: Execution) -> Execution:
    """Wait until the execution is held or has ended."""
    alive = (ExecutionState.CREATED, ExecutionState.RUNNING)
    await lab.until(lambda: lab.engine.find(execution.id).state not in alive)
    return lab.engine.find(execution.id)


async def turn_read_only(fs: LoopFs) -> None:
    """Remount it, as soon as no mover has just a file open for writing."""
    with trio.fail_after(60):
        while True:
            try:
                return fs.remount("ro")
            except subprocess.CalledProcessError:
                await trio.sleep(0.002)


def contents(*roots: Path) -> dict[str, set[bytes]]:
    """By name, what files of that name there are in `roots`, unfinished ones left out."""
    found: dict[str, set[bytes]] = {}
    for root in roots:
        for path in root.rglob("f*"):
            if path.is_file():
                found.setdefault(path.name, set()).add(path.read_bytes())
    return found


def two_trees(tmp_path: Path) -> tuple[Path, Path]:
    """Return a source of 400 files, and a copy of it to compare with."""
    source, pristine = tmp_path / "source", tmp_path / "pristine"
    trees.small_files(source, 400, 2000, random.Random(1), per_directory=50)
    run("cp", "-a", source, pristine)
    return source, pristine


@pytest.mark.hazard(22)
async def test_a_target_that_turns_read_only_in_the_middle_is_one_hold(tmp_path: Path, disk: LoopFs) -> None:
    source, pristine = two_trees(tmp_path)
    target = disk.root / "target"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, target, MOVE, limits=SLOWLY))
        await some_done(lab, execution)
        await turn_read_only(disk)
        held = await not_running(lab, execution)
        assert [h.reason.value for h in held.holds] == ["device"]
        assert held.totals.failed.entries == 0
        assert len([e for e in lab.events if isinstance(e, HoldChanged) and e.change == "set"]) == 1
        assert contents(source, target) == contents(pristine)
        disk.remount("rw")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(pristine, target) == []
    assert not source.exists()


@pytest.mark.hazard(22)
async def test_what_a_read_only_target_does_not_let_go_is_swept_when_it_can_be(tmp_path: Path, disk: LoopFs) -> None:
    source, pristine = two_trees(tmp_path)
    target = disk.root / "target"
    slow_groups = msgspec.structs.replace(SETTINGS, group_entries=1000, group_age_s=1.0, group_idle_s=1.0)
    async with laboratory(tmp_path / "state", slow_groups) as lab:
        execution = await lab.start(plan(source, target, limits=SLOWLY))
        await lab.until(lambda: len(list(target.rglob(".migmond-*.part"))) >= 20)
        await turn_read_only(disk)
        await not_running(lab, execution)
        run_of = lab.engine.run_of(execution.id)
        assert run_of is not None
        assert run_of.scope is not None
        stations = run_of.scope.crew.stations
        await lab.until(lambda: not any(station.flight.groups for station in stations.values()))
        assert list(target.rglob(".migmond-*.part"))
        disk.remount("rw")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(pristine, target) == []


@pytest.mark.hazard(18)
@pytest.mark.parametrize("killed", [False, True])
async def test_a_target_unmounted_in_the_middle_gets_nothing_below_its_mount_point(
    tmp_path: Path, disk: LoopFs, killed: bool
) -> None:
    source, pristine = two_trees(tmp_path)
    target = disk.root / "target"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, target, MOVE, limits=CRAWLING))
        await some_done(lab, execution)
        run("umount", "-l", disk.root)
        movers = lab.engine.run_of(execution.id)
        if killed and movers is not None and movers._scope is not None:
            for process in movers._scope.crew.processes.values():
                os.kill(process.pid, signal.SIGKILL)
        await not_running(lab, execution)
    assert list(disk.root.iterdir()) == []
    run("mount", "--bind", disk.root, disk.root)  # what the fixture will unmount
    with seen_again(disk, tmp_path / "again") as again:
        assert contents(source, again / "target") == contents(pristine)


@pytest.mark.hazard(18)
async def test_a_resume_without_the_targets_disk_is_refused_and_writes_nothing(tmp_path: Path, disk: LoopFs) -> None:
    source, pristine = two_trees(tmp_path)
    target = disk.root / "target"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, target, MOVE, limits=SLOWLY))
        await some_done(lab, execution, 10)
        await lab.engine.drain(lab.engine.find(execution.id), "me", "")
        await lab.until(lambda: lab.engine.run_of(execution.id) is None)
        run("umount", disk.root)
        await lab.engine.resume(lab.engine.find(execution.id), "me", "")
        refused = await lab.ended(execution)
        assert refused.state is ExecutionState.FAILED
        assert "is not the directory that the destination was in" in refused.reason
        assert list(disk.root.iterdir()) == []
        run("mount", "-o", "loop", disk.image, disk.root)
        await lab.engine.resume(refused, "me", "")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(pristine, target) == []


@pytest.mark.hazard(18)
@pytest.mark.parametrize("interrupted", ["", "killed", "drained"])
async def test_a_cancel_without_the_targets_disk_is_a_cancel(tmp_path: Path, disk: LoopFs, interrupted: str) -> None:
    source, pristine = two_trees(tmp_path)
    target = disk.root / "target"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, target, MOVE, limits=CRAWLING))
        await some_done(lab, execution)
        if interrupted == "drained":
            await lab.engine.drain(lab.engine.find(execution.id), "me", "")
            await lab.until(lambda: lab.engine.run_of(execution.id) is None)
        else:
            await lab.engine.pause(execution, "me", "", None)
        run("umount", "-l", disk.root)
        if interrupted == "killed":
            movers = lab.engine.run_of(execution.id)
            assert movers is not None
            assert movers._scope is not None
            for process in movers._scope.crew.processes.values():
                os.kill(process.pid, signal.SIGKILL)
        await lab.engine.cancel(lab.engine.find(execution.id), "me", "")
        ended = await lab.ended(execution)
        assert ended.state is ExecutionState.CANCELLED, ended.reason
        if interrupted:  # movers that were at work have everything open: they tidy up all the same
            assert "is not the directory that the destination was in" in ended.reason
            assert f"begin with .migmond-{ended.id}-" in ended.reason
        totals = ended.totals
        assert totals.cancelled.entries == totals.planned.entries - totals.done.entries
        left = (TaskState.PENDING, TaskState.DURABLE, TaskState.FAILED)
        assert await lab.journal.tasks(ended.key, limit=1, states=left) == []
    assert list(disk.root.iterdir()) == []
    run("mount", "--bind", disk.root, disk.root)  # for the fixture to unmount
    with seen_again(disk, tmp_path / "again") as again:
        assert contents(source, again / "target") == contents(pristine)


@pytest.mark.hazard(18)
async def test_a_source_unmounted_in_the_middle_loses_nothing(tmp_path: Path, disk: LoopFs) -> None:
    source, pristine, target = disk.root / "source", tmp_path / "pristine", tmp_path / "target"
    trees.small_files(source, 400, 2000, random.Random(1), per_directory=50)
    run("cp", "-a", source, pristine)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, target, MOVE, limits=CRAWLING))
        await some_done(lab, execution)
        run("umount", "-l", disk.root)
        await not_running(lab, execution)
    assert list(disk.root.iterdir()) == []
    run("mount", "--bind", disk.root, disk.root)  # for the fixture to unmount
    with seen_again(disk, tmp_path / "again") as again:
        assert contents(target, again) == contents(pristine)


@pytest.mark.hazard(23)
async def test_a_frozen_target_stalls_its_movers_and_nobody_else(tmp_path: Path, disk: LoopFs) -> None:
    source, target, other = tmp_path / "source", disk.root / "target", tmp_path / "other"
    trees.small_files(source, 1500, 2000, random.Random(1), per_directory=50)
    settings = EngineSettings(workers=1, stall_after_s=0.5, group_entries=10)
    async with laboratory(tmp_path / "state", settings) as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=500.0)))
        await some_done(lab, execution)
        run("fsfreeze", "-f", disk.root)
        try:
            await lab.until(lambda: any(isinstance(e, MoverStalled) for e in lab.events))
            assert "hangs" in lab.engine.view(lab.engine.find(execution.id)).why
            beside = await lab.run(plan(source, other))
            assert beside.state is ExecutionState.COMPLETED, beside.reason
        finally:
            run("fsfreeze", "-u", disk.root)
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert any(isinstance(e, MoverRecovered) for e in lab.events)
    assert differences(source, target) == []


@pytest.mark.hazard(21)
@pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")
async def test_a_disk_that_is_pulled_under_a_mounted_file_system(tmp_path: Path) -> None:
    """Its image lies on a file system that fails every read and write from a certain moment on."""
    source, pristine = tmp_path / "source", tmp_path / "pristine"
    trees.small_files(source, 400, 2000, random.Random(1), per_directory=50)
    run("cp", "-a", source, pristine)
    with sick_fs(tmp_path / "bay") as bay, mounted(bay.root / "disk", "ext4", size_bytes=64 << 20) as disk:
        target = disk.root / "target"
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            execution = await lab.start(plan(source, target, MOVE, limits=CRAWLING))
            await some_done(lab, execution)
            bay.fall_ill("*", path="/disk/ext4.img", error="EIO")
            held = await not_running(lab, execution)
            assert [h.reason.value for h in held.holds] == ["device"]
            assert held.totals.failed.entries <= 7
        bay.heal()
        run("umount", "-l", disk.root)
        with seen_again(disk, tmp_path / "again") as again:
            assert contents(source, again) == contents(pristine)
        run("mount", "--bind", disk.root, disk.root)


@pytest.mark.hazard(13)
async def test_a_target_without_inodes_holds_and_goes_on_by_itself(tmp_path: Path) -> None:
    source, mount = tmp_path / "source", tmp_path / "mount"
    trees.small_files(source, 100, 100, random.Random(1))
    mount.mkdir()
    run("mount", "-t", "tmpfs", "-o", "nr_inodes=40", "none", mount)
    try:
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            execution = await lab.start(plan(source, mount / "target"))
            held = await not_running(lab, execution)
            assert [h.reason.value for h in held.holds] == ["space"]
            assert held.totals.failed.entries == 0
            run("mount", "-o", "remount,nr_inodes=1000", mount)
            done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert differences(source, mount / "target") == []
    finally:
        run("umount", mount)


@pytest.mark.hazard(13)
async def test_a_full_source_does_not_stop_a_move(tmp_path: Path) -> None:
    mount, target = tmp_path / "mount", tmp_path / "target"
    mount.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=200", "none", mount)
    try:
        source = mount / "source"
        trees.small_files(source, 100, 3000, random.Random(1), per_directory=20)
        with (mount / "ballast").open("wb") as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(1 << 16))
                ballast.flush()
        assert os.statvfs(mount).f_bavail == 0
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            done = await lab.run(plan(source, target, MOVE))
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert not source.exists()
        assert len(contents(target)) == 100
    finally:
        run("umount", "-l", mount)
