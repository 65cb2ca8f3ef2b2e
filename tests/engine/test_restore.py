"""A restored journal is older than what it tells of: resuming from it loses nothing and copies nothing twice."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
import trio

import trees
from engine_harness import laboratory, plan
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.engine.settings import EngineSettings
from migmond_sqlite import restore
from oracle import count, differences

SETTINGS = EngineSettings(workers=2, group_entries=50, group_age_s=0.05)
SLOW = Limits(io_ops_per_s=600.0)
FILES = 300


CASES = [
    (Operation.COPY, ConflictPolicy.FAIL, FILES),
    (Operation.COPY, ConflictPolicy.RENAME, 0),
    (Operation.MOVE, ConflictPolicy.FAIL, FILES),
    (Operation.MOVE, ConflictPolicy.BACKUP, 0),
]


@pytest.mark.parametrize(("operation", "conflict", "known"), CASES)
async def test_a_migration_goes_on_from_a_backup_made_in_its_middle(
    tmp_path: Path, other_fs: Path, operation: Operation, conflict: ConflictPolicy, known: int
) -> None:
    """The backup knows more than so many entries: all of them, or nothing but the root."""
    source, target, state = tmp_path / "source", other_fs / "target", tmp_path / "state"
    trees.small_files(source, FILES, 500, random.Random(1), 100)
    pristine = tmp_path / "pristine"
    shutil.copytree(source, pristine, symlinks=True, copy_function=shutil.copy2)
    async with laboratory(state, SETTINGS) as lab:
        execution = await lab.start(plan(source, target, operation, conflict, limits=SLOW))
        while await lab.journal.last_number(execution.key) <= known:  # noqa: ASYNC110 (no event tells of a journal)
            await trio.sleep(0.005)
        backup = await lab.journal.backup(1)
        before = lab.engine.find(execution.id).totals.done.entries
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > min(before + 60, FILES - 40))
    restore(state, Path(backup.path))
    async with laboratory(state, SETTINGS) as lab:
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "looked at it")
        ended = await lab.ended(execution)
        tasks = await lab.journal.tasks(execution.key, limit=10_000)
    outcomes = Counter(t.outcome for t in tasks if t.state in (TaskState.DONE, TaskState.SKIPPED))
    assert ended.state is ExecutionState.COMPLETED, ended.reason
    # What the backup does not know is scanned again: by then deletes have changed the times of a source's directories.
    scanned_again = operation is Operation.MOVE and not known
    assert differences(pristine, target, directory_times=not scanned_again) == []
    assert count(target) == count(pristine)  # and nothing beside it: no second copy, no backup, no temporary
    if operation is Operation.COPY:
        assert differences(pristine, source) == []
        assert outcomes[Outcome.UNCHANGED] >= 60 or known


async def test_a_move_that_had_ended_since_the_backup_fails_and_touches_nothing(tmp_path: Path, other_fs: Path) -> None:
    source, target, state = tmp_path / "source", other_fs / "target", tmp_path / "state"
    trees.small_files(source, FILES, 500, random.Random(1), 100)
    pristine = tmp_path / "pristine"
    shutil.copytree(source, pristine, symlinks=True, copy_function=shutil.copy2)
    async with laboratory(state, SETTINGS) as lab:
        execution = await lab.start(plan(source, target, Operation.MOVE, limits=SLOW))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > 30)
        backup = await lab.journal.backup(1)
        assert (await lab.ended(execution)).state is ExecutionState.COMPLETED
    restore(state, Path(backup.path))
    async with laboratory(state, SETTINGS) as lab:
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
        ended = await lab.ended(execution)
    assert ended.state is ExecutionState.FAILED
    assert "the source does not exist" in ended.reason
    assert differences(pristine, target, directory_times=False) == []


async def test_a_move_from_a_backup_never_deletes_a_source_whose_target_was_removed_since(
    tmp_path: Path, other_fs: Path
) -> None:
    source, target, state = tmp_path / "source", other_fs / "target", tmp_path / "state"
    trees.small_files(source, FILES, 500, random.Random(1), 100)
    pristine = tmp_path / "pristine"
    shutil.copytree(source, pristine, copy_function=shutil.copy2)
    async with laboratory(state, SETTINGS) as lab:
        execution = await lab.start(plan(source, target, Operation.MOVE, limits=SLOW))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > 50)
        backup = await lab.journal.backup(1)
        await lab.engine.cancel(execution, "ana", "")
        assert (await lab.ended(execution)).state is ExecutionState.CANCELLED
    merged = tmp_path / "merged"  # somebody takes it all back by hand, and keeps what was left where it was
    left = {p.relative_to(source) for p in source.rglob("*") if p.is_file()}
    shutil.copytree(target, merged, copy_function=shutil.copy2)
    shutil.rmtree(target)
    restore(state, Path(backup.path))
    async with laboratory(state, SETTINGS) as lab:
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
        await lab.ended(execution)
    for file in left:
        places = [p / file for p in (source, target) if (p / file).exists()]
        assert places, file
        assert all(p.read_bytes() == (pristine / file).read_bytes() for p in places)
