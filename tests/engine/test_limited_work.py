"""Limits hold for everything that movers do, not only for copying."""

from __future__ import annotations

import random
import time
from pathlib import Path

import psutil
import pytest
import trio

import trees
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.execution import Execution, Stage
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation, VerifyLevel
from migmond.domain.states import ExecutionState
from migmond.engine.run import Run
from migmond.engine.settings import EngineSettings
from migmond.wire.budget import Kind

pytestmark = pytest.mark.alone

MIB = 1 << 20


async def in_stage(lab: Laboratory, execution: Execution, stage: Stage) -> Run:
    await lab.until(lambda: lab.engine.find(execution.id).stage is stage)
    run = lab.engine.run_of(execution.id)
    assert run is not None
    return run


@pytest.mark.parametrize("machine_code", [True, False])
async def test_a_scan_looks_at_so_many_entries_a_second(tmp_path: Path, machine_code: bool) -> None:
    """50 operations are 800 entries, or a directory each; the copies have their part of them as well."""
    source = tmp_path / "source"
    trees.small_files(source, 8000, 1, random.Random(1), per_directory=4000)
    settings = EngineSettings(workers=1, machine_code=machine_code)
    async with laboratory(tmp_path / "state", settings) as lab:
        execution = await lab.start(plan(source, tmp_path / "target", limits=Limits(io_ops_per_s=50)))

        def planned() -> int:
            return lab.engine.find(execution.id).totals.planned.entries

        run = lab.engine.run_of(execution.id)
        assert run is not None
        await trio.sleep(3.0)
        assert run.scope is not None
        assert not run.scope.scan_done
        assert planned() <= 3.5 * 800, "what is listed in part is told all the same"
        before, began = run.scope.limiter.taken(Kind.OPERATIONS), time.monotonic()
        await trio.sleep(2.0)
        took = time.monotonic() - began
        assert (run.scope.limiter.taken(Kind.OPERATIONS) - before) / 1e6 == pytest.approx(50 * took, rel=0.05)
        await lab.engine.cancel(execution, "ana", "")
        await lab.ended(execution)


@pytest.mark.parametrize("machine_code", [True, False])
async def test_deletes_are_operations(tmp_path: Path, other_fs: Path, machine_code: bool) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    trees.small_files(source, 1000, 1, random.Random(1), per_directory=1000)
    settings = EngineSettings(workers=1, machine_code=machine_code)
    async with laboratory(tmp_path / "state", settings) as lab:
        execution = await lab.start(plan(source, target, Operation.MOVE, limits=Limits(io_ops_per_s=400)))
        await lab.until(lambda: not source.exists() or len(list((source / "d00000").iterdir())) < 950)
        before, began = len(list((source / "d00000").iterdir())), time.monotonic()
        await trio.sleep(1.0)
        deleted, took = before - len(list((source / "d00000").iterdir())), time.monotonic() - began
        assert deleted <= 400 * took * 1.05 + 5
        run = lab.engine.run_of(execution.id)
        assert run is not None
        run._change(limits=Limits())
        assert (await lab.ended(execution)).state is ExecutionState.COMPLETED


async def test_a_verification_reads_no_faster_than_its_execution_may_copy(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.large_files(source, 2, 4 * MIB, random.Random(1))
    async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
        done = await lab.run(plan(source, tmp_path / "target", limits=Limits(io_bytes_per_s=8 * MIB)))
        began = time.monotonic()
        found = await lab.verified(done)
        took = time.monotonic() - began
        assert found.checked.bytes == 8 * MIB
        assert 0.9 < took < 3.0


async def test_what_is_read_back_counts_as_well(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.large_files(source, 2, 4 * MIB, random.Random(1))
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        began = time.monotonic()
        limits = Limits(io_bytes_per_s=8 * MIB)
        done = await lab.run(plan(source, tmp_path / "t", verify=VerifyLevel.READ_BACK, reflink=False, limits=limits))
        took = time.monotonic() - began
        assert done.state is ExecutionState.COMPLETED
        assert 1.8 < took < 5.0, "8 MiB are copied and 8 MiB read again"


async def test_movers_keep_to_their_processor_time(tmp_path: Path) -> None:
    """By themselves, where no control group does it: a tenth of a core for 300 files would be over at once."""
    source = tmp_path / "source"
    trees.small_files(source, 20_000, 2000, random.Random(1))
    async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
        execution = await lab.start(plan(source, tmp_path / "target", limits=Limits(cpu_percent=10)))
        run = await in_stage(lab, execution, Stage.COPY)
        assert run.scope is not None
        before, began = run.scope.limiter.taken(Kind.CPU), time.monotonic()
        await trio.sleep(2.0)
        spent_s, took = (run.scope.limiter.taken(Kind.CPU) - before) / 1e9, time.monotonic() - began
        assert spent_s / took == pytest.approx(0.10, abs=0.02)
        run._change(limits=Limits())
        assert (await lab.ended(execution)).state is ExecutionState.COMPLETED


async def test_movers_have_the_io_priority_that_is_configured(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.large_files(source, 1, 32 * MIB, random.Random(1))
    settings = EngineSettings(workers=1, io_priority="idle")
    async with laboratory(tmp_path / "state", settings) as lab:
        limits = Limits(io_bytes_per_s=4 * MIB)
        execution = await lab.start(plan(source, tmp_path / "target", reflink=False, limits=limits))
        run = await in_stage(lab, execution, Stage.COPY)
        assert run.scope is not None
        (process,) = (s.process for s in run.scope.crew.stations.values())
        threads = [psutil.Process(thread.id) for thread in psutil.Process(process.pid).threads()]
        assert len(threads) == 3
        assert {thread.ionice().ioclass for thread in threads} == {psutil.IOPRIO_CLASS_IDLE}
        await lab.engine.cancel(execution, "ana", "")
        await lab.ended(execution)
