"""Destinations whose disks are gone: what needs them waits for them, and all else goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import loopfs
from engine_harness import Laboratory, laboratory
from failing_syncs import FailingSyncs
from loopfs import LoopFs, mounted
from migmond.domain.execution import Execution
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState, TaskState
from migmond.engine.settings import EngineSettings
from routing import EVERYTHING, FAST, TEXTS, files, make, route
from steering import change, running

pytestmark = [
    pytest.mark.hazard(18),
    pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-"),
]

COPY, MOVE = Operation.COPY, Operation.MOVE
SETTINGS = EngineSettings(workers=1)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopFs]:
    with mounted(tmp_path / "disk", "ext4", size_bytes=64 << 20) as fs:
        (fs.root / "lost+found").rmdir()
        yield fs


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make(tmp_path / "source")
    return tmp_path / "source"


async def drained(lab: Laboratory, execution: Execution) -> Execution:
    await lab.engine.drain(execution, "ana", "")
    await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.DRAINED)
    await lab.until(lambda: lab.engine.run_of(execution.id) is None)
    return lab.engine.find(execution.id)


async def pending(lab: Laboratory, execution: Execution) -> int:
    states = (TaskState.PENDING,)
    return len(await lab.journal.tasks(execution.key, limit=10_000, states=states, directories=False))


async def resumed(lab: Laboratory, execution: Execution) -> Execution:
    await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
    return await lab.ended(execution)


@pytest.mark.parametrize("operation", [COPY, MOVE])
@pytest.mark.parametrize("at", [".", "target"], ids=["the mount point", "a directory on it"])
async def test_what_is_left_goes_elsewhere_when_the_plans_own_destination_is_gone(
    tmp_path: Path, source: Path, disk: LoopFs, at: str, operation: Operation
) -> None:
    content, more = files(source), tmp_path / "more"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await running(lab, source, disk.root / at, operation=operation, workers=1)
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > 5)
        await drained(lab, execution)
        there = files(disk.root / at)
        assert 0 < len(there) < len(content)
        await change(lab, execution, FAST)
        disk.unmount()
        stopped = await resumed(lab, execution)
        assert stopped.state is ExecutionState.FAILED
        assert "mount the disk that it was on" in stopped.reason
        assert f"{await pending(lab, execution)} entries are still to go there" in stopped.reason
        await change(lab, stopped, route(more, EVERYTHING))
        rest = await resumed(lab, execution)
        assert rest.state is ExecutionState.COMPLETED_WITH_ERRORS, rest.reason
        assert {**files(more), **there, **(files(source) if source.exists() else {})} == content
        assert list(disk.root.iterdir()) == []  # nothing is written where it was mounted
        disk.mount()
        done = await resumed(lab, execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert files(disk.root / at) == there
        assert (await lab.verified(done)).mismatches == 0
    assert source.exists() is (operation is COPY)


async def test_a_further_destination_that_nothing_goes_to_any_more_may_be_gone(
    tmp_path: Path, source: Path, disk: LoopFs
) -> None:
    content, target, more = files(source), tmp_path / "target", disk.root / "more"
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await running(lab, source, target, workers=1)
        record = await change(lab, execution, route(more, TEXTS))
        await lab.until(lambda: len(files(more)) > 5)
        await drained(lab, execution)
        there = files(more)
        await change(lab, execution, FAST)
        disk.unmount()
        stopped = await resumed(lab, execution)
        assert stopped.state is ExecutionState.FAILED
        assert "still to go there" in stopped.reason
        await lab.engine.undoing.undo(record.id, "ana", "")
        rest = await resumed(lab, execution)
        assert rest.state is ExecutionState.COMPLETED_WITH_ERRORS, rest.reason
        assert {**files(target), **there} == content
        disk.mount()
        done = await resumed(lab, execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert files(more) == there
        assert (await lab.verified(done)).mismatches == 0


async def test_copies_in_doubt_on_a_disk_that_is_gone_are_made_elsewhere_and_told(
    tmp_path: Path, source: Path, disk: LoopFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their syncs failed when it went: nobody may wait for it to come back."""
    content, more, syncs = files(source), tmp_path / "more", FailingSyncs(monkeypatch)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=600.0)) as lab:
        execution = await running(lab, source, disk.root, workers=1)
        syncs.fail_when_named = True
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        stopped = await drained(lab, execution)
        there = files(disk.root)
        doubtful = len(there) - stopped.totals.done.entries
        assert doubtful > 0
        syncs.failing = syncs.fail_when_named = False
        disk.unmount()
        await change(lab, stopped, FAST)
        await change(lab, stopped, route(more, EVERYTHING))
        rest = await resumed(lab, execution)
        assert rest.state is ExecutionState.COMPLETED_WITH_ERRORS, rest.reason
        assert f"{doubtful:,} copies may be at a destination whose disk is not there as well" in rest.reason
        assert len(files(more)) == len(content) - stopped.totals.done.entries
        assert {**there, **files(more)} == content
