"""Somebody sets the clock while a migration runs."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

import trees
from engine_harness import laboratory, plan
from migmond.domain.limits import Limits
from migmond.domain.states import ExecutionState
from migmond.engine.settings import EngineSettings
from oracle import differences

YEAR_S = 365 * 86400.0


class SetClock:
    """The machine's clocks, of which the one for people is set by `ahead_s` seconds."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time() + self.ahead_s


@pytest.mark.hazard(28)
@pytest.mark.parametrize("years", [10, -20])
async def test_durations_estimates_and_order_do_not_follow_the_clock(tmp_path: Path, years: float) -> None:
    source, target, clock = tmp_path / "source", tmp_path / "target", SetClock()
    trees.small_files(source, 900, 1000, random.Random(1), per_directory=100)
    began = time.monotonic()
    async with laboratory(tmp_path / "state", EngineSettings(workers=1), clock=clock) as lab:
        first = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=300.0)))
        await lab.until(lambda: lab.engine.view(lab.engine.find(first.id)).progress.seconds_remaining is not None)
        clock.ahead_s = years * YEAR_S
        seen: list[float] = []

        def looked() -> bool:
            progress = lab.engine.view(lab.engine.find(first.id)).progress
            if progress.seconds_remaining is not None:
                assert 0 <= progress.seconds_remaining < 3600
            assert 0 <= progress.seconds_elapsed <= time.monotonic() - began + 1
            seen.append(progress.percent_done or 0.0)
            return lab.engine.run_of(first.id) is None

        await lab.until(looked)
        second = await lab.run(plan(source / "d00000", tmp_path / "second"))
        assert [e.id for e in lab.engine.all()] == [first.id, second.id]
        ids = [e.id for e in lab.events]
    assert seen == sorted(seen)
    assert ids == sorted(set(ids))
    assert differences(source, target) == []


@pytest.mark.hazard(28)
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_timed_hold_ends_though_the_clock_was_set_back(tmp_path: Path, restarted: bool) -> None:
    source, target, clock = tmp_path / "source", tmp_path / "target", SetClock()
    trees.small_files(source, 600, 1000, random.Random(1))
    slowly = Limits(io_ops_per_s=300.0)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1), clock=clock) as lab:
        execution = await lab.start(plan(source, target, limits=slowly))
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.RUNNING)
        await lab.engine.pause(lab.engine.find(execution.id), "me", "", 1.0)
        clock.ahead_s = -20 * YEAR_S
        if not restarted:
            done = await lab.ended(execution)
    if restarted:
        async with laboratory(tmp_path / "state", EngineSettings(workers=1), clock=clock) as lab:
            done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, target) == []
