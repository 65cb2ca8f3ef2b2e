"""Controls that come at the wrong moment, two at once, and movers that die or hang in the later stages."""

from __future__ import annotations

import os
import random
import signal
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import trees
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.errors import Conflict, MigmondError
from migmond.domain.execution import Execution
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.engine.crew import Crew
from migmond.engine.deleter import Deleter
from migmond.engine.dispatch import Dispatcher
from migmond.engine.finish import Finisher
from migmond.engine.process import MoverProcess, start_mover
from migmond.engine.run import Run
from migmond.engine.scope import Scope
from migmond.engine.settings import EngineSettings
from migmond.engine.station import Station
from oracle import differences

MOVE = Operation.MOVE


def a_few_files(source: Path, count: int = 60) -> None:
    trees.small_files(source, count, 500, random.Random(1), per_directory=20)


def interrupted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, act: Callable[[Any], Awaitable[None]]) -> None:
    """Let `act` happen, once, just when `owner.name` is called."""
    original, done = getattr(owner, name), False

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal done
        if not done:
            done = True
            await act(self)
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, wrapper)


def failure(lab: Laboratory, execution: Execution) -> str:
    """Why the last verification ended before its time."""
    found = lab.engine.find(execution.id).verification
    return found.failure if found is not None else ""


def the_run(lab: Laboratory, execution: Execution) -> Run:
    run = lab.engine.run_of(execution.id)
    assert run is not None
    return run


@pytest.mark.parametrize("stage", ["quiet", "deletes", "directories", "remove_source_directories", "close"])
async def test_a_pause_between_the_last_stages_skips_none_of_them(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """A mode that was looked at while paused once meant: no deletes, sources left, and "paused cannot become
    completed"."""
    source, pristine, target = tmp_path / "source", tmp_path / "pristine", other_fs / "target"
    for root in (source, pristine):
        a_few_files(root)
        for path in list(root.rglob("f*")):  # what has several names is deleted in the end, not on the way
            os.link(path, path.with_name(f"link-of-{path.name}"))
    async with laboratory(tmp_path / "state") as lab, trio.open_nursery() as nursery:
        execution: Execution | None = None

        async def pause(_: object) -> None:
            assert execution is not None
            await lab.engine.pause(execution, "ana", "", None)
            nursery.start_soon(resume_later)

        async def resume_later() -> None:
            assert execution is not None
            await trio.sleep(0.3)
            await lab.engine.resume(lab.engine.find(execution.id), "ana", "")

        owner = {"quiet": Dispatcher, "close": Crew}.get(stage, Finisher)
        interrupted(monkeypatch, owner, stage, pause)
        execution = await lab.start(plan(source, target, MOVE))
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert not source.exists()
    assert differences(pristine, target, times=False, directory_times=False) == []


@pytest.mark.parametrize("control", ["drain", "cancel", "suspend"])
async def test_a_mover_that_dies_with_deletes_in_hand_while_the_execution_ends(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch, control: str
) -> None:
    """Its deletes were once put into a queue that nobody looked at any more: the execution never ended."""
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    for number in range(40):
        (source / f"a{number}").write_bytes(b"%d" % number)
        os.link(source / f"a{number}", source / f"b{number}")
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        stopped: list[int] = []

        async def stop_mover(finisher: Any) -> None:
            (station,) = finisher._scope.crew.stations.values()
            stopped.append(station.process.pid)
            os.kill(station.process.pid, signal.SIGSTOP)

        interrupted(monkeypatch, Finisher, "deletes", stop_mover)
        execution = await lab.start(plan(source, target, MOVE))
        run = the_run(lab, execution)
        await lab.until(
            lambda: run._scope is not None and any(s.flight.deletes for s in run._scope.crew.stations.values())
        )
        if control == "suspend":
            run.suspend()
        else:
            await getattr(lab.engine, control)(lab.engine.find(execution.id), "ana", "")
        await trio.sleep(0.2)
        os.kill(stopped[0], signal.SIGKILL)
        await lab.until(lambda: lab.engine.run_of(execution.id) is None, 20)
        state = lab.engine.find(execution.id).state
    wanted = {"drain": ExecutionState.DRAINED, "cancel": ExecutionState.CANCELLED, "suspend": ExecutionState.RUNNING}
    assert state is wanted[control]
    assert len(list(source.iterdir())) == 80


async def test_two_resumes_at_once_are_one(tmp_path: Path) -> None:
    """Two scopes on one execution would write the same temporaries."""
    source, target = tmp_path / "source", tmp_path / "target"
    a_few_files(source, 300)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=200)))
        await lab.engine.drain(execution, "ana", "")
        drained = await lab.ended(execution)
        outcomes: list[str] = []

        async def resume() -> None:
            try:
                await lab.engine.resume(drained, "ana", "")
            except Conflict:
                outcomes.append("refused")
            else:
                outcomes.append("resumed")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(resume)
            nursery.start_soon(resume)
        assert sorted(outcomes) == ["refused", "resumed"]
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        assert (await lab.ended(execution)).state is ExecutionState.CANCELLED


@pytest.mark.parametrize("control", ["resume", "cancel"])
async def test_control_in_the_moment_in_which_an_execution_ends(tmp_path: Path, control: str) -> None:
    """It was given to a scope that was closing its books and listened no more."""
    source, target = tmp_path / "source", tmp_path / "target"
    a_few_files(source, 300)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=200)))
        await lab.engine.drain(execution, "ana", "")
        with trio.fail_after(20):
            while lab.engine.find(execution.id).state is not ExecutionState.DRAINED:
                await trio.lowlevel.checkpoint()
        assert lab.engine.run_of(execution.id) is not None, "this test came too late to test anything"
        await getattr(lab.engine, control)(lab.engine.find(execution.id), "ana", "")
        if control == "resume":
            await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        assert (await lab.ended(execution, 20)).state is ExecutionState.CANCELLED


async def test_a_verification_that_breaks_concerns_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    a_few_files(source)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        broken: list[tuple[Exception, str]] = [(MigmondError("no mover"), "no mover"), (KeyError(17), "KeyError")]
        for error, words in broken:

            async def breaks(_: object, error: Exception = error) -> None:
                await trio.sleep(0.1)
                raise error

            monkeypatch.setattr("migmond.engine.verify.Verifier.run", breaks)
            await lab.engine.verify(done)
            with pytest.raises(Conflict, match="being verified"):
                await lab.engine.verify(done)
            await lab.until(lambda words=words: words in failure(lab, done))  # type: ignore[misc]
        assert lab.engine.find(done.id).state is ExecutionState.COMPLETED


async def test_no_resume_while_it_is_verified(tmp_path: Path) -> None:
    """The end of the verification wrote the execution's old state over that of the run."""
    source, target = tmp_path / "source", tmp_path / "target"
    a_few_files(source, 300)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=400)))
        await lab.until(lambda: target.exists() and any(p.is_file() for p in target.rglob("f*")))
        await lab.engine.drain(execution, "ana", "")
        drained = await lab.ended(execution)
        await lab.engine.verify(drained)
        with pytest.raises(Conflict, match="being verified"):
            await lab.engine.resume(drained, "ana", "")
        await lab.until(lambda: lab.engine.find(drained.id).verification is not None)
        await lab.engine.resume(drained, "ana", "")
        assert (await lab.ended(execution)).state is ExecutionState.COMPLETED


async def test_a_cancel_does_not_wait_for_a_mover_that_hangs_in_a_delete(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migmond.engine.run.CANCEL_GRACE_S", 0.3)
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    for number in range(40):
        (source / f"a{number}").write_bytes(b"%d" % number)
        os.link(source / f"a{number}", source / f"b{number}")
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:

        async def stop_mover(finisher: Any) -> None:
            (station,) = finisher._scope.crew.stations.values()
            os.kill(station.process.pid, signal.SIGSTOP)

        interrupted(monkeypatch, Finisher, "deletes", stop_mover)
        execution = await lab.start(plan(source, target, MOVE))
        run = the_run(lab, execution)
        await lab.until(
            lambda: run._scope is not None and any(s.flight.deletes for s in run._scope.crew.stations.values())
        )
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        done = await lab.ended(execution, 30)
    assert done.state is ExecutionState.CANCELLED
    assert done.totals.settled == done.totals.planned


async def test_temporaries_of_another_migration_are_left_out(tmp_path: Path) -> None:
    """The destination of one may be the source of the next while it is still running."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / ".migmond-0123456789ab-17.part").write_bytes(b"half a fi")
    (source / ".migmond-notes.part").write_bytes(b"somebody's own")
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        outcomes = {t.name: t.outcome for t in await lab.journal.tasks(done.key)}
    assert done.state is ExecutionState.COMPLETED
    assert outcomes[b".migmond-0123456789ab-17.part"] is Outcome.TEMPORARY
    assert [p.name for p in target.iterdir()] == [".migmond-notes.part"]
    assert (done.totals.skipped.entries, done.totals.settled) == (1, done.totals.planned)


async def test_missing_parents_of_the_destination_may_be_entered_by_others(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "new" / "parent" / "target"
    source.mkdir(mode=0o750)
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, target))
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (target, target.parent, target.parent.parent)]
    assert modes == [0o750, 0o755, 0o755]


async def test_a_mover_whose_start_is_cancelled_leaves_nothing_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with trio.CancelScope() as scope:
        scope.cancel()
        await start_mover()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_what_a_dead_mover_had_in_hand_is_not_forgotten_while_it_is_buried(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment nobody had it: the stage ended without it, and further names of its files were copied once more."""
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    for number in range(300):
        (source / f"a{number}").write_bytes(b"%d" % number)
        os.link(source / f"a{number}", source / f"b{number}")
    killed: list[int] = []
    end = MoverProcess.end

    async def late(process: MoverProcess) -> str:
        if process.pid in killed:
            await trio.sleep(1.5)
        return await end(process)

    monkeypatch.setattr(MoverProcess, "end", late)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await lab.start(plan(source, target))
        run = the_run(lab, execution)

        def at_work() -> bool:
            stations = [] if run._scope is None else list(run._scope.crew.stations.values())
            for station in stations:
                if station.flight.batches and run._scope is not None and run._scope.scan_done:
                    killed.append(station.process.pid)
                    os.kill(station.process.pid, signal.SIGKILL)
            return bool(killed)

        await lab.until(at_work)
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, target) == []


async def test_a_mover_that_is_replaced_while_its_next_deletes_are_prepared(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slot was looked at afterwards, not who was in it: the deletes were nobody's, and the sources stayed."""
    source, pristine, target = tmp_path / "source", tmp_path / "pristine", other_fs / "target"
    for root in (source, pristine):
        a_few_files(root)
        for path in list(root.rglob("f*")):  # what has several names is deleted in the end: nothing comes after it
            os.link(path, path.with_name(f"link-of-{path.name}"))
    replaced: list[Station] = []
    directory_of = Scope.directory_of

    async def slowly(scope: Scope, tasks: list[Any]) -> Any:
        if not replaced and any(t.leader and t.state is TaskState.DURABLE for t in tasks):
            (station,) = scope.crew.stations.values()
            os.kill(station.process.pid, signal.SIGKILL)
            await lab.until(lambda: scope.crew.stations.get(station.slot, station) is not station)
            replaced.append(station)
        return await directory_of(scope, tasks)

    monkeypatch.setattr(Scope, "directory_of", slowly)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        done = await lab.ended(await lab.start(plan(source, target, MOVE)))
    assert len(replaced) == 1
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert not source.exists()
    assert differences(pristine, target, times=False, directory_times=False) == []


async def test_what_a_stage_forgets_is_never_called_completed(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    a_few_files(source)
    async with laboratory(tmp_path / "state") as lab:
        with monkeypatch.context() as patch:
            patch.setattr(Deleter, "add", lambda *_: None)
            failed = await lab.ended(await lab.start(plan(source, target, MOVE)))
        assert (failed.state, failed.reason) == (
            ExecutionState.FAILED,
            "60 entries were passed over by a mistake of migmond; resume it",
        )
        assert len(list(source.rglob("f*"))) == 60
        await lab.engine.resume(failed, "ana", "")
        assert (await lab.ended(failed)).state is ExecutionState.COMPLETED
    assert not source.exists()
