"""Backups of replace-with-backup get their names back when what replaced them is rolled back, whatever happened
between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine_harness import ME, Laboratory, laboratory, plan
from migmond.domain.execution import Execution
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState
from migmond.engine.rollbacks import Outlook, Rollback
from migmond.engine.settings import EngineSettings
from migmond.planning.undo import Fate

COPY, MOVE, BACKUP = Operation.COPY, Operation.MOVE, ConflictPolicy.BACKUP
ALL = Selector()
OURS = "x" * 16384


async def rolled_back(lab: Laboratory, first: Execution, selector: Selector = ALL) -> Execution:
    started = await lab.engine.rollback(Rollback(lab.engine.find(first.id), selector), ME, "ana")
    back = await lab.ended(started)
    assert back.state is ExecutionState.COMPLETED, back.reason
    return back


async def outlook(lab: Laboratory, first: Execution, selector: Selector = ALL) -> Outlook:
    return await lab.engine.rollback_plan(Rollback(lab.engine.find(first.id), selector), ME)


def filled(place: Path, names: tuple[str, ...], whose: str) -> None:
    place.mkdir(parents=True)
    for name in names:
        (place / name).write_text(f"{whose} {name}")


def content(place: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in place.iterdir()}


@pytest.mark.parametrize("operation", [COPY, MOVE])
async def test_backups_that_are_one_file_all_get_their_names_back(
    tmp_path: Path, other_fs: Path, operation: Operation
) -> None:
    """To give one of its names back moves the ctime of all of them, and by that it is told who made a backup."""
    source, target, names = tmp_path / "source", other_fs / "target", ("a", "b", "c", "d")
    filled(source, names, "our")
    filled(target, names[:1], "their")
    os.setxattr(target / "a", "user.note", b"theirs")
    (target / "a").chmod(0o640)
    os.utime(target / "a", ns=(10**18, 10**18 + 7))
    before = (target / "a").stat()
    for name in names[1:]:
        os.link(target / "a", target / name)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, operation, BACKUP))
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert (await outlook(lab, done)).backups == 4
        await rolled_back(lab, done, Selector(include=("a",)))
        assert (target / "a").read_text() == "their a"
        assert (await outlook(lab, done)).backups == 3
        await rolled_back(lab, done)
    assert content(target) == dict.fromkeys(names, "their a")
    after = {(st.st_ino, st.st_nlink, st.st_mode, st.st_mtime_ns) for st in (p.stat() for p in target.iterdir())}
    assert after == {(before.st_ino, 4, before.st_mode, before.st_mtime_ns)}
    assert os.getxattr(target / "d", "user.note") == b"theirs"
    assert content(source) == {name: f"our {name}" for name in names}


async def test_backups_of_before_may_have_been_removed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    filled(source, ("a",), "our")
    filled(target, ("a", "a.~1~", "a.~2~"), "their")
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, COPY, BACKUP))
        assert (target / "a.~3~").exists()
        (target / "a.~1~").unlink()
        (target / "a.~2~").unlink()
        assert (await outlook(lab, done)).backups == 1
        await rolled_back(lab, done)
    assert content(target) == {"a": "their a"}


async def test_a_backup_comes_back_when_somebody_has_removed_what_replaced_it(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    filled(source, ("a", "b"), "our")
    filled(target, ("a", "b"), "their")
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, COPY, BACKUP))
        (target / "a").unlink()
        seen = await outlook(lab, done)
        assert ({f: t.entries for f, t in seen.tallies.items()}, seen.backups) == ({Fate.GONE: 1, Fate.REMOVE: 1}, 2)
        await rolled_back(lab, done)
    assert content(target) == {"a": "their a", "b": "their b"}


@pytest.mark.parametrize("operation", [COPY, MOVE])
async def test_what_was_drained_gives_its_backups_back(tmp_path: Path, other_fs: Path, operation: Operation) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    names = tuple(f"f{n:03}" for n in range(1000))
    filled(source, names, OURS)
    filled(target, names, "their")
    slow = EngineSettings(workers=1, group_entries=10, group_age_s=0.05)
    async with laboratory(tmp_path / "state", slow) as lab:
        begun = await lab.start(plan(source, target, operation, BACKUP, limits=Limits(io_bytes_per_s=2 << 20)))
        await lab.until(lambda: len(list(target.glob("*.~1~"))) >= 10)
        await lab.engine.drain(lab.engine.find(begun.id), "ana", "")
        drained = await lab.ended(begun)
        assert drained.state is ExecutionState.DRAINED
        assert 0 < len(list(target.glob("*.~1~"))) < 1000
        await rolled_back(lab, drained)
    assert content(target) == {name: f"their {name}" for name in names}
    assert content(source) == {name: f"{OURS} {name}" for name in names}


@pytest.mark.parametrize("operation", [COPY, MOVE])
async def test_a_cancelled_rollback_gives_backups_of_what_it_undid_their_names(
    tmp_path: Path, other_fs: Path, operation: Operation
) -> None:
    """The next one finds nothing there that would be undone."""
    source, target = tmp_path / "source", other_fs / "target"
    names = tuple(f"f{n:03}" for n in range(300))
    filled(source, names, "our")
    filled(target, names, "their")
    slow = EngineSettings(workers=1, group_entries=10, group_age_s=0.05)
    async with laboratory(tmp_path / "state", slow) as lab:
        done = await lab.run(plan(source, target, operation, BACKUP, limits=Limits(io_ops_per_s=500.0)))
        assert done.state is ExecutionState.COMPLETED, done.reason
        back = await lab.engine.rollback(Rollback(lab.engine.find(done.id)), ME, "ana")
        await lab.until(lambda: lab.engine.find(back.id).totals.done.entries > 20)
        await lab.engine.cancel(lab.engine.find(back.id), "ana", "")
        cancelled = await lab.ended(back)
        assert cancelled.state is ExecutionState.CANCELLED
        there = {p.name for p in target.iterdir()}
        assert set(names) <= there
        await rolled_back(lab, done)
    assert content(target) == {name: f"their {name}" for name in names}
    assert content(source) == {name: f"our {name}" for name in names}


async def test_the_plan_says_what_nobody_can_bring_back(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    filled(source, ("a", "b"), "our")
    filled(target, ("a",), "their")
    os.utime(target / "a", ns=(10**18, 10**18))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, COPY, ConflictPolicy.NEWER))
        fresh = await lab.run(plan(source, tmp_path / "fresh"))
        replaced, directories = (await outlook(lab, done)).notes
        assert "replaced without a backup: it does not come back" in replaced
        assert "directories that were there before stay" in directories
        assert (await outlook(lab, fresh)).notes == ()
        await rolled_back(lab, done)
    assert content(target) == {}
