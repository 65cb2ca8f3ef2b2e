"""What steers goes by how things stand at this moment, and says the same of it everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from engine_harness import Laboratory, laboratory
from migmond.domain.execution import Execution
from migmond.domain.fault import Fault, Phase
from migmond.domain.identity import Identity
from migmond.domain.intervention import Intervention
from migmond.domain.states import TaskState
from migmond.domain.steering import Level, Pause, Prioritise, Retry, Skip, Throttle, Workers
from migmond.engine.pool import MoverPool
from migmond.engine.process import MoverProcess
from migmond.engine.recording import Ask
from migmond.engine.run import Run
from migmond.engine.settings import EngineSettings
from steering import TEXTS, cancelled, change, running, texts_and_others


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return texts_and_others(tmp_path / "source")


async def test_a_retry_sees_what_failed_a_moment_ago(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked into the journal, which had not got it yet, and said that nothing had failed."""
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await running(lab, source, tmp_path / "target")
        run = lab.engine.run_of(execution.id)
        assert run is not None
        assert run.scope is not None
        await change(lab, execution, Pause())
        await lab.engine._roster.journaled(execution)
        pending = await lab.journal.tasks(
            execution.key, after=0, limit=1000, states=(TaskState.PENDING,), directories=False
        )
        task = next(t for t in pending if t.number in run.running_tasks())
        run.scope.fail(task, Fault(Phase.COPY, "EIO", 5, "an error"))
        monkeypatch.setattr(run, "running_tasks", set)
        effect, _ = await lab.engine.steering.intervene(execution, Ask(Retry(), "ana"), dry_run=True)
        assert effect.entries == 1
        await cancelled(lab, execution)


async def test_no_end_is_promised_while_some_of_it_is_held(tmp_path: Path, source: Path) -> None:
    """pause said that nobody knows, show and priority told the time that all of it would take."""
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await running(lab, source, tmp_path / "target")

        def told() -> tuple[bool, str]:
            progress = lab.engine.view(lab.engine.find(execution.id)).progress
            return progress.seconds_remaining is not None, progress.eta_reason

        await lab.until(lambda: told() == (True, ""))
        held = await change(lab, execution, Pause(TEXTS))
        await lab.until(lambda: told() == (False, "some of it is held"))
        effect, first = await lab.engine.steering.intervene(execution, Ask(Prioritise(TEXTS, Level.HIGH), "ana"))
        assert (effect.eta_before_s, effect.eta_after_s, effect.eta_reason) == (None, None, "some of it is held")
        await lab.engine.undoing.undo(held.id, "ana", "")
        await lab.until(lambda: told() == (True, ""))
        assert first is not None
        effect, _ = await lab.engine.undoing.undo(first.id, "ana", "")
        assert effect.eta_before_s is not None
        assert effect.eta_after_s == effect.eta_before_s  # as it said when the order was changed
        await cancelled(lab, execution)


async def test_movers_are_seen_to_come_and_go_at_once(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked for more saw them up to a quarter of a second late, with the next tick."""
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await running(lab, source, tmp_path / "target")

        def seen() -> int:
            return len(lab.engine.view(lab.engine.find(execution.id)).movers)

        await lab.until(lambda: seen() == 1)
        monkeypatch.setattr("migmond.engine.observer.TICK_S", 3600)
        await trio.sleep(0.3)  # the last tick is over
        more = await change(lab, execution, Workers(3))
        await lab.until(lambda: seen() == 3, timeout_s=20)
        await lab.engine.undoing.undo(more.id, "ana", "")
        await lab.until(lambda: seen() == 1, timeout_s=20)
        await cancelled(lab, execution)


async def test_what_is_brought_back_is_not_done(tmp_path: Path, source: Path) -> None:
    """The highest percentage that there ever was stayed, though a skip that counted was taken back."""
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await running(lab, source, tmp_path / "target")

        def percent() -> float:
            return lab.engine.view(lab.engine.find(execution.id)).progress.percent_done or 0.0

        await change(lab, execution, Throttle(io_ops_per_s=5.0))
        before = percent()
        skipped = await change(lab, execution, Skip(TEXTS))
        await lab.until(lambda: percent() > before + 20)
        await lab.engine.undoing.undo(skipped.id, "ana", "")
        await lab.until(lambda: percent() < before + 10)
        await cancelled(lab, execution)


async def texts_skipped(lab: Laboratory, source: Path, target: Path) -> tuple[Execution, Intervention, Run]:
    """A migration at work that has left some texts out."""
    execution = await running(lab, source, target)
    await change(lab, execution, Throttle(io_ops_per_s=5.0))
    skipped = await change(lab, execution, Skip(TEXTS))
    await lab.until(lambda: lab.engine.find(execution.id).totals.left_out.entries > 40)
    run = lab.engine.run_of(execution.id)
    assert run is not None
    return execution, skipped, run


async def test_who_picks_right_after_a_skip_was_taken_back_picks_these_as_well(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were skipped until the agenda had brought them back: a pause picked nothing, and was not made."""
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution, skipped, run = await texts_skipped(lab, source, tmp_path / "target")
        assert skipped.entries is not None
        at_once = run._agenda._bring_back

        async def a_busy_moment_later(by: str) -> None:
            await trio.sleep(0.2)
            await at_once(by)

        monkeypatch.setattr(run._agenda, "_bring_back", a_busy_moment_later)
        await lab.engine.undoing.undo(skipped.id, "ana", "")
        held = await change(lab, execution, Pause(TEXTS))
        assert held.entries is not None
        assert held.entries > skipped.entries - 20  # some were copied meanwhile
        await cancelled(lab, execution)


async def test_who_picks_right_after_a_restart_picks_what_is_about_to_come_back(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a migration that had just begun again nobody had looked what comes back: a pause picked nothing."""
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution, skipped, run = await texts_skipped(lab, source, tmp_path / "target")

        async def never(by: str) -> None:
            await trio.sleep_forever()

        monkeypatch.setattr(run._agenda, "_bring_back", never)
        await lab.engine.undoing.undo(skipped.id, "ana", "")
        left_out = lab.engine.find(execution.id).totals.left_out.entries
    at_once = MoverPool.start

    async def a_busy_moment_later(pool: MoverPool, slot: int, identity: Identity) -> MoverProcess:
        await trio.sleep(0.3)
        return await at_once(pool, slot, identity)

    monkeypatch.setattr(MoverPool, "start", a_busy_moment_later)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        held = await change(lab, lab.engine.find(execution.id), Pause(TEXTS))
        assert held.entries is not None
        assert held.entries > 200 - left_out
        await cancelled(lab, execution)
