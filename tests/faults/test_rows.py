"""Rows of design page HAZARDS as they are met outside of a laboratory: one tree under two names, disks that were
swapped, programs that write through a mapping, kills while names are given.

What is demanded is the row, not how it is kept: a plan may be refused, a migration may fail, but no content is lost.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import loopfs
import sickfs
import trees
from daemon import EmbeddedDaemon
from driving import ENDED, ended, look, resume, start
from engine_harness import Laboratory, laboratory, plan
from forked import ForkedDaemon
from loopfs import ENVIRONMENT, LoopFs, mounted
from migmond.domain.errors import PlanInfeasible
from migmond.domain.execution import Execution
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation, Plan
from migmond.domain.states import ExecutionState, TaskState
from migmond.engine.settings import EngineSettings
from oracle import differences
from sickfs import sick_fs
from tracing import TracedMovers
from trial import CONFIGURATION

pytestmark = pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")

MOVE, COPY = Operation.MOVE, Operation.COPY
SETTINGS = EngineSettings(workers=1, group_entries=10, group_age_s=0.1, attempts=2, hold_s=0.5)
FILES = 40


def run(*command: str | Path) -> None:
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)


def contents(*roots: Path) -> set[bytes]:
    """Of all files in `roots` under final names."""
    files = (path for root in roots for path in root.rglob("*") if not path.name.startswith(".migmond-"))
    return {path.read_bytes() for path in files if path.is_file() and not path.is_symlink()}


@contextlib.contextmanager
def overlay(base: Path) -> Iterator[tuple[Path, Path]]:
    """A directory and what an overlay shows of it."""
    for name in ("upper", "work", "lower", "merged"):
        (base / name).mkdir()
    options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
    try:
        run("mount", "-t", "overlay", "overlay", "-o", options, base / "merged")
    except subprocess.CalledProcessError as e:
        pytest.skip(f"no overlay here: {e.stderr}")
    try:
        yield base / "upper", base / "merged"
    finally:
        run("umount", "-l", base / "merged")


@contextlib.contextmanager
def mirror(base: Path) -> Iterator[tuple[Path, Path]]:
    """A directory and what a FUSE file system shows of it, as bindfs, mergerfs or sshfs to this machine do."""
    if why := sickfs.missing():
        pytest.skip(why)
    with sick_fs(base / "mirror") as sick:
        yield sick.backing, sick.root


MIRRORS = {"overlay": overlay, "mirror": mirror}


async def refused_or_ended(lab: Laboratory, asked: Plan) -> Execution | None:
    try:
        return await lab.run(asked)
    except PlanInfeasible:
        return None


@pytest.mark.hazard(16)
@pytest.mark.parametrize("back", [False, True], ids=["through it", "out of it"])
@pytest.mark.parametrize("kind", list(MIRRORS))
@pytest.mark.parametrize("operation", [MOVE, COPY])
async def test_a_tree_that_is_seen_twice_keeps_every_file(
    tmp_path: Path, kind: str, operation: Operation, *, back: bool
) -> None:
    with mounted(tmp_path / "disk", "ext4") as disk, MIRRORS[kind](disk.root) as (real, seen):
        (real / "photos").mkdir()
        for number in range(6):
            (seen / "photos" / f"f{number}").write_bytes(b"the only copy %d" % number)
        before = contents(real)
        ways = (real / "photos", seen / "photos")
        source, target = ways if back else ways[::-1]
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            for policy in (ConflictPolicy.FAIL, ConflictPolicy.NEWER):
                await refused_or_ended(lab, plan(source, target, operation, conflict=policy))
                assert before <= contents(real)
    assert len(before) == 6


@pytest.mark.hazard(17)
@pytest.mark.parametrize("kind", list(MIRRORS))
async def test_a_target_inside_the_source_that_is_seen_twice_keeps_every_file(tmp_path: Path, kind: str) -> None:
    with mounted(tmp_path / "disk", "ext4") as disk, MIRRORS[kind](disk.root) as (real, seen):
        (real / "photos").mkdir()
        for number in range(6):
            (seen / "photos" / f"f{number}").write_bytes(b"the only copy %d" % number)
        before = contents(real)
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            limits = Limits(io_ops_per_s=2000.0)
            await refused_or_ended(lab, plan(seen / "photos", real / "photos" / "sub", MOVE, limits=limits))
        assert before == contents(real)
        depth = max(len(path.relative_to(real).parts) for path in real.rglob("*"))
        assert depth <= 3, "it has gone down into itself"


@pytest.mark.hazard(16)
async def test_a_target_that_is_another_name_of_the_source_keeps_its_content(tmp_path: Path) -> None:
    """Hard links: every file is at the target already, as the very same file."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for number in range(6):
        (source / f"f{number}").write_bytes(b"content %d" % number)
        os.link(source / f"f{number}", target / f"f{number}")
    before = contents(source)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        for policy in ConflictPolicy:
            await lab.run(plan(source, target, MOVE, conflict=policy))
            assert contents(source, target) == before
            if not source.exists():
                break


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[tuple[LoopFs, LoopFs]]:
    """Two disks that look alike: their roots have the same inode number."""
    with mounted(tmp_path / "one", "ext4") as one, mounted(tmp_path / "two", "ext4") as two:
        assert one.root.stat().st_ino == two.root.stat().st_ino
        two.unmount()
        yield one, two


def swapped(one: LoopFs, two: LoopFs) -> None:
    """Pull a disk and plug in another one, which is mounted in its place."""
    one.unmount()
    run("mount", "-o", "loop", two.image, one.root)


async def half_way(state: Path, asked: Plan) -> str:
    """Run it until the daemon is gone in its middle."""
    async with laboratory(state, SETTINGS) as lab:
        execution = await lab.start(asked)
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries >= 10)
        totals = lab.engine.find(execution.id).totals
        assert totals.done.entries < totals.planned.entries, "not in the middle"
        return execution.id


async def taken_up(state: Path, id_: str) -> Execution:
    """Let another daemon go on, until it has ended or is held."""
    over = (
        ExecutionState.COMPLETED,
        ExecutionState.COMPLETED_WITH_ERRORS,
        ExecutionState.FAILED,
        ExecutionState.PAUSED,
    )
    async with laboratory(state, SETTINGS) as lab:
        await lab.until(lambda: lab.engine.find(id_).state in over)
        return lab.engine.find(id_)


SLOWLY = Limits(io_ops_per_s=400.0)
MANY = 600
"""More than one batch, which is told of as a whole."""


@pytest.mark.hazard(18)
@pytest.mark.parametrize("operation", [MOVE, COPY])
async def test_another_disk_in_the_place_of_the_targets_gets_nothing(
    tmp_path: Path, disks: tuple[LoopFs, LoopFs], operation: Operation
) -> None:
    one, two = disks
    source = tmp_path / "source"
    trees.small_files(source, MANY, 2000, random.Random(1))
    id_ = await half_way(tmp_path / "state", plan(source, one.root, operation, limits=SLOWLY))
    left = contents(source)
    swapped(one, two)
    try:
        done = await taken_up(tmp_path / "state", id_)
        assert done.state in (ExecutionState.FAILED, ExecutionState.PAUSED), "it went on on another disk"
        assert [path.name for path in one.root.iterdir()] == ["lost+found"]
        assert contents(source) == left
    finally:
        run("umount", one.root)
        one.mount()


@pytest.mark.hazard(18)
async def test_another_disk_in_the_place_of_the_sources_is_not_taken_for_it(
    tmp_path: Path, disks: tuple[LoopFs, LoopFs]
) -> None:
    one, two = disks
    trees.small_files(one.root, MANY, 2000, random.Random(1))
    before, target = contents(one.root), tmp_path / "target"
    id_ = await half_way(tmp_path / "state", plan(one.root, target, MOVE, limits=SLOWLY))
    swapped(one, two)
    try:
        done = await taken_up(tmp_path / "state", id_)
        assert done.state in (ExecutionState.FAILED, ExecutionState.PAUSED), "entries of another disk were called gone"
    finally:
        run("umount", one.root)
        one.mount()
    assert contents(one.root, target) == before


@pytest.mark.hazard(25, 27)
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("closed", [False, True])
async def test_what_is_written_through_a_mapping_is_not_lost(tmp_path: Path, *, linked: bool, closed: bool) -> None:
    """A page that is dirty already takes further writes without a fault, so no time of the file moves."""
    with mounted(tmp_path / "one", "ext4") as one, mounted(tmp_path / "two", "ext4") as two:
        source, target = one.root / "source", two.root / "target"
        source.mkdir()
        (source / "db").write_bytes(b"." * mmap.PAGESIZE)
        names = ("db", "db2") if linked else ("db",)
        if linked:
            os.link(source / "db", source / "db2")
        (source / "zlarge").write_bytes(os.urandom(12 << 20))
        os.sync()
        with (source / "db").open("r+b") as file:
            pages = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        pages[0:8] = b"record-1"
        async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
            execution = await lab.start(plan(source, target, MOVE, limits=Limits(io_bytes_per_s=4 << 20)))
            await lab.until(lambda: any((target / name).exists() for name in names))
            assert any((source / name).exists() for name in names), "too late to write to it"
            pages[100:108] = b"record-2"
            if closed:
                pages.close()
            await lab.ended(execution)
        found = [(root / name).read_bytes() for root in (source, target) for name in names if (root / name).exists()]
        pages.close()
    assert any(data[100:108] == b"record-2" for data in found), "what was written last is gone"


@pytest.mark.hazard(6, 29, 34)
@pytest.mark.parametrize("movers_too", [True, False])
def test_killed_in_the_middle_it_shows_nothing_half_and_keeps_links_and_times(
    tmp_path: Path, other_fs: Path, *, movers_too: bool
) -> None:
    """Final names are looked at after every kill; links and times of directories when a last daemon has ended it."""
    source, target, pristine = tmp_path / "source", other_fs / "target", tmp_path / "pristine"
    rng = random.Random(3)
    trees.random_tree(source, rng, 40)
    trees.large_files(source / "large", 3, 2 << 20, rng)
    for number in range(12):
        (source / f"n{number}").write_bytes(rng.randbytes(5000))
        os.link(source / f"n{number}", source / "large" / f"n{number}")
    run("cp", "-a", source, pristine)
    with EmbeddedDaemon(tmp_path / "daemon", CONFIGURATION) as daemon:
        execution = start(daemon.socket, source, target, MOVE, workers=1)
        for entries in (5, 20, 40):
            while (view := look(daemon.socket, execution)) is None or view.progress.done.entries < entries:
                if view is not None and view.state in ENDED:
                    break
            daemon.kill(movers=movers_too)
            for path in (p for p in target.rglob("*") if p.is_file() and not p.is_symlink()):
                original = pristine / path.relative_to(target)
                assert path.name.startswith(".migmond-") or path.read_bytes() == original.read_bytes()
            daemon.start()
        view = ended(daemon.socket, execution, 120)
        if view is not None and view.state != "completed":
            assert resume(daemon.socket, execution) == ""
            view = ended(daemon.socket, execution, 120)
    assert view is not None
    assert view.state == "completed", view.why
    assert differences(pristine, target) == []
    assert not source.exists()


@pytest.mark.hazard(20)
@pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")
@pytest.mark.parametrize("operation", ["getattr", "open", "read", "readdir", "unlink"])
async def test_a_source_with_stale_handles_is_never_taken_for_gone(tmp_path: Path, operation: str) -> None:
    target = tmp_path / "target"
    with sick_fs(tmp_path / "disk") as sick:
        source = sick.root / "source"
        trees.small_files(sick.backing / "source", 20, 1000, random.Random(1), per_directory=5)
        before = contents(sick.backing)
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            rule = sick.fall_ill(operation, path="/source/d*", error="ESTALE")
            execution = await lab.start(plan(source, target, MOVE))
            over = (ExecutionState.PAUSED, ExecutionState.FAILED, ExecutionState.COMPLETED_WITH_ERRORS)
            await lab.until(lambda: lab.engine.find(execution.id).state in over)
            assert contents(sick.backing / "source") | contents(*[target][: target.exists()]) == before
            assert sick.struck(rule)
            sick.heal(rule)
            now = lab.engine.find(execution.id)
            if now.state is not ExecutionState.RUNNING:
                with contextlib.suppress(Exception):
                    await lab.engine.resume(now, "me", "")
            done = await lab.ended(execution)
            if done.state is not ExecutionState.COMPLETED:
                await lab.engine.resume(done, "me", "")
                done = await lab.ended(execution)
            gone = await lab.journal.tasks(execution.key, after=0, limit=100)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert {task.state for task in gone} == {TaskState.DONE}
    assert contents(target) == before


@pytest.mark.hazard(37)
async def test_pseudo_files_are_copied_to_their_end_or_told(tmp_path: Path) -> None:
    """The sizes that sysfs tells are not those of what can be read."""
    source, target = Path("/sys/kernel/mm/transparent_hugepage"), tmp_path / "target"
    if not source.is_dir():
        pytest.skip("no such files here")
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        done = await refused_or_ended(lab, plan(source, target, COPY))
        tasks = [] if done is None else await lab.journal.tasks(done.key, after=0, limit=100)
    assert done is None or tasks
    for task in (task for task in tasks if task.state is TaskState.DONE and task.name):
        copies = [path for path in target.rglob(os.fsdecode(task.name)) if path.is_file()]
        originals = [path for path in source.rglob(os.fsdecode(task.name)) if path.is_file()]
        assert {path.read_bytes() for path in copies} == {path.read_bytes() for path in originals}


@pytest.mark.hazard(29)
def test_links_are_kept_when_the_disk_has_another_number_after_an_interrupted_scan(tmp_path: Path) -> None:
    """Found by torn writes (ext4, seed 9, trial 3): some names were scanned before the cut, others after it."""
    movers, pairs = TracedMovers(tmp_path / "movers"), 30
    with mounted(tmp_path / "one", "ext4") as one:
        source, target = one.root / "source", tmp_path / "target"
        for number in range(2 * pairs):
            (source / f"d{number:04}").mkdir(parents=True)
            if number >= pairs:
                (source / f"d{number:04}" / "first").write_bytes(b"%d" % number)
                os.link(source / f"d{number:04}" / "first", source / f"d{number - pairs:04}" / "further")
        with ForkedDaemon(tmp_path / "daemon", CONFIGURATION, movers.interpreter) as daemon:
            movers.order("-e", "trace=getdents64", "-e", "inject=getdents64:delay_enter=60000", arrival=1)
            execution = start(daemon.socket, source, target, COPY, workers=1)
            while (view := look(daemon.socket, execution)) is None or view.progress.planned.entries < 3 * pairs:
                assert view is None or view.progress.growing, "not in the middle of the scan"
            daemon.kill(movers=True)
            movers.cancel()
            number = source.stat().st_dev
            other = subprocess.run(
                ["losetup", "-f", "--show", one.image], env=ENVIRONMENT, check=True, capture_output=True, text=True
            ).stdout.strip()
            try:
                one.unmount()
                run("mount", "-t", "ext4", other, one.root)
                assert source.stat().st_dev != number
                daemon.start()
                view = ended(daemon.socket, execution, 120)
            finally:
                run("losetup", "-d", other)  # it goes with its mount
        assert view is not None
        assert view.state == "completed", view.why
        assert differences(source, target) == []
