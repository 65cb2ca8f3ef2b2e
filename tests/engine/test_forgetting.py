"""Executions that are forgotten: nothing of them is left, whenever the daemon dies, and nothing of others is lost."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_harness import ME, Laboratory, laboratory, plan
from journals import rows_of
from migmond.analytics.runs import Past, average, forgotten
from migmond.daemon.history import Telemetry
from migmond.daemon.retention import Retention
from migmond.domain.changes import (
    AddFault,
    Change,
    ForgetSome,
    OpenGroup,
    PutExecution,
    PutSession,
    Record,
)
from migmond.domain.errors import Conflict, JournalError, NotFound
from migmond.domain.events import ExecutionForgotten
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.fault import Fault, Phase
from migmond.domain.plan import Operation, Undoing
from migmond.domain.states import ExecutionState, TaskState
from migmond.domain.steering import Throttle
from migmond.domain.task import CommitGroup, TaskResult
from migmond.engine.recording import Ask
from migmond.engine.rollbacks import Rollback
from migmond.plugin_api.conformance import entry, listing, root
from migmond_sqlite import SqliteJournal, open_journal
from past_runs import DAY_S, T0, ended, record
from trees import random_tree, small_files

_apply = SqliteJournal.apply
ENDED = (
    ExecutionState.COMPLETED,
    ExecutionState.COMPLETED_WITH_ERRORS,
    ExecutionState.FAILED,
    ExecutionState.CANCELLED,
)


class LateClock:
    """Long after T0."""

    def monotonic(self) -> float:
        return trio.current_time()

    def wall(self) -> float:
        return T0 + 100 * DAY_S


def retention(lab: Laboratory, keep: int = 0, keep_s: float = 0.0) -> Retention:
    return Retention(
        lab.engine, lab.surroundings, Telemetry(lab.surroundings.clock, why="none here"), lambda: (keep, keep_s)
    )


def left_of(state: Path, key: int) -> int:
    """How many rows of any table are about it, but how it went."""
    rows = rows_of(state)
    found: int = sum(row[0] == key for table in ("execution", "commit_group") for row in rows[table])
    return found + sum(int(row[0]) >> 40 == key for table in ("task", "directory", "fault") for row in rows[table])


async def test_nothing_is_left_of_it_and_others_are_as_they_were(tmp_path: Path) -> None:
    random_tree(tmp_path / "source", random.Random(1), 60)
    async with laboratory(tmp_path / "state") as lab:
        gone = await lab.run(plan(tmp_path / "source", tmp_path / "one"))
        stays = await lab.run(plan(tmp_path / "source", tmp_path / "two"))
        tasks = await lab.journal.tasks(stays.key)
        care = retention(lab)
        assert await care.forget(gone, "ana", "enough") == gone
        told = [e for e in lab.events if isinstance(e, ExecutionForgotten)]
        assert [(e.execution, e.name, e.by) for e in told] == [(gone.id, gone.name, "ana")]
        with pytest.raises(NotFound):
            lab.engine.find(gone.id)
        with pytest.raises(NotFound, match="forgotten meanwhile"):
            await care.forget(gone, "ben", "")
        assert await lab.journal.forgotten() == [gone.key]
        await care.remove()
        assert await lab.journal.forgotten() == []
        assert lab.engine.all() == [stays]
        assert await lab.journal.tasks(stays.key) == tasks
        assert await lab.journal.check() == []
    assert left_of(tmp_path / "state", gone.key) == 0
    assert left_of(tmp_path / "state", stays.key) > len(tasks)


async def test_ids_of_changes_are_not_given_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    small_files(source, 20, 100, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        first = await lab.run(plan(source, tmp_path / "one"))
        ask = Ask(Throttle(io_bytes_per_s=1 << 20), "ana", request_id="r")
        running = await lab.start(plan(source, tmp_path / "two"))
        _, made = await lab.engine.steering.intervene(running, ask)
        assert made is not None
        again = await lab.ended(running)
        care = retention(lab)
        await care.forget(again, "ana", "")
        assert lab.surroundings.records.execution_of(made.id) is None
        assert lab.surroundings.records.requested("ana", "r") is None
        await care.remove()
        with pytest.raises(NotFound):
            await lab.engine.undoing.undo(made.id, "ana", "")
    async with laboratory(tmp_path / "state") as lab:
        assert [e.id for e in lab.engine.all()] == [first.id]
        assert int(lab.surroundings.records.next_id()[2:]) > int(made.id[2:])


async def test_what_is_at_work_is_not_forgotten(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    small_files(source, 200, 20_000, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        care, limited = retention(lab), msgspec.structs.replace(plan(source, target), workers=1)
        slow = await lab.start(limited)
        await lab.engine.steering.intervene(slow, Ask(Throttle(io_bytes_per_s=100_000), "ana"))
        with pytest.raises(Conflict, match="is running"):
            await care.forget(slow, "ana", "")
        paused = await lab.engine.pause(slow, "ana", "", None)
        with pytest.raises(Conflict, match="is paused"):
            await care.forget(paused, "ana", "")
        await lab.engine.resume(slow, "ana", "")
        await lab.engine.drain(slow, "ana", "")
        drained = await lab.ended(slow)
        with pytest.raises(Conflict, match="can go on"):
            await care.forget(drained, "ana", "")
        await care.look()  # nor by itself
        assert lab.engine.find(slow.id).state is ExecutionState.DRAINED
        await lab.engine.cancel(drained, "ana", "")
        done = await lab.ended(drained)
        await lab.engine.verify(done)
        with pytest.raises(Conflict, match="is being verified"):
            await care.forget(done, "ana", "")
        await lab.until(lambda: lab.engine.find(done.id).verification is not None)
        await care.forget(done, "ana", "")
        assert lab.engine.all() == []


async def test_a_rollback_keeps_the_first_one_as_long_as_it_may_go_on(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    small_files(source, 50, 20_000, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        care = retention(lab)
        first = await lab.run(plan(source, target))
        rollback = await lab.engine.rollback(Rollback(first), ME, "ana")
        await lab.engine.pause(rollback, "ana", "", None)
        with pytest.raises(Conflict, match=r"the rollback .* may need it"):
            await care.forget(first, "ana", "")
        await care.look()
        assert {e.id for e in lab.engine.all()} == {first.id, rollback.id}
        await lab.engine.resume(rollback, "ana", "")
        back = await lab.ended(rollback)
        assert back.state is ExecutionState.COMPLETED
        await care.forget(first, "ana", "")
        await care.remove()
        assert [e.id for e in lab.engine.all()] == [rollback.id]
        assert lab.engine.view(back, closely=True).rolls_back == first.id


async def fill(state: Path, *changes: Change) -> None:
    async with open_journal(state) as journal:
        await journal.next_key()
        await journal.apply(changes)


def with_files(execution: Execution, *more: Change, count: int = 5) -> list[Change]:
    names = [entry(b"%d" % i, inode=i + 1) for i in range(count)]
    key = execution.key
    return [PutExecution(execution), PutSession(record(key)), root(key), listing(1, 2, *names, key=key), *more]


def moved(key: int, **changes: Any) -> Execution:
    failed = Totals(Tally(5, 50), Tally(4, 40), Tally(1, 10), growing=False)
    made = ended(key, totals=failed, state=ExecutionState.COMPLETED_WITH_ERRORS)
    return msgspec.structs.replace(made, plan=msgspec.structs.replace(made.plan, operation=Operation.MOVE), **changes)


def failing(key: int, phase: Phase, kind: str) -> list[Change]:
    return [Record(key, (TaskResult(3, TaskState.FAILED),)), AddFault(key, 3, 1.0, Fault(phase, kind, 0, "it is"))]


@pytest.mark.parametrize(
    ("left", "why"),
    [
        (failing(1, Phase.DELETE, "kept_aside"), "could not be deleted of run-1"),
        (failing(1, Phase.DELETE, "EACCES"), "could not be deleted of run-1"),
        ([Record(1, (TaskResult(3, TaskState.DURABLE),))], "still to be deleted of run-1"),
        ([OpenGroup(1, CommitGroup(7, ()))], "not settled under which names"),
        (failing(1, Phase.READ, "EIO"), ""),
    ],
)
async def test_what_only_the_journal_knows_is_kept(tmp_path: Path, left: list[Change], why: str) -> None:
    await fill(tmp_path, *with_files(moved(1), *left))
    async with laboratory(tmp_path) as lab:
        care = retention(lab)
        await care.look()
        assert [e.key for e in lab.engine.all()] == [1] * bool(why)
        if why:
            with pytest.raises(Conflict, match=why) as e:
                await care.forget(lab.engine.all()[0], "ana", "")
            assert "migmon errors" in e.value.hint


async def test_a_delete_that_failed_is_found_among_thousands(tmp_path: Path) -> None:
    results = tuple(TaskResult(n, TaskState.FAILED) for n in range(2, 2502))
    await fill(tmp_path, *with_files(moved(1), Record(1, results), count=2500))
    async with laboratory(tmp_path) as lab:
        await lab.journal.apply([AddFault(1, 2501, 1.0, Fault(Phase.DELETE, "left_aside", 5, "it is"))])
        with pytest.raises(Conflict, match="could not be deleted"):
            await retention(lab).forget(lab.engine.all()[0], "ana", "")


async def test_who_waits_for_it_does_not_bring_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = ended(1, state=ExecutionState.FAILED)
    await fill(tmp_path, *with_files(failed))
    at_it, on = trio.Event(), trio.Event()

    async def slowly(journal: SqliteJournal, changes: Sequence[Change]) -> None:
        at_it.set()
        await on.wait()
        await _apply(journal, changes)

    async def resume(lab: Laboratory) -> None:
        with pytest.raises(NotFound, match="forgotten meanwhile"):
            await lab.engine.resume(failed, "ben", "")

    async with laboratory(tmp_path) as lab:
        monkeypatch.setattr(SqliteJournal, "apply", slowly)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(retention(lab).forget, failed, "ana", "")
            await at_it.wait()
            nursery.start_soon(resume, lab)
            await trio.testing.wait_all_tasks_blocked()
            on.set()
        assert lab.engine.all() == []
        assert await lab.journal.executions() == []


@pytest.mark.parametrize("pieces", [0, 1, 3])
async def test_a_daemon_that_dies_in_the_middle_leaves_it_to_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    await fill(tmp_path, *with_files(ended(1), count=400), *with_files(ended(2), count=30))
    done = 0

    async def dying(journal: SqliteJournal, changes: Sequence[Change]) -> None:
        nonlocal done
        if any(isinstance(c, ForgetSome) for c in changes):
            if done == pieces:
                raise JournalError("it has died")
            done += 1
        await _apply(journal, changes)

    async with laboratory(tmp_path) as lab:
        care = retention(lab)
        await care.forget(lab.engine.find("run-1"), "ana", "")
        monkeypatch.setattr(SqliteJournal, "apply", dying)
        with pytest.raises(JournalError):
            await care.remove()
        monkeypatch.setattr(SqliteJournal, "apply", _apply)
    before = left_of(tmp_path, 2)
    assert left_of(tmp_path, 1) > 0
    async with laboratory(tmp_path) as lab:
        assert [e.key for e in lab.engine.all()] == [2]
        assert await lab.journal.fault_groups(1) == []  # what is left makes sense
        await retention(lab).remove()
        kept = await lab.journal.session(1)
        assert kept is not None
        assert msgspec.structs.replace(kept, ended=None) == msgspec.structs.replace(record(1), course=(), forecast=b"")
        past = forgotten(kept)
        assert past is not None
        assert past.is_forgotten
        first = ended(1)
        assert (past.execution.totals, past.execution.finished_at) == (first.totals, first.finished_at)
        assert (past.execution.name, past.execution.identity.uid) == ("", 0)
        assert average(past) == average(Past(first, record(1)))
    assert (left_of(tmp_path, 1), left_of(tmp_path, 2)) == (0, before)


async def test_writers_are_not_kept_waiting_by_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 5: 20 ms at a time, here as processor time: whatever else runs on this machine takes none of it. Of
    10,000,000 entries no transaction took more than 14 ms of it."""
    names = [entry(b"%d" % n, inode=n // 2 + 1, links=2) for n in range(40_000)]
    results = tuple(TaskResult(n, TaskState.CANCELLED, digest=b"%16d" % n, birth_ns=7) for n in range(2, 40_002))
    await fill(tmp_path, PutExecution(ended(1)), root(1), listing(1, 2, *names, key=1), Record(1, results))
    took: list[float] = []
    in_thread = SqliteJournal._in_thread

    async def timed(journal: SqliteJournal, call: Callable[[], Any]) -> Any:
        def timing() -> Any:
            began = time.thread_time()
            try:
                return call()
            finally:
                took.append(time.thread_time() - began)

        return await in_thread(journal, timing)

    async with laboratory(tmp_path) as lab:
        care = retention(lab)
        monkeypatch.setattr(SqliteJournal, "_in_thread", timed)
        await care.forget(lab.engine.find("run-1"), "ana", "")
        await care.remove()
        assert await lab.journal.forgotten() == []
    assert len(took) > 40
    assert sorted(took)[int(0.95 * len(took))] < 0.02


class Made(msgspec.Struct, frozen=True):
    """An execution to put: how many days ago it ended; which one it rolls back, if there are so many; what is left."""

    state: ExecutionState
    days: int
    undoes: int
    unfinished: bool


made = st.builds(Made, st.sampled_from((*ENDED, ExecutionState.DRAINED)), st.integers(0, 9), st.integers(0, 12),
                 st.booleans())  # fmt: skip


@given(st.lists(made, min_size=1, max_size=8), st.integers(0, 4), st.integers(0, 8))
@settings(max_examples=25, deadline=None)
def test_what_stays_is_what_a_naive_oracle_keeps(wanted: list[Made], keep: int, keep_days: int) -> None:
    """Each that goes may let go of another, with the next look."""
    changes: list[Change] = []
    there: dict[int, Made] = {}
    for key, it in enumerate(wanted, start=1):
        made = ended(key, state=it.state, finished_at=T0 + (100 - it.days) * DAY_S)
        if 0 < it.undoes < key:
            undoing = Undoing(f"{it.undoes:012x}", it.undoes, Operation.COPY, 1.0, 0.0)
            made = msgspec.structs.replace(made, plan=msgspec.structs.replace(made.plan, undoes=undoing))
        left = [Record(key, (TaskResult(3, TaskState.DURABLE),))] if it.unfinished else []
        changes += with_files(made, *left)
        there[key] = it
    stuck = False
    while not stuck:
        old = {k: it for k, it in there.items() if it.state is not ExecutionState.DRAINED}
        gone = {
            k
            for k, it in old.items()
            if sum((-o.days, j) > (-it.days, k) for j, o in old.items()) >= keep
            and it.days > keep_days
            and not it.unfinished
            and not any(
                o.undoes == k and j > k and o.state not in (ExecutionState.COMPLETED, ExecutionState.CANCELLED)
                for j, o in there.items()
            )
        }
        there = {k: it for k, it in there.items() if k not in gone}
        stuck = not gone

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            state = Path(directory)
            await fill(state, *changes)
            whole = {key: left_of(state, key) for key in there}
            async with laboratory(state, clock=LateClock()) as lab:
                care = retention(lab, keep, keep_days * DAY_S)
                for _ in wanted:
                    await care.look()
                assert {e.key for e in lab.engine.all()} == set(there)
                await care.remove()
                assert await lab.journal.forgotten() == []
                assert [s.key for s in await lab.journal.sessions()] == [*range(1, len(wanted) + 1)]
            for key in range(1, len(wanted) + 1):
                assert left_of(state, key) == whole.get(key, 0)

    trio.run(run)
