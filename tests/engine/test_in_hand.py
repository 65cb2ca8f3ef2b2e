"""Each task is in hand once: over restarts, deaths of movers and groups that cannot be settled; and counted once."""

from __future__ import annotations

import errno
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine_harness import Laboratory, laboratory, plan
from migmond.domain.entry import EntryType
from migmond.domain.errors import MigmondError
from migmond.domain.execution import Execution, Tally
from migmond.domain.fault import Fault, Phase
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.task import Task
from migmond.engine.in_hand import InHand
from migmond.engine.process import MoverProcess
from migmond.engine.run import Run
from migmond.engine.settings import EngineSettings
from migmond.engine.station import Station
from migmond.wire.from_mover import FromMover, Settled
from migmond.wire.items import PublishResult
from migmond.wire.to_mover import Publish, ToMover, Work
from migmond_sqlite import SqliteJournal, open_journal
from oracle import differences

MOVE = Operation.MOVE
SETTINGS = EngineSettings(workers=2, group_entries=10, hold_s=0.05, restart_limit=1000)
TEMPORARY = ".migmond-"


# --- the ledger of hands itself --------------------------------------------------------------------


def test_a_task_that_is_in_hand_is_not_taken_again() -> None:
    hands = InHand()
    assert hands.take(7)
    assert not hands.take(7)
    hands.send(7)
    assert not hands.take(7)
    hands.back(7)
    hands.send(7)
    hands.settle(7)
    hands.composed()
    assert not hands.take(7)  # the journal does not know yet
    hands.written()
    assert len(hands) == 0
    hands.adopt([8])
    assert not hands.take(8)


def test_what_is_settled_while_the_journal_is_read_may_be_in_an_old_answer() -> None:
    hands = InHand()
    hands.adopt([7])
    with hands.reading():
        hands.settle(7)
        hands.composed()
        hands.written()
        assert not hands.take(7)
    assert hands.take(7)


def test_what_is_settled_after_a_transaction_was_put_together_waits_for_the_next() -> None:
    hands = InHand()
    hands.adopt([7, 8])
    hands.settle(7)
    hands.composed()
    hands.settle(8)
    hands.written()
    assert hands.take(7)
    assert not hands.take(8)


@pytest.mark.parametrize(
    "steps", ["send", "back", "settle", "take send send", "take back", "take settle", "take leave leave",
              "take send settle settle", "take send leave", "take send settle back"],
)  # fmt: skip
def test_a_step_that_does_not_fit_is_an_error(steps: str) -> None:
    hands = InHand()
    *before, last = steps.split()
    for step in before:
        getattr(hands, step)(7)
    with pytest.raises(MigmondError, match=r"entry 7 is .* a mistake of migmond"):
        getattr(hands, last)(7)


@pytest.mark.parametrize("steps", ["send", "send settle", "send settle settle", "settle", "send send"])
@pytest.mark.parametrize("numbers", [[7], [7, 8, 9], [9, 7, 9], [8, 5]])
def test_many_at_once_step_as_each_of_them_would(steps: str, numbers: list[int]) -> None:
    """5 is not in hand, and what is twice among them does not fit the second time."""

    def outcome(hands: InHand, step: Callable[[str], None]) -> str | tuple[list[bool], int]:
        try:
            for name in steps.split():
                step(name)
        except MigmondError as e:
            return e.message
        hands.composed()
        hands.written()
        return [n in hands for n in range(10)], len(hands)

    def each(name: str) -> None:
        for number in numbers:
            getattr(one_by_one, name)(number)

    one_by_one, together = InHand(), InHand()
    for hands in (one_by_one, together):
        for number in (7, 8, 9):
            hands.take(number)
    found = outcome(together, lambda name: getattr(together, f"{name}_all")(numbers))
    assert found == outcome(one_by_one, each)


def test_many_at_once_are_taken_once() -> None:
    hands = InHand()
    hands.take(7)
    some = [Task(n, 1, b"%d" % n, EntryType.FILE, 0, 0, 0, n, 1, 1) for n in (6, 7, 8)]
    assert hands.take_all([*some, some[0]]) == [some[0], some[2]]
    assert hands.take_all(some) == []
    hands.send_all([6, 7, 8])


# --- a real engine ---------------------------------------------------------------------------------


def some_files(source: Path, count: int) -> None:
    source.mkdir()
    for number in range(count):
        (source / f"f{number:03}").write_bytes(b"%03d" % number * (1 + number * 40))


class Watch:
    """Sees every batch that is sent; each of its tasks must be in one hand only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: Counter[int] = Counter()
        self.twice: set[int] = set()
        self.lab: Laboratory | None = None
        send = Station.send

        async def watched(station: Station, message: ToMover) -> None:
            if isinstance(message, Work):
                numbers = set[int]().union(*(d.numbers() for d in message.directories))
                self.sent.update(numbers)
                self.twice |= {n for n, hands in self._hands().items() if hands > 1} & numbers
            await send(station, message)

        monkeypatch.setattr(Station, "send", watched)

    def _hands(self) -> Counter[int]:
        hands: Counter[int] = Counter()
        assert self.lab is not None
        for run in self.lab.engine._roster.runs():
            scope = run._scope
            assert scope is not None
            for station in scope.crew.stations.values():
                for batch in station.flight.batches.values():
                    hands.update(batch.tasks.keys())
                for group in station.flight.groups.values():
                    hands.update(group.tasks.keys())
            for orphan in scope.orphans:
                hands.update(orphan.tasks.keys())
        return hands


async def left_unpublished(state: Path, source: Path, target: Path, operation: Operation) -> Execution:
    """Run until groups are journaled, and cut it off before any of them is published."""
    with pytest.MonkeyPatch.context() as patch:
        send = Station.send

        async def never_publish(station: Station, message: ToMover) -> None:
            if not isinstance(message, Publish):
                await send(station, message)

        patch.setattr(Station, "send", never_publish)
        async with laboratory(state, SETTINGS) as lab:
            execution = await lab.start(plan(source, target, operation))
            members: set[int] = set()
            while len(members) < 20:
                groups = await lab.journal.open_groups(execution.key)
                members = {m.number for g in groups for m in g.members}
    return execution


@pytest.fixture
def unsettled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Movers that find nothing of a group say that the target is read-only: once for each of them."""
    receive = MoverProcess.receive
    told: set[int] = set()

    async def read_only(process: MoverProcess) -> FromMover | None:
        message = await receive(process)
        if isinstance(message, Settled) and not told.intersection(message.lost):
            told.update(message.lost)
            fault = Fault(Phase.PUBLISH, "EROFS", errno.EROFS, "Read-only file system")
            faults = tuple(PublishResult(n, Outcome.NONE, None, fault) for n in message.lost)
            return msgspec.structs.replace(message, published=message.published + faults, lost=())
        return message

    monkeypatch.setattr(MoverProcess, "receive", read_only)
    yield
    assert told


async def restarted(
    tmp_path: Path, target: Path, operation: Operation, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    source, pristine = tmp_path / "source", tmp_path / "pristine"
    some_files(source, 60)
    some_files(pristine, 60)
    execution = await left_unpublished(tmp_path / "state", source, target, operation)
    left = list(target.glob(f"{TEMPORARY}*"))
    assert len(left) >= 20
    for path in left if lost else ():
        path.unlink()
    watch = Watch(monkeypatch)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        watch.lab = lab
        done = await lab.ended(execution)
        assert watch.twice == set()
        assert set(watch.sent.values()) <= {1}
        assert watch.sent or not lost
        assert counted(await lab.journal.tasks(done.key, limit=1000)) == sums(done)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert done.totals.done == done.totals.planned
    assert differences(pristine, target, times=False, directory_times=False) == []
    assert source.exists() is (operation is Operation.COPY)


@pytest.mark.hazard(6)
@pytest.mark.parametrize("operation", [Operation.COPY, MOVE])
@pytest.mark.parametrize("lost", [False, True])
async def test_members_of_a_group_that_a_restart_finds_are_in_one_hand(
    tmp_path: Path, other_fs: Path, operation: Operation, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was lost was dispatched by the one who settled it, and by the one who reads what is pending."""
    await restarted(tmp_path, other_fs / "target", operation, monkeypatch, lost=lost)


@pytest.mark.usefixtures("unsettled")
@pytest.mark.parametrize("operation", [Operation.COPY, MOVE])
async def test_members_that_cannot_be_settled_are_in_one_hand(
    tmp_path: Path, other_fs: Path, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await restarted(tmp_path, other_fs / "target", operation, monkeypatch, lost=True)


async def test_a_task_that_is_dispatched_twice_by_a_mistake_ends_the_execution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    some_files(source, 60)
    take_all, tasks = InHand.take_all, SqliteJournal.tasks

    async def doubled(journal: SqliteJournal, *args: Any, **kwargs: Any) -> list[Task]:
        return [t for t in await tasks(journal, *args, **kwargs) for _ in range(2)]

    monkeypatch.setattr(SqliteJournal, "tasks", doubled)
    monkeypatch.setattr(InHand, "take_all", lambda hands, page: [*take_all(hands, page), *page[1::2]])
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        failed = await lab.run(plan(source, target))
        assert failed.state is ExecutionState.FAILED
        assert "a mistake of migmond" in failed.reason
        monkeypatch.undo()
        await lab.engine.resume(failed, "ana", "")
        done = await lab.ended(failed)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, target) == []


@pytest.mark.hazard(13)
async def test_what_a_restart_cut_off_makes_room_for_its_next_attempt(tmp_path: Path) -> None:
    """Each attempt has a name of its own: a large file that never came to its end would fill the disk."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(24 << 20))

    def temporaries() -> set[str]:
        return {p.name for p in target.glob(f"{TEMPORARY}*")}

    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, target, reflink=False, limits=Limits(io_bytes_per_s=12 << 20)))
        await lab.until(lambda: bool(temporaries()))
    (first,) = temporaries()
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        await lab.until(lambda: bool(temporaries() - {first}))
        (second,) = temporaries()
        run = lab.engine.run_of(execution.id)
        assert run is not None
        assert run._scope is not None
        for process in list(run._scope.crew.processes.values()):
            process.kill()
        await lab.until(lambda: bool(temporaries() - {second}))
        assert len(temporaries()) == 1
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, target) == []


# --- random sequences against a naive count --------------------------------------------------------


def counted(tasks: list[Task]) -> dict[str, Tally]:
    """What the journal's entries come to, counted one by one."""
    sums = {state: Tally() for state in ("planned", "done", "failed", "skipped")}
    names = {TaskState.DONE: "done", TaskState.FAILED: "failed", TaskState.SKIPPED: "skipped"}
    for task in tasks:
        size = task.size if task.type is EntryType.FILE and not task.leader else 0
        for name in ("planned", names.get(task.state)):
            if name:
                sums[name] = sums[name].plus(1, size)
    return sums


def sums(execution: Execution) -> dict[str, Tally]:
    totals = execution.totals
    return {"planned": totals.planned, "done": totals.done, "failed": totals.failed, "skipped": totals.skipped}


class Misfortune:
    """Groups that are journaled and go no further; movers that die when they settle these, or cannot do it: as the
    dice fall."""

    def __init__(self, rng: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
        self._rng = rng
        self.met: Counter[str] = Counter()
        self.luck = 0.5
        self.first = True
        receive, send = MoverProcess.receive, Station.send

        async def stuck(station: Station, message: ToMover) -> None:
            if isinstance(message, Publish) and (self.first or rng.random() > self.luck):
                self.met["stuck"] += 1
                self.first = False
            else:
                await send(station, message)

        async def unlucky(process: MoverProcess) -> FromMover | None:
            message = await receive(process)
            if not isinstance(message, Settled) or rng.random() < self.luck:
                return message
            if rng.random() < 0.5:
                self.met["died while settling"] += 1
                process.kill()
                return None
            self.met["not settled"] += len(message.lost)
            kind = rng.choice([errno.EROFS, errno.EBUSY])
            fault = Fault(Phase.PUBLISH, errno.errorcode[kind], kind, os.strerror(kind))
            faults = tuple(PublishResult(n, Outcome.NONE, None, fault) for n in message.lost)
            return msgspec.structs.replace(message, published=message.published + faults, lost=())

        monkeypatch.setattr(MoverProcess, "receive", unlucky)
        monkeypatch.setattr(Station, "send", stuck)

    def kill_some(self, lab: Laboratory, execution: Execution) -> None:
        run = lab.engine.run_of(execution.id)
        if run is not None and run._scope is not None:
            for process in list(run._scope.crew.processes.values()):
                if self._rng.random() < 0.7:
                    self.met["died"] += 1
                    process.kill()


@pytest.mark.hazard(6)
@pytest.mark.parametrize("operation", [Operation.COPY, MOVE])
@pytest.mark.parametrize("seed", range(3))
async def test_totals_count_every_task_once(
    tmp_path: Path, other_fs: Path, operation: Operation, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    source, pristine, target = tmp_path / "source", tmp_path / "pristine", other_fs / "target"
    for root in (source, pristine):
        some_files(root, 150)
        for number in range(0, 150, 5):
            os.link(root / f"f{number:03}", root / f"link-{number:03}")
    misfortune, watch = Misfortune(rng, monkeypatch), Watch(monkeypatch)
    slowly = Limits(io_ops_per_s=300)
    execution: Execution | None = None
    for _restart in range(5):
        async with laboratory(tmp_path / "state", SETTINGS) as lab:
            watch.lab, misfortune.first = lab, True
            if execution is None:
                execution = await lab.start(plan(source, target, operation, limits=slowly))
            run, stuck = lab.engine.run_of(execution.id), misfortune.met["stuck"] + 1

            def far_enough(run: Run | None = run, stuck: int = stuck) -> bool:
                over = run is None or run.finished.is_set()
                return over or misfortune.met["stuck"] >= stuck

            await lab.until(far_enough)
            misfortune.kill_some(lab, execution)
        for path in target.glob(f"{TEMPORARY}*"):
            if rng.random() < 0.5:
                misfortune.met["lost"] += 1
                path.unlink()
        async with open_journal(tmp_path / "state", 0) as journal:
            (row,) = await journal.executions()
            assert counted(await journal.tasks(row.key, limit=1000)) == sums(row)
    misfortune.luck, misfortune.first = 1.0, False
    assert execution is not None
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        watch.lab = lab
        done = await lab.ended(execution)
        if done.state is ExecutionState.COMPLETED_WITH_ERRORS:
            await lab.engine.resume(done, "ana", "")
            done = await lab.ended(execution)
        assert counted(await lab.journal.tasks(done.key, limit=1000)) == sums(done)
    assert watch.twice == set()
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert done.totals.settled == done.totals.planned
    assert differences(pristine, target, times=False, directory_times=False) == []
    assert all(misfortune.met[what] for what in ("died", "stuck", "lost")), misfortune.met
