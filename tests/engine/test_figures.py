"""What people are told while a migration runs and when it has ended: true at every moment."""

from __future__ import annotations

import datetime
import os
import random
from pathlib import Path

import pytest
import trio

import trees
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.api import (
    ExecutionView,
)
from migmond.domain.errors import Ambiguous, NotFound
from migmond.domain.events import ExecutionProgress
from migmond.domain.execution import Execution, Stage
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.engine.settings import EngineSettings

FILE_BYTES = 256 << 10
SLOW = Limits(io_bytes_per_s=2 << 20)


def view(lab: Laboratory, execution: Execution) -> ExecutionView:
    return lab.engine.view(lab.engine.find(execution.id))


async def under_way(lab: Laboratory, source: Path, target: Path, limits: Limits = SLOW) -> Execution:
    """Start 60 files of a quarter megabyte, at 2 MiB/s, and wait until some are copied."""
    trees.small_files(source, 60, FILE_BYTES, random.Random(1))
    execution = await lab.start(plan(source, target, reflink=False, limits=limits))
    await lab.until(lambda: view(lab, execution).progress.in_flight.bytes > 3 * FILE_BYTES)
    return execution


async def test_a_drain_finishes_the_files_in_hand_and_no_more(tmp_path: Path) -> None:
    async with laboratory(tmp_path / "state") as lab:
        execution = await under_way(lab, tmp_path / "source", tmp_path / "target")
        copied = view(lab, execution).progress.in_flight.entries
        await lab.engine.drain(lab.engine.find(execution.id), "ana", "")
        again = await lab.engine.drain(lab.engine.find(execution.id), "ana", "")
        assert again.state is ExecutionState.DRAINING
        drained = await lab.ended(execution)
        assert drained.state is ExecutionState.DRAINED
        assert "resume" in view(lab, drained).why
        assert copied <= drained.totals.done.entries <= copied + 12  # two movers, and what was copied meanwhile
        assert drained.totals.failed.entries == 0
        await lab.engine.cancel(drained, "ana", "")
        await lab.ended(drained)


async def test_nothing_counts_twice_while_it_becomes_durable(tmp_path: Path) -> None:
    """Whoever asks between two ticks finds an entry either in flight or done."""
    told: list[int] = []

    def look() -> bool:
        progress = view(lab, execution).progress
        told.append(progress.done.bytes + progress.in_flight.bytes)
        return progress.done.bytes > 0

    async with laboratory(tmp_path / "state", EngineSettings(workers=2, group_entries=4)) as lab:
        limits = Limits(io_bytes_per_s=16 << 20)
        execution = await under_way(lab, tmp_path / "source", tmp_path / "target", limits)
        await lab.until(look)
        await lab.engine.drain(lab.engine.find(execution.id), "ana", "")
        await lab.until(lambda: look() and lab.engine.run_of(execution.id) is None)
        drained = await lab.ended(execution)
    assert told == sorted(told)
    assert told[-1] == drained.totals.done.bytes


async def test_what_is_copied_but_not_durable_is_told(tmp_path: Path) -> None:
    async with laboratory(tmp_path / "state") as lab:
        execution = await under_way(lab, tmp_path / "source", tmp_path / "target")

        def told_in_flight() -> bool:
            now = view(lab, execution).progress
            return (now.percent_done or 0.0) > 2 and now.in_flight.entries >= 3

        await lab.until(told_in_flight)
        await lab.until(lambda: view(lab, execution).stage == Stage.COPY.value)
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        ended = await lab.ended(execution)
        told = view(lab, ended).progress
        assert told.percent_done is not None
        assert told.percent_done < 100  # what was cancelled is not there
        assert told.in_flight.bytes == 0
        assert told.seconds_elapsed > 0.2


async def test_percent_never_falls_nor_passes_100(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.random_tree(source, random.Random(3), 400)
    trees.sparse_and_links(source / "more", 20, random.Random(4))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, tmp_path / "target", limits=Limits(io_ops_per_s=1500)))
        seen = [e.view.progress.percent_done for e in lab.events if isinstance(e, ExecutionProgress) and e.view]
        assert view(lab, done).progress.percent_done == 100.0
    known = [p for p in seen if p is not None]
    assert known == sorted(known)
    assert all(0 <= p <= 100 for p in known)


@pytest.mark.parametrize(
    ("count", "why"),
    [(1, "1 entry failed, its source is untouched"), (4, "4 entries failed, their sources are untouched")],
)
async def test_failures_are_not_counted_as_there(tmp_path: Path, count: int, why: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, count, 100_000, random.Random(1))
    trees.small_files(target, count, 999, random.Random(2))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        assert (done.totals.failed.entries, done.reason) == (count, why)
        percent = view(lab, done).progress.percent_done
        assert percent is not None
        assert percent < 50


async def test_a_name_does_not_take_the_place_of_an_id(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    async with laboratory(tmp_path / "state") as lab:
        first = await lab.run(plan(source, tmp_path / "a"))
        taker = await lab.engine.start(plan(source, tmp_path / "b"), first.identity, first.id[:6], "")
        await lab.ended(taker)
        with pytest.raises(NotFound, match="2 migrations match") as caught:
            lab.engine.find(first.id[:6])
        assert taker.id[:6] in caught.value.hint
        assert lab.engine.find(first.id).id == first.id
        with pytest.raises(NotFound) as caught:
            lab.engine.find("zz")
        assert "3 characters" in caught.value.hint


async def test_of_one_name_the_newest_is_meant_by_who_only_looks(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.small_files(source, 60, FILE_BYTES, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        for target in "ab":
            last = await lab.run(plan(source, tmp_path / target))
        with pytest.raises(Ambiguous) as caught:
            lab.engine.find("source")
        begun = datetime.datetime.fromtimestamp(last.created_at, datetime.UTC).astimezone()
        assert f"/b, begun {begun:%Y-%m-%d %H:%M:%S})" in caught.value.hint
        assert f"{last.id[:6]} (completed to " in caught.value.hint
        assert lab.engine.find("source", newest=True).id == last.id
        live = await lab.start(plan(source, tmp_path / "c", reflink=False, limits=SLOW))
        assert lab.engine.find("source").id == live.id
        taker = await lab.engine.start(plan(source, tmp_path / "d"), last.identity, last.id[:6], "")
        with pytest.raises(Ambiguous):  # one's name is another's id: the newest is no better than the other
            lab.engine.find(last.id[:6], newest=True)
        for execution in (live, taker):
            await lab.engine.cancel(execution, "ana", "")
            await lab.ended(execution)


async def test_of_a_tree_that_was_renamed_the_root_is_looked_at(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.small_files(source, 10, 10, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, tmp_path / "target", Operation.MOVE))
        await lab.engine.verify(done)
        await lab.until(lambda: lab.engine.find(done.id).verification is not None)
        found = lab.engine.find(done.id)
    assert found.verification is not None
    assert (found.verification.checked.entries, found.verification.mismatches) == (1, 0)
    assert found.reason == "renamed as a whole within one file system: what is inside was neither counted nor read"


async def test_two_migrations_of_one_tree_to_one_place_both_succeed(tmp_path: Path) -> None:
    """Whoever comes second finds equal files, also those that got their names after it had looked."""
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 600, 500, random.Random(1), per_directory=100)
    async with laboratory(tmp_path / "state") as lab:
        both = [await lab.start(plan(source, target)) for _ in range(2)]
        ended = [await lab.ended(e) for e in both]
    assert [e.state for e in ended] == [ExecutionState.COMPLETED] * 2, [e.reason for e in ended]
    assert sum(e.totals.failed.entries for e in ended) == 0


async def test_an_equal_file_is_left_alone_by_every_policy_of_a_move(tmp_path: Path) -> None:
    for policy in ConflictPolicy:
        source, target = tmp_path / policy.value / "source", tmp_path / policy.value / "target"
        for directory in (source, target):
            directory.mkdir(parents=True)
            (directory / "same").write_bytes(b"same")
            os.utime(directory / "same", ns=(1, 1_000_000_000))
        async with laboratory(tmp_path / policy.value / "state") as lab:
            done = await lab.run(plan(source, target, Operation.MOVE, conflict=policy))
            task = next(t for t in await lab.journal.tasks(done.key) if t.name == b"same")
        assert (task.state, task.outcome) == (TaskState.DONE, Outcome.UNCHANGED)
        assert [p.name for p in target.iterdir()] == ["same"]
        assert not source.exists()


async def test_equal_requests_start_one_migration_and_others_do_not_wait(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    started: list[Execution] = []
    async with laboratory(tmp_path / "state") as lab:
        identity = (await lab.run(plan(source, tmp_path / "a"))).identity

        async def start(request: str) -> None:
            started.append(await lab.engine.start(plan(source, tmp_path / "b"), identity, "", request))

        async with trio.open_nursery() as nursery:
            for request in ("one", "one", "one", "two"):
                nursery.start_soon(start, request)
        assert len({e.id for e in started}) == 2
        assert not lab.engine._requests
        for execution in {e.id: e for e in started}.values():
            await lab.ended(execution)
