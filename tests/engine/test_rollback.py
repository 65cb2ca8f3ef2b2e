"""Rollbacks through the real engine, journal and movers, compared with an independent oracle."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import trees
from agenda import hold, lift
from engine_harness import ME, Laboratory, laboratory, plan
from migmond.domain.entry import EntryType
from migmond.domain.errors import Conflict
from migmond.domain.execution import Execution
from migmond.domain.intervention import InterventionKind
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.engine.rollbacks import Outlook, Rollback
from migmond.planning.undo import Fate
from oracle import differences, names_starting

COPY, MOVE = Operation.COPY, Operation.MOVE
ROOT = os.geteuid() == 0
ALL = Selector()


async def rolled_back(lab: Laboratory, first: Execution, selector: Selector = ALL) -> Execution:
    started = await lab.engine.rollback(Rollback(lab.engine.find(first.id), selector, "why not"), ME, "ana")
    return await lab.ended(started)


async def outlook(lab: Laboratory, first: Execution, selector: Selector = ALL) -> Outlook:
    return await lab.engine.rollback_plan(Rollback(lab.engine.find(first.id), selector), ME)


def counts(found: Outlook) -> dict[Fate, int]:
    return {fate: tally.entries for fate, tally in found.tallies.items()}


def tidy(*places: Path) -> bool:
    return all(names_starting(place, b".migmond-") == [] for place in places if place.exists())


@pytest.mark.parametrize("verify", [VerifyLevel.HASH, VerifyLevel.NONE])
async def test_a_copy_is_removed_and_its_source_stays(tmp_path: Path, other_fs: Path, verify: VerifyLevel) -> None:
    source, before, target = tmp_path / "source", tmp_path / "before", other_fs / "new"
    trees.every_kind(source)
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, before))
        done = await lab.run(plan(source, target, verify=verify))
        seen = await outlook(lab, done)
        assert set(counts(seen)) == {Fate.REMOVE}
        assert differences(before, target, owners=ROOT) == []  # to look changes nothing
        back = await rolled_back(lab, done)
        (recorded,) = await lab.journal.interventions(done.id)
    assert (back.state, back.reason) == (ExecutionState.COMPLETED, "")
    assert not target.exists()
    assert differences(before, source, owners=ROOT) == []
    assert back.totals.done == back.totals.planned
    assert (recorded.kind, recorded.author, recorded.reason) == (InterventionKind.ROLLBACK, "ana", "why not")
    assert back.id[:6] in recorded.after


async def test_a_move_to_another_file_system_comes_back(tmp_path: Path, other_fs: Path) -> None:
    source, before, target = tmp_path / "source", tmp_path / "before", other_fs / "new"
    trees.every_kind(source)
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, before))
        done = await lab.run(plan(source, target, MOVE))
        assert done.state is ExecutionState.COMPLETED
        assert not source.exists()
        seen = await outlook(lab, done)
        assert set(counts(seen)) == {Fate.RESTORE}
        back = await rolled_back(lab, done)
    assert (back.state, back.reason) == (ExecutionState.COMPLETED, "")
    assert differences(before, source, holes=True, owners=ROOT) == []
    assert not target.exists()
    assert tidy(source)


async def test_a_tree_that_was_renamed_as_a_whole_is_renamed_back(tmp_path: Path) -> None:
    source, before, target = tmp_path / "source", tmp_path / "before", tmp_path / "to" / "target"
    trees.random_tree(source, random.Random(1), 60)
    inode = source.stat().st_ino
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, before))
        done = await lab.run(plan(source, target, MOVE))
        assert target.stat().st_ino == inode
        seen = await outlook(lab, done)
        assert counts(seen) == {Fate.WHOLE: 1}
        back = await rolled_back(lab, done)
    assert back.state is ExecutionState.COMPLETED, back.reason
    assert source.stat().st_ino == inode
    assert differences(before, source) == []
    assert not target.exists()


async def test_files_that_were_renamed_one_by_one_are_renamed_back(tmp_path: Path) -> None:
    source, before, target = tmp_path / "source", tmp_path / "before", tmp_path / "target"
    trees.random_tree(source, random.Random(2), 60)
    target.mkdir()
    (target / "theirs").write_bytes(b"stays")
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, before))
        inodes = {p.name: p.lstat().st_ino for p in source.rglob("*") if p.is_file() and not p.is_symlink()}
        done = await lab.run(plan(source, target, MOVE))
        assert done.state is ExecutionState.COMPLETED, done.reason
        back = await rolled_back(lab, done)
    assert back.state is ExecutionState.COMPLETED, back.reason
    assert differences(before, source) == []
    assert {p.name: p.lstat().st_ino for p in source.rglob("*") if p.is_file() and not p.is_symlink()} == inodes
    assert [p.name for p in target.iterdir()] == ["theirs"]


async def test_what_people_change_meanwhile_stays_as_they_left_it(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    names = ("edited", "edited, time set back", "deleted", "replaced", "place taken", "place taken by the same", "left")
    for name in names:
        (source / name).write_bytes(name.encode())
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, MOVE))
        times = (target / "edited, time set back").stat()
        (target / "edited").write_bytes(b"new words")
        (target / "edited, time set back").write_bytes(b"edited, Time set back")
        os.utime(target / "edited, time set back", ns=(times.st_atime_ns, times.st_mtime_ns))
        (target / "deleted").unlink()
        (target / "replaced").unlink()
        (target / "replaced").write_bytes(b"replaced"[::-1])
        (target / "added").write_bytes(b"theirs")
        source.mkdir()
        (source / "place taken").write_bytes(b"somebody's")
        (source / "place taken by the same").write_bytes(b"place taken by the same")
        os.utime(source / "place taken by the same", ns=(1, (target / "place taken by the same").stat().st_mtime_ns))
        seen = await outlook(lab, done)
        assert counts(seen) == {Fate.CHANGED: 3, Fate.GONE: 1, Fate.OCCUPIED: 2, Fate.RESTORE: 1}
        back = await rolled_back(lab, done)
        failed = await lab.journal.fault_groups(back.key)
    assert back.state is ExecutionState.COMPLETED_WITH_ERRORS
    assert [(g.fault.kind, g.count) for g in failed] == [("exists", 1)]
    assert {p.name: p.read_bytes() for p in target.iterdir()} == {
        "edited": b"new words",
        "edited, time set back": b"edited, Time set back",
        "replaced": b"replaced"[::-1],
        "added": b"theirs",
        "place taken": b"place taken",
    }
    assert {p.name: p.read_bytes() for p in source.iterdir()} == {
        "left": b"left",
        "place taken": b"somebody's",
        "place taken by the same": b"place taken by the same",
    }


async def test_the_last_copy_of_anything_is_not_removed(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    for name in ("deleted since", "edited since", "edited since, time set back", "touched since", "left"):
        (source / name).write_bytes(name.encode())
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        (source / "deleted since").unlink()
        (source / "edited since").write_bytes(b"new words")
        times = (source / "edited since, time set back").stat()
        (source / "edited since, time set back").write_bytes(b"edited since, Time set back")
        os.utime(source / "edited since, time set back", ns=(times.st_atime_ns, times.st_mtime_ns))
        (source / "touched since").chmod(0o640)
        back = await rolled_back(lab, done)
        tasks = {t.name: t for t in await lab.journal.tasks(back.key)}
    assert back.state is ExecutionState.COMPLETED
    assert back.reason == "left as they are: 3 whose source is gone or was changed since"
    assert sorted(p.name for p in target.iterdir()) == [
        "deleted since",
        "edited since",
        "edited since, time set back",
    ]
    assert tasks[b"deleted since"].outcome is Outcome.LAST_COPY
    assert tasks[b"left"].state is TaskState.DONE


@pytest.mark.parametrize("verify", [VerifyLevel.HASH, VerifyLevel.NONE])
async def test_what_people_write_into_copies_while_the_rest_is_copied_stays(
    tmp_path: Path, other_fs: Path, verify: VerifyLevel
) -> None:
    """As many bytes, with the time set back: neither size nor time tells of it, nor that it came after the end."""
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    alone, names = ("edited", "left", "tidied up"), ("name 1", "name 2", "name 3")
    for name in (*alone, "name 1", "last"):
        (source / name).write_bytes(name.encode())
    for name in names[1:]:
        os.link(source / "name 1", source / name)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, verify=verify))
        hold(lab, execution, "h1", Selector(include=("last",)))
        await lab.until(lambda: target.exists() and len([*target.glob("[a-z]*")]) == 4)  # further names come at the end
        assert not (target / "last").exists()
        (first,) = (name for name in names if (target / name).exists())
        for name in ("edited", first):
            overwritten(target / name, name.upper().encode())
        (target / "tidied up").chmod(0o640)
        lift(lab, execution, "h1")
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        seen = await outlook(lab, done)
        assert counts(seen)[Fate.REMOVE] == 3
        back = await rolled_back(lab, done)
    assert back.state is ExecutionState.COMPLETED, back.reason
    theirs = {"edited": b"EDITED", **dict.fromkeys(names, first.upper().encode())}
    assert {p.name: p.read_bytes() for p in target.iterdir()} == theirs
    assert len(list(source.iterdir())) == 7


def overwritten(path: Path, content: bytes) -> None:
    """In place, with its time set back."""
    times = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


async def test_only_what_was_touched_since_it_was_copied_is_read_again(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    for number in range(50):
        (source / f"f{number:02}").write_bytes(b"%d" % number)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        tasks = {t.number: os.fsdecode(t.name) for t in await lab.journal.tasks(done.key) if t.type is EntryType.FILE}
        times = await lab.journal.copy_times(done.key, list(tasks))
        assert {tasks[n]: at for n, at in times.items()}.items() <= {
            p.name: p.stat().st_ctime_ns for p in target.iterdir()
        }.items()
        assert len(times) > 25  # a machine that is busy with other things may leave some out


async def test_a_rollback_may_be_of_a_part(tmp_path: Path, other_fs: Path) -> None:
    source, before, target = tmp_path / "source", tmp_path / "before", other_fs / "target"
    (source / "sub" / "empty").mkdir(parents=True)
    for name in ("a.jpg", "b.txt", "sub/c.jpg", "sub/d.txt"):
        (source / name).write_bytes(name.encode())
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, before))
        done = await lab.run(plan(source, target, MOVE))
        back = await rolled_back(lab, done, Selector(include=("*.jpg",)))
        assert back.state is ExecutionState.COMPLETED, back.reason
        assert sorted(str(p.relative_to(source)) for p in source.rglob("*")) == ["a.jpg", "sub", "sub/c.jpg"]
        assert sorted(str(p.relative_to(target)) for p in target.rglob("*")) == [
            "b.txt",
            "sub",
            "sub/d.txt",
            "sub/empty",
        ]
        rest = await rolled_back(lab, done)
    assert rest.state is ExecutionState.COMPLETED
    assert rest.reason == "left as they are: 2 not there any more"
    assert differences(before, source) == []
    assert not target.exists()


async def test_a_part_of_a_copy_is_removed_with_the_directories_that_this_empties(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "empty").mkdir(parents=True)
    (source / "pictures").mkdir()
    for name in ("a.txt", "pictures/b.jpg"):
        (source / name).write_bytes(name.encode())
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        back = await rolled_back(lab, done, Selector(include=("*.jpg",)))
    assert back.state is ExecutionState.COMPLETED, back.reason
    assert sorted(p.name for p in target.iterdir()) == ["a.txt", "empty"]


@pytest.mark.parametrize("operation", [COPY, MOVE])
async def test_what_was_there_before_stays(tmp_path: Path, other_fs: Path, operation: Operation) -> None:
    source, before, target = tmp_path / "source", tmp_path / "before", other_fs / "target"
    for directory in ("theirs", "theirs, empty", "ours"):
        (source / directory).mkdir(parents=True)
        (source / directory / "file").write_bytes(directory.encode())
    (target / "theirs").mkdir(parents=True)
    (target / "theirs, empty").mkdir()
    (target / "theirs" / "file").write_bytes(b"theirs")
    os.utime(target / "theirs" / "file", ns=(1, (source / "theirs" / "file").stat().st_mtime_ns))
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, before))
        done = await lab.run(plan(source, target, operation))
        assert done.state is ExecutionState.COMPLETED, done.reason
        back = await rolled_back(lab, done)
    assert back.state is ExecutionState.COMPLETED, back.reason
    assert differences(before, source) == []
    assert sorted(str(p.relative_to(target)) for p in target.rglob("*")) == ["theirs", "theirs, empty", "theirs/file"]


@pytest.mark.parametrize("across", [True, False])
async def test_names_that_the_policy_rename_chose_are_given_back(tmp_path: Path, other_fs: Path, across: bool) -> None:
    source, before = tmp_path / "source", tmp_path / "before"
    target = (other_fs if across else tmp_path) / "target"
    source.mkdir()
    target.mkdir()
    for name in ("photo.jpg", "other.jpg"):
        (source / name).write_bytes(name.encode())
    os.link(source / "photo.jpg", source / "photo too.jpg")
    (target / "photo.jpg").write_bytes(b"theirs")
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, before))
        done = await lab.run(plan(source, target, MOVE, ConflictPolicy.RENAME))
        assert (target / "photo (1).jpg").exists()
        back = await rolled_back(lab, done)
    assert back.state is ExecutionState.COMPLETED, back.reason
    assert differences(before, source) == []
    assert [p.name for p in target.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("operation", [COPY, MOVE])
async def test_a_single_file(tmp_path: Path, other_fs: Path, operation: Operation) -> None:
    source, target = tmp_path / "file", other_fs / "there"
    source.write_bytes(b"content")
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, operation))
        assert target.read_bytes() == b"content"
        back = await rolled_back(lab, done)
        assert back.state is ExecutionState.COMPLETED, back.reason
        assert source.read_bytes() == b"content"
        assert not target.exists()
        again = await lab.run(plan(source, target, operation))
        target.write_bytes(b"edited")
        left = await rolled_back(lab, again)
    assert left.reason == "left as they are: 1 changed since"
    assert target.read_bytes() == b"edited"


async def test_only_what_has_ended_and_is_no_rollback_is_rolled_back(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    trees.random_tree(source, random.Random(5), 20)
    async with laboratory(tmp_path / "state") as lab:
        running = await lab.start(plan(source, target))
        with pytest.raises(Conflict, match=r"is (created|running)"):
            await lab.engine.rollback(Rollback(running), ME, "ana")
        done = await lab.ended(running)
        back = await lab.engine.rollback(Rollback(done), ME, "ana")
        with pytest.raises(Conflict, match="is being rolled back"):
            await lab.engine.rollback(Rollback(done), ME, "ana")
        back = await lab.ended(back)
        with pytest.raises(Conflict, match="is a rollback itself"):
            await lab.engine.rollback(Rollback(back), ME, "ana")


async def test_what_was_cancelled_before_anything_was_done_has_nothing_to_undo(tmp_path: Path) -> None:
    """Its destination was never made: that nothing is to be undone is told, not that something is missing."""
    source, target = tmp_path / "source", tmp_path / "target"
    trees.random_tree(source, random.Random(5), 20)
    async with laboratory(tmp_path / "state") as lab:
        running = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=1.0)))
        await lab.engine.cancel(running, "ana", "")
        ended = await lab.ended(running)
        assert ended.totals.done.entries == 0
        for ask in (lab.engine.rollback(Rollback(ended), ME, "ana"), lab.engine.rollback_plan(Rollback(ended), ME)):
            with pytest.raises(Conflict, match="there is nothing to undo"):
                await ask


@pytest.mark.parametrize("operation", [COPY, MOVE])
async def test_backups_get_their_names_back(tmp_path: Path, other_fs: Path, operation: Operation) -> None:
    source, before, target = tmp_path / "source", tmp_path / "before", other_fs / "target"
    (source / "sub").mkdir(parents=True)
    (target / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c", "sub/touched", "kept twice", "edited"):
        (source / name).write_bytes(b"ours: " + name.encode())
        (target / name).write_bytes(b"theirs: " + name.encode())
    (target / "kept twice.~1~").write_bytes(b"older")
    async with laboratory(tmp_path / "state") as lab:
        await lab.run(plan(source, before))
        done = await lab.run(plan(source, target, operation, ConflictPolicy.BACKUP))
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert (target / "a.~1~").read_bytes() == b"theirs: a"
        (target / "sub" / "touched.~1~").write_bytes(b"somebody's")
        (target / "edited").write_bytes(b"somebody's")
        assert (await outlook(lab, done)).backups == 4
        back = await rolled_back(lab, done)
    assert back.state is ExecutionState.COMPLETED, back.reason
    found = {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    assert found == {
        "a": b"theirs: a",
        "b": b"theirs: b",
        "sub/c": b"theirs: sub/c",
        "sub/touched.~1~": b"somebody's",
        "kept twice": b"theirs: kept twice",
        "kept twice.~1~": b"older",
        "edited": b"somebody's",
        "edited.~1~": b"theirs: edited",
    }
    assert {p.name for p in source.rglob("*")} == {p.name for p in before.rglob("*")} - (
        {"edited"} if operation is MOVE else set()
    )


async def test_what_is_not_at_the_target_as_it_was_copied_is_copied_again(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    (source / "sub").mkdir(parents=True)
    for name in ("lost", "rotten", "edited", "sub/lost too", "left", "source gone", "source changed", "not picked.txt"):
        (source / name).write_bytes(name.encode())
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        for name in ("lost", "sub/lost too", "source gone", "source changed", "not picked.txt"):
            (target / name).unlink()
        (target / "sub").rmdir()
        times = (target / "rotten").stat()
        (target / "rotten").write_bytes(b"rOtten")
        os.utime(target / "rotten", ns=(times.st_atime_ns, times.st_mtime_ns))
        (target / "edited").write_bytes(b"somebody's words")
        (source / "source gone").unlink()
        (source / "source changed").write_bytes(b"new words")
        (source / "added since").write_bytes(b"no business of that copy")
        order = Rollback(lab.engine.find(done.id), Selector(exclude=("*.txt",)), again=True)
        again = await lab.ended(await lab.engine.rollback(order, ME, "ana"))
        (recorded,) = await lab.journal.interventions(done.id)
        moved = await lab.run(plan(source, tmp_path / "moved", MOVE))
        with pytest.raises(Conflict, match="was a move"):
            await lab.engine.rollback(Rollback(moved, again=True), ME, "ana")
    assert again.state is ExecutionState.COMPLETED, again.reason
    assert again.reason == "left as they are: 1 whose source is gone, 1 whose source was changed since"
    assert recorded.kind is InterventionKind.RECOVER
    assert {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()} == {
        "lost": b"lost",
        "rotten": b"rotten",
        "rotten.~1~": b"rOtten",
        "edited": b"edited",
        "edited.~1~": b"somebody's words",
        "sub/lost too": b"sub/lost too",
        "left": b"left",
    }
