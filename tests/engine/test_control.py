"""Pause, resume, cancel, drain, killed and hung movers, daemons that die: on the real engine."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
import trio

import trees
from engine_harness import ME, Laboratory, laboratory, plan
from migmond.domain.changes import (
    CancelSome,
    Change,
)
from migmond.domain.entry import EntryType
from migmond.domain.errors import Conflict, NotFound
from migmond.domain.events import Event, ExecutionStateChanged, MoverDied, MoverStalled, MoverStarted
from migmond.domain.execution import Execution, Stage
from migmond.domain.identity import Identity
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation, VerifyLevel
from migmond.domain.states import ExecutionState, TaskState
from migmond.engine.process import MoverProcess
from migmond.engine.run import Run
from migmond.engine.settings import EngineSettings
from migmond_sqlite import SqliteJournal
from oracle import differences, names_starting

SLOW = Limits(io_bytes_per_s=4 << 20)


def one_large_file(source: Path, size: int = 64 << 20) -> None:
    source.mkdir()
    (source / "large").write_bytes(random.Random(1).randbytes(1 << 20) * (size >> 20))


def movers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if is_mover(p)]


def is_mover(process: psutil.Process) -> bool:
    try:
        return "migmond.mover" in process.cmdline()
    except psutil.NoSuchProcess:  # it is one that was killed, and nobody has waited for it yet
        return False


def temporaries(target: Path) -> list[bytes]:
    return names_starting(target, b".migmond-")


async def copying(lab: Laboratory, execution: Execution) -> MoverProcess:
    """Wait until a mover is in the middle of a large file and return it."""
    run = lab.engine.run_of(execution.id)
    assert run is not None

    def at_work() -> list[MoverProcess]:
        crew = run._scope.crew if run._scope is not None else None
        return [p for p in crew.processes.values() if p.control.look().file_done > 4096] if crew is not None else []

    await lab.until(lambda: bool(at_work()))
    return at_work()[0]


@pytest.mark.alone
async def test_pause_stops_within_100_ms_and_keeps_its_place(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    one_large_file(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, reflink=False, limits=SLOW))
        process = await copying(lab, execution)
        began = time.monotonic()
        paused = await lab.engine.pause(execution, "ana", "lunch", None)
        await lab.until(lambda: process.control.look().paused)
        took = time.monotonic() - began
        done_before = process.control.look().file_done
        await trio.sleep(0.3)
        assert process.control.look().file_done == done_before
        assert paused.state is ExecutionState.PAUSED
        assert took < 0.1 * 5  # a shared machine: the goal is 0.1 s, ten polls of the control word
        with pytest.raises(Conflict, match="is paused"):
            await lab.engine.verify(lab.engine.find(execution.id))
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
        await lab.until(lambda: process.control.look().file_done > done_before)
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        await lab.ended(execution)


@pytest.mark.alone
async def test_one_large_file_gets_the_whole_limit_and_several_share_it(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    one_large_file(source)
    limit = SLOW.io_bytes_per_s
    assert limit is not None
    async with laboratory(tmp_path / "state", EngineSettings(workers=3)) as lab:
        execution = await lab.start(plan(source, target, reflink=False, limits=SLOW))
        await copying(lab, execution)
        found = await moved_in(lab, execution, 1.0)
        assert len([size for size in found if size]) == 1
        assert sum(found) == pytest.approx(limit, rel=0.1)
        await lab.engine.cancel(execution, "ana", "")
        await lab.ended(execution)
        for number in range(2):
            (source / f"large{number}").write_bytes((source / "large").read_bytes())
        execution = await lab.start(plan(source, tmp_path / "again", reflink=False, limits=SLOW))

        def busy() -> int:
            run = lab.engine.run_of(execution.id)
            stations = run._scope.crew.stations.values() if run is not None and run._scope is not None else ()
            return sum(bool(s.flight.batches) for s in stations)

        await lab.until(lambda: busy() > 1)  # who comes early may take two of the files
        await trio.sleep(0.3)
        found = [size for size in await moved_in(lab, execution, 1.0) if size]
        assert sum(found) == pytest.approx(limit, rel=0.1)
        assert len(found) == busy()
        assert all(size == pytest.approx(limit / len(found), rel=0.2) for size in found)
        await lab.engine.cancel(execution, "ana", "")
        await lab.ended(execution)


async def moved_in(lab: Laboratory, execution: Execution, seconds: float) -> list[int]:
    """Return the bytes that each mover moves a second."""
    run = lab.engine.run_of(execution.id)
    assert run is not None
    assert run._scope is not None
    stations, began = list(run._scope.crew.stations.values()), time.monotonic()
    before = [s.process.control.look().bytes_total for s in stations]
    await trio.sleep(seconds)
    after, took = [s.process.control.look().bytes_total for s in stations], time.monotonic() - began
    return [round((b - a) / took) for a, b in zip(before, after, strict=True)]


async def test_a_timed_pause_lifts_itself(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    one_large_file(source, 8 << 20)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, limits=SLOW))
        await lab.engine.pause(execution, "ana", "", 0.3)
        done = await lab.ended(execution)
    changes = [(e.before, e.after) for e in lab.events if isinstance(e, ExecutionStateChanged)]
    assert done.state is ExecutionState.COMPLETED
    assert ("paused", "running") in changes
    assert differences(source, target) == []


@pytest.mark.hazard(6)
async def test_cancel_leaves_nothing_partial(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.random_tree(source, random.Random(2), 100)
    (source / "zz-large").write_bytes(random.Random(1).randbytes(1 << 20) * 64)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, reflink=False, limits=SLOW))
        await copying(lab, execution)
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "enough")
        done = await lab.ended(execution)
        states = {t.state for t in await lab.journal.tasks(done.key, limit=10_000)}
        with pytest.raises(Conflict, match="cancelled already"):
            await lab.engine.cancel(done, "ana", "")
    assert done.state is ExecutionState.CANCELLED
    assert temporaries(target) == []
    for path in target.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert path.read_bytes() == (source / path.relative_to(target)).read_bytes()
    assert states <= {TaskState.DONE, TaskState.SKIPPED, TaskState.CANCELLED}
    totals = done.totals
    assert totals.settled == totals.planned


@pytest.mark.parametrize("small", [True, False])
async def test_a_limit_that_is_set_is_kept_at_once(tmp_path: Path, small: bool) -> None:
    """Movers at full speed; what they may move in a second at the new limit is far below what they did."""
    source, target = tmp_path / "source", tmp_path / "target"
    if small:
        trees.small_files(source, 20_000, 4096, random.Random(1))
    else:
        trees.large_files(source, 1, 512 << 20, random.Random(1))
    limits = Limits(io_ops_per_s=50) if small else Limits(io_bytes_per_s=8 << 20)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await lab.start(plan(source, target, verify=VerifyLevel.NONE, reflink=False))
        run = lab.engine.run_of(execution.id)
        assert run is not None
        await lab.until(lambda: run._scope is not None and bool(moved(run, entries=small)))
        assert run._scope is not None
        run._scope.account.change(limits=limits)
        run._scope.share_limits()
        await trio.sleep(0.1)
        before = moved(run, entries=small)
        await trio.sleep(1.0)
        after = moved(run, entries=small)
        assert after - before <= (50 if small else 8 << 20) * 1.5 + (1 if small else 4 << 20), "a burst and a chunk"
        assert run.execution.state is ExecutionState.RUNNING
        run._scope.account.change(limits=Limits())
        run._scope.share_limits()
        await lab.until(lambda: moved(run, entries=small) > after + (500 if small else 64 << 20))
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        await lab.ended(execution)


def moved(run: Run, *, entries: bool) -> int:
    """What all movers of a run have moved until now, by their slots."""
    assert run._scope is not None
    glimpses = [p.control.look() for p in run._scope.crew.processes.values()]
    return sum(g.entries_total if entries else g.bytes_total for g in glimpses)


@pytest.mark.parametrize("cut_off_at", [0, 1, 4, 9])
async def test_a_large_plan_is_cancelled_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_off_at: int
) -> None:
    """Nobody else can journal anything for longer than a piece takes. The daemon may die after any of them."""
    monkeypatch.setattr("migmond.engine.taking_over.CANCELLED_AT_ONCE", 10)
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 95, 10, random.Random(1))
    pieces, cut_off, apply = list[CancelSome](), trio.Event(), SqliteJournal.apply

    async def watched(journal: SqliteJournal, changes: Sequence[Change]) -> None:
        await apply(journal, changes)
        found = [c for c in changes if isinstance(c, CancelSome)]
        assert len(found) <= 1
        pieces.extend(found)
        if found and len(pieces) == cut_off_at:
            cut_off.set()
            await trio.sleep_forever()

    monkeypatch.setattr(SqliteJournal, "apply", watched)
    never = Limits(io_bytes_per_s=1)  # the scan is not in its way
    async with laboratory(tmp_path / "state", EngineSettings(workers=2, machine_code=False)) as lab:
        execution = await lab.start(plan(source, target, limits=never))
        await lab.until(lambda: not lab.engine.find(execution.id).totals.growing)
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "enough")
        if cut_off_at:
            with trio.fail_after(60):
                await cut_off.wait()
        else:
            await lab.ended(execution)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.ended(execution)
        tasks = await lab.journal.tasks(done.key, limit=1000)
    assert len(pieces) == cut_off_at + 9, "97 entries, and the last of ten pieces is with the end"
    assert all(piece.last - piece.after == 10 for piece in pieces)
    assert done.state is ExecutionState.CANCELLED
    assert done.totals.settled == done.totals.planned
    assert done.totals.cancelled.entries == sum(t.state is TaskState.CANCELLED for t in tasks)
    assert {t.state for t in tasks if t.type is EntryType.FILE} == {TaskState.CANCELLED}


async def test_a_resume_as_soon_as_it_has_drained_has_its_owners_present_groups(tmp_path: Path) -> None:
    """While the drained run closed its books nobody heard what its owner is now, and it went on with former rights."""
    one_large_file(tmp_path / "source")
    now = Identity(ME.uid, ME.gid, (*ME.groups, 54321))
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(tmp_path / "source", tmp_path / "target", limits=SLOW))
        adopted: list[Execution] = []

        def at_once(event: Event) -> None:
            if isinstance(event, ExecutionStateChanged) and event.after == "drained":
                assert lab.engine.run_of(execution.id) is not None
                adopted.append(lab.engine.adopt(execution, now))

        lab.surroundings.bus.listen(at_once)
        assert lab.engine.adopt(execution, now).identity == ME  # what works on it keeps what it has
        await lab.engine.drain(execution, "ana", "")
        drained = await lab.ended(execution)
        assert [e.identity for e in adopted] == [now]
        assert drained.identity == now


async def test_drain_finishes_what_runs_and_resume_goes_on(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 600, 2000, random.Random(1), per_directory=50)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=800)))
        await lab.until(lambda: target.exists() and any(target.iterdir()))
        await lab.engine.drain(lab.engine.find(execution.id), "ana", "")
        drained = await lab.ended(execution)
        assert drained.state is ExecutionState.DRAINED
        assert drained.totals.done.entries < drained.totals.planned.entries or drained.totals.growing
        assert temporaries(target) == []
        inodes = {p: p.stat().st_ino for p in target.rglob("f*") if p.is_file()}
        await lab.engine.resume(drained, "ana", "")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, target) == []
    assert {p: p.stat().st_ino for p in inodes} == inodes  # nothing was done twice


async def test_a_killed_mover_is_replaced(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 3000, 3000, random.Random(1), per_directory=100)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=3000)))
        for _ in range(3):
            await lab.until(lambda: len(movers()) >= 2)
            movers()[0].kill()
            await trio.sleep(0.15)
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, target) == []
    assert any(isinstance(e, MoverDied) for e in lab.events)
    assert temporaries(target) == []


async def test_a_file_that_kills_movers_fails_alone(tmp_path: Path) -> None:
    """A mover that dies with the same file at hand every time does not keep the rest waiting for ever."""
    source, target = tmp_path / "source", tmp_path / "target"
    one_large_file(source)
    (source / "small").write_bytes(b"fine")
    settings = EngineSettings(workers=1, attempts=2, restart_limit=50)
    async with laboratory(tmp_path / "state", settings) as lab:
        execution = await lab.start(plan(source, target, reflink=False, limits=Limits(io_bytes_per_s=2 << 20)))
        for _ in range(2):
            pid = (await copying(lab, execution)).pid
            os.kill(pid, signal.SIGKILL)
            await lab.until(lambda pid=pid: not psutil.pid_exists(pid))  # type: ignore[misc]
        done = await lab.ended(execution)
        groups = await lab.journal.fault_groups(done.key)
    assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
    assert [g.fault.kind for g in groups] == ["mover_died"]
    assert (target / "small").read_bytes() == b"fine"
    assert temporaries(target) == []


@pytest.mark.hazard(23)
async def test_a_hanging_mover_is_shown_with_its_file(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    one_large_file(source)
    settings = EngineSettings(workers=1, stall_after_s=0.5)
    async with laboratory(tmp_path / "state", settings) as lab:
        execution = await lab.start(plan(source, target, reflink=False, limits=Limits(io_bytes_per_s=64 << 20)))
        pid = (await copying(lab, execution)).pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await lab.until(lambda: any(isinstance(e, MoverStalled) for e in lab.events), 20)
            view = lab.engine.view(lab.engine.find(execution.id))
        finally:
            os.kill(pid, signal.SIGCONT)
        done = await lab.ended(execution)
    stall = next(e for e in lab.events if isinstance(e, MoverStalled))
    assert (stall.file, stall.pid) == ("large", pid)
    assert "hangs" in view.why
    assert "large" in view.why
    assert done.state is ExecutionState.COMPLETED


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
async def test_resume_after_the_engine_was_cut_off(tmp_path: Path, other_fs: Path, operation: Operation) -> None:
    source, pristine, target = tmp_path / "source", tmp_path / "pristine", other_fs / "target"
    trees.small_files(source, 2000, 3000, random.Random(1), per_directory=70)
    trees.sparse_and_links(source / "more", 10, random.Random(2))
    subprocess.run(["cp", "-a", source, pristine], check=True)
    rng = random.Random(7)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, operation, limits=Limits(io_ops_per_s=3000)))
        await trio.sleep(rng.uniform(0.1, 0.4))
    for _ in range(4):
        async with laboratory(tmp_path / "state") as lab:
            await trio.sleep(rng.uniform(0.05, 0.3))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.ended(execution)
        names = [(t.directory, t.name) for t in await lab.journal.tasks(done.key, limit=100_000)]
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(pristine, target) == []
    assert source.exists() is (operation is Operation.COPY)
    assert len(names) == len(set(names))  # no entry was scanned twice
    assert done.totals.planned == done.totals.done


async def test_an_engine_that_is_cut_off_at_once_leaves_no_mover(tmp_path: Path) -> None:
    """The first mover is there before the run is: whoever cuts that off must not lose it."""
    source, target = tmp_path / "source", tmp_path / "target"
    one_large_file(source, 1 << 20)
    async with laboratory(tmp_path / "state") as lab:
        await lab.start(plan(source, target))
        assert movers()
    assert not movers()
    async with laboratory(tmp_path / "state") as lab:
        (execution,) = lab.engine.all()
        await lab.ended(execution)
    assert differences(source, target) == []


async def test_a_paused_execution_stays_paused_over_a_restart(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    one_large_file(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, reflink=False, limits=SLOW))
        await copying(lab, execution)
        await lab.engine.pause(execution, "ana", "", None)
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        await trio.sleep(0.2)
    async with laboratory(tmp_path / "state") as lab:
        found = lab.engine.find(execution.id)
        assert found.state is ExecutionState.PAUSED
        assert found.holds[0].author == "ana"
        await trio.sleep(0.3)
        assert not any(isinstance(e, MoverStarted) for e in lab.events)
        await lab.engine.cancel(found, "ana", "")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.CANCELLED
    assert temporaries(target) == []


@pytest.mark.hazard(18)
async def test_another_disk_in_the_place_of_the_source_is_refused_on_resume(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    one_large_file(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, Operation.COPY, reflink=False, limits=SLOW))
        await copying(lab, execution)
    source.rename(tmp_path / "unmounted")
    source.mkdir()
    async with laboratory(tmp_path / "state") as lab:
        failed = await lab.ended(execution)
        assert failed.state is ExecutionState.FAILED
        assert "not the directory that was scanned" in failed.reason
        source.rmdir()
        (tmp_path / "unmounted").rename(source)
        await lab.engine.resume(failed, "ana", "")
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.RUNNING)
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        await lab.ended(execution)


async def test_names(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    async with laboratory(tmp_path / "state") as lab:
        first = await lab.run(plan(source, tmp_path / "a"))
        assert lab.engine.find("photos").id == first.id
        assert lab.engine.find(first.id[:4]).id == first.id
        second = await lab.run(plan(source, tmp_path / "b"))
        with pytest.raises(NotFound, match="2 migrations"):
            lab.engine.find("photos")
        with pytest.raises(NotFound, match="no migration"):
            lab.engine.find("nothing")
        repeated = await lab.engine.start(plan(source, tmp_path / "c"), second.identity, "", "same request")
        again = await lab.engine.start(plan(source, tmp_path / "c"), second.identity, "", "same request")
        assert again.id == repeated.id
        await lab.ended(repeated)


@pytest.mark.hazard(13)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
async def test_a_full_target_holds_the_execution_which_goes_on_by_itself(tmp_path: Path) -> None:
    source, mount = tmp_path / "source", tmp_path / "mount"
    trees.large_files(source, 4, 4 << 20, random.Random(1))
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "none", mount], check=True)
    try:
        async with laboratory(tmp_path / "state", EngineSettings(workers=2, hold_s=0.5)) as lab:
            execution = await lab.start(plan(source, mount / "target"))
            await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
            held = lab.engine.find(execution.id)
            assert [h.reason.value for h in held.holds] == ["space"]
            assert "No space left" in lab.engine.view(held).why
            subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
            done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert differences(source, mount / "target") == []
        assert temporaries(mount) == []
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.hazard(29)
async def test_hard_links_of_a_failing_leader_are_copied_all_the_same(tmp_path: Path) -> None:
    """A leader that may not be published does not take its further names down with it."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "a").write_bytes(b"shared")
    for name in ("b", "c", "d"):
        os.link(source / "a", source / name)
    leader = os.listdir(source)[0]  # the scan meets it first
    (target / leader).write_bytes(b"in the way")
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
    assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
    copied = [p for p in target.iterdir() if p.read_bytes() == b"shared"]
    assert len(copied) == 3
    assert len({p.stat().st_ino for p in copied}) == 1


async def test_what_a_crash_left_half_published_is_settled_before_anything_is_dispatched(
    tmp_path: Path, other_fs: Path
) -> None:
    """Found by the crash test: tasks of an open group were given to a second mover while the first settled them."""
    source, target = tmp_path / "source", other_fs / "target"
    trees.small_files(source, 3000, 100, random.Random(1), per_directory=300)
    settings = EngineSettings(workers=3, group_entries=5000, group_age_s=60)
    async with laboratory(tmp_path / "state", settings) as lab:
        execution = await lab.start(plan(source, target, Operation.MOVE))
        with trio.fail_after(30):
            while not await lab.journal.open_groups(execution.key):  # noqa: ASYNC110 (the journal sets no event)
                await trio.sleep(0.001)
    async with laboratory(tmp_path / "state", settings) as lab:
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert done.totals.done == done.totals.planned
    assert not source.exists()


@pytest.mark.hazard(29)
async def test_links_whose_other_names_were_deleted_before_a_crash_are_still_ours(
    tmp_path: Path, other_fs: Path
) -> None:
    """Found by the crash test: our own unlink of one name moves the ctime of the others."""
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    for number in range(40):
        (source / f"a{number}").write_bytes(b"%d" % number)
        for other in range(3):
            os.link(source / f"a{number}", source / f"a{number}-{other}")
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, Operation.MOVE))
        await lab.until(lambda: lab.engine.find(execution.id).stage is Stage.DELETE)
    names = sorted(source.iterdir()) if source.exists() else []
    if len(names) == 160:
        (source / "a7").unlink()  # as a delete that was not journaled any more
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert not source.exists()
    assert sorted(p.stat().st_nlink for p in target.iterdir()) == [4] * 160
