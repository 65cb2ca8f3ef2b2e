"""What has failed is left out, or sent elsewhere, by its group of errors: while an execution runs, and when it has
ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from agenda import hold, lift
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.errors import Conflict
from migmond.domain.execution import Execution
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.steering import Route, Skip, Throttle
from migmond.engine.recording import Ask
from migmond.engine.settings import EngineSettings
from steering import change, on_record

TAKEN = Selector(errors=("exists",))
SETTINGS = EngineSettings(workers=1)
REST = Selector(include=("f1*",))


def laid_out(source: Path, target: Path, count: int, taken: int) -> None:
    """So many files, small ones whose names are taken at the target among them."""
    source.mkdir()
    target.mkdir()
    for i in range(count):
        (source / f"f{i:03}").write_bytes(b"ours %d" % i)
    for i in range(taken):
        (target / f"f{i:03}").write_bytes(b"theirs")


async def some_failed(lab: Laboratory, source: Path, target: Path, **fields: object) -> Execution:
    """Start it, hold some of it before it has come far, and wait until some have failed."""
    execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=1.0), **fields))  # type: ignore[arg-type]
    hold(lab, execution, "h1", REST)
    await change(lab, execution, Throttle(io_ops_per_s=None))
    await lab.until(lambda: lab.engine.find(execution.id).totals.failed.entries == 3)
    now = lab.engine.find(execution.id)
    assert now.state is ExecutionState.RUNNING, (now.state, now.reason, now.totals)
    return execution


@pytest.mark.parametrize("operation", list(Operation))
async def test_of_an_ended_one(tmp_path: Path, operation: Operation) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    laid_out(source, target, 6, 3)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        failed = await lab.run(plan(source, target, operation))
        assert (failed.state, failed.totals.failed.entries) == (ExecutionState.COMPLETED_WITH_ERRORS, 3)
        effect, nothing = await lab.engine.steering.intervene(failed, Ask(Skip(TAKEN), "ana"), dry_run=True)
        assert (effect.entries, nothing) == (3, None)
        with pytest.raises(Conflict, match="completed_with_errors"):  # all that is pending: there is nothing
            await lab.engine.steering.intervene(failed, Ask(Skip(Selector(include=("f*",))), "ana"))
        record = await change(lab, failed, Skip(TAKEN))
        done = await lab.ended(failed)
        tasks = await lab.journal.tasks(done.key)
        recorded = await on_record(lab, done, record.id)
    assert (done.state, done.reason) == (ExecutionState.COMPLETED, "")
    assert (done.totals.failed.entries, done.totals.left_out.entries, done.totals.skipped.entries) == (0, 3, 3)
    assert {t.name for t in tasks if t.outcome is Outcome.LEFT_OUT} == {b"f000", b"f001", b"f002"}
    assert (recorded.kind.value, recorded.entries) == ("skip", 3)
    assert sorted(p.name for p in source.glob("f*")) == (
        ["f000", "f001", "f002"] if operation is Operation.MOVE else [f"f{i:03}" for i in range(6)]
    )
    assert [(target / f"f{i:03}").read_bytes()[:6] for i in range(4)] == [b"theirs"] * 3 + [b"ours 3"]


async def test_of_a_running_one_and_taken_back(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    laid_out(source, target, 130, 3)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await some_failed(lab, source, target)
        record = await change(lab, execution, Skip(TAKEN))
        await lab.until(lambda: lab.engine.find(execution.id).totals.left_out.entries == 3)
        assert lab.engine.find(execution.id).totals.failed.entries == 0
        await lab.engine.undoing.undo(record.id, "ana", "")
        await lab.until(lambda: lab.engine.find(execution.id).totals.failed.entries == 3)
        totals = lab.engine.find(execution.id).totals
        assert (totals.left_out.entries, totals.skipped.entries) == (0, 0)
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        await lab.ended(execution)


async def test_cut_off_and_gone_on_with(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    laid_out(source, target, 130, 3)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await some_failed(lab, source, target)
        await change(lab, execution, Skip(TAKEN))
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        await lab.until(lambda: lab.engine.find(execution.id).totals.left_out.entries == 3)
        assert lab.engine.find(execution.id).totals.failed.entries == 0
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        await lab.ended(execution)


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("operation", list(Operation))
async def test_sent_elsewhere(tmp_path: Path, other_fs: Path, operation: Operation, *, ended: bool) -> None:
    source, target, elsewhere = tmp_path / "source", other_fs / "target", tmp_path / "elsewhere"
    laid_out(source, target, 6 if ended else 130, 3)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        if ended:
            execution = await lab.run(plan(source, target, operation))
        else:
            execution = await some_failed(lab, source, target, operation=operation)
        await change(lab, lab.engine.find(execution.id), Route(TAKEN, bytes(elsewhere)))
        if not ended:
            lift(lab, execution, "h1")
        done = await lab.ended(execution)
    assert (done.state, done.totals.failed.entries) == (ExecutionState.COMPLETED, 0), done.reason
    assert {p.name: p.read_bytes() for p in elsewhere.iterdir()} == {f"f{i:03}": b"ours %d" % i for i in range(3)}
    assert (target / "f000").read_bytes() == b"theirs"
    assert source.exists() is (operation is Operation.COPY)


async def test_what_was_drained_stays_so(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    laid_out(source, target, 130, 3)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await some_failed(lab, source, target)
        await lab.engine.drain(lab.engine.find(execution.id), "ana", "")
        drained = await lab.ended(execution)
        await change(lab, drained, Skip(TAKEN))
        now = lab.engine.find(execution.id)
        assert (now.state, now.totals.failed.entries) == (ExecutionState.DRAINED, 0)
        states = [t.state for t in await lab.journal.tasks(now.key) if t.name in (b"f000", b"f001", b"f002")]
        assert states == [TaskState.PENDING] * 3
        await lab.engine.resume(now, "ana", "")
        await lab.until(lambda: lab.engine.find(execution.id).totals.left_out.entries == 3)
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        await lab.ended(execution)
