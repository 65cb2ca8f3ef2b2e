"""Rollbacks after whatever people did meanwhile, against an oracle that knows a rule for each single file."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agenda import hold, lift
from engine_harness import ME, laboratory, plan
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState
from migmond.engine.rollbacks import Rollback
from migmond.engine.settings import EngineSettings

COPY, MOVE = Operation.COPY, Operation.MOVE
SETTINGS = EngineSettings(workers=1)

AT_TARGET = ("nothing", "edit", "edit, time kept", "delete", "replace by the same", "chmod", "directory")
AT_SOURCE = ("nothing", "new", "same", "delete", "edit", "touch")


def act_at_target(path: Path, what: str) -> None:
    st_ = path.stat()
    if what == "edit":
        path.write_bytes(b"edited, and longer than it was")
    elif what == "edit, time kept":
        path.write_bytes(b"X" * st_.st_size)
        os.utime(path, ns=(st_.st_atime_ns, st_.st_mtime_ns))
    elif what == "delete":
        path.unlink()
    elif what == "replace by the same":
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        os.utime(path, ns=(st_.st_atime_ns, st_.st_mtime_ns))
    elif what == "chmod":
        path.chmod(0o640)
    elif what == "directory":
        path.unlink()
        path.mkdir()


def act_at_source(path: Path, what: str, moved: tuple[bytes, int]) -> None:
    data, mtime_ns = moved
    if what == "new" or (what == "edit" and path.exists()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"new: " + data)
    elif what == "same" and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(1, mtime_ns))
    elif what == "delete":
        path.unlink(missing_ok=True)
    elif what == "touch" and path.exists():
        path.chmod(0o604)


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else b"a directory" if path.is_dir() else None


def expected(
    operation: Operation, data: bytes, at_source: bytes | None, at_target: bytes | None
) -> tuple[bytes | None, bytes | None]:
    """Return what is at source and target after the rollback, by what was there before it (None: nothing).

    Nothing is done about a target that is not what was brought there. A move brings it back where its place is free; a
    copy goes as long as what it was copied from is there.
    """
    if at_target != data:
        return at_source, at_target
    if operation is MOVE and at_source is None:
        return data, None
    return (at_source, None) if at_source == data else (at_source, at_target)


@pytest.mark.parametrize("operation", [COPY, MOVE])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    acts=st.lists(st.tuples(st.sampled_from(AT_TARGET), st.sampled_from(AT_SOURCE)), min_size=1, max_size=8),
    before_the_end=st.booleans(),
)
def test_every_file_is_where_the_oracle_says(
    tmp_path: Path, other_fs: Path, operation: Operation, acts: list[tuple[str, str]], *, before_the_end: bool
) -> None:
    """`before_the_end`: of a copy, what is done at the target is done while another file is yet to come."""
    before_the_end &= operation is COPY
    work = Path(tempfile.mkdtemp(dir=tmp_path))
    source, target = work / "source", Path(tempfile.mkdtemp(dir=other_fs)) / "target"
    files: dict[str, tuple[bytes, int]] = {}
    for number in range(len(acts)):
        path = source / f"d{number % 3}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content %d" % number)
        files[str(path.relative_to(source))] = path.read_bytes(), path.stat().st_mtime_ns
    if before_the_end:
        (source / "last").write_bytes(b"comes later")

    def acts_at_target() -> None:
        for name, (there, _) in zip(files, acts, strict=True):
            act_at_target(target / name, there)

    async def scenario() -> None:
        async with laboratory(work / "state", SETTINGS) as lab:
            execution = await lab.start(plan(source, target, operation))
            if before_the_end:
                hold(lab, execution, "h1", Selector(include=("last",)))
                await lab.until(lambda: all((target / name).exists() for name in files))
                acts_at_target()
                assert not (target / "last").exists()
                lift(lab, execution, "h1")
            done = await lab.ended(execution)
            assert done.state is ExecutionState.COMPLETED
            if not before_the_end:
                acts_at_target()
            for (name, known), (_, here) in zip(files.items(), acts, strict=True):
                act_at_source(source / name, here, known)
            wanted = {
                name: expected(operation, data, content(source / name), content(target / name))
                for name, (data, _) in files.items()
            }
            back = await lab.ended(await lab.engine.rollback(Rollback(done), ME, "ana"))
            assert back.state in (ExecutionState.COMPLETED, ExecutionState.COMPLETED_WITH_ERRORS), back.reason
            found = {name: (content(source / name), content(target / name)) for name in files}
            assert found == wanted
            left = [p for place in (source, target) if place.exists() for p in place.rglob(".migmond-*")]
            assert left == []
            assert back.totals.settled.entries == back.totals.planned.entries

    try:
        trio.run(scenario)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(target.parent, ignore_errors=True)


@pytest.mark.parametrize("operation", [COPY, MOVE])
async def test_a_rollback_is_held_cancelled_and_gone_on_with_like_any_execution(
    tmp_path: Path, other_fs: Path, operation: Operation
) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    for number in range(300):
        (source / f"f{number}").write_bytes(b"%d" % number)
    slow = EngineSettings(workers=1, group_entries=10, group_age_s=0.05)
    async with laboratory(tmp_path / "state", slow) as lab:
        limits = Limits(io_ops_per_s=2000.0)
        done = await lab.run(plan(source, target, operation, limits=limits))
        back = await lab.engine.rollback(Rollback(done), ME, "ana")
        await lab.engine.pause(back, "ana", "wait", None)
        await lab.until(lambda: lab.engine.find(back.id).state is ExecutionState.PAUSED)
    async with laboratory(tmp_path / "state", slow) as lab:  # the daemon was restarted meanwhile
        await lab.engine.resume(lab.engine.find(back.id), "ana", "")
        await lab.until(lambda: lab.engine.find(back.id).totals.done.entries > 0)
        await lab.engine.drain(lab.engine.find(back.id), "ana", "")
        drained = await lab.ended(back)
        names = {p.name for place in (source, target) if place.exists() for p in place.iterdir()}
        assert names == {f"f{number}" for number in range(300)}
        if drained.state is ExecutionState.DRAINED:
            await lab.engine.resume(drained, "ana", "")
        ended = await lab.ended(back)
        assert ended.state is ExecutionState.COMPLETED, ended.reason
        assert {p.name: p.read_bytes() for p in source.iterdir()} == {f"f{n}": b"%d" % n for n in range(300)}
        assert not target.exists()
        again = await lab.run(plan(source, target, operation))
        cancelled = await lab.engine.rollback(Rollback(again), ME, "ana")
        await lab.engine.cancel(cancelled, "ana", "")
        cancelled = await lab.ended(cancelled)
        assert cancelled.state in (ExecutionState.CANCELLED, ExecutionState.COMPLETED)
        there = [{p.name: p.read_bytes() for p in place.iterdir()} for place in (source, target) if place.exists()]
        for number in range(300):
            assert {found.get(f"f{number}", b"%d" % number) for found in there} == {b"%d" % number}
            assert any(f"f{number}" in found for found in there)
        rest = await lab.ended(await lab.engine.rollback(Rollback(lab.engine.find(again.id)), ME, "ana"))
        assert rest.state is ExecutionState.COMPLETED, rest.reason
    assert {p.name: p.read_bytes() for p in source.iterdir()} == {f"f{n}": b"%d" % n for n in range(300)}
