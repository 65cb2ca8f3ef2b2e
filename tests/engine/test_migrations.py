"""Whole migrations through the real engine, journal and movers, compared with an independent oracle."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

import trees
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.errors import NotPermitted, PlanInfeasible
from migmond.domain.events import ScanCompleted, TaskFailed
from migmond.domain.execution import Execution
from migmond.domain.identity import Identity
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation, Plan, Source, VerifyLevel
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.task import Task
from oracle import count, differences, names_starting

ROOT = os.geteuid() == 0
COPY, MOVE = Operation.COPY, Operation.MOVE


def no_temporaries(target: Path) -> bool:
    return names_starting(target, b".migmond-") == []


async def task_named(lab: Laboratory, execution: Execution, name: bytes) -> Task:
    found = [t for t in await lab.journal.tasks(execution.key, limit=10_000) if t.name == name]
    assert len(found) == 1
    return found[0]


@pytest.mark.hazard(29, 30, 31, 34, 36, 38)
async def test_copy_keeps_everything(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "new" / "target"
    trees.every_kind(source)
    before = differences(source, source)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert before == []
    assert differences(source, target, holes=True, owners=ROOT) == []
    assert done.totals.planned == done.totals.done
    assert done.totals.planned.entries == count(source)
    assert no_temporaries(target)


async def test_copy_with_read_back(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.random_tree(source, random.Random(3), 150)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, verify=VerifyLevel.READ_BACK))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, target, holes=True) == []


@pytest.mark.hazard(29, 30, 31, 34, 36, 38)
async def test_move_across_file_systems(tmp_path: Path, other_fs: Path) -> None:
    source, pristine, target = tmp_path / "source", tmp_path / "pristine", other_fs / "target"
    trees.every_kind(source)
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, pristine))
        assert differences(source, pristine, owners=ROOT) == []
        done = await lab.run(plan(source, target, MOVE))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(pristine, target, owners=ROOT) == []
    assert not source.exists()


async def test_move_on_one_file_system_is_one_rename(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    trees.random_tree(source, random.Random(4), 50)
    inode = source.stat().st_ino
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, MOVE))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert target.stat().st_ino == inode
    assert not source.exists()
    assert done.totals.done.entries == 1


async def test_move_into_an_existing_tree_renames_each_file(tmp_path: Path) -> None:
    source, pristine, target = tmp_path / "source", tmp_path / "pristine", tmp_path / "target"
    trees.random_tree(source, random.Random(5), 120)
    subprocess.run(["cp", "-a", source, pristine], check=True)
    inodes = {p.relative_to(source): p.lstat().st_ino for p in source.rglob("*") if not p.is_dir() or p.is_symlink()}
    target.mkdir()
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, MOVE))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(pristine, target) == []
    assert {p: (target / p).lstat().st_ino for p in inodes} == inodes
    assert not source.exists()


@pytest.mark.parametrize("operation", [COPY, MOVE])
async def test_a_single_file(tmp_path: Path, other_fs: Path, operation: Operation) -> None:
    source, target = tmp_path / "one.txt", other_fs / "sub" / "two.txt"
    source.write_bytes(b"content")
    os.utime(source, ns=(5, 7_000_000_001))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, operation))
        assert done.state is ExecutionState.COMPLETED, done.reason
        await lab.engine.verify(done)
        await lab.until(lambda: lab.engine.find(done.id).verification is not None)
        verification = lab.engine.find(done.id).verification
    assert target.read_bytes() == b"content"
    assert target.stat().st_mtime_ns == 7_000_000_001
    assert source.exists() is (operation is COPY)
    assert verification is not None
    assert (verification.checked.entries, verification.mismatches) == (1, 0)


async def test_a_second_copy_finds_everything_unchanged(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.every_kind(source)
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, target))
        again = await lab.run(plan(source, target))
    assert again.state is ExecutionState.COMPLETED, again.reason
    directories = count(source, directories=True)
    assert again.totals.done.entries == directories
    assert again.totals.skipped.entries == again.totals.planned.entries - directories
    assert differences(source, target, holes=True, owners=ROOT) == []


@pytest.mark.hazard(26)
async def test_a_move_onto_equal_files_deletes_the_sources_only_if_equal(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    target.mkdir()
    for name, theirs in (("equal", b"same"), ("different", b"diff")):
        (source / name).write_bytes(b"same")
        (target / name).write_bytes(theirs)
        for path in (source / name, target / name):
            os.utime(path, ns=(1, 1_000_000_000))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, MOVE))
    assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
    assert not (source / "equal").exists()
    assert (source / "different").read_bytes() == b"same"
    assert (target / "different").read_bytes() == b"diff"


@pytest.mark.hazard(26)
@pytest.mark.parametrize("verify", [VerifyLevel.HASH, VerifyLevel.READ_BACK])
async def test_a_copy_calls_equal_what_looks_equal_unless_it_reads_back(tmp_path: Path, verify: VerifyLevel) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for root, text in ((source, b"same"), (target, b"diff")):
        root.mkdir()
        (root / "f").write_bytes(text)
        os.utime(root / "f", ns=(1, 1_000_000_000))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, COPY, verify=verify))
        groups = await lab.journal.fault_groups(done.key)
    assert (target / "f").read_bytes() == b"diff"
    if verify is VerifyLevel.READ_BACK:
        assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
        assert [g.fault.kind for g in groups] == ["exists"]
    else:
        assert done.state is ExecutionState.COMPLETED
        assert done.totals.skipped.entries == 1


@pytest.mark.parametrize("operation", [COPY, MOVE])
@pytest.mark.parametrize("policy", list(ConflictPolicy))
async def test_conflict_policies(tmp_path: Path, other_fs: Path, policy: ConflictPolicy, operation: Operation) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    target.mkdir()
    for name, age in (("newer.txt", 10), ("older.txt", -10)):
        (source / name).write_bytes(b"from source")
        (target / name).write_bytes(b"was there")
        os.utime(target / name, ns=(1, 1_000_000_000_000))
        os.utime(source / name, ns=(1, 1_000_000_000_000 + age))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, operation, conflict=policy))
        newer, older = [await task_named(lab, done, n) for n in (b"newer.txt", b"older.txt")]
    content = {p.name: p.read_bytes() for p in target.iterdir()}
    theirs, ours = b"was there", b"from source"
    expected = {
        ConflictPolicy.FAIL: {"newer.txt": theirs, "older.txt": theirs},
        ConflictPolicy.SKIP: {"newer.txt": theirs, "older.txt": theirs},
        ConflictPolicy.NEWER: {"newer.txt": ours, "older.txt": theirs},
        ConflictPolicy.RENAME: {
            "newer.txt": theirs, "older.txt": theirs, "newer (1).txt": ours, "older (1).txt": ours,
        },
        ConflictPolicy.BACKUP: {
            "newer.txt": ours, "older.txt": ours, "newer.txt.~1~": theirs, "older.txt.~1~": theirs,
        },
    }[policy]  # fmt: skip
    assert content == expected
    kept = {p.name for p in source.iterdir()} if source.exists() else set()
    if operation is COPY:
        assert kept == {"newer.txt", "older.txt"}
    else:
        assert kept == {n for n, t in (("newer.txt", newer), ("older.txt", older)) if t.state is not TaskState.DONE}
    outcomes = {
        ConflictPolicy.FAIL: (TaskState.FAILED, TaskState.FAILED),
        ConflictPolicy.SKIP: (TaskState.SKIPPED, TaskState.SKIPPED),
        ConflictPolicy.NEWER: (TaskState.DONE, TaskState.SKIPPED),
        ConflictPolicy.RENAME: (TaskState.DONE, TaskState.DONE),
        ConflictPolicy.BACKUP: (TaskState.DONE, TaskState.DONE),
    }[policy]
    assert (newer.state, older.state) == outcomes
    if policy is ConflictPolicy.RENAME:
        assert newer.target_name == b"newer (1).txt"
    assert no_temporaries(target)


async def test_the_selector_picks(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a" / "b").mkdir(parents=True)
    (source / "empty").mkdir()
    for name in ("a/x.jpg", "a/b/y.jpg", "a/b/z.txt", "top.txt"):
        (source / name).write_bytes(b"1")
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, selector=Selector(include=("*.jpg",))))
        left_out = await task_named(lab, done, b"top.txt")
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert {str(p.relative_to(target)) for p in target.rglob("*")} == {"a", "a/b", "a/x.jpg", "a/b/y.jpg"}
    assert left_out.outcome is Outcome.NOT_SELECTED
    assert (target / "a").stat().st_mtime_ns == (source / "a").stat().st_mtime_ns


async def test_several_sources_and_several_executions(tmp_path: Path) -> None:
    sources = [tmp_path / f"s{i}" for i in range(3)]
    for i, source in enumerate(sources):
        trees.random_tree(source, random.Random(i), 80)
    both = Plan(
        "both",
        (Source(bytes(sources[0]), b"zero"), Source(bytes(sources[1]), b"sub/one")),
        bytes(tmp_path / "target"),
    )
    async with laboratory(tmp_path / "state") as lab:
        first = await lab.start(both)
        second = await lab.start(plan(sources[2], tmp_path / "target2"))
        ended = [await lab.ended(first), await lab.ended(second)]
    assert [e.state for e in ended] == [ExecutionState.COMPLETED] * 2
    assert differences(sources[0], tmp_path / "target" / "zero") == []
    assert differences(sources[1], tmp_path / "target" / "sub" / "one") == []
    assert differences(sources[2], tmp_path / "target2") == []


@pytest.mark.hazard(25)
async def test_a_source_that_changes_is_copied_as_it_is_in_the_end(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "log").write_bytes(b"first")
    (source / "other").write_bytes(b"calm")
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, workers=1, limits=Limits(io_ops_per_s=1)))
        await lab.until(lambda: any(isinstance(e, ScanCompleted) for e in lab.events))
        (source / "log").write_bytes(b"second, longer")
        (source / "other").write_bytes(b"calm no more")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, target, directory_times=False) == []
    assert done.totals.done.bytes == done.totals.planned.bytes


@pytest.mark.skipif(not ROOT, reason="needs root to act as another user")
async def test_files_that_the_user_may_not_read_fail_and_the_rest_is_copied(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "closed").mkdir(parents=True)
    (source / "open").write_bytes(b"yes")
    (source / "secret").write_bytes(b"no")
    for path in (source / "secret", source / "closed"):
        path.chmod(0)
    for directory in tmp_path.parents:
        if directory.stat().st_mode & 0o005 != 0o005 and str(directory) != "/":
            directory.chmod(directory.stat().st_mode | 0o005)
    tmp_path.chmod(0o777)
    nobody = Identity(65534, 65534)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.ended(await lab.engine.start(plan(source, target), nobody, "", ""))
        groups = await lab.journal.fault_groups(done.key)
    assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
    assert (target / "open").read_bytes() == b"yes"
    assert (target / "open").stat().st_uid == 65534
    assert not (target / "secret").exists()
    assert {g.fault.kind for g in groups} == {"EACCES"}
    assert done.totals.imperfect > 0
    assert any(isinstance(e, TaskFailed) for e in lab.events)


@pytest.mark.hazard(16, 17)
async def test_plans_that_cannot_work_are_refused_at_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.random_tree(source, random.Random(1), 10)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "way").symlink_to(source)
    async with laboratory(tmp_path / "state") as lab:
        for from_, to, words in (
            (tmp_path / "nothing", tmp_path / "t", "does not exist"),
            (source, source, "same directory"),
            (source, tmp_path / "way", "same directory"),
            (source, tmp_path / "way" / "below", "inside the source"),
            (source, tmp_path / "file", "is a directory"),
            (source, tmp_path, "inside the destination"),
            (tmp_path / "file", source, "is a directory"),
            (tmp_path / "file", tmp_path / "file", "same file"),
        ):
            with pytest.raises(PlanInfeasible, match=words) as refused:
                await lab.start(plan(from_, to))
            outside = "outside the source" in (refused.value.hint or "")
            assert not (outside and words == "inside the destination")
        assert lab.engine.all() == []


@pytest.mark.hazard(16, 17)
@pytest.mark.skipif(not ROOT, reason="needs root to mount")
async def test_bind_mounts_are_seen_through(tmp_path: Path) -> None:
    source, mount = tmp_path / "source", tmp_path / "mount"
    (source / "inner").mkdir(parents=True)
    mount.mkdir()
    subprocess.run(["mount", "--bind", source / "inner", mount], check=True)
    try:
        async with laboratory(tmp_path / "state") as lab:
            with pytest.raises(PlanInfeasible, match="inside the source"):
                await lab.start(plan(source, mount))
            with pytest.raises(PlanInfeasible, match="inside the destination"):
                await lab.start(plan(mount, source))
            with pytest.raises(PlanInfeasible, match="same directory"):
                await lab.start(plan(source / "inner", mount))
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.skipif(not ROOT, reason="needs root to act as another user")
async def test_a_source_that_the_user_may_not_open_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    for directory in [tmp_path, *tmp_path.parents]:
        if str(directory) != "/":
            directory.chmod(directory.stat().st_mode | 0o005)
    async with laboratory(tmp_path / "state") as lab:
        with pytest.raises(NotPermitted, match="cannot open the source"):
            await lab.engine.start(plan(source, tmp_path / "t"), Identity(65534, 65534), "", "")


@pytest.mark.hazard(19)
@pytest.mark.skipif(not ROOT, reason="needs root to mount")
async def test_mount_points_below_the_source_are_left_out_unless_asked(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "mounted").mkdir(parents=True)
    (source / "file").write_bytes(b"1")
    subprocess.run(["mount", "-t", "tmpfs", "none", source / "mounted"], check=True)
    try:
        (source / "mounted" / "inside").write_bytes(b"2")
        async with laboratory(tmp_path / "state") as lab:
            done = await lab.run(plan(source, target))
            skipped = await task_named(lab, done, b"mounted")
            crossed = await lab.run(plan(source, tmp_path / "all", one_file_system=False))
    finally:
        subprocess.run(["umount", source / "mounted"], check=True)
    assert (done.state, skipped.outcome) == (ExecutionState.COMPLETED, Outcome.OTHER_FILE_SYSTEM)
    assert not (target / "mounted").exists()
    assert crossed.state is ExecutionState.COMPLETED
    assert (tmp_path / "all" / "mounted" / "inside").read_bytes() == b"2"


@pytest.mark.hazard(15)
async def test_verification_finds_a_flipped_bit_and_a_missing_file(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.random_tree(source, random.Random(9), 60)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        names = [p for p in sorted(target.rglob("*")) if p.is_file() and not p.is_symlink() and p.stat().st_size > 50]
        victim, gone = names[0], next(p for p in names if p.stat().st_nlink == 1 and p != names[0])
        data = bytearray(victim.read_bytes())
        data[40] ^= 1
        victim.write_bytes(data)
        gone.unlink()
        await lab.engine.verify(done)
        await lab.until(lambda: lab.engine.find(done.id).verification is not None)
        found = lab.engine.find(done.id).verification
    assert found is not None
    assert found.mismatches >= 2
    assert any(str(gone.relative_to(target)) in e for e in found.examples)
