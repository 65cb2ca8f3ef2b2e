"""A timetable at work: real movers, and a wall clock that is set as the test likes."""

from __future__ import annotations

import datetime
import random
import time
from pathlib import Path

import pytest
import trio

import trees
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.execution import Execution
from migmond.domain.hold import HoldReason
from migmond.domain.limits import Limits
from migmond.domain.states import ExecutionState
from migmond.engine.run import Run
from migmond.engine.settings import EngineSettings

RUNNING, PAUSED = ExecutionState.RUNNING, ExecutionState.PAUSED
TABLE = "00:00,8MiB 12:00,pause 13:00,2MiB 14:00,off"


class Wall:
    """The machine's monotonic clock and a wall clock of one's own."""

    def __init__(self) -> None:
        self._offset = 0.0
        self.set("11:30")

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.monotonic() + self._offset

    def set(self, clock: str, day: int = 1) -> None:
        """Let it be that time of a day in June, where the machine is."""
        then = datetime.datetime.fromisoformat(f"2026-06-{day:02}T{clock}").astimezone()
        self._offset = then.timestamp() - time.monotonic()


async def begun(lab: Laboratory, source: Path, target: Path, limits: Limits) -> tuple[Execution, Run]:
    execution = await lab.start(plan(source, target, reflink=False, limits=limits))
    run = lab.engine.run_of(execution.id)
    assert run is not None
    await lab.until(lambda: run._scope is not None and run._scope.limiter.allowance.bytes_per_s is not None)
    return execution, run


def holds(run: Run) -> list[tuple[HoldReason, str]]:
    return [(h.reason, h.author) for h in run.execution.holds]


async def test_it_pauses_and_limits_when_its_time_has_come(tmp_path: Path) -> None:
    source, clock = tmp_path / "source", Wall()
    trees.large_files(source, 1, 256 << 20, random.Random(1))
    async with laboratory(tmp_path / "state", EngineSettings(workers=2), clock=clock) as lab:
        execution, run = await begun(lab, source, tmp_path / "target", Limits(timetable=TABLE, io_bytes_per_s=4 << 20))
        assert run._scope is not None
        assert run._observer is not None
        allowance = run._scope.limiter
        assert allowance.allowance.bytes_per_s == 4 << 20, "the lower one of both"
        steps = [(round(s.after_s / 60), s.limit, s.held) for s in run._observer.forecasting.ahead[:3]]
        assert steps == [(30, 4 << 20, True), (90, 2 << 20, False), (150, 4 << 20, False)]

        clock.set("12:00")
        await lab.until(lambda: run.execution.state is PAUSED)
        assert holds(run) == [(HoldReason.SCHEDULE, "timetable")]
        assert run.execution.holds[0].note == "its timetable says pause until Mon 13:00"

        await lab.engine.resume(execution, "ana", "now")
        await trio.sleep(0.6)
        assert run.execution.state is RUNNING, "who lifts it knows what he does"

        clock.set("13:00")
        await lab.until(lambda: allowance.allowance.bytes_per_s == 2 << 20)
        clock.set("12:30")  # somebody sets the clock back
        await lab.until(lambda: run.execution.state is PAUSED)
        await lab.engine.pause(execution, "ana", "", None)
        clock.set("14:30", day=2)
        await lab.until(lambda: holds(run) == [(HoldReason.USER, "ana")])
        assert run.execution.state is PAUSED, "only its own hold is the timetable's to lift"
        await lab.engine.resume(execution, "ana", "")
        await lab.until(lambda: allowance.allowance.bytes_per_s == 4 << 20)
        await lab.engine.cancel(execution, "ana", "")
        await lab.ended(execution)


async def test_a_timetable_that_is_taken_away_lets_it_go_on(tmp_path: Path) -> None:
    source, clock = tmp_path / "source", Wall()
    trees.large_files(source, 1, 64 << 20, random.Random(1))
    clock.set("12:10")
    async with laboratory(tmp_path / "state", EngineSettings(workers=1), clock=clock) as lab:
        execution = await lab.start(plan(source, tmp_path / "target", limits=Limits(timetable=TABLE)))
        await lab.until(lambda: lab.engine.find(execution.id).state is PAUSED)
        run = lab.engine.run_of(execution.id)
        assert run is not None
        run._change(limits=Limits())
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED


async def test_a_daemon_that_starts_when_the_pause_is_over_goes_on(tmp_path: Path) -> None:
    source, clock = tmp_path / "source", Wall()
    trees.large_files(source, 1, 64 << 20, random.Random(1))
    clock.set("12:10")
    async with laboratory(tmp_path / "state", EngineSettings(workers=1), clock=clock) as lab:
        execution = await lab.start(plan(source, tmp_path / "target", limits=Limits(timetable=TABLE)))
        await lab.until(lambda: lab.engine.find(execution.id).state is PAUSED)
        run = lab.engine.run_of(execution.id)
        assert run is not None
        await run.journaled()
    async with laboratory(tmp_path / "state", EngineSettings(workers=1), clock=clock) as lab:
        await trio.sleep(0.6)
        assert lab.engine.find(execution.id).state is PAUSED
        assert len(lab.engine.find(execution.id).holds) == 1
    clock.set("14:10")
    async with laboratory(tmp_path / "state", EngineSettings(workers=1), clock=clock) as lab:
        assert (await lab.ended(execution)).state is ExecutionState.COMPLETED


@pytest.mark.parametrize("days", [1, 5])
async def test_without_a_timetable_nothing_is_looked_at(tmp_path: Path, days: int) -> None:
    source, clock = tmp_path / "source", Wall()
    trees.small_files(source, 50, 100, random.Random(1))
    async with laboratory(tmp_path / "state", EngineSettings(workers=1), clock=clock) as lab:
        execution = await lab.start(plan(source, tmp_path / "target"))
        clock.set("12:30", day=days)
        assert (await lab.ended(execution)).state is ExecutionState.COMPLETED
