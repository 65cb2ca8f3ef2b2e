"""Progress by parts is exact: against the totals, the journal and a count of the tree, whatever happened in between."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec
import pytest
import trio

from engine_harness import Laboratory, laboratory, plan
from migmond.analytics.classes import SIZE_BOUNDS, SIZES, TYPES
from migmond.analytics.cube import Cube
from migmond.domain.entry import EntryType
from migmond.domain.execution import Execution, Tally
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.engine import parts
from migmond.engine.parts import agrees
from migmond.engine.settings import EngineSettings
from part_trees import naive, random_tree


async def cells(lab: Laboratory, execution: Execution, field: str) -> dict[tuple[str, str, str], Tally]:
    """What migmond says, with the paths of directories."""
    now = lab.engine.find(execution.id)
    cube = (await lab.engine.counted(now)).cube
    assert cube is not None
    assert agrees(cube, now.totals)
    rows = cube.rows(kind=True, size=True, directory=True)
    places = await lab.journal.places(now.key, [r.directory for r in rows if r.directory])
    found = {
        (TYPES[r.kind or 0], SIZES[r.size or 0], os.fsdecode(places[r.directory or 0].path)): getattr(r, field)
        for r in rows
    }
    return {key: tally for key, tally in found.items() if tally != Tally()}


async def from_journal(lab: Laboratory, execution: Execution) -> dict[tuple[int | None, int | None], Counter[str]]:
    """Count the journal's rows by kind and size with a cube of its own, made in one go."""
    cube = Cube()
    tasks = await lab.journal.tasks(execution.key, limit=1 << 40)
    cube.count(tasks, await lab.journal.kinds(execution.key, [t.number for t in tasks]))
    return by_class(cube)


def by_class(cube: Cube) -> dict[tuple[int | None, int | None], Counter[str]]:
    return {
        (r.kind, r.size): Counter(
            {f"{f} {u}": getattr(getattr(r, f), u) for f in ("planned", "done", "failed", "skipped", "cancelled")
             for u in ("entries", "bytes")}
        )
        for r in cube.rows(kind=True, size=True)
    }  # fmt: skip


async def agree(lab: Laboratory, execution: Execution) -> Execution:
    """Totals, parts and journal say the same."""
    now = lab.engine.find(execution.id)
    cube = (await lab.engine.counted(now)).cube
    assert cube is not None
    assert agrees(cube, now.totals), (cube.sums(), now.totals)
    assert by_class(cube) == await from_journal(lab, now)
    return now


def apart(found: dict[tuple[str, str, str], Tally]) -> dict[tuple[str, str, str], int]:
    """Entries only: which name of a file has its bytes depends on the order in which a scan meets them."""
    return {key: tally.entries for key, tally in found.items()}


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
async def test_a_tree_is_counted_as_it_is(tmp_path: Path, other_fs: Path, operation: Operation) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    random_tree(source, 300)
    expected = naive(source)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, operation))
        assert done.state is ExecutionState.COMPLETED, done.reason
        planned, there = await cells(lab, done, "planned"), await cells(lab, done, "done")
        assert planned == there
        assert apart(planned) == apart(expected)
        assert sum(t.bytes for t in planned.values()) == sum(t.bytes for t in expected.values())
        await agree(lab, done)


async def test_failures_skips_and_a_second_try_are_counted(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    random_tree(source, 200)
    (target / "f0.in.the.way").mkdir(parents=True)
    files = sorted(p for p in source.rglob("f*") if p.is_file() and len(p.relative_to(source).parts) == 1)
    assert files
    for path in files:
        (target / path.name).mkdir()
    async with laboratory(tmp_path / "state", EngineSettings(workers=2, attempts=1)) as lab:
        failed = await agree(lab, await lab.run(plan(source, target)))
        assert failed.totals.failed.entries >= len(files)
        (target / files[0].name).rmdir()
        await lab.engine.resume(failed, "ana", "")
        again = await agree(lab, await lab.ended(failed))
        assert again.totals.failed.entries < failed.totals.failed.entries
    async with laboratory(tmp_path / "state") as lab:  # as it is kept
        kept = await parts.load_parts(lab.journal, again, fresh=False)
        assert isinstance(kept.counts, Cube)
        await agree(lab, again)


async def test_a_large_file_is_seen_to_get_on(tmp_path: Path, other_fs: Path) -> None:
    """Its row stood at 0 % until it was durable: an hour, of a large one."""
    source, target, size = tmp_path / "source", other_fs / "target", 8 << 20
    (source / "films").mkdir(parents=True)
    (source / "films" / "long.mkv").write_bytes(os.urandom(size))
    (source / "notes.txt").write_bytes(b"x" * 500)
    where = ("video", SIZES[sum(size > bound for bound in SIZE_BOUNDS)], "films")
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_bytes_per_s=2 << 20)))

        def at_hand() -> int:
            run = lab.engine.run_of(execution.id)
            assert run is not None
            return sum(part.bytes for _, part in run.in_flight())

        await lab.until(lambda: at_hand() >= 1 << 20)
        (found,) = (await cells(lab, execution, "in_flight")).items()
        assert found[0] == where
        assert (found[1].entries, 1 << 20 <= found[1].bytes < size) == (0, True)
        assert (await cells(lab, execution, "done")).get(where) is None
        done = await agree(lab, await lab.ended(execution))
        assert await cells(lab, done, "in_flight") == {}
        assert (await cells(lab, done, "done"))[where] == Tally(1, size)


async def test_a_cancel_is_counted(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    random_tree(source, 300)
    slow = Limits(io_bytes_per_s=1_000_000)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await lab.start(plan(source, target, limits=slow))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > 5)
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        cancelled = await agree(lab, await lab.ended(execution))
        assert cancelled.totals.cancelled.entries > 10


@pytest.mark.parametrize("page", [7, 2000])
async def test_after_a_crash_it_is_counted_anew_while_the_work_goes_on(
    tmp_path: Path, other_fs: Path, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leaving the laboratory cuts the execution off wherever it is: nothing was kept in order."""
    monkeypatch.setattr(parts, "PAGE_TASKS", page)
    source, target = tmp_path / "source", other_fs / "target"
    random_tree(source, 400)
    expected = naive(source)
    slow = Limits(io_bytes_per_s=3_000_000)
    async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
        execution = await lab.start(plan(source, target, limits=slow))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > 5)
    for _ in range(2):
        async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
            run = lab.engine.run_of(execution.id)
            assert run is not None
            before = lab.engine.find(execution.id).totals.done.entries
            with trio.fail_after(60):
                await run.counted.wait()
            now = lab.engine.find(execution.id)
            assert run.parts is not None
            assert run.parts.cube is not None
            assert agrees(run.parts.cube, now.totals)

            def further(lab: Laboratory = lab, before: int = before) -> bool:
                now = lab.engine.find(execution.id)
                return now.totals.done.entries > before or lab.engine.run_of(execution.id) is None

            await lab.until(further)
    async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert apart(await cells(lab, done, "done")) == apart(expected)
        await agree(lab, done)


async def test_what_does_not_belong_to_the_totals_is_not_taken(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    random_tree(source, 50)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        kept = await parts.load_parts(lab.journal, done, fresh=False)
        assert isinstance(kept.counts, Cube)
        task = (await lab.journal.tasks(done.key, states=(TaskState.DONE,), limit=1))[0]
        assert (task.type, task.outcome) == (EntryType.DIRECTORY, Outcome.CREATED)
        other = done.totals.done.plus(-1, 0)
        changed = msgspec.structs.replace(done, totals=msgspec.structs.replace(done.totals, done=other))
        assert not isinstance((await parts.load_parts(lab.journal, changed, fresh=False)).counts, Cube)
        await lab.journal.apply([kept.working(done.totals)])
        assert not isinstance((await parts.load_parts(lab.journal, done, fresh=False)).counts, Cube)
        counted = await lab.engine.counted(done)
        assert counted.cube is not None
        assert agrees(counted.cube, done.totals)


async def test_what_a_daemon_that_stops_in_order_kept_is_taken(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    random_tree(source, 300)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_bytes_per_s=1_000_000)))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > 5)
        await lab.engine.suspend()
        assert lab.engine.find(execution.id).state is ExecutionState.RUNNING
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        run = lab.engine.run_of(execution.id)
        assert run is not None
        await run.counted.wait()
        assert run.parts is not None
        assert isinstance(run.parts.counts, Cube)
        done = await agree(lab, await lab.ended(execution))
        assert done.state is ExecutionState.COMPLETED, done.reason


async def test_a_cancel_while_it_is_counted_anew_is_counted_afterwards(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PAGE_TASKS", 2)
    source, target = tmp_path / "source", other_fs / "target"
    random_tree(source, 400)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_bytes_per_s=500_000)))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > 5)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        run = lab.engine.run_of(execution.id)
        assert run is not None
        await run.ready.wait()
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        cancelled = await lab.ended(execution)
        assert cancelled.totals.cancelled.entries > 10
        while (await lab.engine.counted(cancelled)).cube is None:
            pass
        await agree(lab, cancelled)
