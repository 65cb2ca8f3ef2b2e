"""Holds of some entries, priorities, places in the line, orders and skips, on real movers."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

import trees
from agenda import agenda_of, change, hold, lift, run_of, scope_of, take_back
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.execution import Execution
from migmond.domain.hold import HoldReason
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.steering import Level, Move, Order, Place, Prioritise, Reordering, Skip, StandingAction
from migmond.domain.task import Task
from migmond.engine.finish import Finisher
from migmond.engine.settings import EngineSettings
from migmond.engine.sieve import Page
from migmond.engine.station import Station
from migmond.planning.batching import BatchLimit, BatchSizer
from migmond.planning.selection import Matcher
from migmond.wire.to_mover import ToMover, Work
from oracle import differences, names_starting

SLOW = Limits(io_ops_per_s=0.001)
"""The first batch never ends."""
ONE = EngineSettings(workers=1)


def tree(source: Path) -> None:
    """20 files in two directories, and a large one that is begun first."""
    for directory in ("docs", "photos", "photos/deep"):
        (source / directory).mkdir(parents=True)
    for number in range(8):
        (source / "docs" / f"{number}.txt").write_bytes(b"x" * (1000 + 10 * number))
        (source / "photos" / f"{number}.jpg").write_bytes(b"y" * (5000 - number))
    for number in range(4):
        (source / "photos" / "deep" / f"{number}.mov").write_bytes(b"z" * 3000)


async def tasks_of(lab: Laboratory, execution: Execution) -> dict[bytes, Task]:
    return {t.name: t for t in await lab.journal.tasks(execution.key, limit=10_000)}


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The entries that went to movers, in order, one at a time."""
    numbers: list[int] = []
    send = Station.send

    async def noting(station: Station, message: ToMover) -> None:
        if isinstance(message, Work):
            for directory in message.directories:
                numbers.extend(directory.numbers())
        await send(station, message)

    monkeypatch.setattr(Station, "send", noting)
    monkeypatch.setattr(BatchSizer, "limit", BatchLimit(1, 1 << 30), raising=False)
    monkeypatch.setattr(BatchSizer, "__init__", lambda self: None)
    monkeypatch.setattr(BatchSizer, "observe", lambda self, *args: None)
    return numbers


async def known(lab: Laboratory, execution: Execution) -> None:
    """Wait until the scan has ended, while the execution is paused as a whole."""
    await lab.until(lambda: not lab.engine.find(execution.id).totals.growing)


async def names_begun(lab: Laboratory, execution: Execution, begun: list[int]) -> list[str]:
    tasks = await lab.journal.get_tasks(execution.key, sorted(set(begun)))
    return [os.fsdecode(tasks[n].name) for n in begun]


@pytest.mark.parametrize("stop", ["restart", "lift"])
async def test_what_is_held_waits_and_keeps_nobody(tmp_path: Path, stop: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    tree(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target))
        await scope_of(lab, execution)
        hold(lab, execution, "h1", Selector(include=("*.jpg",)))
        await lab.until(lambda: "is held" in lab.engine.find(execution.id).reason)
        now = lab.engine.find(execution.id)
        assert (now.state, now.reason) == (ExecutionState.RUNNING, "the rest, 8 entries, is held: i-1 by ana")
        assert not list((target / "photos").glob("*.jpg"))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries == 12)
        progress = lab.engine.view(lab.engine.find(execution.id)).progress
        assert (progress.seconds_remaining, progress.eta_reason) == (None, "what is left is held")
        if stop == "lift":
            lift(lab, execution, "h1")
            done = await lab.ended(execution)
    if stop == "restart":
        async with laboratory(tmp_path / "state") as lab:
            await lab.until(lambda: "is held" in lab.engine.find(execution.id).reason)
            assert not list((target / "photos").glob("*.jpg"))
            lift(lab, execution, "h1")
            done = await lab.ended(execution)
    assert (done.state, done.reason) == (ExecutionState.COMPLETED, "")
    assert differences(source, target) == []


async def test_what_was_copied_already_when_it_was_held_is_not_waited_for(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "later").mkdir(parents=True)
    (source / "small.jpg").write_bytes(b"y")
    (source / "later" / "large").write_bytes(b"z" * (3 << 20))
    limits = Limits(io_bytes_per_s=2 << 20)
    async with laboratory(tmp_path / "state", settings=ONE) as lab:
        execution = await lab.start(plan(source, target, reflink=False, limits=limits))
        await scope_of(lab, execution)
        at_work = run_of(lab, execution)

        def has_begun_the_large_one() -> bool:
            seen = at_work.observation()
            return seen is not None and any(m.file_done > 1 for m in seen.movers)

        await lab.until(has_begun_the_large_one)
        task = (await tasks_of(lab, execution))[b"small.jpg"]
        assert task.state is TaskState.PENDING  # it is in a group with the large one, which is not complete
        hold(lab, execution, "h1", Selector(include=("*.jpg",)))
        done = await lab.ended(execution)
    assert (done.state, done.totals.done.entries) == (ExecutionState.COMPLETED, 4)
    assert differences(source, target) == []


ORDERS: list[tuple[list[StandingAction], list[str]]] = [
    ([Reordering(Order.SMALL_FIRST)], ["0.txt", "1.txt", "2.txt", "3.txt"]),
    ([Reordering(Order.LARGE_FIRST)], ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]),
    ([Reordering(Order.MIXED)], ["0.txt", "0.jpg", "1.txt", "1.jpg"]),
    ([Prioritise(Selector(include=("*.mov",)), Level.HIGH)], ["0.mov", "1.mov", "2.mov", "3.mov"]),
    (
        [Move(Selector(include=("7.*",)), Place.FIRST), Reordering(Order.LARGE_FIRST)],
        ["7.jpg", "7.txt", "0.jpg", "1.jpg"],
    ),
]


@pytest.mark.parametrize(("actions", "first"), ORDERS)
async def test_entries_begin_in_the_order_that_was_asked_for(
    tmp_path: Path, begun: list[int], actions: list[StandingAction], first: list[str]
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    tree(source)
    async with laboratory(tmp_path / "state", ONE) as lab:
        execution = await lab.start(plan(source, target))
        scope = await scope_of(lab, execution)
        hold(lab, execution, "h1", Selector(include=("**",)))
        for position, action in enumerate(actions):
            change(lab, execution, f"i-{position}", action)
        await lab.until(lambda: "is held" in lab.engine.find(execution.id).reason)
        await lab.until(lambda: not scope.in_hand)
        begun.clear()
        started = lab.engine.find(execution.id).totals.done.entries
        lift(lab, execution, "h1")
        done = await lab.ended(execution)
        names = await names_begun(lab, execution, begun)
    assert started == 0
    assert set(names[:4]) == set(first) if "mov" in first[0] else names[:4] == first
    assert len(names) == len(set(begun)) == 20
    assert done.state is ExecutionState.COMPLETED
    assert differences(source, target) == []


async def test_a_skip_leaves_out_at_once_and_undone_brings_back_exactly_those(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    tree(source)
    (source / "photos" / "empty").mkdir()
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target))
        await scope_of(lab, execution)
        hold(lab, execution, "h1", Selector(include=("**",)))
        change(lab, execution, "i-7", Skip(Selector(under=b"photos")))
        change(lab, execution, "i-8", Skip(Selector(include=("7.*",))))
        await lab.until(lambda: lab.engine.find(execution.id).totals.skipped.entries == 13)
        totals = lab.engine.find(execution.id).totals
        assert totals.skipped.bytes == sum(5000 - n for n in range(8)) + 4 * 3000 + 1070
        take_back(lab, execution, "i-8")
        await lab.until(lambda: lab.engine.find(execution.id).totals.skipped.entries == 12)
        lift(lab, execution, "h1")
        done = await lab.ended(execution)
        tasks = await tasks_of(lab, execution)
        counted = await lab.engine.counted(done)
    assert done.state is ExecutionState.COMPLETED
    assert sorted(p.name for p in target.iterdir()) == ["docs"]
    assert {t.outcome for n, t in tasks.items() if n.endswith((b".jpg", b".mov"))} == {Outcome.LEFT_OUT}
    assert all(tasks[n].state is TaskState.SKIPPED for n in (b"photos", b"deep", b"empty"))
    assert done.totals.settled == done.totals.planned
    assert counted.cube is not None
    assert counted.cube.sums().skipped == done.totals.skipped
    assert differences(source / "docs", target / "docs") == []


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
async def test_what_was_skipped_comes_back_even_when_all_else_is_done(
    tmp_path: Path, other_fs: Path, operation: Operation
) -> None:
    source, target, pristine = tmp_path / "source", other_fs / "target", tmp_path / "pristine"
    tree(source)
    tree(pristine)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, operation))
        agenda = await agenda_of(lab, execution)
        change(lab, execution, "i-7", Skip(Selector(under=b"photos/deep")))
        close = agenda.close

        def undone_now() -> None:
            close()
            if any(s.id == "i-7" for s in lab.engine.find(execution.id).standing):
                take_back(lab, execution, "i-7")

        agenda.close = undone_now  # type: ignore[method-assign]
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert done.totals.skipped.entries == 0
    assert differences(pristine, target, times=False, directory_times=False) == []


@pytest.mark.parametrize("last_read", [1, 2])
async def test_what_is_asked_for_while_all_is_being_read_concerns_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, last_read: int
) -> None:
    """Of files, or of further names, nothing is left to read when somebody skips: it was taken for evaluated."""
    source, target = tmp_path / "source", tmp_path / "target"
    tree(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target))
        hold(lab, execution, "h1", Selector(include=("**",)))  # before anything can have gone to a mover
        agenda = await agenda_of(lab, execution)
        await known(lab, execution)
        await lab.until(lambda: all(agenda._intake.complete))
        read, ends = agenda._intake._sieve.read, list[bool]()

        async def asked_meanwhile(after: int, matchers: Sequence[Matcher], *, followers: bool, limit: int) -> Page:
            page = await read(after, matchers, followers=followers, limit=limit)
            if not page.tasks.numbers:
                ends.append(followers)
                if len(ends) == last_read:
                    change(lab, execution, "i-8", Skip(Selector(include=("*.jpg",))))
            return page

        monkeypatch.setattr(agenda._intake._sieve, "read", asked_meanwhile)
        change(lab, execution, "i-7", Skip(Selector(include=("1.txt",))))
        await lab.until(lambda: lab.engine.find(execution.id).totals.skipped.entries == 9)
        assert ends[:2] == [False, True]
        lift(lab, execution, "h1")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert list(target.rglob("*.jpg")) == []


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
@pytest.mark.parametrize("when", ["before links", "after all"])
async def test_the_first_name_of_a_file_that_was_skipped_comes_back_as_one_of_its_names(
    tmp_path: Path, other_fs: Path, operation: Operation, when: str
) -> None:
    source, target, pristine = tmp_path / "source", other_fs / "target", tmp_path / "pristine"
    for where in (source, pristine):
        tree(where)
        (where / "docs" / "0.txt").unlink()
        for name in ("b", "c", "d"):
            (where / "docs" / name).hardlink_to(where / "docs" / "1.txt")
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, operation))
        hold(lab, execution, "h1", Selector(include=("**",)))  # before anything can have gone to a mover
        agenda = await agenda_of(lab, execution)
        await known(lab, execution)
        linked = [t for t in (await tasks_of(lab, execution)).values() if t.links == 4 and t.size == 1010]
        (first,) = [t for t in linked if not t.leader]
        assert {t.leader for t in linked} == {0, first.number}
        change(lab, execution, "i-7", Skip(Selector(include=(os.fsdecode(first.name),))))
        await lab.until(lambda: lab.engine.find(execution.id).totals.skipped.entries == 1)
        asked_for = agenda.close if when == "after all" else agenda.begin
        passes: list[None] = []

        def undone_now() -> None:
            asked_for()
            passes.append(None)
            if len(passes) == 1:
                take_back(lab, execution, "i-7")

        name = "close" if when == "after all" else "begin"
        setattr(agenda, name, undone_now)
        lift(lab, execution, "h1")
        done = await lab.ended(execution)
        counted = await lab.engine.counted(done)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert passes
    assert len({(target / "docs" / os.fsdecode(t.name)).stat().st_ino for t in linked}) == 1
    assert differences(pristine, target, times=False, directory_times=False) == []
    assert done.totals.settled == done.totals.planned
    assert done.totals.skipped.bytes == 0
    assert counted.cube is not None
    assert counted.cube.sums().planned == done.totals.planned


async def test_what_was_skipped_comes_back_when_it_is_undone_in_a_pause_that_came_last_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    tree(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target))
        await scope_of(lab, execution)
        run = run_of(lab, execution)
        change(lab, execution, "i-7", Skip(Selector(under=b"photos/deep")))
        directories = Finisher.directories

        async def paused_then(finisher: Finisher) -> None:
            await directories(finisher)
            if run.execution.standing:
                run.pause(HoldReason.USER, "ana", "", None)

        monkeypatch.setattr(Finisher, "directories", paused_then)
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        assert not run.past_bringing_back
        take_back(lab, execution, "i-7")
        run.lift(lambda h: True, "lifted")
        done = await lab.ended(execution)
    assert (done.state, done.totals.skipped.entries) == (ExecutionState.COMPLETED, 0)
    assert differences(source, target) == []


@pytest.mark.parametrize("then", [pytest.param("lift", marks=pytest.mark.alone), "skip", "cancel", "drain", "kill"])
async def test_a_mover_waits_with_a_held_file_while_another_takes_its_place(tmp_path: Path, then: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "a-large").write_bytes(random.Random(1).randbytes(1 << 20) * 300)
    trees.small_files(source / "z", 300, 500, random.Random(1))
    async with laboratory(tmp_path / "state", ONE) as lab:
        execution = await lab.start(plan(source, target, reflink=False, limits=Limits(io_bytes_per_s=16 << 20)))
        scope = await scope_of(lab, execution)

        def large_at_hand() -> list[Station]:
            looks = [(s, s.process.control.look()) for s in scope.crew.stations.values()]
            return [s for s, glimpse in looks if glimpse.file_bytes == 300 << 20 and glimpse.file_done]

        await lab.until(lambda: bool(large_at_hand()))
        (station,) = large_at_hand()
        began = trio.current_time()
        hold(lab, execution, "h1", Selector(larger_than=1 << 20))
        await lab.until(lambda: station.process.control.look().paused)
        if then == "lift":
            assert trio.current_time() - began < 0.5  # a shared machine; the goal is 0.1 s
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries >= 300)
        assert station.process.control.look().paused
        if then in ("lift", "kill"):
            scope.account.change(limits=Limits())
            scope.share_limits()
        if then == "kill":
            station.process.kill()
            await lab.until(lambda: "is held" in lab.engine.find(execution.id).reason)
        if then in ("lift", "kill"):
            lift(lab, execution, "h1")
        elif then == "skip":
            change(lab, execution, "i-2", Skip(Selector(include=("a-large",))))
        elif then == "cancel":
            await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        else:
            await lab.engine.drain(lab.engine.find(execution.id), "ana", "")
        done = await lab.ended(execution, 20)
        large = (await tasks_of(lab, execution))[b"a-large"]
    states = {"cancel": ExecutionState.CANCELLED, "drain": ExecutionState.DRAINED}
    assert done.state is states.get(then, ExecutionState.COMPLETED)
    assert names_starting(target, b".migmond-") == []
    if then in ("lift", "kill"):
        assert differences(source, target) == []
    else:
        assert not (target / "a-large").exists()
        wanted = {"skip": TaskState.SKIPPED, "cancel": TaskState.CANCELLED, "drain": TaskState.PENDING}
        assert large.state is wanted[then]
