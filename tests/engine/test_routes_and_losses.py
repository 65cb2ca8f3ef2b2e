"""What was brought to one destination and not recorded when it was sent to another one: it is found, wherever it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine_harness import ME, laboratory, plan
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState
from migmond.engine.rollbacks import Rollback
from oracle import differences
from routing import EVERYTHING, FAST, make, route, whereabouts
from steering import change, running

MOVE = Operation.MOVE


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make(tmp_path / "source", 120)
    return tmp_path / "source"


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
