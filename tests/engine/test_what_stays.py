"""What is told of entries that are at both ends, or at neither."""

from __future__ import annotations

import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import loopfs
import trees
from engine_harness import Laboratory, laboratory, plan
from loopfs import LoopFs, mounted
from migmond.cli.render.execution import amounts, details, summary
from migmond.domain.execution import Execution
from migmond.domain.fault import Fault, Phase
from migmond.domain.journal import FaultGroup
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState
from migmond.engine.settings import EngineSettings
from migmond.engine.views import error_group
from migmond.planning.turns import TurnLimits


@asynccontextmanager
async def all_durable(tmp_path: Path) -> AsyncIterator[tuple[Laboratory, Execution, LoopFs]]:
    """A move of five files from a disk that is read-only: every copy is durable, and nothing can be deleted."""
    with mounted(tmp_path / "disk", "ext4", size_bytes=64 << 20) as disk:
        trees.small_files(disk.root / "source", 5, 100, random.Random(1))
        disk.remount("ro")
        async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
            execution = await lab.start(plan(disk.root / "source", tmp_path / "target", Operation.MOVE))
            await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
            yield lab, execution, disk


@pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")
async def test_a_cancel_tells_of_copies_whose_sources_stay_and_verify_reads_them(tmp_path: Path) -> None:
    async with all_durable(tmp_path) as (lab, execution, disk):
        source, target = disk.root / "source", tmp_path / "target"
        await lab.engine.cancel(lab.engine.find(execution.id), "me", "")
        ended = await lab.ended(execution)
        assert ended.state is ExecutionState.CANCELLED
        said = "5 complete copies stay at the destination, and so do their sources"
        assert ended.reason == said
        view = lab.engine.view(ended)
        assert any(said in line for line in details(view))
        assert any(said in line for line in summary(view))
        spoilt = next(p for p in target.rglob("f*") if p.is_file())
        spoilt.write_bytes(spoilt.read_bytes()[::-1] + b"x")
        await lab.engine.verify(ended)
        await lab.until(lambda: lab.engine.find(execution.id).verification is not None)
        found = lab.engine.find(execution.id).verification
        assert found is not None
        assert found.checked.entries >= 5
        assert found.mismatches == 1
        assert len([p for p in source.rglob("*") if p.is_file()]) == 5


@pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")
async def test_a_copy_that_was_taken_away_is_made_again_as_the_advice_says(tmp_path: Path) -> None:
    async with all_durable(tmp_path) as (lab, execution, disk):
        source, target = disk.root / "source", tmp_path / "target"
        taken = next(p for p in target.rglob("f*") if p.is_file())
        content = taken.read_bytes()
        taken.unlink()
        disk.remount("rw")
        await lab.engine.resume(lab.engine.find(execution.id), "me", "")
        failed = await lab.ended(execution)
        (group,) = await lab.journal.fault_groups(execution.key)
        assert (group.fault.kind, failed.totals.failed.entries) == ("target_missing", 1)
        assert "migmon resume: it is copied again" in error_group(group, ()).hint
        await lab.engine.resume(failed, "me", "")
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert taken.read_bytes() == content
        assert not source.exists()


async def test_a_temporary_that_cannot_be_removed_is_told(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 200, 100, random.Random(1))
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=100.0)))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > 0)
    stays = next(p for p in target.rglob("f*") if p.is_file()).with_name(f".migmond-{execution.id}-1.part")
    stays.mkdir()
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED
        assert any(str(stays) in line for line in summary(lab.engine.view(done)))
    assert [p for p in target.rglob(".migmond-*") if p.is_file()] == []


def test_whoever_is_sent_to_the_log_is_told_where_it_is() -> None:
    for kind in ("EISDIR", "mover_died", "ESOMETHING"):
        hint = error_group(FaultGroup(Fault(Phase.COPY, kind, 0, ""), 1, 0.0, 0.0, ()), ()).hint
        assert "log" not in hint or ("journalctl" in hint and "daemon.log" in hint)


async def test_what_vanished_is_not_done(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 600, 1000, random.Random(1))
    limits = Limits(io_ops_per_s=100.0)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await lab.start(plan(source, target, limits=limits))
        await lab.until(lambda: not lab.engine.find(execution.id).totals.growing)
        subprocess.run(["find", source, "-type", "f", "-delete"], check=True)
        done = await lab.ended(execution)
        view = lab.engine.view(done)
    copied = len([p for p in target.rglob("*") if p.is_file()])
    gone = done.totals.gone
    assert gone.entries == 600 - copied > 0
    assert gone.bytes == gone.entries * 1000
    assert done.state is ExecutionState.COMPLETED
    assert view.progress.percent_done is not None
    assert view.progress.percent_done < 100
    said = f"{gone.entries} {'entry' if gone.entries == 1 else 'entries'} vanished from the source"
    assert any(said in line for line in details(view))
    assert any(said in line for line in summary(view))
    assert amounts(view.progress).endswith(
        f"{done.totals.planned.entries - gone.entries} of {done.totals.planned.entries} entries"
    )


async def test_the_loser_of_two_moves_of_one_source_is_told_who_won(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.small_files(source, 20, 100, random.Random(1))
    async with laboratory(tmp_path / "state", EngineSettings(workers=1, turns=TurnLimits(running=1))) as lab:
        (tmp_path / "first").mkdir()
        winner = await lab.start(plan(source, tmp_path / "first", Operation.MOVE, limits=Limits(io_ops_per_s=20.0)))
        loser = await lab.start(plan(source, tmp_path / "second", Operation.MOVE))
        assert loser.state is ExecutionState.WAITING
        assert (await lab.ended(winner)).state is ExecutionState.COMPLETED
        lost = await lab.ended(loser)
        assert lost.state is ExecutionState.FAILED
        assert f"; source ({winner.id[:6]}) moved the same source" in lab.engine.view(lost, closely=True).why
