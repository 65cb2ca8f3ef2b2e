"""A journal that is damaged (hazard 8) or whose disk is full (hazard 9) while migrations run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

import loopfs
from engine_harness import laboratory, plan
from journals import spoil
from migmond.domain.errors import JournalDamaged
from migmond.domain.events import ExecutionStateChanged
from migmond.domain.hold import HoldReason
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState
from migmond.engine.settings import EngineSettings
from oracle import differences

FILES = 1200
SLOW = Limits(io_ops_per_s=2000.0)


def make(source: Path) -> None:
    for number in range(FILES):
        directory = source / f"d{number // 300}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"f{number}").write_bytes(b"%d" % number * 100)


def names(source: Path) -> set[Path]:
    return {Path(top, file) for top, _, files in os.walk(source) for file in files}


async def test_damage_anywhere_stops_every_migration_and_every_delete(tmp_path: Path, other_fs: Path) -> None:
    source, target, copied = tmp_path / "source", other_fs / "target", tmp_path / "copied"
    make(source)
    make(tmp_path / "other")
    async with laboratory(tmp_path / "state", EngineSettings(workers=2, group_entries=100, group_age_s=0.05)) as lab:
        moving = await lab.start(plan(source, target, Operation.MOVE, limits=SLOW))
        copying = await lab.start(plan(tmp_path / "other", copied, limits=Limits(io_ops_per_s=100.0)))
        await lab.until(lambda: lab.engine.find(moving.id).totals.done.entries > 100)
        spoil(tmp_path / "state" / "journal.db")
        assert await lab.journal.check()  # as `migmon doctor` does, or a backup, or a query of any of them
        ended = [await lab.ended(e) for e in (moving, copying)]
        left = names(source)
        assert [e.state for e in ended] == [ExecutionState.FAILED, ExecutionState.FAILED]
        assert all("is damaged: " in e.reason for e in ended)
        told = [e for e in lab.events if isinstance(e, ExecutionStateChanged) and e.after == "failed"]
        assert {e.execution for e in told} == {moving.id, copying.id}
        with pytest.raises(JournalDamaged, match="is damaged"):
            await lab.start(plan(source, tmp_path / "third"))
        with pytest.raises(JournalDamaged, match="is damaged"):
            await lab.engine.resume(ended[0], "ana", "")
        assert names(source) == left  # nobody is alive who could delete more
    assert 0 < len(left) < FILES
    for number in range(FILES):
        file = Path(f"d{number // 300}", f"f{number}")
        if source / file not in left:
            assert (target / file).read_bytes() == b"%d" % number * 100
    with pytest.raises(JournalDamaged):
        async with laboratory(tmp_path / "state"):
            pass


@pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4"))
async def test_on_a_full_disk_the_hold_is_recorded_and_lifts_itself(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make(source)
    with loopfs.mounted(tmp_path / "fs", "ext4", size_bytes=24 << 20) as fs:
        state = fs.root / "state"
        settings = EngineSettings(workers=2, group_entries=50, group_age_s=0.05)
        async with laboratory(state, settings, 4 << 20) as lab:
            execution = await lab.start(plan(source, target, limits=SLOW))
            filler = fs.root / "filler"
            with filler.open("wb", buffering=0) as file:
                for size in (1 << 16, 1 << 12):
                    while os.statvfs(fs.root).f_bfree * 4096 > size:
                        try:
                            file.write(b"x" * size)
                        except OSError:
                            break
            await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
            held = lab.engine.find(execution.id)
            assert [(h.reason, h.author) for h in held.holds] == [(HoldReason.SPACE, "journal")]
            assert lab.journal.condition().short
            with trio.fail_after(60):
                while (recorded := (await lab.journal.executions())[0]).state is not ExecutionState.PAUSED:
                    await trio.lowlevel.checkpoint()  # it is in the next transaction
            assert recorded.holds == held.holds
            filler.unlink()
            ended = await lab.ended(execution)
            assert ended.state is ExecutionState.COMPLETED
            assert lab.journal.condition().reserve == ""
            assert await lab.journal.check() == []
    assert differences(source, target) == []
