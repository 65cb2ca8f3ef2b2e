"""What a resume finds: failed tasks whose copy is there already, finished directories, sources that were moved away."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

import trees
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.changes import (
    AddFault,
    AddListing,
    AddRoot,
)
from migmond.domain.entry import EntryType
from migmond.domain.events import ScanCompleted
from migmond.domain.execution import Execution
from migmond.domain.fault import Fault, Phase
from migmond.domain.identity import Identity
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation, Plan, Source
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.task import Entry, Listing, Task
from migmond.engine import crew
from migmond.engine.finish import Finisher
from migmond.engine.ledger import AfterCommit, Ledger
from migmond.engine.pool import MoverPool
from migmond.engine.process import MoverProcess
from migmond.engine.settings import EngineSettings
from migmond.engine.station import Station
from migmond.wire.from_mover import Opened, RootRenamed
from migmond.wire.to_mover import Open, RenameRoot, ToMover
from oracle import differences

COPY, MOVE = Operation.COPY, Operation.MOVE
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")


def open_to_all(directory: Path) -> None:
    """Let any user in, and make things there."""
    for above in directory.parents[:-1]:
        above.chmod(above.stat().st_mode | 0o005)
    directory.chmod(0o777)


async def tasks(lab: Laboratory, execution: Execution) -> dict[bytes, Task]:
    return {t.name: t for t in await lab.journal.tasks(execution.key, limit=10_000)}


@pytest.mark.hazard(34)
async def test_a_finished_directory_gets_its_times_again_when_a_resume_puts_something_into_it(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "file").write_bytes(b"1")
    (target / "a" / "b").mkdir(parents=True)
    (target / "a" / "b" / "file").write_bytes(b"in the way")
    for directory in (source / "a" / "b", source / "a", source):
        os.utime(directory, ns=(1, 1_000_000_000))
    async with laboratory(tmp_path / "state") as lab:
        failed = await lab.run(plan(source, target))
        assert failed.state is ExecutionState.COMPLETED_WITH_ERRORS
        (target / "a" / "b" / "file").unlink()
        await lab.engine.resume(failed, "ana", "")
        done = await lab.ended(failed)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, target) == []
    assert done.totals.done == done.totals.planned


@pytest.mark.hazard(25)
async def test_a_file_that_was_written_to_too_long_is_taken_by_a_resume(tmp_path: Path) -> None:
    """Its attempts were used up for ever: no resume could ever heal it."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "log").write_bytes(b"first")
    settings = EngineSettings(workers=1, changed_attempts=2)
    async with laboratory(tmp_path / "state", settings) as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=1)))
        await lab.until(lambda: not lab.engine.find(execution.id).totals.growing)
        (number,) = [t.number for t in await lab.journal.tasks(execution.key) if t.name == b"log"]
        fault = Fault(Phase.COPY, "source_changed", 0, "the source changed after it was scanned")
        run = lab.engine.run_of(execution.id)
        assert run is not None
        assert run._scope is not None
        await lab.engine.pause(execution, "ana", "", None)
        await run._scope.ledger.commit([AddFault(execution.key, number, 1.0, fault)] * 3)
    async with laboratory(tmp_path / "state", settings) as lab:
        (source / "log").write_bytes(b"second, longer")
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
        failed = await lab.ended(execution)
        assert failed.state is ExecutionState.COMPLETED_WITH_ERRORS
        await lab.engine.resume(failed, "ana", "")
        done = await lab.ended(failed)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert (target / "log").read_bytes() == b"second, longer"


@pytest.mark.hazard(25)
@pytest.mark.parametrize("policy", list(ConflictPolicy))
async def test_a_source_that_changed_before_its_delete_takes_the_name_and_our_earlier_copy_stays(
    tmp_path: Path, other_fs: Path, policy: ConflictPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    target.mkdir()
    (source / "file").write_bytes(b"old")
    (source / "way").symlink_to("old")
    os.link(source / "file", source / "link")
    os.utime(source / "file", ns=(1, 1_000_000_000))
    if policy is ConflictPolicy.RENAME:
        (target / "file").write_bytes(b"somebody else's")
    original = Finisher.deletes

    async def change_first(self: Finisher) -> None:
        if (source / "file").read_bytes() == b"old":
            (source / "file").write_bytes(b"new, and longer")
        await original(self)

    monkeypatch.setattr(Finisher, "deletes", change_first)
    async with laboratory(tmp_path / "state") as lab:
        failed = await lab.run(plan(source, target, MOVE, conflict=policy))
        assert failed.state is ExecutionState.COMPLETED_WITH_ERRORS
        assert failed.totals.failed.entries == 2
        await lab.engine.resume(failed, "ana", "")
        done = await lab.ended(failed)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert not source.exists()
    found = {p.name: p.read_bytes() for p in target.iterdir() if not p.is_symlink()}
    ours = {"file", "link"}
    if policy is ConflictPolicy.RENAME:
        assert found.pop("file") == b"somebody else's"
        ours = {"file (1)", "link"}
    earlier = {f"{name}.~1~": b"old" for name in ours}
    assert found == dict.fromkeys(ours, b"new, and longer") | earlier
    assert len({(target / n).stat().st_ino for n in ours}) == 1
    assert done.totals.done == done.totals.planned


@pytest.mark.hazard(29)
async def test_a_leader_that_failed_becomes_a_link_of_what_was_promoted(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "a").write_bytes(b"shared")
    for name in ("b", "c", "d"):
        os.link(source / "a", source / name)
    leader = os.listdir(source)[0]  # the scan meets it first
    (target / leader).write_bytes(b"in the way")
    async with laboratory(tmp_path / "state") as lab:
        failed = await lab.run(plan(source, target))
        assert failed.state is ExecutionState.COMPLETED_WITH_ERRORS
        (target / leader).unlink()
        await lab.engine.resume(failed, "ana", "")
        done = await lab.ended(failed)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, target) == []


async def test_a_move_remembers_what_was_done_and_lost(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    (source / "link").symlink_to("x")
    (source / "plain").write_bytes(b"1")
    os.setxattr(source / "plain", "user.large", b"x" * 3000)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, MOVE))
        found = await tasks(lab, done)
    assert done.state is ExecutionState.COMPLETED
    assert found[b"link"].outcome is Outcome.CREATED
    lost = "user.large" not in os.listxattr(target / "plain")
    assert bool(found[b"plain"].lost) is lost
    assert done.totals.imperfect == lost


@pytest.mark.parametrize("killed", ["movers", "engine"])
async def test_single_files_that_are_moved_already_may_be_gone(tmp_path: Path, other_fs: Path, killed: str) -> None:
    files = [tmp_path / f"one{i}" for i in range(3)]
    for path in files:
        path.write_bytes(path.name.encode())
    large = tmp_path / "large"
    trees.large_files(large, 5, 33 << 20, random.Random(1))  # each a batch of its own
    sources = tuple(Source(bytes(p), p.name.encode()) for p in [*files, large])
    move = Plan("several", sources, bytes(other_fs / "target"), MOVE, limits=Limits(io_bytes_per_s=32 << 20))
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(move)
        await lab.until(lambda: not any(p.exists() for p in files))
        run = lab.engine.run_of(execution.id)
        assert run is not None
        assert run._scope is not None
        for process in list(run._scope.crew.processes.values()):  # a replaced mover opens the sources as well
            process.kill()
        if killed == "movers":
            await lab.ended(execution)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert {p.name for p in (other_fs / "target").iterdir()} == {"one0", "one1", "one2", "large"}


async def test_a_mover_that_dies_when_the_source_is_gone_is_replaced(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    trees.small_files(source, 50, 100, random.Random(1))
    original = Finisher.remove_source_directories

    async def remove_and_die(self: Finisher) -> None:
        await original(self)
        for station in list(self._scope.crew.stations.values()):
            station.process.kill()
        await trio.sleep(1.0)

    monkeypatch.setattr(Finisher, "remove_source_directories", remove_and_die)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, MOVE))
    assert done.state is ExecutionState.COMPLETED, done.reason


async def test_a_failed_execution_can_be_cancelled_though_its_source_is_gone(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.large_files(source, 1, 32 << 20, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, reflink=False, limits=Limits(io_bytes_per_s=2 << 20)))
        await lab.until(lambda: target.exists() and any(target.iterdir()))
    assert any(target.iterdir())  # cut off: its temporary is there
    source.rename(tmp_path / "unmounted")
    async with laboratory(tmp_path / "state") as lab:
        failed = await lab.ended(execution)
        assert failed.state is ExecutionState.FAILED
        await lab.engine.cancel(failed, "ana", "")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.CANCELLED, done.reason
    assert not any(target.iterdir())


async def test_directories_that_nothing_was_picked_in_do_not_count(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("a/b", "empty", "none/below"):
        (source / name).mkdir(parents=True)
    (source / "a" / "b" / "x.jpg").write_bytes(b"1")
    (source / "none" / "below" / "x.txt").write_bytes(b"1")
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, selector=Selector(include=("*.jpg",))))
        states = {t.state for t in (await tasks(lab, done)).values()}
        view = lab.engine.view(done)
    assert {str(p.relative_to(target)) for p in target.rglob("*")} == {"a", "a/b", "a/b/x.jpg"}
    assert done.totals.done == done.totals.planned
    assert view.progress.percent_done == 100.0
    assert states == {TaskState.DONE, TaskState.SKIPPED}


@needs_root
async def test_a_directory_that_was_listed_in_part_is_not_listed_twice(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    for number in range(30):
        (source / "sub" / f"f{number}").write_bytes(b"%d" % number)
    (source / "sub").chmod(0)
    open_to_all(tmp_path)
    async with laboratory(tmp_path / "state") as lab:
        failed = await lab.ended(await lab.engine.start(plan(source, target), Identity(65534, 65534), "", ""))
        assert failed.state is ExecutionState.COMPLETED_WITH_ERRORS
        (sub,) = [t.number for t in await lab.journal.tasks(failed.key) if t.name == b"sub"]
        # A read error came in the middle of it: what the listing had told until then is in the journal.
        entries = [
            Entry(p.name.encode(), EntryType.FILE, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, 1)
            for p in sorted((source / "sub").iterdir())[:20]
            for st in (p.stat(),)
        ]
        part = Listing(sub, source.stat().st_dev, sub + 1, tuple(entries), {}, complete=False)
        more = Task(sub + 21, 1, b"later", EntryType.FILE, 0, 0, 0, 0, 0, 1, TaskState.SKIPPED)
        await lab.journal.apply([AddListing(failed.key, part), AddRoot(failed.key, 0, more)])
        (source / "sub").chmod(0o755)
        await lab.engine.resume(failed, "ana", "")
        done = await lab.ended(failed)
        names = [(t.directory, t.name) for t in await lab.journal.tasks(done.key, limit=1000)]
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert len(names) == len(set(names)) == 33
    assert any(isinstance(e, ScanCompleted) for e in lab.events[-40:])
    assert len(list((target / "sub").iterdir())) == 30


@needs_root
async def test_read_only_directories_of_an_earlier_migration_are_no_obstacle_to_their_owner(tmp_path: Path) -> None:
    source, target, nobody = tmp_path / "source", tmp_path / "target", Identity(65534, 65534)
    (source / "closed").mkdir(parents=True)
    (source / "closed" / "first").write_bytes(b"1")
    open_to_all(tmp_path)

    def close() -> None:
        for path in (source, *source.rglob("*")):
            os.chown(path, 65534, 65534)
        (source / "closed").chmod(0o555)

    close()
    async with laboratory(tmp_path / "state") as lab:
        first = await lab.ended(await lab.engine.start(plan(source, target), nobody, "", ""))
        (source / "closed" / "second").write_bytes(b"2")
        (source / "closed" / "below").mkdir()
        (source / "closed" / "below" / "third").write_bytes(b"3")
        close()
        again = await lab.ended(await lab.engine.start(plan(source, target), nobody, "", ""))
    assert (first.state, again.state) == (ExecutionState.COMPLETED, ExecutionState.COMPLETED)
    assert differences(source, target) == []


@pytest.mark.hazard(13)
@needs_root
async def test_directories_on_a_full_disk_are_held_not_failed(tmp_path: Path) -> None:
    source, mount = tmp_path / "source", tmp_path / "mount"
    for number in range(40):
        (source / f"d{number}").mkdir(parents=True)
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=20", "none", mount], check=True)
    try:
        async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=0.5)) as lab:
            execution = await lab.start(plan(source, mount / "target"))
            await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
            assert [h.reason.value for h in lab.engine.find(execution.id).holds] == ["space"]
            subprocess.run(["mount", "-o", "remount,nr_inodes=1000", mount], check=True)
            done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert differences(source, mount / "target") == []
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.hazard(22)
@needs_root
async def test_a_source_that_turns_read_only_is_held_not_failed(tmp_path: Path, other_fs: Path) -> None:
    mount, target = tmp_path / "mount", other_fs / "target"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", mount], check=True)
    try:
        source = mount / "source"
        trees.small_files(source, 200, 100, random.Random(1))
        subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
        async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=0.5)) as lab:
            execution = await lab.start(plan(source, target, MOVE))
            await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
            assert lab.engine.find(execution.id).totals.failed.entries == 0
            subprocess.run(["mount", "-o", "remount,rw", mount], check=True)
            done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert not source.exists()
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.hazard(9)
@needs_root
async def test_a_full_disk_of_the_journal_holds_and_goes_on_by_itself(tmp_path: Path) -> None:
    source, target, state = tmp_path / "source", tmp_path / "target", tmp_path / "state"
    trees.small_files(source, 4000, 100, random.Random(1), per_directory=50)
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", state], check=True)
    try:
        async with laboratory(state, EngineSettings(workers=2, group_entries=100)) as lab:
            execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=2000)))
            await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > 200)
            with (state / "ballast").open("wb") as ballast:
                for _ in range(40):
                    try:
                        ballast.write(bytes(1 << 20))
                        ballast.flush()
                    except OSError:
                        break
            await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED, 20)
            held: Any = lab.engine.find(execution.id)
            assert [(h.reason.value, h.author) for h in held.holds] == [("space", "journal")]
            await trio.sleep(1.5)
            copied = sum(1 for p in target.rglob("f*") if p.is_file())
            await trio.sleep(1.0)
            assert sum(1 for p in target.rglob("f*") if p.is_file()) == copied  # nothing is acted upon
            (state / "ballast").unlink()
            done = await lab.ended(execution)
            assert done.state is ExecutionState.COMPLETED, done.reason
            assert await lab.journal.check() == []
        assert differences(source, target) == []
    finally:
        subprocess.run(["umount", state], check=True)


async def test_a_mover_that_starts_late_finds_everything_moved(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the second mover may open the source when the first has moved all of it and removed it."""
    source, target = tmp_path / "source", other_fs / "target"
    trees.small_files(source, 50, 100, random.Random(1))
    original = crew.open_mover

    async def slowly(pool: MoverPool, slot: int, identity: Identity, opening: Open) -> tuple[MoverProcess, Opened]:
        while slot == 2 and source.exists():  # noqa: ASYNC110 (a directory has no event)
            await trio.sleep(0.01)
        return await original(pool, slot, identity, opening)

    monkeypatch.setattr(crew, "open_mover", slowly)
    async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
        done = await lab.run(plan(source, target, MOVE))
    assert done.state is ExecutionState.COMPLETED, done.reason


async def test_a_mover_that_dies_while_it_renames_a_tree_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 50, 100, random.Random(1))
    inode, deaths = source.stat().st_ino, 0
    original = Station.ask

    async def dying(self: Station, message: ToMover, answer: type[Any]) -> Any:
        nonlocal deaths
        if isinstance(message, RenameRoot) and deaths < 2:
            deaths += 1
            self.process.kill()
        return await original(self, message, answer)

    monkeypatch.setattr(Station, "ask", dying)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, MOVE))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert (target.stat().st_ino, source.exists(), deaths) == (inode, False, 2)


@pytest.mark.hazard(1)
@pytest.mark.parametrize("ending", ["resume", "drain", "cancel"])
async def test_a_renamed_tree_whose_sync_failed_is_held_and_synced_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 50, 100, random.Random(1))
    inode, failures = source.stat().st_ino, 0
    original = Station.ask

    async def failing(self: Station, message: ToMover, answer: type[Any]) -> Any:
        nonlocal failures
        said = await original(self, message, answer)
        if isinstance(message, RenameRoot) and not failures:
            failures += 1
            fault = Fault(Phase.SYNC, "EIO", errno.EIO, "Input/output error")
            return RootRenamed(message.root, done=False, reason="", unsynced=fault)
        return said

    monkeypatch.setattr(Station, "ask", failing)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, MOVE))
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        assert "Input/output error" in lab.engine.find(execution.id).holds[0].note
        assert target.stat().st_ino == inode
        if ending != "resume":
            await (lab.engine.drain if ending == "drain" else lab.engine.cancel)(execution, "me", "")
            ended = await lab.ended(execution)
            assert f"{source} is at the destination as a whole" in ended.reason
            assert await lab.journal.open_groups(ended.key) == []
        if ending != "cancel":
            await lab.engine.resume(lab.engine.find(execution.id), "me", "")
            ended = await lab.ended(execution)
            assert ended.state is ExecutionState.COMPLETED, ended.reason
    assert (target.stat().st_ino, source.exists(), failures) == (inode, False, 1)
    assert len([p for p in target.rglob("*") if p.is_file()]) == 50


@pytest.mark.parametrize("control", ["pause", "resume", "cancel", "drain"])
async def test_what_somebody_was_told_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, control: str) -> None:
    """After a crash a paused execution went on by itself when its pause had been confirmed before it was written."""
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 300, 500, random.Random(1))
    write = Ledger._write

    async def slowly(ledger: Ledger) -> list[AfterCommit]:
        await trio.sleep(0.2)
        return await write(ledger)

    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=50)))
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.RUNNING)
        if control == "resume":
            await lab.engine.pause(execution, "ana", "", None)
        monkeypatch.setattr(Ledger, "_write", slowly)
        arguments = (None,) if control == "pause" else ()
        told = await getattr(lab.engine, control)(lab.engine.find(execution.id), "ana", "", *arguments)
        (row,) = await lab.journal.executions()
        assert (row.state, row.holds) == (told.state, told.holds)
