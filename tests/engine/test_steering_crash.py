"""A daemon that is cut off in the middle of an intervention: what holds afterwards is the old or the new, and the
record says which."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
import trio

from engine_harness import Laboratory, laboratory
from migmond.domain.changes import Change, PutIntervention
from migmond.domain.errors import JournalError
from migmond.domain.execution import Execution
from migmond.domain.states import ExecutionState
from migmond.domain.steering import Action, Cancel, Drain, Pause, Resume, Route, Skip, Throttle, Workers
from migmond_sqlite import SqliteJournal
from steering import cancelled, change, lasting, on_record, running, texts_and_others, what_holds

_apply = SqliteJournal.apply
KINDS = (Throttle, Workers, Skip, Pause, Route)
"""All others go the way of the first ones."""


class Cut:
    """Cuts the journal off at the transaction that has an intervention: before it, or right after it.

    Args:
        refuses: whoever wants to write from then on gets an error; else it never hears of the journal again.
    """

    def __init__(self, *, before: bool, refuses: bool) -> None:
        self.before = before
        self.refuses = refuses
        self.armed = False
        self.hit = trio.Event()

    async def apply(self, journal: SqliteJournal, changes: Sequence[Change]) -> None:
        it = self.armed and any(isinstance(c, PutIntervention) for c in changes)
        if self.hit.is_set() or (it and self.before):
            await self._end()
        await _apply(journal, changes)
        if it:
            await self._end()

    async def _end(self) -> None:
        self.hit.set()
        if self.refuses:
            raise JournalError("cut off")
        await trio.sleep_forever()


async def cut_off(lab: Laboratory, cut: Cut, what: Callable[[], Awaitable[None]]) -> None:
    """Begin `what` and return when the journal is cut off in the middle of it; nobody is answered."""
    cut.armed, answered = True, False

    async def ask() -> None:
        nonlocal answered
        with contextlib.suppress(JournalError):
            await what()
            answered = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        with trio.fail_after(20):
            await cut.hit.wait()
        await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    assert not answered


def patched(monkeypatch: pytest.MonkeyPatch, *, before: bool, refuses: bool = False) -> Cut:
    cut = Cut(before=before, refuses=refuses)

    async def apply(journal: SqliteJournal, changes: Sequence[Change]) -> None:
        await cut.apply(journal, changes)

    monkeypatch.setattr(SqliteJournal, "apply", apply)
    return cut


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("undo", [False, True], ids=["made", "undone"])
@pytest.mark.parametrize("idle", [False, True], ids=["running", "drained"])
async def test_changes_that_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, before: bool, undo: bool, idle: bool
) -> None:
    source = texts_and_others(tmp_path / "source")
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target")
        if idle:
            await lab.engine.drain(execution, "ana", "")
            execution = await lab.ended(execution)
    every = lasting(tmp_path / "elsewhere")
    for action in (a for a in every if isinstance(a, KINDS)):
        if idle and action == Pause():
            continue
        cut = patched(monkeypatch, before=before, refuses=idle)
        async with laboratory(tmp_path / "state") as lab:
            record = await change(lab, execution, action) if undo else None
            old = await _steady(lab, execution)
            count = len(await lab.journal.interventions(execution.id))

            async def ask(lab: Laboratory = lab, action: Action = action) -> None:
                await change(lab, execution, action)

            async def take_back(lab: Laboratory = lab, id_: str = record.id if record else "") -> None:
                await lab.engine.undoing.undo(id_, "ana", "")

            await cut_off(lab, cut, take_back if undo else ask)
        monkeypatch.undo()
        async with laboratory(tmp_path / "state") as lab:
            now = await _steady(lab, execution)
            records = await lab.journal.interventions(execution.id)
            if before:
                assert (now == old, len(records)) == (True, count), action
            else:
                assert now != old, action
                assert len(records) == count + (not undo)
            if record is not None:
                assert ((await on_record(lab, execution, record.id)).ended_at is None) is before
            in_force = [r.id for r in records if r.ended_at is None and r.action in every]
            found = lab.engine.find(execution.id)
            assert in_force == [*(s.id for s in found.standing), *(h.intervention for h in found.holds)]
            for id_ in in_force:
                await lab.engine.undoing.undo(id_, "ana", "")
    async with laboratory(tmp_path / "state") as lab:
        await cancelled(lab, execution)


async def _steady(lab: Laboratory, execution: Execution) -> tuple[object, ...]:
    """What holds as soon as it can be controlled: a restart brings a paused one back in several steps."""
    await lab.engine._roster.controllable(execution)
    now = lab.engine.find(execution.id)
    return what_holds(now)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("action", [Resume(), Drain(), Cancel()], ids=["resume", "drain", "cancel"])
async def test_acts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: Action, *, before: bool) -> None:
    source, cut = texts_and_others(tmp_path / "source"), patched(monkeypatch, before=before)
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target")
        paused = await change(lab, execution, Pause())

        async def ask() -> None:
            await change(lab, execution, action)

        await cut_off(lab, cut, ask)
    monkeypatch.undo()
    async with laboratory(tmp_path / "state") as lab:
        await lab.engine._roster.controllable(execution)
        kinds = [r.kind.value for r in await lab.journal.interventions(execution.id)]
        state = lab.engine.find(execution.id).state
        if before:
            assert (kinds, state) == (["pause"], ExecutionState.PAUSED)
            assert (await on_record(lab, execution, paused.id)).ended_at is None
        else:
            assert kinds == ["pause", str(action.__struct_config__.tag)]
            after = {
                Resume(): {ExecutionState.RUNNING},
                Drain(): {ExecutionState.DRAINED},
                Cancel(): {ExecutionState.CANCELLING, ExecutionState.CANCELLED},
            }
            assert state in after[action]
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "") if state not in (
            ExecutionState.CANCELLED,
            ExecutionState.CANCELLING,
        ) else None
        await lab.ended(execution)
