"""Moves whose sources must not be deleted, or are half deleted when somebody dies."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import loopfs
import sickfs
import trees
from engine_harness import Laboratory, laboratory, plan
from loopfs import LoopFs
from migmond.domain.execution import Execution
from migmond.domain.plan import Operation, VerifyLevel
from migmond.domain.states import ExecutionState, TaskState
from migmond.engine.settings import EngineSettings
from oracle import differences, names_starting
from sickfs import sick_fs
from tracing import TracedMovers, kill_at

MOVE = Operation.MOVE
SETTINGS = EngineSettings(workers=1, hold_s=3600)
DOCS = {f"doc{n}": b"precious content %d" % n for n in range(6)}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def with_docs(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name, content in DOCS.items():
        (directory / name).write_bytes(content)
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.iterdir()}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopFs]:
    if why := loopfs.missing("ext4"):
        pytest.skip(why)
    with loopfs.mounted(tmp_path / "disk", "ext4") as mounted:
        yield mounted


@pytest.fixture
def overlay(disk: LoopFs) -> Iterator[tuple[Path, Path]]:
    """A directory as an overlay shows it, and as it is below."""
    if not loopfs.kernel_knows("overlay"):
        pytest.skip("this kernel has no overlay file system")
    lower, upper, work, merged = (disk.root / name for name in ("lower", "upper", "work", "merged"))
    for directory in (lower, upper, work, merged):
        directory.mkdir()
    layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, merged], check=True)
    try:
        with_docs(merged / "docs")
        yield merged / "docs", upper / "docs"
    finally:
        subprocess.run(["umount", "-l", merged], check=True)


async def refused_as_same(
    monkeypatch: pytest.MonkeyPatch, state: Path, source: Path, target: Path, verify: VerifyLevel = VerifyLevel.HASH
) -> None:
    """Move, twice, and find that everything is where it was, although nobody looked whether they are one place."""
    replace = msgspec.structs.replace
    monkeypatch.setattr(msgspec.structs, "replace", lambda s, **f: replace(s, **(f if "probing" not in f else {})))
    async with laboratory(state, SETTINGS) as lab:
        done = await lab.run(plan(source, target, MOVE, verify=verify))
        groups = await lab.journal.fault_groups(done.key)
        assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
        assert {(g.fault.kind, g.count) for g in groups} == {("same_file", len(DOCS))}
        assert contents(source) == contents(target) == DOCS
        await lab.engine.resume(done, "me", "")
        await lab.ended(done)
    assert contents(source) == contents(target) == DOCS


@needs_root
@pytest.mark.hazard(16)
@pytest.mark.parametrize("verify", [VerifyLevel.HASH, VerifyLevel.READ_BACK, VerifyLevel.NONE])
@pytest.mark.parametrize("back", [False, True])
async def test_a_target_that_is_the_source_below_an_overlay_is_no_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, overlay: tuple[Path, Path], verify: VerifyLevel, *, back: bool
) -> None:
    source, target = reversed(overlay) if back else overlay
    await refused_as_same(monkeypatch, tmp_path / "state", source, target, verify)


@needs_root
async def test_what_an_overlay_has_from_below_is_moved_out_of_it(tmp_path: Path, disk: LoopFs) -> None:
    """It is copied up when it is renamed, and may get another number."""
    lower, upper, work, merged = disk.root / "lower", disk.root / "upper", disk.root / "work", disk.root / "merged"
    with_docs(lower / "docs")
    for directory in (upper, work, merged):
        directory.mkdir()
    layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, merged], check=True)
    try:
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            done = await lab.run(plan(merged / "docs", tmp_path / "target", MOVE))
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert contents(tmp_path / "target") == DOCS
        assert not (merged / "docs").exists()
    finally:
        subprocess.run(["umount", "-l", merged], check=True)


@pytest.mark.hazard(16)
@pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")
@pytest.mark.parametrize("back", [False, True])
async def test_a_target_that_is_the_source_behind_fuse_is_no_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, back: bool
) -> None:
    with sick_fs(tmp_path / "disk") as mirror:
        with_docs(mirror.backing / "docs")
        source, target = mirror.root / "docs", mirror.backing / "docs"
        await refused_as_same(monkeypatch, tmp_path / "state", *((target, source) if back else (source, target)))


@pytest.mark.hazard(16)
async def test_two_moves_in_opposite_directions_lose_nothing(tmp_path: Path, other_fs: Path) -> None:
    here, there = tmp_path / "here", other_fs / "there"
    trees.small_files(here, 300, 100, random.Random(1))
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        await lab.run(plan(here, there))
        await lab.run(plan(here, tmp_path / "pristine"))
        one, other = await lab.start(plan(here, there, MOVE)), await lab.start(plan(there, here, MOVE))
        await lab.ended(one)
        await lab.ended(other)
    left = {p.relative_to(root): p.read_bytes() for root in (here, there) for p in root.rglob("f*")}
    assert left == {p.relative_to(tmp_path / "pristine"): p.read_bytes() for p in (tmp_path / "pristine").rglob("f*")}
    assert names_starting(tmp_path, b".migmond-") == names_starting(other_fs, b".migmond-") == []


async def held_before_the_deletes(lab: Laboratory, disk: LoopFs, target: Path) -> Execution:
    """Start a move from a disk that is read-only: everything is durable, and nothing can be deleted."""
    disk.remount("ro")
    execution = await lab.start(plan(disk.root / "docs", target, MOVE))
    await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
    disk.remount("rw")
    return lab.engine.find(execution.id)


async def private_names(lab: Laboratory, execution: Execution) -> dict[str, str]:
    """The private name of each source."""
    tasks = await lab.journal.tasks(execution.key, limit=1000, states=(TaskState.DURABLE,), directories=False)
    return {os.fsdecode(t.name): f".migmond-{execution.id}-{t.number}.source" for t in tasks}


@pytest.mark.hazard(16)
async def test_what_is_altered_while_a_move_is_held_is_not_taken_for_its_copy(tmp_path: Path, disk: LoopFs) -> None:
    source, target = with_docs(disk.root / "docs"), tmp_path / "target"
    (source / "link5").hardlink_to(source / "doc5")
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await held_before_the_deletes(lab, disk, target)
        leader, follower = sorted(("doc5", "link5"), key=lambda name: not (target / name).exists())
        linked = (target / follower).exists()  # else it is made later, and not of this
        os.truncate(target / leader, 0)
        os.truncate(target / "doc0", 0)
        with (target / "doc1").open("r+b") as file:
            file.write(b"PRECIOUS")
        (target / "doc2").unlink()
        (target / "doc2").write_bytes(b"somebody else's")
        (target / "doc3").unlink()
        os.utime(target / "doc4")
        await lab.engine.resume(execution, "me", "")
        done = await lab.ended(execution)
        groups = await lab.journal.fault_groups(done.key)
    assert {(g.fault.kind, g.count) for g in groups} >= {("target_changed", 4 + linked), ("target_missing", 1)}
    kept = {name: content for name, content in DOCS.items() if name not in ("doc4", "doc5")}
    assert contents(source) == {**kept, leader: DOCS["doc5"], **({follower: DOCS["doc5"]} if linked else {})}
    assert linked or (target / follower).read_bytes() == DOCS["doc5"]
    assert (target / "doc4").read_bytes() == DOCS["doc4"]


@needs_root
@pytest.mark.hazard(6)
@pytest.mark.parametrize("number", [1, 2, 4])
async def test_a_mover_that_dies_with_a_source_aside_is_taken_over(
    tmp_path: Path, disk: LoopFs, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    source, target = disk.root / "source", tmp_path / "target"
    trees.random_tree(source, random.Random(4), 60)
    movers = TracedMovers(tmp_path / "traced")
    monkeypatch.setattr(sys, "executable", str(movers.interpreter))
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        await lab.run(plan(source, tmp_path / "pristine"))
        movers.order(*kill_at("unlinkat", number))
        done = await lab.run(plan(source, target, MOVE))
    assert "killed by SIGKILL" in movers.output()
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(tmp_path / "pristine", target) == []
    assert not source.exists()


@needs_root
@pytest.mark.hazard(6)
async def test_what_a_killed_mover_leaves_has_its_private_name(
    tmp_path: Path, disk: LoopFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the daemon dies with it: the next one finishes."""
    source, target = with_docs(disk.root / "docs"), tmp_path / "target"
    movers = TracedMovers(tmp_path / "traced")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(movers.interpreter))
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            movers.order(*kill_at("unlinkat", 1))
            execution = await lab.start(plan(source, target, MOVE))
            await lab.until(lambda: "killed by SIGKILL" in movers.output())
    left = [p.name for p in source.iterdir() if p.name.startswith(f".migmond-{execution.id}-")]
    assert len(left) <= 1
    assert len(list(source.iterdir())) == len(DOCS) or not left
    assert {**contents(source), **contents(target)}.items() >= DOCS.items()
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert contents(target) == DOCS
    assert not source.exists()


@needs_root
@pytest.mark.hazard(13)
async def test_a_move_off_a_disk_without_room_for_one_more_name_ends(tmp_path: Path, disk: LoopFs) -> None:
    """Its directory's blocks are full, and the disk has none left: it is a move that is to make room."""
    source, target, probe = disk.root / "docs", tmp_path / "target", disk.root / "probe"
    for directory in (source, probe):
        directory.mkdir()
    before, names = probe.stat().st_size, list[str]()
    while probe.stat().st_size == before:
        names.append(f"f{len(names):019}")
        (probe / names[-1]).touch()
    for name in names[:-1]:
        (source / name).write_bytes(name.encode())
    assert source.stat().st_size == before
    with contextlib.suppress(OSError), (disk.root / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(1024)):
            pass
    pristine = contents(source)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        done = await lab.run(plan(source, target, MOVE))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert contents(target) == pristine
    assert not source.exists()


@pytest.mark.hazard(6)
@pytest.mark.parametrize("ending", ["resume", "resume in another daemon"])
async def test_a_resume_finishes_what_is_aside(tmp_path: Path, disk: LoopFs, ending: str) -> None:
    source, target = with_docs(disk.root / "docs"), tmp_path / "target"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await held_before_the_deletes(lab, disk, target)
        for name, private in (await private_names(lab, execution)).items():
            (source / name).rename(source / private)
        os.truncate(target / "doc3", 0)
        if ending == "resume":
            await lab.engine.resume(execution, "me", "")
            done = await lab.ended(execution)
    if ending != "resume":
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
    assert contents(source) == {"doc3": DOCS["doc3"]}
    assert contents(target) == {**DOCS, "doc3": b""}


@pytest.mark.hazard(6)
@pytest.mark.parametrize("ending", ["cancel", "cancel in another daemon", "cancel of one that nobody resumes"])
async def test_a_cancel_puts_back_what_is_aside(tmp_path: Path, disk: LoopFs, ending: str) -> None:
    source, target = with_docs(disk.root / "docs"), tmp_path / "target"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await held_before_the_deletes(lab, disk, target)
        private = await private_names(lab, execution)
        await lab.engine.pause(execution, "me", "stays", None)
        if ending == "cancel of one that nobody resumes":
            await lab.engine.drain(execution, "me", "")
            await lab.ended(execution)
        for name in ("doc1", "doc2"):
            (source / name).rename(source / private[name])
        if ending == "cancel":
            kill_movers(lab, execution)
        if ending != "cancel in another daemon":
            await lab.engine.cancel(lab.engine.find(execution.id), "me", "")
            done = await lab.ended(execution)
    if ending == "cancel in another daemon":
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            await lab.engine.cancel(lab.engine.find(execution.id), "me", "")
            done = await lab.ended(execution)
    assert done.state is ExecutionState.CANCELLED
    assert contents(source) == DOCS
    assert contents(target) == DOCS


def kill_movers(lab: Laboratory, execution: Execution) -> None:
    run = lab.engine.run_of(execution.id)
    assert run is not None
    assert run.live is not None
    for mover in run.live.movers:
        with contextlib.suppress(ProcessLookupError):  # the scanner is shown for a while after it has ended
            os.kill(mover.pid, signal.SIGKILL)


@pytest.mark.hazard(6)
async def test_the_end_with_errors_puts_back_what_is_aside(tmp_path: Path, disk: LoopFs) -> None:
    """A name that was given away meanwhile is free again when the deletes are over."""
    source, target = with_docs(disk.root / "docs"), tmp_path / "target"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await held_before_the_deletes(lab, disk, target)
        private = await private_names(lab, execution)
        (source / "doc1").rename(source / private["doc1"])
        (source / "doc1").write_bytes(b"a new one")
        await lab.engine.resume(execution, "me", "")
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
        (group,) = await lab.journal.fault_groups(done.key)
        assert group.fault.kind == "kept_aside"
        assert private["doc1"] in group.fault.message
        assert private["doc1"] in done.reason
        assert contents(source) == {"doc1": b"a new one", private["doc1"]: DOCS["doc1"]}
        assert contents(target) == DOCS
        (source / "doc1").unlink()
        await lab.engine.resume(done, "me", "")
        done = await lab.ended(done)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert contents(target) == DOCS
    assert not source.exists()


@pytest.mark.hazard(6)
async def test_a_single_file_that_is_aside_is_found(tmp_path: Path, disk: LoopFs) -> None:
    source, target = disk.root / "docs", tmp_path / "target"
    source.write_bytes(b"precious")
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await held_before_the_deletes(lab, disk, target)
        source.rename(disk.root / f".migmond-{execution.id}-1.source")
        kill_movers(lab, execution)
        await lab.engine.resume(execution, "me", "")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert target.read_bytes() == b"precious"
    assert names_starting(disk.root, b".migmond-") == []


@pytest.mark.hazard(6)
async def test_a_cancel_that_cannot_put_back_says_what_stays_where(tmp_path: Path, disk: LoopFs) -> None:
    source, target = with_docs(disk.root / "docs"), tmp_path / "target"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await held_before_the_deletes(lab, disk, target)
        private = await private_names(lab, execution)
        (source / "doc1").rename(source / private["doc1"])
        disk.remount("ro")
        await lab.engine.cancel(execution, "me", "")
        done = await lab.ended(execution)
        (group,) = await lab.journal.fault_groups(done.key)
        found = await lab.journal.tasks(done.key, states=(TaskState.FAILED,))
    assert done.state is ExecutionState.CANCELLED
    assert (group.fault.kind, group.count, [t.name for t in found]) == ("left_aside", 1, [b"doc1"])
    assert private["doc1"] in group.fault.message
    assert private["doc1"] in done.reason
    assert (done.totals.failed.entries, done.totals.failed.bytes) == (1, len(DOCS["doc1"]))
    assert done.totals.settled == done.totals.planned
    assert contents(source) == {**{n: c for n, c in DOCS.items() if n != "doc1"}, private["doc1"]: DOCS["doc1"]}


@pytest.mark.hazard(6)
@pytest.mark.parametrize("ending", ["resume", "cancel"])
async def test_a_source_whose_directory_got_another_name_is_not_taken_for_deleted(
    tmp_path: Path, disk: LoopFs, ending: str
) -> None:
    source, target = disk.root / "docs", tmp_path / "target"
    with_docs(source / "d")
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await held_before_the_deletes(lab, disk, target)
        private = await private_names(lab, execution)
        (source / "d/doc1").rename(source / "d" / private["doc1"])
        (source / "d").rename(source / "e")
        kill_movers(lab, execution)
        await (lab.engine.resume if ending == "resume" else lab.engine.cancel)(execution, "me", "")
        done = await lab.ended(execution)
        (group,) = await lab.journal.fault_groups(done.key)
        assert (group.fault.kind, group.count) == ("source_unreachable", len(DOCS))
        assert f".migmond-{done.id}-" in group.fault.message
        if ending == "resume":
            assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
            await lab.engine.resume(done, "me", "")
            done = await lab.ended(done)
            (group,) = await lab.journal.fault_groups(done.key)
            assert (group.fault.kind, group.count) == ("source_unreachable", len(DOCS))  # not that it has vanished
            (source / "e").rename(source / "d")
            await lab.engine.resume(done, "me", "")
            done = await lab.ended(done)
            assert done.state is ExecutionState.COMPLETED, done.reason
            assert not source.exists()
        else:
            assert done.state is ExecutionState.CANCELLED
    assert contents(target / "d") == DOCS


@pytest.mark.hazard(6)
async def test_what_another_migration_left_aside_is_a_file_like_any_other(tmp_path: Path, disk: LoopFs) -> None:
    source, target = with_docs(disk.root / "docs"), tmp_path / "target"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await held_before_the_deletes(lab, disk, target)
        private = await private_names(lab, execution)
        (source / "doc1").rename(source / private["doc1"])
        other = await lab.run(plan(source, tmp_path / "elsewhere"))
        assert other.state is ExecutionState.COMPLETED
        taken = {private["doc1"] if n == "doc1" else n: c for n, c in DOCS.items()}
        assert contents(tmp_path / "elsewhere") == taken
        verdict = await lab.check(plan(source, tmp_path / "nowhere"))
        assert (verdict.files, [f.kind for f in verdict.findings if f.kind == "set_aside"]) == (6, ["set_aside"])
        assert (source / private["doc1"]).exists()
        into = await lab.run(plan(tmp_path / "elsewhere", source, MOVE))  # sweeps there when it dies
        assert into.state in (ExecutionState.COMPLETED, ExecutionState.COMPLETED_WITH_ERRORS)
        assert (source / private["doc1"]).read_bytes() == DOCS["doc1"]
