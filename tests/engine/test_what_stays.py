"""What is told of entries that are at both ends, or at neither."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

import loopfs
import trees
from engine_harness import laboratory, plan
from loopfs import mounted
from migmond.cli.render.execution import amounts, details, summary
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState
from migmond.engine.settings import EngineSettings


@pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")
async def test_a_cancel_tells_of_copies_whose_sources_stay_and_verify_reads_them(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "ext4", size_bytes=64 << 20) as disk:
        source, target = disk.root / "source", tmp_path / "target"
        trees.small_files(source, 5, 100, random.Random(1))
        disk.remount("ro")
        async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
            execution = await lab.start(plan(source, target, Operation.MOVE))
            await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
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
