"""A further name becomes a link of the copy that its leader's task made, or else a file of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agenda import hold, lift
from engine_harness import laboratory, plan
from migmond.domain.entry import Lost
from migmond.domain.plan import Operation
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.engine.dispatch import Dispatcher

CONTENT = b"precious content"


def another(path: Path) -> None:
    """Somebody else's file, that looks like ours."""
    theirs, st = path.with_name("theirs"), path.stat()
    theirs.write_bytes(b"somebody else's!")
    os.utime(theirs, ns=(st.st_atime_ns, st.st_mtime_ns))
    theirs.rename(path)


def longer(path: Path) -> None:
    st = path.stat()
    with path.open("ab") as file:
        file.write(b"more")
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def changed(path: Path) -> None:
    path.write_bytes(CONTENT[::-1])


def gone(path: Path) -> None:
    path.unlink()


def nothing(_: Path) -> None:
    pass


@pytest.mark.hazard(29)
@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
@pytest.mark.parametrize("what", [another, longer, changed, gone, nothing])
async def test_what_has_the_leaders_name_must_be_the_leaders_copy(
    tmp_path: Path,
    other_fs: Path,
    operation: Operation,
    what: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Further names were linked to somebody else's file, called done, and their sources deleted."""
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    (source / "a").write_bytes(CONTENT)
    for further_name in "bc":
        os.link(source / "a", source / further_name)
    followers, found = Dispatcher.followers, bytearray()

    async def replaced(dispatcher: Dispatcher) -> bool:
        if not found:
            (leader,) = target.iterdir()
            found.extend(leader.name.encode())
            what(leader)
        return await followers(dispatcher)

    monkeypatch.setattr(Dispatcher, "followers", replaced)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, operation))
        tasks = {t.name: t for t in await lab.journal.tasks(done.key)}
    first = tasks.pop(bytes(found))
    further = {name: task for name, task in tasks.items() if name in (b"a", b"b", b"c")}
    assert len(further) == 2
    linked = what is nothing
    for name, task in further.items():
        assert (target / os.fsdecode(name)).read_bytes() == CONTENT
        assert task.state is TaskState.DONE
        assert task.outcome is (Outcome.LINKED if linked else Outcome.COPIED)
        assert task.lost == (Lost.NOTHING if linked else Lost.LINKS)
    assert done.totals.imperfect == (0 if linked else 2)
    if operation is Operation.COPY:
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert len(list(source.iterdir())) == 3
    elif what in (another, gone):  # what became of the leader's copy is found when its source is to be deleted
        assert first.state is TaskState.FAILED
        assert [p.read_bytes() for p in source.iterdir()] == [CONTENT]


async def test_names_of_a_file_stay_when_somebody_has_written_to_its_copy(tmp_path: Path, other_fs: Path) -> None:
    """As many bytes, with the time set back, before any of the names was deleted: that they are deleted moves the times
    of what is left, and nothing else was looked at."""
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    for name in ("a", "other a"):
        (source / name).write_bytes(CONTENT)
        for further in range(3):
            os.link(source / name, source / f"{name} {further}")
    (source / "last").write_bytes(b"comes later")
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target, Operation.MOVE))
        hold(lab, execution, "h1", Selector(include=("last",)))
        # Further names come at the end. What has a temporary name has a in it as well.
        await lab.until(lambda: target.exists() and [p.name[0] for p in sorted(target.glob("[ao]*"))] == ["a", "o"])
        (copy,) = target.glob("a*")
        times = copy.stat()
        copy.write_bytes(CONTENT[::-1])
        os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
        lift(lab, execution, "h1")
        done = await lab.ended(execution)
        failed = {t.name.decode() for t in await lab.journal.tasks(done.key, states=(TaskState.FAILED,))}
    assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
    names = {"a", "a 0", "a 1", "a 2"}
    assert {p.name: p.read_bytes() for p in source.iterdir()} == dict.fromkeys(names, CONTENT)
    assert failed == names
    assert {p.name: p.read_bytes() for p in target.iterdir()} == {
        **dict.fromkeys(names, CONTENT[::-1]),
        **{f"other {name}": CONTENT for name in names},
        "last": b"comes later",
    }
