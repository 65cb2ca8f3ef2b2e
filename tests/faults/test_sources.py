"""Sources that somebody uses or has locked while they are moved, and targets that take two names for one."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

import sickfs
import trees
from engine_harness import laboratory, plan
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState
from migmond.engine.settings import EngineSettings
from oracle import names_starting
from sickfs import sick_fs

MOVE = Operation.MOVE
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.hazard(27)
async def test_what_a_program_still_writes_is_not_deleted(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    trees.small_files(source, 20, 1000, random.Random(1))
    with (source / "log").open("wb") as log:
        log.write(b"first")
        log.flush()
        async with laboratory(tmp_path / "state") as lab:
            done = await lab.run(plan(source, target, MOVE))
            groups = await lab.journal.fault_groups(done.key)
            assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
            assert [(g.fault.kind, g.count) for g in groups] == [("source_in_use", 1)]
            assert [p.name for p in source.rglob("*")] == ["log"]
            log.write(b", second")  # into a file that still has a name
            log.close()
            await lab.engine.resume(done, "me", "")
            again = await lab.ended(done)
    assert again.state is ExecutionState.COMPLETED, again.reason
    assert not source.exists()
    assert (target / "log").read_bytes() == b"first, second"


@pytest.mark.hazard(27)
async def test_readers_do_not_matter(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    trees.small_files(source, 3, 1000, random.Random(1))
    with next(source.rglob("f*")).open("rb"):
        async with laboratory(tmp_path / "state") as lab:
            done = await lab.run(plan(source, target, MOVE))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert not source.exists()


@needs_root
@pytest.mark.hazard(33)
async def test_a_move_of_an_immutable_file_copies_it_and_says_why_it_stays(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    trees.small_files(source, 5, 1000, random.Random(1))
    locked = sorted(source.rglob("f*"))[2]
    if subprocess.run(["chattr", "+i", locked], check=False, capture_output=True).returncode:
        pytest.skip(f"{tmp_path} has no chattr flags")
    try:
        async with laboratory(tmp_path / "state") as lab:
            done = await lab.run(plan(source, target, MOVE))
            groups = await lab.journal.fault_groups(done.key)
    finally:
        subprocess.run(["chattr", "-i", locked], check=True)
    assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
    assert [(g.fault.kind, g.fault.phase.value, g.count) for g in groups] == [("EPERM", "delete", 1)]
    assert list(source.rglob("f*")) == [locked]
    assert len(list(target.rglob("f*"))) == 5


@pytest.mark.hazard(39)
@pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")
@pytest.mark.parametrize("fresh", [True, False])
async def test_names_that_are_one_on_the_target_never_replace_each_other(tmp_path: Path, fresh: bool) -> None:
    source = tmp_path / "source"
    source.mkdir()
    contents = {"Readme": b"one", "README": b"two", "e\u0301": b"three", "\u00e9": b"four", "z": b"five"}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    with sick_fs(tmp_path / "disk", folding=True) as disk:
        target = disk.root / "target"
        if not fresh:
            target.mkdir()
        async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
            done = await lab.run(plan(source, target, MOVE))
            groups = await lab.journal.fault_groups(done.key)
        assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
        assert [(g.fault.kind, g.count) for g in groups] == [("exists", 2)]
        left = [p.read_bytes() for root in (source, target) for p in root.iterdir()]
        assert sorted(left) == sorted(contents.values())
        assert names_starting(target, b".migmond-") == []
