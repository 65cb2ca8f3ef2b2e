"""What was brought to one destination and not recorded when it was sent to another one: it is found, wherever it is."""

from __future__ import annotations

import errno
from pathlib import Path

import msgspec
import pytest

from engine_harness import ME, Laboratory, laboratory, plan
from failing_syncs import FailingSyncs
from migmond.domain.execution import Execution
from migmond.domain.fault import Fault, Phase
from migmond.domain.plan import Operation, Source
from migmond.domain.states import ExecutionState, Outcome
from migmond.domain.steering import Pause, Skip
from migmond.engine.process import MoverProcess
from migmond.engine.rollbacks import Rollback
from migmond.engine.settings import EngineSettings
from migmond.wire.from_mover import FromMover, RootRenamed
from oracle import differences
from routing import EVERYTHING, FAST, files, make, route, whereabouts
from steering import SLOW, change, running

COPY, MOVE = Operation.COPY, Operation.MOVE
NEVER_SYNCED = EngineSettings(workers=1, group_idle_s=600.0, group_age_s=600.0)
"""What a mover brings over stays in an open group until it is told to flush, or dies."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make(tmp_path / "source", 120)
    return tmp_path / "source"


async def under_way(lab: Laboratory, source: Path, target: Path, **fields: object) -> Execution:
    """Begin a move, and stop it when some of its files have been renamed and none is on record."""
    execution = await running(lab, source, target, operation=MOVE, workers=1, **fields)
    await lab.until(lambda: len(files(target)) >= 5)
    await change(lab, execution, Pause())
    assert lab.engine.find(execution.id).totals.done.entries == 0
    return execution


async def check_all_found(lab: Laboratory, done: Execution, before: Path, *roots: Path) -> None:
    """Every file is at one of the destinations, the journal knows at which, and a rollback brings all of them back."""
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert done.totals.gone.entries == 0
    assert done.totals.done == done.totals.planned
    where, found = await whereabouts(lab, done), {bytes(r): files(r) for r in roots}
    for path, data in files(before).items():
        assert [r for r, its in found.items() if path in its] == [where[path]], path
        assert found[where[path]][path] == data
    assert (await lab.verified(done)).mismatches == 0
    back = await lab.ended(await lab.engine.rollback(Rollback(done), ME, "ana"))
    assert (back.state, back.reason) == (ExecutionState.COMPLETED, "")
    differ = differences(before, Path(done.plan.sources[0].path.decode()))
    assert [d for d in differ if not d.startswith("hard links")] == []  # those that went apart are files of their own


async def test_a_rollback_gives_directories_their_times_wherever_they_were_made(
    tmp_path: Path, other_fs: Path, source: Path
) -> None:
    """Those that are only at the other destination were made after the one that they lie in, whose time moved."""
    before = tmp_path / "before"
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, before))
        execution = await running(lab, source, other_fs / "target", operation=MOVE, workers=1)
        await change(lab, execution, route(other_fs / "more", EVERYTHING))
        await change(lab, execution, FAST)
        done = await lab.ended(execution)
        assert (await whereabouts(lab, done))["empty"] == bytes(other_fs / "more")
        back = await lab.ended(await lab.engine.rollback(Rollback(done), ME, "ana"))
        assert (back.state, back.reason) == (ExecutionState.COMPLETED, "")
    assert differences(before, source) == []


@pytest.mark.parametrize("dies", ["mover", "daemon"])
@pytest.mark.parametrize("within", [True, False], ids=["within", "to another file system"])
async def test_what_was_renamed_before_it_was_sent_elsewhere_is_found_where_it_is(
    tmp_path: Path, other_fs: Path, source: Path, dies: str, *, within: bool
) -> None:
    before, target = tmp_path / "before", tmp_path / "target"
    more = (tmp_path if within else other_fs) / "more"
    target.mkdir()
    async with laboratory(tmp_path / "state", NEVER_SYNCED) as lab:
        await lab.run(plan(source, before))
        execution = await under_way(lab, source, target)
        renamed = set(files(target))
        if dies == "mover":
            run = lab.engine.run_of(execution.id)
            assert run is not None
            for process in run.movers:
                process.kill()
            await lab.until(lambda: not run.running_tasks())
            await change(lab, execution, route(more, EVERYTHING))
            await change(lab, execution, FAST)
            await lab.engine.resume(execution, "ana", "")
            done = await lab.ended(execution)
            assert renamed <= set(files(target))
            await check_all_found(lab, done, before, target, more)
            return
    async with laboratory(tmp_path / "state") as lab:
        await change(lab, lab.engine.find(execution.id), route(more, EVERYTHING))
        await change(lab, lab.engine.find(execution.id), FAST)
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
        done = await lab.ended(execution)
        assert renamed <= set(files(target))
        await check_all_found(lab, done, before, target, more)


# --- what stands at its destination, but a sync failed -------------------------------------------------


def named(root: Path) -> list[str]:
    """Return which files have their names there."""
    return [path for path in files(root) if ".migmond-" not in path]


async def held(lab: Laboratory, execution: Execution) -> None:
    await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)


@pytest.mark.parametrize("operation", [COPY, MOVE])
async def test_a_copy_whose_sync_failed_is_not_made_once_more_elsewhere(
    tmp_path: Path, other_fs: Path, source: Path, monkeypatch: pytest.MonkeyPatch, operation: Operation
) -> None:
    """Its name was given already; it was off the record after a drain."""
    before, target, more = tmp_path / "before", other_fs / "target", tmp_path / "more"
    syncs = FailingSyncs(monkeypatch)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=600.0)) as lab:
        await lab.run(plan(source, before))
        execution = await running(lab, source, target, operation=operation, workers=1)
        syncs.fail_when_named = True
        await held(lab, execution)
        await lab.engine.drain(execution, "ana", "")
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.DRAINED)
        drained = lab.engine.find(execution.id)
        assert len(named(target)) > drained.totals.done.entries
    syncs.failing = syncs.fail_when_named = False
    async with laboratory(tmp_path / "state") as lab:
        await change(lab, drained, route(more, EVERYTHING))
        await change(lab, drained, FAST)
        await lab.engine.resume(lab.engine.find(drained.id), "ana", "")
        await check_all_found(lab, await lab.ended(drained), before, target, more)
    assert files(target) == files(more) == {}


async def test_what_was_renamed_and_could_not_be_synced_comes_back_by_a_rollback_of_what_was_cancelled(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, target = tmp_path / "before", tmp_path / "target"
    target.mkdir()
    syncs = FailingSyncs(monkeypatch)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=600.0)) as lab:
        await lab.run(plan(source, before))
        syncs.failing = True
        execution = await lab.start(plan(source, target, MOVE, limits=SLOW, workers=1))
        await held(lab, execution)
        await lab.engine.cancel(execution, "ana", "")
        cancelled = await lab.ended(execution)
        assert cancelled.state is ExecutionState.CANCELLED
        assert syncs.struck
        assert files(target)
        syncs.failing = False
        back = await lab.ended(await lab.engine.rollback(Rollback(cancelled), ME, "ana"))
        assert back.state is ExecutionState.COMPLETED, back.reason
    assert files(target) == {}
    assert files(source) == files(before)


async def test_what_was_there_before_is_not_taken_for_our_copy_when_its_sync_failed(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    (source / "both").write_bytes(b"equal")
    syncs = FailingSyncs(monkeypatch)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=600.0)) as lab:
        await lab.run(plan(source, target))
        syncs.fail_when_named = True
        execution = await lab.start(plan(source, target, MOVE, workers=1))
        await held(lab, execution)
        syncs.failing = syncs.fail_when_named = False
        await lab.engine.resume(execution, "ana", "")
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert syncs.struck
        (task,) = await lab.journal.tasks(done.key, limit=10, directories=False)
        assert task.outcome is Outcome.UNCHANGED
        await lab.ended(await lab.engine.rollback(Rollback(done), ME, "ana"))
    assert files(source) == files(target) == {"both": b"equal"}


async def test_a_tree_that_was_renamed_as_a_whole_is_known_though_the_rest_was_skipped_then(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sync failed, so that it was pending still."""
    before, target, receive = tmp_path / "before", tmp_path / "target", MoverProcess.receive
    single = tmp_path / "single.txt"
    single.write_bytes(b"alone")

    async def unsynced(process: MoverProcess) -> FromMover | None:
        message = await receive(process)
        if isinstance(message, RootRenamed):
            fault = Fault(Phase.SYNC, "EIO", errno.EIO, "Input/output error")
            return msgspec.structs.replace(message, done=False, unsynced=fault)
        return message

    async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=600.0)) as lab:
        await lab.run(plan(source, before))
        monkeypatch.setattr(MoverProcess, "receive", unsynced)
        sources = (Source(bytes(source), b"source"), Source(bytes(single), b"single.txt"))
        execution = await lab.start(msgspec.structs.replace(plan(source, target, MOVE), sources=sources))
        await held(lab, execution)
        await lab.engine.drain(execution, "ana", "")
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.DRAINED)
        monkeypatch.undo()
        assert differences(before, target / "source") == []
        assert not source.exists()
        await change(lab, lab.engine.find(execution.id), Skip(EVERYTHING))
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert "renamed as a whole" in done.reason
        assert done.totals.skipped.entries == 1
        back = await lab.ended(await lab.engine.rollback(Rollback(done), ME, "ana"))
        assert back.state is ExecutionState.COMPLETED, back.reason
    assert differences(before, source) == []
    assert single.read_bytes() == b"alone"
    assert files(target) == {}
