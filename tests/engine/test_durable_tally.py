"""What is copied for good, and whose source is still to be deleted, is told as what it is."""

from __future__ import annotations

import os
import random
from pathlib import Path

import msgspec
import pytest

import trees
from engine_harness import ME, Laboratory, laboratory, plan
from migmond.domain.changes import PutExecution
from migmond.domain.execution import Execution, Tally
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState, TaskState
from migmond.engine.account import task_bytes
from migmond.engine.rollbacks import Rollback
from migmond.engine.views import execution_view

SLOWLY = Limits(io_bytes_per_s=4 << 20)


def linked_files(source: Path) -> None:
    """Twenty files of 64 KiB, each with two names: they are deleted when all names are known to be copied. And a file
    that takes long."""
    (source / "a").mkdir(parents=True)
    rng = random.Random(1)
    for i in range(20):
        (source / "a" / f"f{i}").write_bytes(rng.randbytes(64 << 10))
        os.link(source / "a" / f"f{i}", source / "a" / f"g{i}")
    trees.large_files(source / "z", 2, 24 << 20, rng)


async def sums_agree(lab: Laboratory, execution: Execution) -> Tally:
    """Check that the totals have what the journal has as DURABLE, and so has the breakdown; returns that."""
    tasks = await lab.journal.tasks(execution.key, states=(TaskState.DURABLE,), limit=1000)
    counted = Tally(len(tasks), sum(map(task_bytes, tasks)))
    now = lab.engine.find(execution.id)
    assert now.totals.durable == counted
    cube = (await lab.engine.counted(now)).cube
    assert cube is not None
    assert cube.sums().durable == counted
    return counted


async def drained(lab: Laboratory, source: Path, target: Path) -> Execution:
    execution = await lab.start(plan(source, target, Operation.MOVE, limits=SLOWLY))
    await lab.until(lambda: lab.engine.find(execution.id).totals.durable.entries >= 20)
    await lab.engine.drain(lab.engine.find(execution.id), "ana", "")
    return await lab.ended(execution)


async def test_a_drained_move_has_what_it_copied_and_goes_on_from_there(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    linked_files(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, Operation.MOVE, limits=SLOWLY))
        seen: list[float] = []

        def percent() -> float | None:
            run, now = lab.engine.run_of(execution.id), lab.engine.find(execution.id)
            return execution_view(now, run.live if run is not None else None, 0.0).progress.percent_done

        def enough() -> bool:
            seen.append(percent() or 0.0)
            return lab.engine.find(execution.id).totals.durable.entries >= 20

        await lab.until(enough)
        await lab.engine.drain(lab.engine.find(execution.id), "ana", "")
        stopped = await lab.ended(execution)
        assert stopped.state is ExecutionState.DRAINED
        left = await sums_agree(lab, stopped)
        assert left.entries >= 20
        assert (percent() or 0.0) >= max(seen), "it fell when it ended"
        totals = stopped.totals
        pending = await lab.journal.tasks(stopped.key, states=(TaskState.PENDING,), limit=1000)
        assert totals.handled.entries + len(pending) == totals.planned.entries
        await lab.engine.resume(stopped, "ana", "")
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert await sums_agree(lab, done) == Tally()
        assert done.totals.done == done.totals.planned


async def test_a_cancelled_move_counts_as_cancelled_what_has_two_places_now(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    linked_files(source)
    async with laboratory(tmp_path / "state") as lab:
        stopped = await drained(lab, source, target)
        await lab.engine.resume(stopped, "ana", "")
        await lab.engine.cancel(lab.engine.find(stopped.id), "ana", "")
        ended = await lab.ended(stopped)
        assert ended.state is ExecutionState.CANCELLED
        assert await sums_agree(lab, ended) == Tally()
        assert ended.totals.settled == ended.totals.planned


async def test_what_an_older_version_did_not_count_is_counted_when_it_goes_on(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    linked_files(source)
    async with laboratory(tmp_path / "state") as lab:
        stopped = await drained(lab, source, target)
        totals = msgspec.structs.replace(stopped.totals, durable=Tally())
        await lab.journal.apply([PutExecution(msgspec.structs.replace(stopped, totals=totals))])
    async with laboratory(tmp_path / "state") as lab:
        old = lab.engine.find(stopped.id)
        assert old.totals.durable == Tally()
        counted = await lab.engine.counted(old)
        assert counted.cube is not None, counted.reason
        assert counted.cube.sums().durable.entries >= 20
        await lab.engine.resume(lab.engine.find(stopped.id), "ana", "")
        await lab.until(lambda: lab.engine.find(stopped.id).totals.durable.entries >= 20)
        done = await lab.ended(stopped)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert await sums_agree(lab, done) == Tally()


@pytest.mark.parametrize("names", [1, 2])
async def test_a_rollback_of_a_copy_has_done_nothing_before_it_removes(tmp_path: Path, names: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for i in range(10):
        (source / f"f{i}").write_bytes(b"x" * 1000)
        if names == 2:
            os.link(source / f"f{i}", source / f"g{i}")
    async with laboratory(tmp_path / "state") as lab:
        first = await lab.ended(await lab.start(plan(source, target, reflink=False)))
        undone = await lab.engine.rollback(Rollback(first), ME, "ana")
        ended = await lab.ended(undone)
        assert ended.state is ExecutionState.COMPLETED, ended.reason
        assert ended.totals.durable == Tally()
        assert all(
            tally.entries >= 0 and tally.bytes >= 0
            for tally in (ended.totals.done, ended.totals.durable, ended.totals.skipped)
        )
        assert not target.exists()
