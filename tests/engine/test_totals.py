"""Bytes count once for all names of a file; plan, totals, progress and receipt agree to the byte, whatever happens."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import trees
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.events import ExecutionProgress, ScanCompleted
from migmond.domain.execution import Execution, Tally
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation
from migmond.domain.states import ExecutionState, Outcome
from migmond.engine.settings import EngineSettings
from receipts import check, receipt_of

SIZE = 4000


def linked_tree(source: Path, files: int = 60, names: int = 4) -> int:
    """Make files, every other one with several names in several directories; returns bytes, once for each file."""
    rng = random.Random(7)
    for number in range(names):
        (source / f"d{number}").mkdir(parents=True)
    for number in range(files):
        first = source / "d0" / f"f{number}"
        first.write_bytes(rng.randbytes(SIZE + number))
        for other in range(1, names) if number % 2 else ():
            os.link(first, source / f"d{other}" / f"f{number}")
    return sum(SIZE + number for number in range(files))


async def agree(lab: Laboratory, execution: Execution) -> Execution:
    """Check that an ended execution says the same everywhere, and that this is what its entries come to."""
    now = lab.engine.find(execution.id)
    totals = now.totals
    footer = check(await receipt_of(lab.journal, now)).footer
    assert footer is not None
    by_state = {
        "done": totals.done, "skipped": totals.skipped, "failed": totals.failed, "cancelled": totals.cancelled
    }  # fmt: skip
    told = {state: Tally(t.entries, t.bytes) for state, t in footer.sum.states.items()}
    assert told == {state: tally for state, tally in by_state.items() if tally.entries}
    assert (footer.sum.entries, footer.sum.bytes) == (totals.planned.entries, totals.planned.bytes)
    return now


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
async def test_further_names_have_no_bytes_of_their_own(tmp_path: Path, other_fs: Path, operation: Operation) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    size = linked_tree(source)
    trees.sparse_and_links(source / "more", 10, random.Random(4))
    inodes = {(st.st_ino, st.st_size) for path in source.rglob("*") if path.is_file() for st in (path.lstat(),)
              if not path.is_symlink()}  # fmt: skip
    assert sum(s for _, s in inodes) > size
    async with laboratory(tmp_path / "state") as lab:
        verdict = await lab.check(plan(source, target, operation))
        done = await agree(lab, await lab.run(plan(source, target, operation)))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert done.totals.planned.bytes == done.totals.done.bytes == verdict.bytes == sum(s for _, s in inodes)
    scanned = [e for e in lab.events if isinstance(e, ScanCompleted)]
    assert [e.bytes for e in scanned] == [verdict.bytes]
    for progress in (e.view.progress for e in lab.events if isinstance(e, ExecutionProgress) and e.view):
        assert progress.growing or progress.done.bytes + progress.in_flight.bytes <= verdict.bytes


async def test_when_first_names_fail_their_bytes_pass_to_the_next(tmp_path: Path) -> None:
    """And when the way is free and they are tried again, nothing counts twice."""
    source, target = tmp_path / "source", tmp_path / "target"
    size = linked_tree(source)
    async with laboratory(tmp_path / "state", EngineSettings(workers=2, attempts=1)) as lab:
        for number in range(4):
            (target / f"d{number}").mkdir(parents=True)
            for name in range(60):
                if (name + number) % 3 != 2:
                    (target / f"d{number}" / f"f{name}").write_bytes(b"in the way")
        failed = await agree(lab, await lab.run(plan(source, target)))
        assert failed.state is ExecutionState.COMPLETED_WITH_ERRORS
        assert failed.totals.failed.entries > 60
        assert failed.totals.planned.bytes == size
        for path in target.rglob("f*"):
            if path.read_bytes() == b"in the way":
                path.unlink()
        await lab.engine.resume(failed, "ana", "")
        done = await agree(lab, await lab.ended(failed))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert done.totals.done.bytes == done.totals.planned.bytes == size


@pytest.mark.parametrize("policy", [ConflictPolicy.SKIP, ConflictPolicy.RENAME])
async def test_names_that_are_left_alone(tmp_path: Path, policy: ConflictPolicy) -> None:
    """What is left alone leads nobody: the next name brings the bytes over."""
    source, target = tmp_path / "source", tmp_path / "target"
    linked_tree(source)
    for number in range(4):
        (target / f"d{number}").mkdir(parents=True)
        for name in range(0, 60, number + 2):
            (target / f"d{number}" / f"f{name}").write_bytes(b"in the way")
    async with laboratory(tmp_path / "state") as lab:
        done = await agree(lab, await lab.run(plan(source, target, conflict=policy)))
        again = await agree(lab, await lab.run(plan(source, target, conflict=ConflictPolicy.SKIP)))
    assert {done.state, again.state} == {ExecutionState.COMPLETED}


async def test_over_a_crash_a_pause_and_a_cancel(tmp_path: Path) -> None:
    source = tmp_path / "source"
    size = linked_tree(source, 300)
    slowly = Limits(io_ops_per_s=400)
    settings = EngineSettings(workers=2, group_entries=20)
    async with laboratory(tmp_path / "state", settings) as lab:
        resumed = await lab.start(plan(source, tmp_path / "a", limits=slowly))
        cancelled = await lab.start(plan(source, tmp_path / "b", limits=slowly))
        await lab.until(lambda: lab.engine.find(resumed.id).totals.done.entries > 40)
        await lab.until(lambda: lab.engine.find(cancelled.id).totals.done.entries > 40)
        await lab.engine.cancel(cancelled, "ana", "")
        ended = await agree(lab, await lab.ended(cancelled))
        assert ended.totals.cancelled.entries > 0
    async with laboratory(tmp_path / "state", settings) as lab:
        done = await agree(lab, await lab.ended(resumed))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert done.totals.done.bytes == size


async def test_a_file_that_changed_its_size_after_the_scan(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    linked_tree(source, 300, names=3)
    settings = EngineSettings(workers=1, group_entries=10)
    async with laboratory(tmp_path / "state", settings) as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=300)))
        await lab.until(lambda: not lab.engine.find(execution.id).totals.growing)
        for number in range(0, 300, 2):  # half of them are copied by now, or not: files with one name
            with (source / "d0" / f"f{number}").open("ab") as file:
                file.write(b"more")
        done = await agree(lab, await lab.ended(execution))
        tasks = await lab.journal.tasks(done.key, limit=10_000)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert {t.outcome for t in tasks if t.leader} == {Outcome.LINKED}
