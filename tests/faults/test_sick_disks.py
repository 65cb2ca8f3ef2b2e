"""Migrations from and to a disk that goes wrong while they run."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

import sickfs
import trees
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.events import HoldChanged, MoverRecovered, MoverStalled
from migmond.domain.plan import Operation, VerifyLevel
from migmond.domain.states import TERMINAL_EXECUTION_STATES, ExecutionState
from migmond.engine.settings import EngineSettings
from oracle import differences, names_starting
from sickfs import SickFs, sick_fs

pytestmark = pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")

MOVE = Operation.MOVE
MIB = 1 << 20
SETTINGS = EngineSettings(workers=1, hold_s=0.5, attempts=2)


@pytest.fixture
def sick(tmp_path: Path) -> Iterator[SickFs]:
    with sick_fs(tmp_path / "disk") as mounted:
        yield mounted


def drop_pages(root: Path) -> None:
    """Let the next read of everything below come from the file system itself."""
    for path in root.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


@pytest.mark.hazard(21)
async def test_bytes_that_cannot_be_read_cost_one_file(tmp_path: Path, sick: SickFs) -> None:
    source, target = sick.root / "source", tmp_path / "target"
    trees.small_files(source, 30, 9000, random.Random(1), per_directory=10)
    (source / "large").write_bytes(random.Random(2).randbytes(3 * MIB))
    drop_pages(source)
    sick.fall_ill("read", path="/source/large", start=2 * MIB, end=2 * MIB + 4096, error="EIO")
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        done = await lab.run(plan(source, target, MOVE))
        groups = await lab.journal.fault_groups(done.key)
    assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
    assert [(g.fault.kind, g.fault.phase.value, g.count) for g in groups] == [("EIO", "read", 1)]
    assert (sick.backing / "source" / "large").stat().st_size == 3 * MIB
    assert not (target / "large").exists()
    assert names_starting(target, b".migmond-") == []
    assert sorted(p.name for p in source.rglob("*")) == ["large"]
    assert len(list(target.rglob("f*"))) == 30


@pytest.mark.hazard(12, 15)
@pytest.mark.parametrize("lasting", [True, False])
async def test_a_bit_that_flips_on_the_target_is_found_by_reading_back(
    tmp_path: Path, sick: SickFs, lasting: bool
) -> None:
    source, target = tmp_path / "source", sick.root / "target"
    trees.small_files(source, 5, 300_000, random.Random(1))
    rule = sick.fall_ill("read", path="/target/d00000/*", flip_at=123_456, times=0 if lasting else 1)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        done = await lab.run(plan(source, target, MOVE, verify=VerifyLevel.READ_BACK))
        groups = await lab.journal.fault_groups(done.key)
    assert sick.struck(rule) >= 1
    if lasting:
        assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
        assert [(g.fault.kind, g.count) for g in groups] == [("hash_mismatch", 5)]
        assert len(list(source.rglob("f*"))) == 5
        assert list(target.rglob("f*")) == []
    else:
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert not source.exists()
        assert len(list(target.rglob("f*"))) == 5


@pytest.mark.hazard(11)
async def test_a_disk_that_drops_writes_and_says_nothing_is_found_by_reading_back(tmp_path: Path, sick: SickFs) -> None:
    source, target = tmp_path / "source", sick.root / "target"
    trees.small_files(source, 10, 20_000, random.Random(1))
    rule = sick.fall_ill("write", path="/target/*", start=8192, end=12288, drop=True)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        done = await lab.run(plan(source, target, MOVE, verify=VerifyLevel.READ_BACK))
        groups = await lab.journal.fault_groups(done.key)
    assert sick.struck(rule) >= 10
    assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
    assert [(g.fault.kind, g.count) for g in groups] == [("hash_mismatch", 10)]
    assert len(list(source.rglob("f*"))) == 10


@pytest.mark.hazard(1, 3, 4, 5)
@pytest.mark.parametrize("operation", ["fsync", "fsyncdir"])
async def test_a_failed_fsync_is_never_followed_by_a_delete_of_what_it_lost(
    tmp_path: Path, sick: SickFs, operation: str
) -> None:
    source, pristine, target = tmp_path / "source", tmp_path / "pristine", sick.root / "new" / "target"
    trees.random_tree(source, random.Random(4), 60)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        await lab.run(plan(source, pristine))
        rule = sick.fall_ill(operation, error="EIO", times=1)
        done = await lab.run(plan(source, target, MOVE))
    assert sick.struck(rule) == 1
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(pristine, target) == []
    assert not source.exists()


@pytest.mark.hazard(3)
async def test_deletes_are_durable_where_only_a_directory_can_be_synced(tmp_path: Path, sick: SickFs) -> None:
    """The kernel does not pass syncfs on to FUSE: after a power cut all sources were back, and nobody came for them."""
    source = sick.root / "source"
    trees.small_files(source, 20, 3000, random.Random(1), per_directory=10)
    rules = [sick.fall_ill("fsyncdir", path=f"/source/d0000{n}", error="EIO") for n in range(2)]
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, tmp_path / "target", MOVE))
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        await lab.until(lambda: all(sick.struck(rule) for rule in rules))
        held = lab.engine.find(execution.id)
        assert held.totals.done.entries == 0  # they may come back: nothing is told as done
        sick.heal()
        await lab.engine.resume(held, "me", "")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert done.totals.done.entries == 23
    assert not source.exists()


@pytest.mark.hazard(21)
@pytest.mark.parametrize("gone", ["source", "target that takes no data", "target that cannot be synced"])
async def test_a_disk_that_was_pulled_holds_everything_and_fails_little(
    tmp_path: Path, sick: SickFs, gone: str
) -> None:
    """Names and attributes are still answered for, as from a cache; whatever has to come from the disk fails."""
    source, target = (sick.root / "source", tmp_path / "target") if gone == "source" else (
        tmp_path / "source", sick.root / "target",
    )  # fmt: skip
    trees.small_files(source, 200, 3000, random.Random(1))
    drop_pages(source)
    operation = {"source": "read", "target that takes no data": "write"}.get(gone, "fsyncdir")
    rule = sick.fall_ill(operation, error="EIO")
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, target, MOVE))
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        held = lab.engine.find(execution.id)
        assert [h.reason.value for h in held.holds] == ["device"]
        assert "is the disk there" in held.holds[0].note
        assert len(list(source.rglob("f*"))) == 200
        sick.heal(rule)  # plugged in again: nobody has to say so
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert len(list(target.rglob("f*"))) == 200
    assert list(source.rglob("f*")) == []


@pytest.mark.hazard(21)
async def test_a_daemon_that_starts_looks_for_itself_whether_the_disk_is_back(tmp_path: Path, sick: SickFs) -> None:
    """A disk that loses power a moment before the machine must not leave a migration that waits for somebody."""
    source, target = tmp_path / "source", sick.root / "target"
    trees.small_files(source, 200, 3000, random.Random(1))
    rule = sick.fall_ill("write", error="EIO")
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, target, MOVE))
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        await lab.engine.pause(lab.engine.find(execution.id), "ana", "a person's hold stays", None)
        while len((await lab.journal.executions())[0].holds) < 2:  # noqa: ASYNC110 (no event tells of a journal)
            await trio.sleep(0.005)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        await lab.until(lambda: [h.author for h in lab.engine.find(execution.id).holds] == ["ana"])
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
        await lab.until(lambda: [h.author for h in lab.engine.find(execution.id).holds] == ["engine"])  # it is not
    sick.heal(rule)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        done = await lab.ended(execution)
    assert done.totals.failed.entries == 0
    assert len(list(target.rglob("f*"))) == 200
    assert list(source.rglob("f*")) == []


def holds_set(lab: Laboratory) -> int:
    return sum(isinstance(e, HoldChanged) and e.change == "set" for e in lab.events)


@pytest.mark.hazard(21)
async def test_ten_thousand_files_on_a_dead_disk_are_a_handful_of_tries_and_one_hold(
    tmp_path: Path, sick: SickFs
) -> None:
    source, target = sick.root / "source", tmp_path / "target"
    trees.small_files(sick.backing / "source", 10_000, 100, random.Random(1))
    rule = sick.fall_ill("read", error="EIO")
    async with laboratory(tmp_path / "state", EngineSettings(workers=2, hold_s=600)) as lab:
        execution = await lab.start(plan(source, target, MOVE))
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        held = lab.engine.find(execution.id)
        assert (held.totals.failed.entries, holds_set(lab)) == (0, 1)
        assert sick.struck(rule) <= 100  # of two movers, with the looks of the fast way before the careful one
        before = sick.struck(rule)
        await lab.engine.resume(held, "me", "I thought it was back")
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        assert lab.engine.find(execution.id).totals.failed.entries <= 16
        assert sick.struck(rule) - before <= 100
    assert len(list((sick.backing / "source").rglob("f*"))) == 10_000


@pytest.mark.hazard(21)
async def test_a_disk_that_stays_away_is_tried_one_file_at_a_time(tmp_path: Path, sick: SickFs) -> None:
    source, target = sick.root / "source", tmp_path / "target"
    trees.small_files(sick.backing / "source", 3000, 100, random.Random(1))
    rule = sick.fall_ill("read", error="EIO")
    settings = EngineSettings(workers=2, hold_s=0.3)
    async with laboratory(tmp_path / "state", settings) as lab:
        execution = await lab.start(plan(source, target, MOVE))
        await lab.until(lambda: holds_set(lab) == 1)
        before = sick.struck(rule)
        await lab.until(lambda: holds_set(lab) == 4)
        assert 3 <= sick.struck(rule) - before <= 3 * 4  # each by two ways, with the kernel's reading ahead
        assert lab.engine.find(execution.id).totals.failed.entries == 0
        sick.heal()
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert list(source.rglob("f*")) == []


@pytest.mark.hazard(21)
async def test_files_in_a_row_that_are_really_bad_fail_and_the_rest_goes_on(tmp_path: Path, sick: SickFs) -> None:
    """More of them than open the breaker, in one directory. What is not bad is copied by and by; the rest is for a
    person to say, and takes a few words."""
    source, target = sick.root / "source", tmp_path / "target"
    trees.small_files(source, 300, 3000, random.Random(1), per_directory=30)
    drop_pages(source)
    sick.fall_ill("read", path="/source/d00003/*", error="EIO")
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, target, MOVE))
        await lab.until(lambda: len(list(target.rglob("f*"))) == 270)
        resumed = 0
        while (now := lab.engine.find(execution.id)).state not in TERMINAL_EXECUTION_STATES:
            if now.state is ExecutionState.PAUSED:
                await lab.engine.resume(now, "me", "the rest is bad")
                resumed += 1
            await trio.sleep(0.01)
        done = await lab.ended(execution)
        groups = await lab.journal.fault_groups(done.key)
    assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
    assert resumed <= 4
    assert [(g.fault.kind, g.fault.phase.value, g.count) for g in groups] == [("EIO", "read", 30)]
    assert len(list(target.rglob("f*"))) == 270


@pytest.mark.hazard(24)
async def test_slow_is_no_error(tmp_path: Path, sick: SickFs) -> None:
    source, target = sick.root / "source", tmp_path / "target"
    trees.small_files(source, 2, 1000, random.Random(1))
    sick.fall_ill("open", path="/source/d00000/f*", delay_s=0.8)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1, stall_after_s=0.3)) as lab:
        done = await lab.run(plan(source, target))
        faults = await lab.journal.fault_groups(done.key)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert differences(source, target) == []
    assert list(faults) == []
    assert any(isinstance(e, MoverStalled) for e in lab.events)  # it is told, and that is all
    assert any(isinstance(e, MoverRecovered) for e in lab.events)


@pytest.mark.hazard(14, 20, 22)
@pytest.mark.parametrize(
    ("operation", "error", "reason"),
    [("create", "ESTALE", "device"), ("write", "EDQUOT", "space"), ("create", "EROFS", "device")],
)
async def test_what_all_files_stand_on_is_one_hold(
    tmp_path: Path, sick: SickFs, operation: str, error: str, reason: str
) -> None:
    source, target = tmp_path / "source", sick.root / "target"
    trees.small_files(source, 100, 1000, random.Random(1))
    rule = sick.fall_ill(operation, path="/target/*", error=error)
    async with laboratory(tmp_path / "state", EngineSettings(workers=2, hold_s=600)) as lab:
        execution = await lab.start(plan(source, target, MOVE))
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        held = lab.engine.find(execution.id)
        assert [h.reason.value for h in held.holds] == [reason]
        assert held.totals.failed.entries == 0
        assert len(list(source.rglob("f*"))) == 100
        sick.heal(rule)
        await lab.engine.resume(held, "me", "healed")
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert not source.exists()
    assert len(list(target.rglob("f*"))) == 100


@pytest.mark.hazard(14)
async def test_a_file_that_is_too_large_for_the_target_fails_alone(tmp_path: Path, sick: SickFs) -> None:
    source, target = tmp_path / "source", sick.root / "target"
    trees.small_files(source, 10, 1000, random.Random(1))
    (source / "large").write_bytes(bytes(MIB))
    sick.fall_ill("write", start=MIB // 2, end=MIB, error="EFBIG")
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        done = await lab.run(plan(source, target, MOVE))
        groups = await lab.journal.fault_groups(done.key)
    assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
    assert [(g.fault.kind, g.count) for g in groups] == [("EFBIG", 1)]
    assert [p.name for p in source.rglob("*")] == ["large"]
