"""Pending entries that are sent to another destination while the migration runs: where they go, what knows of it, and
what is refused before anything is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import trio

import receipts
from engine_harness import ME, Laboratory, laboratory, plan
from loopfs import missing, mounted
from migmond.domain import api
from migmond.domain.changes import Change, PutExecution, PutIntervention, SendTo
from migmond.domain.errors import Conflict, LimitExceeded, NotPermitted, PlanInfeasible
from migmond.domain.execution import Destination, Execution
from migmond.domain.file_system import Own
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation, Source, VerifyLevel
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState
from migmond.domain.steering import Route
from migmond.engine.recording import Ask
from migmond.engine.rollbacks import Rollback
from migmond.fsys.standing import standing_of
from migmond_sqlite import SqliteJournal
from oracle import differences, names_starting
from routing import EVERYTHING, FAST, files, make, rerouted, route, whereabouts
from steering import change, running

COPY, MOVE = Operation.COPY, Operation.MOVE
SLOWER = Limits(io_ops_per_s=30.0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make(tmp_path / "source")
    return tmp_path / "source"


def check_places(where: dict[str, bytes], content: dict[str, bytes], *roots: Path) -> None:
    """Every file is at the destination that the journal names, and at no other."""
    for path, data in content.items():
        assert [r for r in roots if (r / path).exists()] == [Path(os.fsdecode(where[path]))], path
        assert (Path(os.fsdecode(where[path])) / path).read_bytes() == data, path
    for root in roots:
        assert names_starting(root, b".migmond-") == []


@pytest.mark.parametrize("verify", [VerifyLevel.HASH, VerifyLevel.NONE, VerifyLevel.READ_BACK])
async def test_what_is_pending_goes_to_the_other_destination(
    tmp_path: Path, other_fs: Path, source: Path, verify: VerifyLevel
) -> None:
    target, more, content = tmp_path / "target", other_fs / "more", files(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, target, verify=verify, workers=1)
        record = await rerouted(lab, execution, more)
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert done.totals.done == done.totals.planned
        where = await whereabouts(lab, done)
        check_places(where, content, target, more)
        sent = {p for p, to in where.items() if to == bytes(more) and p in content}
        assert len(sent) > 20  # what movers had in hand is less than that leaves
        assert all(p.endswith(".txt") for p in sent)
        assert (record.entries or 0) >= len(sent)
        verification = await lab.verified(done)
        assert (verification.mismatches, verification.unreadable) == (0, 0)
        assert verification.checked.entries == done.totals.done.entries
        moved = sorted(sent)[0]
        (more / moved).write_bytes(b"spoilt")
        assert (await lab.verified(done)).mismatches == 1
        kept = receipts.entries(await receipts.receipt_of(lab.journal, done))
        assert {p for p, e in kept.items() if e.get("destination") == str(more) and p in content} == sent
    places = [root / d for root in (target, more) for d in ("both", "texts", "both/below") if (root / d).exists()]
    assert {place.parent for place in places} >= {target, more}
    for place in places:
        original = source / place.relative_to(more if place.is_relative_to(more) else target)
        assert place.stat().st_mode == original.stat().st_mode
        assert place.stat().st_mtime_ns == original.stat().st_mtime_ns
    assert (target / "empty").stat().st_mode == (source / "empty").stat().st_mode
    assert not (more / "empty").exists()


async def test_everything_that_is_left_goes_elsewhere_and_leaves_no_empty_directories(
    tmp_path: Path, other_fs: Path, source: Path
) -> None:
    target, more, content = tmp_path / "target", other_fs / "more", files(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, target, workers=1)
        await rerouted(lab, execution, more, EVERYTHING)
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        where = await whereabouts(lab, done)
        check_places(where, content, target, more)
        assert where["empty"] == bytes(more)
        assert (more / "empty").stat().st_mode == (source / "empty").stat().st_mode
        for path in ("empty", "both/below", "texts"):
            assert (target / path).exists() == (where[path] == bytes(target))
        assert (await lab.verified(done)).mismatches == 0


async def test_a_route_that_is_taken_back_holds_for_nothing_that_waits(
    tmp_path: Path, other_fs: Path, source: Path
) -> None:
    target, more, content = tmp_path / "target", other_fs / "more", files(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, target, workers=1)
        record = await change(lab, execution, route(more))
        await lab.engine.undoing.undo(record.id, "ana", "")
        other = await rerouted(lab, execution, more, Selector(include=("*.bin",)))
        await lab.engine.undoing.undo(other.id, "ana", "")
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        where = await whereabouts(lab, done)
        check_places(where, content, target, more)
        assert sum(to == bytes(more) for p, to in where.items() if p in content) <= len(content) // 2


async def test_the_latest_of_several_routes_counts(tmp_path: Path, other_fs: Path, source: Path) -> None:
    target, one, two = tmp_path / "target", other_fs / "one", other_fs / "two"
    content = files(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, target, workers=1)
        await lab.engine.pause(
            lab.engine.find(execution.id), "ana", "both are to be there before anything goes on", None
        )
        await change(lab, execution, route(one, EVERYTHING))
        await rerouted(lab, execution, two)
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        where = await whereabouts(lab, done)
        check_places(where, content, target, one, two)
        at = {path: Path(os.fsdecode(to)) for path, to in where.items() if path in content}
        assert {to for path, to in at.items() if path.endswith(".txt")} <= {target, two}
        assert {to for path, to in at.items() if path.endswith(".bin")} <= {target, one}
        assert {target, one, two} == set(at.values())
        assert [d.path for d in done.further] == [bytes(one), bytes(two)]


@pytest.mark.parametrize("within", [True, False], ids=["renamed", "copied"])
async def test_a_move_is_routed_and_rolled_back(tmp_path: Path, other_fs: Path, source: Path, *, within: bool) -> None:
    target, before = other_fs / "target", tmp_path / "before"
    more = (tmp_path if within else other_fs) / "more"
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, before))
        execution = await running(lab, source, target, operation=MOVE, workers=1)
        await rerouted(lab, execution, more)
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert not source.exists()
        check_places(await whereabouts(lab, done), files(before), target, more)
        assert any(more.rglob("*.txt"))
        back = await lab.ended(await lab.engine.rollback(Rollback(done, Selector(), ""), ME, "ana"))
        assert (back.state, back.reason) == (ExecutionState.COMPLETED, "")
    assert differences(before, source) == []
    assert not target.exists()
    assert list(more.iterdir()) == []


async def test_a_rollback_removes_copies_where_they_are(tmp_path: Path, other_fs: Path, source: Path) -> None:
    target, more, before = tmp_path / "target", other_fs / "more", files(source)
    more.mkdir()
    (more / "theirs").write_bytes(b"stays")
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, target, workers=1)
        await rerouted(lab, execution, more)
        done = await lab.ended(execution)
        changed = next(p for p, to in (await whereabouts(lab, done)).items() if to == bytes(more) and p in before)
        (more / changed).write_bytes(b"edited meanwhile")
        back = await lab.ended(await lab.engine.rollback(Rollback(done, Selector(), ""), ME, "ana"))
        assert back.state is ExecutionState.COMPLETED
        assert "1 changed since" in back.reason
    assert files(more) == {"theirs": b"stays", changed: b"edited meanwhile"}
    assert files(target) == {}
    assert files(source) == before


async def test_several_single_files_each_go_where_they_are_sent(tmp_path: Path, other_fs: Path) -> None:
    target, more, sources = tmp_path / "target", other_fs / "more", []
    target.mkdir()
    for number in range(430):
        file = tmp_path / f"single-{number:03}"
        file.write_bytes(b"%d" % number)
        sources.append(Source(bytes(file), os.fsencode(file.name)))
    async with laboratory(tmp_path / "state") as lab:
        wanted = plan(tmp_path / "single-000", target, MOVE, reflink=False)
        started = await lab.start(msgspec.structs.replace(wanted, sources=tuple(sources), limits=SLOWER, workers=1))
        run = lab.engine.run_of(started.id)
        assert run is not None
        await lab.until(lambda: bool(run.running_tasks()))
        await rerouted(lab, started, more, EVERYTHING)
        done = await lab.ended(started)
        assert done.state is ExecutionState.COMPLETED, done.reason
        here, there = files(target), files(more)
        assert sorted([*here, *there]) == [f"single-{n:03}" for n in range(430)]
        assert there
        back = await lab.ended(await lab.engine.rollback(Rollback(done, Selector(), ""), ME, "ana"))
        assert back.state is ExecutionState.COMPLETED, back.reason
    assert all((tmp_path / f"single-{n:03}").read_bytes() == b"%d" % n for n in range(430))
    assert (files(target), files(more)) == ({}, {})


@pytest.mark.parametrize("operation", [COPY, MOVE])
async def test_a_directory_that_was_meant_for_another_destination_is_made_somewhere(
    tmp_path: Path, other_fs: Path, source: Path, operation: Operation
) -> None:
    """It was to be made there when a route for everything was in force, and was not: that was cut off or failed."""
    target, more = other_fs / "target", tmp_path / "more"
    (source / "empty").chmod(0o751)
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, target, operation=operation, workers=1)
        await change(lab, execution, route(more))
        tasks = await lab.journal.tasks(execution.key, directories=True, limit=10_000)
        (empty,) = (t.number for t in tasks if t.name == b"empty")
        await lab.journal.apply([SendTo(execution.key, 1, (empty,))])
        await change(lab, execution, FAST)
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert (await lab.journal.sent_to(done.key, [empty])) == {}
    assert (target / "empty").stat().st_mode & 0o777 == 0o751
    assert not (more / "empty").exists()


# --- what is cut off -----------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [COPY, MOVE])
async def test_what_was_cut_off_goes_on_to_both_destinations(
    tmp_path: Path, other_fs: Path, source: Path, operation: Operation
) -> None:
    target, more, content = other_fs / "target", tmp_path / "more", files(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, target, operation=operation, workers=1, limits=SLOWER)
        await change(lab, execution, route(more))
        await lab.until(lambda: any(more.rglob("*.txt")))
    for _ in range(2):
        async with laboratory(tmp_path / "state") as lab:
            run = lab.engine.run_of(execution.id)
            assert run is not None
            await run.ready.wait()
            await trio.sleep(0.2)
            for process in run.movers:
                process.kill()
    async with laboratory(tmp_path / "state") as lab:
        from routing import FAST

        await change(lab, lab.engine.find(execution.id), FAST)
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        check_places(await whereabouts(lab, done), content, target, more)
        assert (await lab.verified(done)).mismatches == 0
    assert source.exists() is (operation is COPY)


async def test_another_directory_in_the_place_of_the_other_destination_is_not_written_to(
    tmp_path: Path, other_fs: Path, source: Path
) -> None:
    """Its disk is not mounted any more (design page HAZARDS row 18)."""
    target, mount = tmp_path / "target", other_fs / "mount"
    mount.mkdir()
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, target, workers=1, limits=SLOWER)
        await change(lab, execution, route(mount))
        await lab.until(lambda: any(mount.rglob("*.txt")))
    mount.rename(other_fs / "unmounted")
    mount.mkdir()
    async with laboratory(tmp_path / "state") as lab:
        stopped = await lab.ended(execution)
        assert stopped.state is ExecutionState.FAILED
        assert str(mount) in stopped.reason
        assert list(mount.iterdir()) == []
        mount.rmdir()
        (other_fs / "unmounted").rename(mount)
        await lab.engine.resume(stopped, "ana", "")
        await change(lab, lab.engine.find(execution.id), FAST)
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        check_places(await whereabouts(lab, done), files(source), target, mount)


# --- what is refused -----------------------------------------------------------------------------------


async def refused(lab: Laboratory, execution: Execution, action: Route) -> Exception:
    for dry_run in (True, False):
        with pytest.raises((PlanInfeasible, NotPermitted, Conflict, LimitExceeded)) as caught:
            await lab.engine.steering.intervene(execution, Ask(action, "ana"), dry_run=dry_run)
    assert lab.engine.find(execution.id).further == ()
    assert lab.engine.find(execution.id).standing == ()
    assert await lab.journal.interventions(execution.id) == []
    return caught.value


async def test_a_destination_in_the_source_through_a_symlink_is_refused(tmp_path: Path, source: Path) -> None:
    (tmp_path / "alias").symlink_to(source / "both")
    (tmp_path / "file").write_bytes(b"")
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target", workers=1)
        error = await refused(lab, execution, route(tmp_path / "alias"))
        assert "lies inside the source" in str(error)
        assert "is none" in str(await refused(lab, execution, route(tmp_path / "file")))
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        await lab.ended(execution)


async def test_the_daemons_own_files_are_no_destination(tmp_path: Path, source: Path) -> None:
    (tmp_path / "state" / "below").mkdir(parents=True)
    fd = os.open(tmp_path / "state", os.O_RDONLY)
    own = (Own("the daemon's state", bytes(tmp_path / "state"), standing_of(fd)),)
    os.close(fd)
    async with laboratory(tmp_path / "state", own=own) as lab:
        execution = await running(lab, source, tmp_path / "target", workers=1)
        error = await refused(lab, execution, route(tmp_path / "state" / "below"))
        assert "the daemon's state" in str(error)
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        await lab.ended(execution)


async def test_what_does_not_fit_is_refused_and_what_may_not_fit_is_told(tmp_path: Path, other_fs: Path) -> None:
    source, free = tmp_path / "source", os.statvfs(other_fs).f_bavail * os.statvfs(other_fs).f_frsize
    make(source)
    huge = source / "huge.txt"
    with huge.open("wb") as file:
        file.truncate(free + (64 << 20))
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target", workers=1)
        action = route(other_fs / "new", Selector(include=("huge.txt",)))
        # A hole takes no room, so that nothing is certain; what is known is told.
        effect, _ = await lab.engine.steering.intervene(execution, Ask(action, "ana"), dry_run=True)
        assert any("it may not fit" in note for note in effect.notes)
        assert any("is made on the file system at" in note for note in effect.notes)
        assert not (other_fs / "new").exists()
        await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
        await lab.ended(execution)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_what_cannot_be_there_as_it_is_is_told(tmp_path: Path) -> None:
    for kind in ("btrfs", "ext4"):
        if reason := missing(kind):
            pytest.skip(reason)
    with mounted(tmp_path / "a", "btrfs", size_bytes=256 << 20) as timeless, mounted(tmp_path / "b", "ext4") as fs:
        source = timeless.root / "source"
        make(source)
        for name in ("late.txt", "later.bin", "latest.txt"):
            (source / name).write_bytes(b"x" * 5000)
            os.utime(source / name, (2 * 10**10, 2 * 10**10))  # in 2603
        async with laboratory(tmp_path / "state") as lab:
            execution = await running(lab, source, tmp_path / "target", workers=1)
            effect, _ = await lab.engine.steering.intervene(execution, Ask(route(fs.root), "ana"), dry_run=True)
            assert [n for n in effect.notes if "modification time" in n] == [
                "ext4 cannot have the modification times of 2 entries (late.txt)"
            ]
            await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
            await lab.ended(execution)


async def test_a_run_that_has_just_ended_may_be_told_of_a_destination(tmp_path: Path, source: Path) -> None:
    """It was looked at while the run went on."""
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, tmp_path / "target", workers=1)
        run = lab.engine.run_of(execution.id)
        assert run is not None
        await change(lab, execution, FAST)
        await lab.ended(execution)
        assert run.scope is not None
        await run.add_destination(Destination(bytes(tmp_path / "more"), ()), run.scope.roots)


async def test_a_rollback_has_no_other_destination(tmp_path: Path, other_fs: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, other_fs / "target", operation=MOVE, workers=1)
        await change(lab, execution, FAST)
        done = await lab.ended(execution)
        started = await lab.engine.rollback(Rollback(done, Selector(), ""), ME, "ana")
        await lab.until(lambda: bool((run := lab.engine.run_of(started.id)) and run.running_tasks()))
        with pytest.raises(Conflict, match="back to where they came from"):
            await lab.engine.steering.intervene(started, Ask(route(tmp_path / "more"), "ana"))
        await lab.engine.cancel(lab.engine.find(started.id), "ana", "")
        await lab.ended(started)


async def test_what_clients_see_of_it(tmp_path: Path, other_fs: Path, source: Path) -> None:
    target, more = tmp_path / "target", other_fs / "more"
    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, target, workers=1)
        effect, none = await lab.engine.steering.intervene(execution, Ask(route(more), "ana"), dry_run=True)
        assert none is None
        assert not more.exists()
        assert effect.after == f"to {more} for '*.txt'"
        assert (effect.entries or 0) > 20
        assert any("movers have in hand" in note for note in effect.notes)
        await rerouted(lab, execution, more)
        done = await lab.ended(execution)
        view: api.ExecutionView = lab.engine.view(done)
        assert view.further_destinations == (str(more),)


# --- cut off in the middle of the change ---------------------------------------------------------------


def is_step(change: Change, step: str) -> bool:
    if step == "known":
        return isinstance(change, PutExecution) and bool(change.execution.further)
    return isinstance(change, PutIntervention if step == "recorded" else SendTo)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", ["known", "recorded", "sent"])
async def test_cut_off_between_any_two_steps_it_is_the_old_or_the_new(
    tmp_path: Path, other_fs: Path, source: Path, monkeypatch: pytest.MonkeyPatch, step: str, *, before: bool
) -> None:
    target, more, content = tmp_path / "target", other_fs / "more", files(source)
    apply, hit = SqliteJournal.apply, trio.Event()
    armed = False

    async def cut(journal: SqliteJournal, changes: Sequence[Change]) -> None:
        it = armed and any(is_step(c, step) for c in changes)
        if hit.is_set() or (it and before):
            hit.set()
            await trio.sleep_forever()
        await apply(journal, changes)
        if it:
            hit.set()
            await trio.sleep_forever()

    async with laboratory(tmp_path / "state") as lab:
        execution = await running(lab, source, target, workers=1)
        armed = True
        monkeypatch.setattr(SqliteJournal, "apply", cut)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.engine.steering.intervene, execution, Ask(route(more), "ana"))
            with trio.fail_after(20):
                await hit.wait()
            await trio.sleep(0.2)
            nursery.cancel_scope.cancel()
    monkeypatch.undo()
    made = step == "sent" or (step == "recorded" and not before)
    async with laboratory(tmp_path / "state") as lab:
        run = lab.engine.run_of(execution.id)
        assert run is not None
        await run.ready.wait()
        records = await lab.journal.interventions(execution.id)
        assert [r.id for r in records] == [s.id for s in run.execution.standing]
        # That the destination is known changes nothing; what is sent may be in one transaction with the record.
        if step != "known" and (step, before) != ("sent", True):
            assert bool(records) is made
        await change(lab, run.execution, FAST)
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        where = await whereabouts(lab, done)
        check_places(where, content, *(r for r in (target, more) if r.exists()))
        if records:
            assert any(to == bytes(more) for to in where.values())
        else:
            assert differences(source, target) == []
