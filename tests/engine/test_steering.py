"""Interventions on the real engine: applied, effective, on record, taken back, over by themselves."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
import trio

import trees
from engine_harness import laboratory, plan
from migmond.domain.errors import Conflict, InvalidInput, LimitExceeded, NotFound
from migmond.domain.events import InterventionRecorded
from migmond.domain.intervention import EXPIRED, Intervention, InterventionKind
from migmond.domain.limits import Limits
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState
from migmond.domain.steering import (
    BatchSize,
    Cancel,
    Drain,
    Level,
    Pause,
    Prioritise,
    Resume,
    Retry,
    Skip,
    Throttle,
    Weight,
    Workers,
)
from migmond.domain.steering_api import Effect
from migmond.engine.recording import Ask
from migmond.engine.settings import EngineSettings
from migmond.planning.actions import MAX_IN_FORCE
from migmond.planning.turns import TurnLimits
from oracle import differences
from steering import (
    LASTING,
    SLOW,
    TEXTS,
    cancelled,
    change,
    journaled,
    lasting,
    on_record,
    running,
    texts_and_others,
    what_holds,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return texts_and_others(tmp_path / "source")


async def test_every_change_that_lasts_is_in_force_on_record_and_taken_back(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target")
        for action in lasting(tmp_path / "elsewhere"):
            before = lab.engine.find(execution.id)
            preview, none = await lab.engine.steering.intervene(execution, Ask(action, "ana"), dry_run=True)
            assert none is None
            assert what_holds(lab.engine.find(execution.id)) == what_holds(before)
            record = await change(lab, execution, action, reason="why")
            now = lab.engine.find(execution.id)
            assert what_holds(now) != what_holds(before)
            assert [*(s.id for s in now.standing), *(h.intervention for h in now.holds)] == [record.id]
            assert what_holds(await journaled(lab, execution)) == what_holds(now)
            kept = await on_record(lab, execution, record.id)
            assert kept == record
            assert (kept.action, kept.author, kept.reason, kept.ended_at) == (action, "ana", "why", None)
            assert kept.undo == f"migmon undo {record.id}"
            assert kept.before.split()[0] == preview.before.split()[0]
            assert kept.after == preview.after
            effect, over = await lab.engine.undoing.undo(record.id, "ben", "enough")
            assert isinstance(effect, Effect)
            assert over is not None
            assert what_holds(lab.engine.find(execution.id)) == what_holds(before)
            assert what_holds(await journaled(lab, execution)) == what_holds(before)
            kept = await on_record(lab, execution, record.id)
            assert kept == over
            assert (kept.ended_by, kept.ended_reason) == ("ben", "enough")
            with pytest.raises(Conflict, match="was taken back by ben"):
                await lab.engine.undoing.undo(record.id, "ana", "")
        told = [e.intervention.id for e in lab.events if isinstance(e, InterventionRecorded)]
        assert told == [f"i-{n}" for n in range(1, len(LASTING) + 2) for _ in range(2)]
        await cancelled(lab, execution)


async def test_a_limit_is_in_the_movers_memory_when_the_call_returns(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
        execution = await running(lab, source, tmp_path / "target")
        run = lab.engine.run_of(execution.id)
        assert run is not None
        assert run._scope is not None

        limiter, rates = run._scope.limiter, list[float | None]()
        record = await change(lab, execution, Throttle(io_bytes_per_s=1_000_000))
        rates.append(limiter.allowance.bytes_per_s)
        await lab.engine.undoing.undo(record.id, "ana", "")
        rates.append(limiter.allowance.bytes_per_s)
        assert rates == [1_000_000, None]
        await cancelled(lab, execution)


async def test_movers_come_and_go_and_nothing_is_lost_or_copied_twice(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 3000, 3000, random.Random(1))
    settings = EngineSettings(workers=1, turns=TurnLimits(movers=6, movers_per_user=6))
    async with laboratory(tmp_path / "state", settings) as lab:
        execution = await running(lab, source, target, limits=Limits(io_ops_per_s=600.0))
        run = lab.engine.run_of(execution.id)
        assert run is not None
        assert run._scope is not None
        crew = run._scope.crew

        def working() -> int:
            return len(crew.ready)

        for count in (4, 1, 3, 2):
            await change(lab, execution, Workers(count))
            await lab.until(lambda count=count: working() == count and len(crew.stations) == count)  # type: ignore[misc]
            assert lab.engine._roster.turns._running[execution.id].movers == count
        with pytest.raises(InvalidInput, match="7 movers are asked for, the limit is 6"):
            await change(lab, execution, Workers(7))
        assert run._scope.deaths == 0
        await change(lab, execution, Throttle(io_ops_per_s=None))
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED
        assert done.totals.done == done.totals.planned
    assert differences(source, target) == []


async def test_others_movers_are_not_taken_but_an_undo_is_not_refused(tmp_path: Path, source: Path) -> None:
    settings = EngineSettings(workers=2, turns=TurnLimits(movers=4, movers_per_user=4))
    async with laboratory(tmp_path / "state", settings) as lab:
        first = await running(lab, source, tmp_path / "1")
        fewer = await change(lab, first, Workers(1))
        await change(lab, first, Workers(2))
        second = await running(lab, source, tmp_path / "2")
        with pytest.raises(LimitExceeded, match="no more movers"):
            await change(lab, first, Workers(3))
        less = await change(lab, first, Workers(1))
        third = await lab.start(plan(source, tmp_path / "3", limits=SLOW, workers=1))
        assert third.waiting_since is None
        await lab.engine.undoing.undo(less.id, "ana", "")
        assert lab.engine._roster.turns._running[first.id].movers == 2
        await lab.engine.undoing.undo(fewer.id, "ana", "")
        for execution in (first, second, third):
            await cancelled(lab, execution)


async def test_batches_are_no_larger_than_somebody_allows(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await running(lab, source, tmp_path / "target")
        run = lab.engine.run_of(execution.id)
        assert run is not None
        assert run._scope is not None
        record = await change(lab, execution, BatchSize(5))
        stations = run._scope.crew.stations.values()
        old = set(run._scope.crew.stations[1].flight.batches)

        def fresh() -> list[int]:
            return [len(b.tasks) for s in stations for n, b in s.flight.batches.items() if n not in old]

        await change(lab, execution, Throttle(io_ops_per_s=2000.0))
        await lab.until(lambda: bool(fresh()))
        assert max(fresh()) <= 5
        await lab.engine.undoing.undo(record.id, "ana", "")
        assert all(s.sizer.limit.entries > 5 for s in stations)
        await cancelled(lab, execution)


async def test_it_is_over_by_itself_also_over_restarts_and_while_nothing_runs(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state") as lab:
        live = await running(lab, source, tmp_path / "1")
        drained = await running(lab, source, tmp_path / "2")
        await lab.engine.drain(drained, "ana", "")
        drained = await lab.ended(drained)
        short = await change(lab, live, Throttle(io_bytes_per_s=1 << 20), for_s=0.3)
        assert short.until is not None
        long = await change(lab, live, Workers(1), for_s=2.0)
        idle = await change(lab, drained, Weight(2.0), for_s=2.0)
        stays = await change(lab, drained, Weight(3.0))
        await lab.until(lambda: [s.id for s in lab.engine.find(live.id).standing] == [long.id])
        assert lab.engine.find(live.id).limits == SLOW
        assert (await on_record(lab, live, short.id)).ended_by == EXPIRED
        with pytest.raises(Conflict, match="it was for a time only"):
            await lab.engine.undoing.undo(short.id, "ana", "")
    async with laboratory(tmp_path / "state") as lab:
        await lab.until(lambda: lab.engine.find(live.id).standing == ())
        await lab.until(lambda: [s.id for s in lab.engine.find(drained.id).standing] == [stays.id])
        for execution, record in ((live, long), (drained, idle)):
            assert (await on_record(lab, execution, record.id)).ended_by == EXPIRED
        await cancelled(lab, live)


async def test_what_cannot_be_taken_back_says_so(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target")
        paused = await change(lab, execution, Pause())
        resumed = await change(lab, execution, Resume())
        with pytest.raises(Conflict, match="was taken back by ana"):
            await lab.engine.undoing.undo(paused.id, "ana", "")
        with pytest.raises(Conflict, match="a resume, cannot be taken back") as e:
            await lab.engine.undoing.undo(resumed.id, "ana", "")
        assert e.value.hint == f"instead: migmon pause {execution.id[:6]}"
        with pytest.raises(NotFound, match="no intervention 'i-99'"):
            await lab.engine.undoing.undo("i-99", "ana", "")
        drained = await change(lab, execution, Drain())
        await lab.ended(execution)
        with pytest.raises(Conflict, match="a drain, cannot be taken back"):
            await lab.engine.undoing.undo(drained.id, "ana", "")
        stands = await change(lab, execution, Weight(2.0))
        given_up = await change(lab, execution, Cancel())
        await lab.ended(execution)
        for record, why in ((given_up, "cannot be taken back"), (stands, "not in force any more")):
            with pytest.raises(Conflict, match=why):
                await lab.engine.undoing.undo(record.id, "ana", "")
        with pytest.raises(Conflict, match="is cancelled"):
            await change(lab, execution, Weight(2.0))
        with pytest.raises(NotFound, match="nothing that you changed is in force"):
            lab.engine.undoing.latest_of("ana", lab.engine.all())


async def test_a_request_that_is_repeated_changes_nothing_also_after_a_restart(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target")
        found: list[Intervention] = []

        async def ask() -> None:
            found.append(await change(lab, execution, Weight(2.0), request_id="once"))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        assert len({r.id for r in found}) == 1
        other = await change(lab, execution, Weight(2.0), request_id="twice")
        assert other.id != found[0].id
    async with laboratory(tmp_path / "state") as lab:
        again = await change(lab, execution, Weight(2.0), request_id="once")
        assert again == found[0]
        assert len(lab.engine.find(execution.id).standing) == 2
        second = await lab.start(plan(source, tmp_path / "2", limits=SLOW))
        with pytest.raises(Conflict, match="used for another migration"):
            await change(lab, second, Weight(2.0), request_id="once")
        assert (await change(lab, second, Weight(1.5))).id == "i-3"
        for one in (execution, second):
            await cancelled(lab, one)


async def test_a_selector_that_picks_nothing_does_nothing_and_too_many_are_refused(
    tmp_path: Path, source: Path
) -> None:
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target")
        nothing = Selector(include=("*.none",))
        for action in (Skip(nothing), Pause(nothing), Prioritise(nothing, Level.LOW), Retry(nothing), Retry()):
            effect, record = await lab.engine.steering.intervene(execution, Ask(action, "ana"))
            assert record is None
            assert effect.entries == 0
            assert effect.notes
        assert await lab.journal.interventions(execution.id) == []
        picked, _ = await lab.engine.steering.intervene(execution, Ask(Skip(TEXTS), "ana"), dry_run=True)
        run = lab.engine.run_of(execution.id)
        assert run is not None
        assert picked.entries is not None
        assert 0 < picked.entries <= 200
        for _ in range(MAX_IN_FORCE):
            await change(lab, execution, Weight(2.0))
        with pytest.raises(LimitExceeded, match="100 changes"):
            await change(lab, execution, Weight(2.0))
        await cancelled(lab, execution)


async def test_pauses_of_some_leave_the_rest_running(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target")
        some = await change(lab, execution, Pause(TEXTS))
        assert some.entries
        whole = await change(lab, execution, Pause())
        assert lab.engine.find(execution.id).state is ExecutionState.PAUSED
        await lab.engine.undoing.undo(whole.id, "ana", "")
        now = lab.engine.find(execution.id)
        assert now.state is ExecutionState.RUNNING
        assert [h.selector for h in now.holds] == [TEXTS]
        with pytest.raises(Conflict, match="held by that selector"):
            await change(lab, execution, Resume(Selector(include=("*.bin",))))
        await change(lab, execution, Resume(TEXTS))
        assert lab.engine.find(execution.id).holds == ()
        assert (await on_record(lab, execution, some.id)).ended_by == "ana"
        await cancelled(lab, execution)


@pytest.mark.alone
async def test_all_is_stopped_within_a_second_and_goes_on_from_there(tmp_path: Path, source: Path) -> None:
    """What copies, what waits for its turn and what is verified; each lets itself be resumed or the stop taken back."""
    large = tmp_path / "large"
    large.mkdir()
    with open(large / "one", "wb") as file:
        file.truncate(700 << 20)  # all of it is read, though it takes no room
    settings = EngineSettings(workers=1, turns=TurnLimits(running=2))
    async with laboratory(tmp_path / "state", settings) as lab:
        checked = await lab.run(plan(large, tmp_path / "checked", reflink=False))
        copies = await running(lab, source, tmp_path / "target")
        await lab.engine.verify(lab.engine.find(checked.id))
        verifier = lab.engine._verifications.of(checked.id)
        assert verifier is not None
        waits = await lab.start(plan(source, tmp_path / "later"))
        assert waits.waiting_since is not None
        await lab.until(lambda: any(p.control.look().bytes_total for p in verifier.movers))
        began = time.monotonic()
        stopped = await lab.engine.stopping.stop_all(lab.engine.all(), "root", "smoke")
        assert time.monotonic() - began < 2.0
        assert {s.execution.id for s in stopped} == {checked.id, copies.id, waits.id}
        assert all(s.record.kind is InterventionKind.STOP_ALL and s.busy == () for s in stopped)
        run = lab.engine.run_of(copies.id)
        assert run is not None
        assert run.execution.state is ExecutionState.PAUSED

        def moved() -> list[tuple[int, int]]:
            looks = [p.control.look() for p in [*verifier.movers, *run.movers]]
            return [(g.bytes_total, g.entries_total) for g in looks]

        before = moved()
        await trio.sleep(0.3)
        assert moved() == before
        assert lab.engine.run_of(waits.id) is None
        assert [s.execution.id for s in await lab.engine.stopping.stop_all(lab.engine.all(), "root", "")] == [
            copies.id,
            waits.id,
        ]
        await lab.engine.resume(lab.engine.find(copies.id), "root", "")
        await lab.until(lambda: moved() != before)
        by_id = {s.execution.id: s.record for s in stopped}
        await lab.engine.undoing.undo(by_id[checked.id].id, "root", "")
        await lab.until(lambda: lab.engine.find(checked.id).verification is not None)
        assert (await on_record(lab, copies, by_id[copies.id].id)).ended_by == "root"
        await cancelled(lab, copies)
        await lab.until(lambda: lab.engine.find(waits.id).state is ExecutionState.PAUSED)  # its turn, but it is held
        assert not (tmp_path / "later").exists() or os.listdir(tmp_path / "later") == []
        await lab.engine.resume(lab.engine.find(waits.id), "root", "")
        assert (await lab.ended(waits)).state is ExecutionState.COMPLETED


async def test_some_of_what_failed_is_tried_again_while_it_runs_and_when_it_has_ended(
    tmp_path: Path, source: Path
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    for name in ("000.txt", "001.bin", "003.txt"):  # something else is there: these fail
        (target / name).write_bytes(b"other")
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await running(lab, source, target)
        run = lab.engine.run_of(execution.id)
        assert run is not None
        await lab.until(lambda: run.execution.totals.failed.entries == 3)
        (target / "000.txt").unlink()
        record = await change(lab, execution, Retry(Selector(include=("000.txt",))))
        assert (record.entries, record.before, record.after) == (1, "failed", "pending")
        assert run.execution.totals.failed.entries == 2
        await change(lab, execution, Throttle(io_ops_per_s=None))
        ended = await lab.ended(execution)
        assert ended.state is ExecutionState.COMPLETED_WITH_ERRORS
        assert ended.totals.failed.entries == 2
        assert (target / "000.txt").read_bytes() == (source / "000.txt").read_bytes()
        (target / "001.bin").unlink()
        (target / "003.txt").unlink()
        await change(lab, ended, Retry(TEXTS))
        ended = await lab.ended(execution)
        assert ended.totals.failed.entries == 1
        assert (target / "003.txt").exists()
        assert not (target / "001.bin").exists()
        await change(lab, ended, Retry())
        assert (await lab.ended(execution)).state is ExecutionState.COMPLETED
    assert differences(source, target) == []
