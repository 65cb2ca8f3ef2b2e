"""What a hold stops stays stopped, whatever else is asked of it: a drain, the end of the daemon. Drains taken back."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import trio

from engine_harness import Laboratory, laboratory, plan
from migmond.domain.execution import Execution
from migmond.domain.hold import HoldReason
from migmond.domain.limits import Limits
from migmond.domain.states import ExecutionState
from migmond.domain.steering import Drain, Pause, Resume, Throttle
from migmond.engine.settings import EngineSettings
from migmond.engine.station import Station
from migmond.engine.views import intervention_views
from migmond.wire.from_mover import Synced
from oracle import differences
from steering import change, journaled, running, texts_and_others

SLOW = Limits(io_bytes_per_s=2 << 20)


def names(target: Path) -> set[str]:
    return {n for n in os.listdir(target) if not n.startswith(".migmond-")}


def moved(lab: Laboratory, execution: Execution) -> list[tuple[int, int]]:
    run = lab.engine.run_of(execution.id)
    assert run is not None
    looks = [p.control.look() for p in run.movers]
    return [(look.bytes_total, look.entries_total) for look in looks]


async def test_a_drain_begins_nothing_that_an_emergency_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was synced when all was stopped got its names nevertheless, and nobody saw why a drain stood still."""
    source, target = texts_and_others(tmp_path / "source"), tmp_path / "target"
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await running(lab, source, target)
        run = lab.engine.run_of(execution.id)
        assert run is not None
        synced, named = run._commits.synced, set[str]()

        def and_smoke(station: Station, message: Synced) -> None:
            if message.group and run.execution.state is ExecutionState.RUNNING:
                named.update(names(target))
                run.pause(HoldReason.EMERGENCY, "root", "smoke", None)
            synced(station, message)

        monkeypatch.setattr(run._commits, "synced", and_smoke)
        await lab.until(lambda: run.execution.state is ExecutionState.PAUSED)
        await lab.until(lambda: not lab.engine.stopping._busy(execution.id))
        counts = moved(lab, execution)
        await lab.engine.drain(lab.engine.find(execution.id), "ana", "")
        await trio.sleep(0.7)  # longer than anybody waits for something to be flushed
        assert len(names(target)) == len(named)
        assert moved(lab, execution) == counts
        view = lab.engine.view(lab.engine.find(execution.id))
        assert (view.state, view.why) == ("draining", "held: emergency: smoke")
        assert (view.progress.seconds_remaining, view.progress.eta_reason) == (None, "held")
        await lab.engine.resume(lab.engine.find(execution.id), "root", "")
        drained = await lab.ended(execution)
        assert drained.state is ExecutionState.DRAINED
        assert len(names(target)) > len(named)
        assert drained.totals.done.entries < drained.totals.planned.entries


async def test_a_drain_promises_no_end_of_what_it_leaves(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("one", "other"):
        (source / name).write_bytes(random.Random(1).randbytes(1 << 20) * 16)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await running(lab, source, tmp_path / "target", limits=SLOW)
        run = lab.engine.run_of(execution.id)
        assert run is not None

        def forecast() -> bool:
            return run.live is not None and run.live.estimate.seconds_remaining is not None

        await lab.until(forecast)
        await lab.engine.drain(lab.engine.find(execution.id), "ana", "")
        progress = lab.engine.view(lab.engine.find(execution.id)).progress
        assert (progress.seconds_remaining, progress.eta_reason) == (None, "draining")


@pytest.mark.parametrize("emergency", [False, True])
async def test_the_end_of_the_daemon_finishes_nothing_of_what_is_held(tmp_path: Path, *, emergency: bool) -> None:
    """It went on with the file in hand, paused or not; what an emergency had stopped kept it from ending at all."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "large").write_bytes(random.Random(1).randbytes(1 << 20) * 32)
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, target, limits=SLOW)
        if emergency:
            await lab.engine.stopping.stop_all(lab.engine.all(), "root", "smoke")
        else:
            await lab.engine.pause(execution, "ana", "", None)
        before = moved(lab, execution)[0][0]
        run = lab.engine.run_of(execution.id)
        assert run is not None
        scope = run.scope
        assert scope is not None
        with trio.fail_after(6):  # a mover that waits is given 2 s to end by itself
            await lab.engine.suspend()
        assert before < 32 << 20
        assert scope.crew.moved_bytes() == before
        assert names(target) == set()
        assert lab.engine.find(execution.id).state is ExecutionState.PAUSED
    async with laboratory(tmp_path / "state") as lab:
        execution = lab.engine.find(execution.id)
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        assert len(lab.engine.find(execution.id).holds) == 1
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
        await lab.until(lambda: lab.engine.run_of(execution.id) is not None)
        run = lab.engine.run_of(execution.id)
        assert run is not None
        await lab.until(lambda: run.ready.is_set())
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        assert (await lab.ended(execution)).state is ExecutionState.CANCELLED
    assert [d for d in differences(source, target) if "large" not in d] == []


async def test_a_drain_is_taken_back_by_a_resume(tmp_path: Path) -> None:
    """`drain` offers that as its undo, and it was refused for as long as it drained."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in ("a", "b", "c"):
        (source / name).write_bytes(random.Random(1).randbytes(1 << 20) * 4)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await running(lab, source, target, limits=SLOW)
        record = await change(lab, execution, Drain())
        assert record.undo == f"migmon resume {execution.id[:6]}"
        back = await change(lab, execution, Resume())
        assert (back.before, back.after) == ("draining", "running")
        await journaled(lab, execution)
        told = intervention_views(await lab.journal.interventions(execution.id))
        assert [i.undo for i in told] == ["", f"migmon pause {execution.id[:6]}"]  # the drain was offered a resume
        assert (await journaled(lab, execution)).state is ExecutionState.RUNNING  # a crash would find it so
        first = lab.engine.run_of(execution.id)
        held = await change(lab, execution, Pause())  # though the first run still ends
        await trio.sleep(0.1)
        before = moved(lab, execution)
        await trio.sleep(0.3)
        assert moved(lab, execution) == before
        assert lab.engine.find(execution.id).state is ExecutionState.PAUSED
        await lab.engine.undoing.undo(held.id, "ana", "")
        await lab.until(lambda: lab.engine.run_of(execution.id) not in (None, first))
        again = await change(lab, execution, Drain())
        assert (await lab.ended(execution)).state is ExecutionState.DRAINED
        assert again.before == "running"
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
        await change(lab, execution, Throttle(io_bytes_per_s=None))
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED
        assert done.totals.done.entries == 4
    assert differences(source, target) == []


async def test_what_begins_while_all_is_stopped_is_stopped_as_well(tmp_path: Path) -> None:
    """It had changed since it was looked at, being no longer what it was when it had not begun, and went on."""
    source = texts_and_others(tmp_path / "source")
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        first = await running(lab, source, tmp_path / "first")
        second = await lab.start(plan(source, tmp_path / "second", limits=SLOW))
        run = lab.engine.run_of(second.id)
        assert run is not None
        assert not run.ready.is_set()
        stopped = await lab.engine.stopping.stop_all(lab.engine.all(), "root", "smoke")
        assert {s.execution.id for s in stopped} == {first.id, second.id}
        assert run.execution.state is ExecutionState.PAUSED
