"""What is to be held, skipped or sent elsewhere does not go on while it is found out how much that is: of a million
entries that took a second, in which they were copied."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from engine_harness import Laboratory, laboratory
from migmond.domain.errors import PlanInfeasible
from migmond.domain.execution import Execution
from migmond.domain.limits import Limits
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState
from migmond.domain.steering import Action, BatchSize, Pause, Route, Skip, Throttle
from migmond.engine.counting import Counting
from migmond.engine.recording import Ask
from migmond.engine.settings import EngineSettings
from migmond.engine.sieve import Counted
from oracle import differences
from steering import TEXTS, cancelled, change, running, texts_and_others

COUNT = 400
"""Texts."""
FAST = Throttle(io_ops_per_s=None)


class SlowCount:
    """Counts when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.let = trio.Event(), trio.Event()
        count = Counting.count

        async def late(counting: Counting, selector: Selector) -> Counted:
            self.asked.set()
            await self.let.wait()
            return await count(counting, selector)

        monkeypatch.setattr(Counting, "count", late)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return texts_and_others(tmp_path / "source", 3 * COUNT)


def texts(target: Path) -> int:
    return len(list(target.glob("*.txt")))


async def all_else_done(lab: Laboratory, execution: Execution, target: Path) -> int:
    """Let it go as fast as it can until nothing but texts is left; returns how many of these are there."""
    await change(lab, execution, FAST)
    await lab.until(lambda: len(list(target.glob("*.bin"))) == 2 * COUNT)
    await lab.until(lambda: not lab.engine.run_of(execution.id).running_tasks())  # type: ignore[union-attr]
    return texts(target)


async def few_in_hand(lab: Laboratory, execution: Execution) -> None:
    await change(lab, execution, BatchSize(10))
    run = lab.engine.run_of(execution.id)
    assert run is not None
    await lab.until(lambda: 0 < len(run.running_tasks()) <= 10)


@pytest.mark.parametrize("kind", ["pause", "skip", "route"])
async def test_nothing_of_it_begins_while_it_is_counted(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    actions: dict[str, Action] = {"pause": Pause(TEXTS), "skip": Skip(TEXTS), "route": Route(TEXTS, bytes(elsewhere))}
    action = actions[kind]
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await running(lab, source, target, limits=Limits(io_ops_per_s=400.0))
        await few_in_hand(lab, execution)
        slow = SlowCount(monkeypatch)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(change, lab, execution, action)
            await slow.asked.wait()
            there = await all_else_done(lab, execution, target)
            assert there < COUNT - 10
            assert lab.engine.find(execution.id).state is ExecutionState.RUNNING  # it does not end without them
            assert lab.engine.find(execution.id).reason == ""
            await trio.sleep(0.3)
            assert texts(target) == there
            slow.let.set()
        (record,) = [r for r in await lab.journal.interventions(execution.id) if r.action == action]
        assert record.entries == COUNT - there
        if kind == "pause":
            await lab.until(lambda: "is held" in lab.engine.find(execution.id).reason)
            await cancelled(lab, execution)
            return
        assert (await lab.ended(execution)).state is ExecutionState.COMPLETED
        assert texts(target) == there
        assert len(list(elsewhere.glob("*.txt"))) == (COUNT - there if kind == "route" else 0)


@pytest.mark.parametrize("how", ["given up", "refused", "asked only"])
async def test_what_is_not_changed_after_all_goes_on(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    target = tmp_path / "target"
    action = Route(TEXTS, bytes(source / "inside")) if how == "refused" else Skip(TEXTS)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await running(lab, source, target)
        slow = SlowCount(monkeypatch)

        async def ask() -> None:
            asked = Ask(action, "ana")
            if how == "refused":
                with pytest.raises(PlanInfeasible):
                    await lab.engine.steering.intervene(execution, asked)
            else:
                await lab.engine.steering.intervene(execution, asked, dry_run=how == "asked only")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await slow.asked.wait()
            await change(lab, execution, FAST)
            if how == "asked only":  # it is a question, and changes nothing
                await lab.ended(execution)
            elif how == "given up":
                await lab.until(lambda: len(list(target.glob("*.bin"))) == 2 * COUNT)
                nursery.cancel_scope.cancel()
            slow.let.set()
        assert (await lab.ended(execution)).state is ExecutionState.COMPLETED
    assert differences(source, target) == []
