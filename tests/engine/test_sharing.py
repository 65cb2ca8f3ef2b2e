"""Two executions share what the daemon may do: by weight, and what one does not use the other has."""

from __future__ import annotations

import random
import time
from pathlib import Path

import msgspec
import pytest
import trio

import trees
from engine_harness import ME, laboratory, plan
from migmond.domain.limits import Limits
from migmond.domain.steering import Standing, Weight
from migmond.engine.manager import Engine
from migmond.engine.run import Run
from migmond.engine.settings import EngineSettings
from migmond.planning.shares import Whole
from migmond.planning.timetable import parse_rates

pytestmark = pytest.mark.alone

MIB = 1 << 20


def moved(run: Run) -> int:
    assert run.scope is not None
    return sum(p.control.look().bytes_total for p in run.scope.crew.processes.values())


async def rates(runs: list[Run], seconds: float = 1.0) -> list[float]:
    before, began = [moved(run) for run in runs], time.monotonic()
    await trio.sleep(seconds)
    after, took = [moved(run) for run in runs], time.monotonic() - began
    return [(b - a) / took for a, b in zip(before, after, strict=True)]


async def test_they_share_by_weight_and_nothing_is_wasted(tmp_path: Path) -> None:
    sources = [tmp_path / name for name in ("a", "b")]
    for source in sources:
        trees.large_files(source, 3, 64 * MIB, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        whole = Whole(parse_rates("16MiB"))
        settings = EngineSettings(workers=1)
        surroundings = msgspec.structs.replace(lab.surroundings, whole=lambda: whole, settings=settings)
        async with Engine.serving(surroundings) as engine:
            runs = []
            for source in sources:
                it = await engine.start(plan(source, tmp_path / f"to-{source.name}", reflink=False), ME, "", "")
                run = engine.run_of(it.id)
                assert run is not None
                runs.append(run)
            first, second = runs
            await lab.until(lambda: all(run.scope is not None and moved(run) > 0 for run in runs))
            heavy = Standing("i-1", "ana", 0.0, None, "", Weight(3.0))
            first._change(standing=(heavy,))
            await trio.sleep(0.6)
            found = await rates(runs)
            assert found == pytest.approx([12 * MIB, 4 * MIB], rel=0.1)

            first._change(limits=Limits(io_bytes_per_s=2 * MIB))
            await trio.sleep(0.6)
            found = await rates(runs)
            assert found == pytest.approx([2 * MIB, 14 * MIB], rel=0.1), "what it may not use is the other's"

            await engine.pause(first.execution, "ana", "", None)
            await trio.sleep(0.8)
            found = await rates(runs)
            assert found[0] == 0
            assert 14.5 * MIB < found[1] < 16.5 * MIB

            whole = Whole()
            await lab.until(lambda: second.scope is not None and second.scope.limiter.allowance.bytes_per_s is None)
            for run in runs:
                await engine.cancel(run.execution, "ana", "")
            await lab.until(lambda: not engine.movers())


async def test_the_first_one_has_no_more_than_all_may(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.large_files(source, 1, 64 * MIB, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        whole = Whole(parse_rates("Mon-00:00,1MiB"), 5000.0)
        async with Engine.serving(msgspec.structs.replace(lab.surroundings, whole=lambda: whole)) as engine:
            it = await engine.start(plan(source, tmp_path / "target", reflink=False), ME, "", "")
            run = engine.run_of(it.id)
            assert run is not None
            await lab.until(lambda: run.scope is not None and bool(run.scope.crew.processes))
            assert run.scope is not None
            allowance = run.scope.limiter.allowance
            assert (allowance.bytes_per_s, allowance.ops_per_s) == (1 * MIB, 5000.0)
            await engine.cancel(it, "ana", "")
            await lab.until(lambda: not engine.movers())


async def test_two_on_different_disks_do_not_share_what_each_disk_may(tmp_path: Path, other_fs: Path) -> None:
    """Both ends of each on one file system: those of one are not those of the other."""
    places = (tmp_path, tmp_path, other_fs)
    for place, name in zip(places, "abc", strict=True):
        trees.large_files(place / name, 2, 64 * MIB, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        whole = Whole(disk_rates=parse_rates("16MiB"))
        settings = EngineSettings(workers=1)
        surroundings = msgspec.structs.replace(lab.surroundings, whole=lambda: whole, settings=settings)
        async with Engine.serving(surroundings) as engine:
            runs: list[Run] = []

            def moving() -> bool:
                return all(run.scope is not None and run.scope.disks and moved(run) > 0 for run in runs)

            for place, name in zip(places, "abc", strict=True):
                it = await engine.start(plan(place / name, place / f"to-{name}", reflink=False), ME, "", "")
                run = engine.run_of(it.id)
                assert run is not None
                runs.append(run)
                if name != "a":  # a slow disk may take its time to begin: the other one is not to end meanwhile
                    await lab.until(moving)
            first, second, third = (run.scope.disks for run in runs if run.scope is not None)
            assert first == second
            assert first.isdisjoint(third)
            runs[0]._change(standing=(Standing("i-1", "ana", 0.0, None, "", Weight(3.0)),))
            await trio.sleep(0.8)
            assert await rates(runs) == pytest.approx([12 * MIB, 4 * MIB, 16 * MIB], rel=0.15)
            for run in runs:
                await engine.cancel(run.execution, "ana", "")
            await lab.until(lambda: not engine.movers())
