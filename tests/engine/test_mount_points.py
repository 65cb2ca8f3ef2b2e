"""What is mounted below a source is another tree, also when it is of the same device, and when it is a file."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_harness import laboratory, plan
from loopfs import tmpfs
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState, Outcome, TaskState

pytestmark = [
    pytest.mark.hazard(19),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount"),
]


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A tree with bind mounts of its own directories and files: on others, and on themselves."""
    source = tmp_path / "source"
    for name in ("real", "again", "itself", "deep/again"):
        (source / name).mkdir(parents=True)
        (source / name / "file").write_bytes(name.encode())
    for name in ("one", "two", "three", "deep/one"):
        (source / name).write_bytes(name.encode())
    binds = (
        ("real", "again"), ("itself", "itself"), ("real", "deep/again"), ("one", "two"), ("three", "three"),
        ("one", "deep/one"),
    )  # fmt: skip
    with contextlib.ExitStack() as mounts:
        for what, where in binds:
            subprocess.run(["mount", "--bind", source / what, source / where], check=True)
            mounts.callback(subprocess.check_call, ["umount", source / where])
        yield source


MOUNTED = {"again", "itself", "deep/again", "two", "three", "deep/one"}
OWN = {"real", "real/file", "one", "deep"}


def tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
async def test_mounts_of_the_same_device_are_left_out(
    tmp_path: Path, other_fs: Path, source: Path, operation: Operation, elsewhere: bool
) -> None:
    target = (other_fs if elsewhere else tmp_path) / "target"
    async with laboratory(tmp_path / "state") as lab:
        verdict = await lab.check(plan(source, target, operation))
        done = await lab.run(plan(source, target, operation))
        tasks = await lab.journal.tasks(done.key)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert (done.totals.failed.entries, done.totals.skipped.entries) == (0, len(MOUNTED))
    left_out = [t for t in tasks if t.outcome is Outcome.OTHER_FILE_SYSTEM]
    assert {t.state for t in left_out} == {TaskState.SKIPPED}
    assert sorted(t.name.decode() for t in left_out) == sorted(os.path.basename(name) for name in MOUNTED)
    assert tree(target) == OWN
    assert [f.count for f in verdict.findings if f.kind == "mount_points"] == [len(MOUNTED)]
    if operation is Operation.MOVE:  # what is left is what is mounted, and the way to it
        assert tree(source) == MOUNTED | {"again/file", "itself/file", "deep/again/file", "deep"} - {"again/file",
            "deep/again/file"}  # fmt: skip


async def test_they_are_taken_along_when_asked(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "target"
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, one_file_system=False))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert tree(target) == tree(source)
    assert (target / "two").read_bytes() == b"one"


async def test_a_move_that_takes_them_along_takes_what_is_in_them(tmp_path: Path) -> None:
    """One rename of the whole tree would leave them where their file systems are, under another name."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    with tmpfs(source / "mounted", "size=1m") as mounted:
        (mounted / "file").write_text("x")
        async with laboratory(tmp_path / "state") as lab:
            done = await lab.run(plan(source, target, Operation.MOVE, one_file_system=False))
        assert (target / "mounted" / "file").stat().st_dev == target.stat().st_dev
        assert list(mounted.iterdir()) == []
    assert done.state in (ExecutionState.COMPLETED, ExecutionState.COMPLETED_WITH_ERRORS)


@pytest.mark.parametrize("crossing", [False, True])
async def test_a_mounted_file_is_no_hard_link_of_one_with_its_number(tmp_path: Path, crossing: bool) -> None:
    """Two file systems made in the same way number their inodes in the same way."""
    with tmpfs(tmp_path / "a", "size=1m") as ours, tmpfs(tmp_path / "b", "size=1m") as theirs:
        for root in (ours, theirs):
            (root / "source").mkdir()
            for name in ("first", "point"):
                (root / "source" / name).write_bytes(os.fsencode(root) + name.encode())
                os.link(root / "source" / name, root / "source" / f"{name} again")
        point, other = ours / "source" / "point", theirs / "source" / "first"
        assert other.stat().st_ino == (ours / "source" / "first").stat().st_ino
        subprocess.run(["mount", "--bind", other, point], check=True)
        try:
            async with laboratory(tmp_path / "state") as lab:
                done = await lab.run(plan(ours / "source", tmp_path / "target", one_file_system=not crossing))
        finally:
            subprocess.run(["umount", point], check=True)
        assert done.state is ExecutionState.COMPLETED, done.reason
        copied = {path.name: path.read_bytes() for path in (tmp_path / "target").iterdir()}
        wanted = {
            name: os.fsencode(ours) + name.split()[0].encode() for name in ("first", "first again", "point again")
        }
        assert copied == (wanted | {"point": other.read_bytes()} if crossing else wanted)
