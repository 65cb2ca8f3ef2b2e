"""What was brought to one destination and not recorded when it was sent to another one: it is found, wherever it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine_harness import ME, Laboratory, laboratory, plan
from migmond.domain.execution import Execution
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState
from migmond.domain.steering import Pause
from migmond.engine.rollbacks import Rollback
from migmond.engine.settings import EngineSettings
from oracle import differences
from routing import EVERYTHING, FAST, files, make, route, whereabouts
from steering import change, running

MOVE = Operation.MOVE
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
    assert differences(before, Path(done.plan.sources[0].path.decode())) == []


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
