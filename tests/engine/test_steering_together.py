"""Changes that meet each other, faults, restarts and the end: rollbacks after all of it, full disks, what movers wait
with, and two people at once."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import msgspec
import pytest
import trio
from msgspec import UNSET

import agenda
import loopfs
import trees
from engine_harness import ME, Laboratory, laboratory, plan
from loopfs import mounted, tmpfs
from migmond.domain.errors import Conflict
from migmond.domain.execution import Execution
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState
from migmond.domain.steering import (
    Action,
    BatchSize,
    Drain,
    Order,
    Pause,
    Reordering,
    Resume,
    Retry,
    Skip,
    Throttle,
    Weight,
    Workers,
)
from migmond.engine.recording import Ask
from migmond.engine.rollbacks import Rollback
from migmond.engine.scope import Scope
from migmond.engine.settings import EngineSettings
from migmond.engine.station import Station
from migmond.planning.turns import TurnLimits
from oracle import differences, names_starting
from steering import (
    LASTING,
    SLOW,
    TEXTS,
    cancelled,
    change,
    journaled,
    on_record,
    running,
    texts_and_others,
    what_holds,
)

needs_ext4 = pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
MANY = EngineSettings(workers=1, turns=TurnLimits(movers=8, movers_per_user=8))


def scope_of(lab: Laboratory, execution: Execution) -> Scope:
    run = lab.engine.run_of(execution.id)
    assert run is not None
    assert run.scope is not None
    return run.scope


# --- rolled back after everything ------------------------------------------------------------------


@needs_ext4
async def test_what_was_skipped_retried_renamed_and_resumed_is_rolled_back(tmp_path: Path) -> None:
    source, before = texts_and_others(tmp_path / "source"), tmp_path / "before"
    (source / "sub").mkdir()
    for name in ("a", "b", "c"):
        (source / "sub" / name).write_bytes(name.encode() * 100)
    with mounted(tmp_path / "disk", "ext4") as disk:
        target = disk.root / "target"
        (target / "sub").mkdir(parents=True)
        theirs = ["000.txt", "001.bin", "300.txt", "500.bin"]
        for name in theirs:
            (target / name).write_bytes(b"theirs")
        subprocess.run(["chattr", "+i", target / "sub"], check=True)  # whatever goes in there fails
        try:
            async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
                await lab.run(plan(source, before))
                execution = await running(lab, source, target, operation=Operation.MOVE, conflict=ConflictPolicy.RENAME)
                skip = await change(lab, execution, Skip(Selector(include=("*7.bin",))))
                await change(lab, execution, Drain())
                await lab.ended(execution)
            async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
                await change(lab, execution, Throttle(io_ops_per_s=None))
                await change(lab, execution, Resume())
                first = await lab.ended(execution)
                assert first.state is ExecutionState.COMPLETED_WITH_ERRORS
                assert first.totals.failed.entries >= 3
                subprocess.run(["chattr", "-i", target / "sub"], check=True)
                await change(lab, first, Retry())
                done = await lab.ended(execution)
                assert (done.state, done.reason) == (ExecutionState.COMPLETED, "")
                skipped = {t.name for t in await lab.journal.left_out_by(done.key, skip.id)}
                assert skipped
                assert {os.fsencode(p.name) for p in source.iterdir() if p.is_file()} == skipped
                assert (target / "300 (1).txt").read_bytes() == (before / "300.txt").read_bytes()
                back = await lab.ended(await lab.engine.rollback(Rollback(done), ME, "ana"))
        finally:
            subprocess.run(["chattr", "-i", target / "sub"], check=False)
        assert (back.state, back.reason) == (ExecutionState.COMPLETED, "")
        assert differences(before, source, directory_times=False) == []
        assert {p.name: p.read_bytes() for p in target.rglob("*") if p.is_file()} == dict.fromkeys(theirs, b"theirs")


# --- with what holds a disk ------------------------------------------------------------------------


@needs_root
async def test_a_drain_while_a_full_disk_holds_ends_drained_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.large_files(source, 6, 1 << 20, random.Random(1))
    # What is tried again by itself would be too late: ten minutes.
    settings = EngineSettings(workers=1, hold_s=600.0)
    with tmpfs(tmp_path / "full", "size=16m") as full:
        (full / "ballast").write_bytes(b"x" * (12 << 20))
        async with laboratory(tmp_path / "state", settings) as lab:
            execution = await lab.start(plan(source, full / "target", Operation.MOVE))
            await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
            assert [h.reason.value for h in lab.engine.find(execution.id).holds] == ["space"]
            await change(lab, execution, Drain())
            drained = await lab.ended(execution)
            assert drained.state is ExecutionState.DRAINED
        assert names_starting(full, b".migmond-") == []
        (full / "ballast").unlink()
        async with laboratory(tmp_path / "state", settings) as lab:
            await change(lab, drained, Resume())
            done = await lab.ended(execution)
        assert (done.state, done.totals.done) == (ExecutionState.COMPLETED, done.totals.planned)
        assert len(list((full / "target").iterdir())) == 6


# --- before it begins -------------------------------------------------------------------------------


@pytest.mark.parametrize("skipped", [False, True])
async def test_a_tree_is_not_renamed_as_a_whole_when_a_part_of_it_is_to_stay(tmp_path: Path, *, skipped: bool) -> None:
    """Without that it goes by one rename."""
    source, target, secret = tmp_path / "source", tmp_path / "target", Selector(include=("secret*",))
    trees.small_files(source, 20, 500, random.Random(1))
    (source / "secret plan").write_bytes(b"stays here")
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, Operation.MOVE))
        if skipped:
            agenda.change(lab, execution, "i-7", Skip(secret))
        else:
            agenda.hold(lab, execution, "h1", secret)
            await lab.until(lambda: lab.engine.find(execution.id).stands_still)
            assert (source / "secret plan").read_bytes() == b"stays here"
            assert len([p for p in target.rglob("*") if p.is_file()]) == 20
            agenda.lift(lab, execution, "h1")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert (source / "secret plan").exists() == skipped
    assert (target / "secret plan").exists() == (not skipped)
    assert len([p for p in target.rglob("*") if p.is_file()]) == 21 - skipped


# --- with what a mover has in hand -----------------------------------------------------------------


LARGE = 40 << 20


def large_at_hand(scope: Scope) -> dict[int, Station]:
    """Return the movers that are in the middle of a large file, by slot."""
    looks = {slot: (station, station.process.control.look()) for slot, station in scope.crew.stations.items()}
    return {slot: s for slot, (s, glimpse) in looks.items() if glimpse.file_bytes == LARGE and glimpse.file_done}


async def copying_large_files(lab: Laboratory, source: Path, target: Path, count: int) -> tuple[Execution, Scope]:
    """Start so many movers, each of which has a large file, and small ones beside them."""
    source.mkdir()
    for number in range(count):
        (source / f"large-{number}").write_bytes(random.Random(number).randbytes(1 << 20) * (LARGE >> 20))
    trees.small_files(source / "z", 300, 500, random.Random(1))
    slow = Limits(io_bytes_per_s=4 << 20)
    execution = await lab.start(plan(source, target, reflink=False, limits=slow, workers=count))
    run = lab.engine.run_of(execution.id)
    assert run is not None
    await lab.until(lambda: run.scope is not None)
    scope = scope_of(lab, execution)
    await lab.until(lambda: len(large_at_hand(scope)) == count)
    return execution, scope


async def test_several_movers_wait_at_once_and_as_many_others_take_their_places(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    async with laboratory(tmp_path / "state", MANY) as lab:
        execution, scope = await copying_large_files(lab, source, target, 3)
        parked = large_at_hand(scope)
        held = await change(lab, execution, Pause(Selector(larger_than=1 << 20)))
        await lab.until(lambda: all(s.process.control.look().paused for s in parked.values()))
        places = {slot: s.process.control.look().file_done for slot, s in parked.items()}
        await change(lab, execution, Throttle(io_bytes_per_s=None))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries >= 300)
        await change(lab, execution, Workers(1))
        assert {slot: s.process.control.look().file_done for slot, s in parked.items()} == places
        await lab.engine.undoing.undo(held.id, "ana", "")
        done = await lab.ended(execution)
    assert (done.state, done.reason) == (ExecutionState.COMPLETED, "")
    assert done.totals.done == done.totals.planned
    assert differences(source, target) == []


async def test_a_held_file_stays_held_when_the_mover_that_waits_with_it_is_to_leave(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    async with laboratory(tmp_path / "state", MANY) as lab:
        execution, scope = await copying_large_files(lab, source, target, 4)
        last = large_at_hand(scope)[4]
        name = os.fsdecode(last.process.control.look().name or b"")
        held = await change(lab, execution, Pause(Selector(include=(name,))))
        await lab.until(lambda: last.process.control.look().paused)
        place = last.process.control.look().file_done
        await change(lab, execution, Workers(1))
        assert last.leaving
        await change(lab, execution, Throttle(io_bytes_per_s=None))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries >= 303)
        assert last.process.control.look().paused
        assert last.process.control.look().file_done == place
        assert not (target / name).exists()
        await lab.engine.undoing.undo(held.id, "ana", "")
        done = await lab.ended(execution)
    assert (done.state, done.reason) == (ExecutionState.COMPLETED, "")
    assert differences(source, target) == []


async def test_a_limit_that_is_changed_in_a_pause_holds_when_it_goes_on(tmp_path: Path) -> None:
    source = texts_and_others(tmp_path / "source")
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target")
        await change(lab, execution, Pause())
        first = await change(lab, execution, Throttle(io_ops_per_s=0.01))
        await change(lab, execution, Throttle(io_bytes_per_s=12345))
        limiter = scope_of(lab, execution).limiter
        assert (limiter.allowance.ops_per_s, limiter.allowance.bytes_per_s) == (0.01, 12345)
        await lab.engine.undoing.undo(first.id, "ana", "")
        await change(lab, execution, Resume())
        assert (limiter.allowance.ops_per_s, limiter.allowance.bytes_per_s) == (SLOW.io_ops_per_s, 12345)
        await cancelled(lab, execution)


async def test_a_limit_and_a_pause_outlive_a_restart_together(tmp_path: Path) -> None:
    source = texts_and_others(tmp_path / "source")
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target")
        await change(lab, execution, Pause())
        await change(lab, execution, Throttle(io_ops_per_s=7.0))
    async with laboratory(tmp_path / "state") as lab:
        await lab.engine._roster.controllable(execution)
        assert lab.engine.find(execution.id).state is ExecutionState.PAUSED
        await change(lab, execution, Resume())
        await lab.until(lambda: bool(scope_of(lab, execution).crew.stations))
        assert scope_of(lab, execution).limiter.allowance.ops_per_s == 7.0
        await cancelled(lab, execution)


# --- restarts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_was_changed_before_a_restart_is_taken_back_after_it_in_any_order(tmp_path: Path, seed: int) -> None:
    source, rng = texts_and_others(tmp_path / "source"), random.Random(seed)
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target")
        before = what_holds(lab.engine.find(execution.id))
        records = [await change(lab, execution, action) for action in LASTING]
        changed = what_holds(lab.engine.find(execution.id))
    rng.shuffle(records)
    for first in range(0, len(records), 3):
        async with laboratory(tmp_path / "state") as lab:
            await lab.engine._roster.controllable(execution)
            assert first or what_holds(lab.engine.find(execution.id)) == changed
            await take_back(lab, execution, [r.id for r in records[first : first + 3]])
    async with laboratory(tmp_path / "state") as lab:
        await lab.engine._roster.controllable(execution)
        assert what_holds(lab.engine.find(execution.id)) == before
        await change(lab, execution, Throttle(io_ops_per_s=None))
        done = await lab.ended(execution)
    assert (done.state, done.totals.skipped.entries) == (ExecutionState.COMPLETED, 0)
    assert differences(source, tmp_path / "target") == []


async def take_back(lab: Laboratory, execution: Execution, ids: list[str]) -> None:
    for id_ in ids:
        await lab.engine.undoing.undo(id_, "ben", "after the restart")
        assert (await on_record(lab, execution, id_)).ended_by == "ben"
        with pytest.raises(Conflict, match="was taken back by ben"):
            await lab.engine.undoing.undo(id_, "ana", "")


# --- two people ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_two_people_who_steer_at_once_both_get_what_they_were_told(tmp_path: Path, seed: int) -> None:
    """Whatever they do between each other: what holds follows from what is on record and not over, oldest first."""
    source = texts_and_others(tmp_path / "source")
    async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
        execution = await running(lab, source, tmp_path / "target", limits=Limits(io_ops_per_s=20.0))
        told: dict[str, list[str]] = {"ana": [], "ben": []}
        async with trio.open_nursery() as nursery:
            for author in told:
                nursery.start_soon(steers, lab, execution, author, told[author], random.Random(f"{seed} {author}"))
        now, kept = lab.engine.find(execution.id), await journaled(lab, execution)
        records = {r.id: r for r in await lab.journal.interventions(execution.id)}
        assert set(records) == {*told["ana"], *told["ben"]}
        assert {a: sorted(i for i, r in records.items() if r.author == a) for a in told} == {
            a: sorted(ids) for a, ids in told.items()
        }
        assert what_holds(now) == what_holds(kept)
        left = [r for r in sorted(records.values(), key=lambda r: int(r.id[2:])) if r.ended_at is None]
        assert sorted(s.id for s in now.standing) == sorted(
            r.id for r in left if not isinstance(r.action, Pause | Resume)
        )
        assert sorted(h.intervention for h in now.holds) == sorted(r.id for r in left if isinstance(r.action, Pause))
        assert now.limits == expected_limits(now)
        await cancelled(lab, execution)


def expected_limits(now: Execution) -> Limits:
    found = msgspec.structs.asdict(now.plan.limits)
    for standing in now.standing:
        if isinstance(standing.action, Throttle):
            found |= {k: v for k, v in msgspec.structs.asdict(standing.action).items() if v is not UNSET}
    return Limits(**found)


async def steers(lab: Laboratory, execution: Execution, author: str, told: list[str], rng: random.Random) -> None:
    actions: list[Action] = [
        Throttle(io_bytes_per_s=1 << 20), Throttle(io_bytes_per_s=2 << 20, cpu_percent=90.0), Workers(1), Workers(2),
        BatchSize(7), Reordering(Order.SMALL_FIRST), Weight(2.0), Pause(TEXTS), Pause(), Resume(),
    ]  # fmt: skip
    for _ in range(15):
        try:
            if told and rng.random() < 0.3:
                await lab.engine.undoing.undo(rng.choice(told), author, "")
            else:
                _, record = await lab.engine.steering.intervene(execution, Ask(rng.choice(actions), author))
                assert record is not None
                told.append(record.id)
        except Conflict:
            pass  # the other one, or he himself, has done so already
        await trio.sleep(rng.choice((0.0, 0.0, 0.002)))
