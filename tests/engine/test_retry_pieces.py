"""A retry of more than fits into one transaction, cut off between any two: the record says how many are pending."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from engine_harness import Laboratory, laboratory, plan
from migmond.domain.changes import Change, RetrySome
from migmond.domain.errors import JournalError
from migmond.domain.execution import Execution
from migmond.domain.limits import Limits
from migmond.domain.states import ExecutionState, TaskState
from migmond.domain.steering import Resume, Retry, Throttle
from migmond.engine import retrying
from migmond.engine.settings import EngineSettings
from migmond_sqlite import SqliteJournal
from oracle import differences
from steering import change, texts_and_others

FAILING = 25
PIECE = 10
ONE = EngineSettings(workers=1)
_apply = SqliteJournal.apply


def obstructed(source: Path, target: Path) -> None:
    """So many of the files cannot be brought over."""
    texts_and_others(source, 300)
    target.mkdir()
    for i in range(FAILING):
        (target / f"{i:03}{'.txt' if i % 3 == 0 else '.bin'}").write_bytes(b"in the way")


def clear(target: Path) -> None:
    for path in target.iterdir():
        if path.read_bytes() == b"in the way":
            path.unlink()


async def failed_with(lab: Laboratory, execution: Execution) -> int:
    return len(await lab.journal.tasks(execution.key, limit=1000, states=(TaskState.FAILED,)))


@pytest.mark.parametrize("cut_at", [1, 2, 3])
@pytest.mark.parametrize("running", [True, False])
async def test_cut_off_between_two_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, running: bool, cut_at: int
) -> None:
    source, target, pieces = tmp_path / "source", tmp_path / "target", 0
    obstructed(source, target)
    monkeypatch.setattr(retrying, "RETRIED_AT_ONCE", PIECE)

    async def apply(journal: SqliteJournal, changes: Sequence[Change]) -> None:
        nonlocal pieces
        if pieces == cut_at:
            raise JournalError("cut off")
        pieces += any(isinstance(c, RetrySome) for c in changes)
        await _apply(journal, changes)

    async with laboratory(tmp_path / "state", ONE) as lab:
        limits = Limits(io_ops_per_s=2000.0)
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
