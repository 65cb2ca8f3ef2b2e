"""More migrations than may run at a time: they wait, say why, and go on by themselves; too many are refused."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

import trees
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.errors import Conflict, InvalidInput, LimitExceeded
from migmond.domain.events import ExecutionStateChanged
from migmond.domain.execution import Execution
from migmond.domain.identity import Identity
from migmond.domain.limits import Limits
from migmond.domain.plan import Plan
from migmond.domain.states import ExecutionState, TaskState
from migmond.engine.settings import EngineSettings
from migmond.planning.turns import TurnLimits
from oracle import differences

WAITING, DONE, CANCELLED = ExecutionState.WAITING, ExecutionState.COMPLETED, ExecutionState.CANCELLED
ONE = EngineSettings(workers=1, turns=TurnLimits(running=1))
SLOW = Limits(io_bytes_per_s=1 << 20)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    trees.small_files(tmp_path / "source", 20, 2000, random.Random(1), per_directory=10)
    return tmp_path / "source"


def state(lab: Laboratory, execution: Execution) -> ExecutionState:
    return lab.engine.find(execution.id).state


async def occupied(lab: Laboratory, source: Path, target: Path) -> Execution:
    """Start one that keeps its turn until it is resumed or cancelled."""
    execution = await lab.start(plan(source, target, limits=SLOW))
    await lab.engine.pause(execution, "me", "", None)
    await lab.until(lambda: (execution.id, "paused") in changes(lab))  # and journaled
    return lab.engine.find(execution.id)


def changes(lab: Laboratory) -> list[tuple[str, str]]:
    """Which execution came into which state, in order."""
    return [(e.execution, e.after) for e in lab.events if isinstance(e, ExecutionStateChanged)]


async def test_they_wait_and_go_on_by_themselves_in_order(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state", ONE) as lab:
        first = await occupied(lab, source, tmp_path / "0")
        waiting = [await lab.start(plan(source, tmp_path / f"{n}")) for n in (1, 2, 3)]
        assert [state(lab, e) for e in waiting] == [WAITING] * 3
        views = [lab.engine.view(e) for e in waiting]
        assert {v.state for v in views} == {"waiting"}
        assert views[0].why == "waits for its turn: as many run as may, 1"
        assert views[2].why.endswith("2 of this user's come first")
        assert not (tmp_path / "1").exists() or not list((tmp_path / "1").iterdir())
        assert lab.engine.movers() <= 1
        await lab.engine.resume(first, "me", "")
        for execution in (first, *waiting):
            assert (await lab.ended(execution)).state is DONE
        began = [
            e.execution
            for e in lab.events
            if isinstance(e, ExecutionStateChanged) and (e.before, e.after) == ("waiting", "running")
        ]
        assert began == [e.id for e in waiting]
    for n in range(4):
        assert differences(source, tmp_path / f"{n}") == []


async def test_one_user_does_not_keep_another_waiting(tmp_path: Path, source: Path) -> None:
    settings = EngineSettings(workers=1, turns=TurnLimits(running_per_user=1))
    async with laboratory(tmp_path / "state", settings) as lab:
        await occupied(lab, source, tmp_path / "0")
        mine = await lab.start(plan(source, tmp_path / "1"))
        assert "1 of this user's run" in lab.engine.view(mine).why
        trees_of_ben = tmp_path / "ben"
        trees_of_ben.mkdir(mode=0o777)
        other = await lab.engine.start(plan(source, trees_of_ben / "2"), Identity(0, 1), "", "")
        assert state(lab, other) is WAITING, "the same user in another group"


async def test_what_waits_survives_the_daemon_and_what_ran_goes_on_all_the_same(tmp_path: Path, source: Path) -> None:
    unlimited = EngineSettings(workers=1)
    async with laboratory(tmp_path / "state", unlimited) as lab:
        ran = [await occupied(lab, source, tmp_path / f"{n}") for n in (0, 1)]
    async with laboratory(tmp_path / "state", ONE) as lab:  # as after an upgrade: two run, one may
        await lab.until(lambda: all(lab.engine.run_of(e.id) is not None for e in ran))
        waiting = [await lab.start(plan(source, tmp_path / f"{n}")) for n in (2, 3)]
        assert [state(lab, e) for e in waiting] == [WAITING] * 2
    async with laboratory(tmp_path / "state", ONE) as lab:
        assert [state(lab, e) for e in waiting] == [WAITING] * 2
        assert lab.engine.view(lab.engine.find(waiting[1].id)).why.endswith("1 of this user's come first")
        for execution in ran:
            await lab.engine.resume(lab.engine.find(execution.id), "me", "")
        for execution in (*ran, *waiting):
            assert (await lab.ended(execution)).state is DONE
    for n in range(4):
        assert differences(source, tmp_path / f"{n}") == []


async def test_a_daemon_that_stops_lets_nothing_begin(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state", ONE) as lab:
        await occupied(lab, source, tmp_path / "0")
        waiting = await lab.start(plan(source, tmp_path / "1"))
        await lab.engine.suspend()
        assert state(lab, waiting) is WAITING
        assert lab.engine.run_of(waiting.id) is None


async def test_what_waits_can_be_cancelled_or_taken_out_of_the_line(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state", ONE) as lab:
        first = await occupied(lab, source, tmp_path / "0")
        given_up, put_off, last = [await lab.start(plan(source, tmp_path / f"{n}")) for n in (1, 2, 3)]
        with pytest.raises(Conflict, match="it is waiting") as refused:
            await lab.engine.pause(put_off, "me", "", None)
        assert "drain" in refused.value.hint
        with pytest.raises(Conflict, match="waits for its turn"):
            await lab.engine.resume(put_off, "me", "")
        with pytest.raises(Conflict, match="is waiting"):
            await lab.engine.verify(put_off)
        cancelled = await lab.engine.cancel(given_up, "me", "")
        assert cancelled.state is CANCELLED
        assert cancelled.totals.cancelled == cancelled.totals.planned
        assert await lab.journal.tasks(given_up.key, limit=1, states=(TaskState.PENDING,)) == []
        drained = await lab.engine.drain(put_off, "me", "")
        assert drained.state is ExecutionState.DRAINED
        assert (await lab.engine.resume(drained, "me", "")).state is WAITING
        assert lab.engine.view(last).why == "waits for its turn: as many run as may, 1"
        assert "1 of this user's come first" in lab.engine.view(lab.engine.find(put_off.id)).why
        told = [(e.before, e.after) for e in lab.events if isinstance(e, ExecutionStateChanged)]
        assert [t for t in told if "waiting" in t] == [
            ("waiting", "cancelled"),
            ("waiting", "drained"),
            ("drained", "waiting"),
        ]
        await lab.engine.cancel(first, "me", "")
        for execution in (last, put_off):
            assert (await lab.ended(execution)).state is DONE
        assert state(lab, given_up) is CANCELLED
    assert not (tmp_path / "1" / "f0").exists()


async def test_a_cancel_of_what_has_ended_waits_as_well(tmp_path: Path, source: Path) -> None:
    """Each takes a mover: a thousand of them at once must not be a thousand processes."""
    async with laboratory(tmp_path / "state", ONE) as lab:
        drained = [await occupied(lab, source, tmp_path / "0")]
        await lab.engine.drain(drained[0], "me", "")
        await lab.until(lambda: lab.engine.run_of(drained[0].id) is None)
        first = await occupied(lab, source, tmp_path / "1")
        cancelling = await lab.engine.cancel(lab.engine.find(drained[0].id), "me", "")
        assert cancelling.state is ExecutionState.CANCELLING
        assert lab.engine.run_of(cancelling.id) is None
        assert "waits for its turn" in lab.engine.view(cancelling).why
        assert (await lab.engine.cancel(cancelling, "me", "")).state is ExecutionState.CANCELLING
        kinds = [i.kind.value for i in await lab.journal.interventions(cancelling.id)]
        assert kinds.count("cancel") == 1
    async with laboratory(tmp_path / "state", ONE) as lab:
        assert lab.engine.run_of(cancelling.id) is None
        await lab.engine.cancel(lab.engine.find(first.id), "me", "")
        for execution in (first, cancelling):
            assert (await lab.ended(execution)).state is CANCELLED


async def test_too_many_are_refused_with_what_to_do(tmp_path: Path, source: Path) -> None:
    settings = EngineSettings(workers=1, turns=TurnLimits(running=1, waiting_per_user=2, movers_per_user=3))
    async with laboratory(tmp_path / "state", settings) as lab:
        drained = await occupied(lab, source, tmp_path / "d")
        await lab.engine.drain(drained, "me", "")
        await lab.until(lambda: lab.engine.run_of(drained.id) is None)
        await occupied(lab, source, tmp_path / "0")
        for n in (1, 2):
            await lab.start(plan(source, tmp_path / f"{n}"))
        attempts: list[Callable[[], Awaitable[Execution]]] = [
            lambda: lab.start(plan(source, tmp_path / "3")),
            lambda: lab.engine.resume(lab.engine.find(drained.id), "me", ""),
        ]
        for attempt in attempts:
            with pytest.raises(LimitExceeded, match="2 of your migrations wait for their turn, the limit is 2") as full:
                await attempt()
            assert "--state waiting" in full.value.hint
        assert state(lab, drained) is ExecutionState.DRAINED
        assert len(lab.engine.all()) == 4
        with pytest.raises(LimitExceeded, match="cannot be verified now: as many run as may"):
            await lab.engine.verify(lab.engine.find(drained.id))
        with pytest.raises(InvalidInput, match="asks for 4 movers, the limit is 3") as greedy:
            await lab.start(plan(source, tmp_path / "4", workers=4))
        assert "--workers 3" in greedy.value.hint
        assert len(lab.engine.all()) == 4


async def test_no_more_wait_than_may_however_many_come_at_once(tmp_path: Path, source: Path) -> None:
    settings = EngineSettings(workers=1, turns=TurnLimits(running=1, waiting_per_user=2))
    refused = 0
    async with laboratory(tmp_path / "state", settings) as lab:
        await occupied(lab, source, tmp_path / "0")

        async def start(number: int) -> None:
            nonlocal refused
            try:
                await lab.start(plan(source, tmp_path / f"{number}"))
            except LimitExceeded:
                refused += 1

        async with trio.open_nursery() as nursery:
            for number in range(1, 11):
                nursery.start_soon(start, number)
        assert [e.state for e in lab.engine.all()].count(WAITING) == 2
        assert (refused, len(lab.engine.all())) == (8, 3)
        assert len(await lab.journal.executions()) == 3


async def test_many_at_once_never_have_more_movers_than_may_be(tmp_path: Path, source: Path) -> None:
    limits = TurnLimits(running=3, movers=4)
    most = 0
    async with laboratory(tmp_path / "state", EngineSettings(workers=2, turns=limits)) as lab:

        def look(_: object) -> None:
            nonlocal most
            runs = [r for e in lab.engine.all() if (r := lab.engine.run_of(e.id)) is not None]
            most = max(most, len(runs))
            stations = sum(len(r._scope.crew.stations) for r in runs if r._scope is not None)
            assert stations <= limits.movers

        lab.surroundings.bus.listen(look)
        executions: list[Execution] = []

        async def start(one: Plan) -> None:
            executions.append(await lab.start(one))

        async with trio.open_nursery() as nursery:
            for n in range(12):
                nursery.start_soon(start, plan(source, tmp_path / f"{n}"))
        for execution in executions:
            assert (await lab.ended(execution)).state is DONE
    assert most == 2
    for n in range(12):
        assert differences(source, tmp_path / f"{n}") == []
