"""A retry of more than fits into one transaction, cut off between any two: the record says how many are pending."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import trio

from engine_harness import Laboratory, laboratory, plan
from migmond.domain.changes import Change, RetrySome
from migmond.domain.errors import Conflict, JournalError
from migmond.domain.execution import Execution, Stage
from migmond.domain.limits import Limits
from migmond.domain.states import ExecutionState, TaskState
from migmond.domain.steering import Action, Level, Pause, Prioritise, Resume, Retry, Skip, Throttle
from migmond.domain.task import Task
from migmond.engine import retrying
from migmond.engine.settings import EngineSettings
from migmond_sqlite import SqliteJournal
from oracle import differences
from steering import TEXTS, cancelled, change, running, texts_and_others

FAILING = 25
PIECE = 10
ONE = EngineSettings(workers=1)
_apply = SqliteJournal.apply


def in_the_way(target: Path) -> list[Path]:
    return [target / f"{i:03}{'.txt' if i % 3 == 0 else '.bin'}" for i in range(FAILING)]


def obstructed(source: Path, target: Path, files: int = 300) -> None:
    """So many of the files cannot be brought over."""
    texts_and_others(source, files)
    target.mkdir()
    for path in in_the_way(target):
        path.write_bytes(b"in the way")


def clear(target: Path) -> None:
    for path in in_the_way(target):
        path.unlink()


async def failed_with(lab: Laboratory, execution: Execution) -> int:
    return len(await lab.journal.tasks(execution.key, limit=1000, states=(TaskState.FAILED,)))


@pytest.mark.parametrize("cut_at", [1, 2, 3])
@pytest.mark.parametrize("running", [True, False])
async def test_cut_off_between_two_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, running: bool, cut_at: int
) -> None:
    source, target, pieces = tmp_path / "source", tmp_path / "target", 0
    obstructed(source, target, 1200)  # enough to be at work yet when all that fail have failed
    monkeypatch.setattr(retrying, "RETRIED_AT_ONCE", PIECE)

    async def apply(journal: SqliteJournal, changes: Sequence[Change]) -> None:
        nonlocal pieces
        if pieces == cut_at:
            raise JournalError("cut off")
        pieces += any(isinstance(c, RetrySome) for c in changes)
        await _apply(journal, changes)

    async with laboratory(tmp_path / "state", ONE) as lab:
        limits = Limits(io_ops_per_s=300.0)
        execution = await lab.start(plan(source, target, reflink=False, limits=limits))
        if running:
            await lab.until(lambda: lab.engine.find(execution.id).totals.failed.entries == FAILING)
            await change(lab, execution, Throttle(io_ops_per_s=0.5))
        else:
            assert (await lab.ended(execution)).state is ExecutionState.COMPLETED_WITH_ERRORS
        clear(target)
        monkeypatch.setattr(SqliteJournal, "apply", apply)
        with trio.move_on_after(5), contextlib.suppress(JournalError):
            await change(lab, lab.engine.find(execution.id), Retry())
        assert pieces == cut_at
    monkeypatch.setattr(SqliteJournal, "apply", _apply)
    async with laboratory(tmp_path / "state", ONE) as lab:
        record = (await lab.journal.interventions(execution.id))[-1]
        left = await failed_with(lab, execution)
        assert (record.kind.value, record.entries) == ("retry", min(FAILING, cut_at * PIECE))
        assert left == FAILING - (record.entries or 0)
        assert lab.engine.find(execution.id).totals.failed.entries == left
        if running:
            await change(lab, execution, Throttle(io_ops_per_s=None))
        elif cut_at * PIECE < FAILING:
            await change(lab, execution, Resume())
        done = await lab.ended(execution)
        if done.state is ExecutionState.COMPLETED_WITH_ERRORS:
            await change(lab, done, Retry())
            done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED
    assert differences(source, target) == []


async def test_uncut_it_is_one_record_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    obstructed(source, target)
    monkeypatch.setattr(retrying, "RETRIED_AT_ONCE", PIECE)
    async with laboratory(tmp_path / "state", ONE) as lab:
        first = await lab.run(plan(source, target))
        clear(target)
        record = await change(lab, first, Retry(), request_id="once")
        assert (record.entries, record.before, record.after) == (FAILING, "failed", "pending")
        assert await change(lab, first, Retry(), request_id="once") == record
        assert (await lab.ended(first)).state is ExecutionState.COMPLETED
        assert [r.id for r in await lab.journal.interventions(first.id)] == [record.id]
    assert differences(source, target) == []


@pytest.mark.parametrize("action", [Pause(TEXTS), Skip(TEXTS)])
async def test_what_is_tried_again_keeps_to_rules_that_came_after_it_failed(tmp_path: Path, action: Action) -> None:
    """Rules are evaluated over what is pending, and it was not when they were."""
    source, target = tmp_path / "source", tmp_path / "target"
    obstructed(source, target)
    for i in range(1500):
        (source / f"z{i:04}.bin").write_bytes(b"z")
    async with laboratory(tmp_path / "state", ONE) as lab:
        execution = await lab.start(plan(source, target, reflink=False, limits=Limits(io_ops_per_s=300.0)))
        await lab.until(lambda: lab.engine.find(execution.id).totals.failed.entries == FAILING)
        await change(lab, execution, Throttle(io_ops_per_s=20.0))
        await change(lab, execution, action)
        run = lab.engine.run_of(execution.id)
        assert run is not None
        agenda = run._agenda
        await lab.until(lambda: all(agenda._intake.complete) and all(r.upto[0] > 0 for r in agenda.rules))
        clear(target)
        await change(lab, execution, Retry())
        await change(lab, execution, Throttle(io_ops_per_s=None))
        if isinstance(action, Pause):
            await lab.until(lambda: "is held" in lab.engine.find(execution.id).reason)
            await cancelled(lab, execution)
        else:
            assert (await lab.ended(execution)).state is ExecutionState.COMPLETED
    assert [p.name for p in in_the_way(target) if p.suffix == ".txt" and p.exists()] == []
    assert len(list(target.glob("*.bin"))) == 200 + 1500


async def test_what_is_tried_again_at_the_last_moment_of_a_pass_is_not_passed_over(tmp_path: Path) -> None:
    """A retry reads the journal before the entries are pending: meanwhile all others may have had their turn, and the
    further names of files have it."""
    source, target = tmp_path / "source", tmp_path / "target"
    obstructed(source, target)
    for i in range(100):
        os.link(source / "299.bin", source / f"z{i:03}.bin")
    async with laboratory(tmp_path / "state", ONE) as lab:
        execution = await running(lab, source, target)
        await change(lab, execution, Prioritise(TEXTS, Level.HIGH))
        run = lab.engine.run_of(execution.id)
        assert run is not None
        await lab.until(lambda: run.execution.stage is Stage.LINK)
        clear(target)
        failed = await lab.journal.tasks(execution.key, limit=100, states=(TaskState.FAILED,))
        async with run.naming():
            assert run.try_again(failed) == FAILING
            run.record([], retrying.try_again(run.execution, failed))
        done = await lab.ended(execution)
        assert (done.state, done.reason) == (ExecutionState.COMPLETED, "")
    assert differences(source, target) == []


async def test_a_retry_that_comes_too_late_says_so_and_leaves_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for in time, but while it reads what has failed the copying ends."""
    source, target = tmp_path / "source", tmp_path / "target"
    obstructed(source, target)
    for i in range(100):
        os.link(source / "299.bin", source / f"z{i:03}.bin")
    get_tasks = SqliteJournal.get_tasks
    async with laboratory(tmp_path / "state", ONE) as lab:
        execution = await running(lab, source, target)
        run = lab.engine.run_of(execution.id)
        assert run is not None
        await lab.until(lambda: run.execution.totals.failed.entries == FAILING)
        await run.journaled()  # or it would find fewer of them there

        async def read(journal: SqliteJournal, key: int, numbers: Iterable[int]) -> dict[int, Task]:
            if len(numbers := list(numbers)) == FAILING:
                await lab.until(lambda: run.execution.stage is Stage.LINK)
            return await get_tasks(journal, key, numbers)

        monkeypatch.setattr(SqliteJournal, "get_tasks", read)
        with pytest.raises(Conflict, match="is past copying"):
            await change(lab, execution, Retry())
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
        assert await lab.journal.interventions(execution.id) == []
