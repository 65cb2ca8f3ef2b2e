"""The timeline tells what happened, once, in order, and never too much."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from engine_harness import laboratory, plan
from migmond.domain.changes import (
    AddMilestone,
    Change,
)
from migmond.domain.limits import Limits
from migmond.domain.states import ExecutionState
from migmond.domain.timeline import Milestone, MilestoneKind
from migmond.engine.settings import EngineSettings
from migmond.engine.timeline import MOST, Timeline
from part_trees import random_tree


class Record:
    """What a timeline has told so far."""

    def __init__(self) -> None:
        self.told: list[Milestone] = []

    def __call__(self, changes: Sequence[Change]) -> None:
        for change in changes:
            assert isinstance(change, AddMilestone)
            assert change.key == 7
            self.told.append(change.milestone)


def begun(record: Record) -> Timeline:
    """Another run, that knows what is on record."""
    return Timeline(7, list(record.told), record, lambda: float(len(record.told)))


def test_marks_are_told_once_over_all_runs() -> None:
    record = Record()
    timeline = begun(record)
    for percent, done in ((None, 0), (0.0, 0), (9.9, 1), (26.0, 2), (27.0, 3)):
        timeline.progress(percent, done)
    assert [m.text for m in record.told] == ["the first content arrived", "10 %", "25 %"]
    begun(record).progress(100.0, 9)
    begun(record).progress(100.0, 9)
    assert [m.text for m in record.told[3:]] == ["50 %", "75 %", "90 %", "100 %"]
    assert [m.at for m in record.told] == [float(i) for i in range(7)]


def test_so_much_is_told_and_no_more_and_how_it_ends_is_among_it() -> None:
    record = Record()
    timeline = begun(record)
    for number in range(3 * MOST):
        timeline.tell(MilestoneKind.HOLD, f"space: {number}")
        if number == MOST:
            timeline = begun(record)
    kinds = [m.kind for m in record.told]
    assert kinds.count(MilestoneKind.LEFT_OUT) == 1
    timeline.tell(MilestoneKind.STATE, "completed")
    assert record.told[-1].text == "completed"
    for number in range(3 * MOST):
        timeline.tell(MilestoneKind.STATE, str(number))
    assert len(record.told) == MOST


async def test_holds_dead_movers_and_people_are_on_the_line(tmp_path: Path, other_fs: Path) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    random_tree(source, 150)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_bytes_per_s=1_000_000)))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > 5)
        await lab.engine.pause(lab.engine.find(execution.id), "ana", "lunch", None)
        await lab.engine.resume(lab.engine.find(execution.id), "ana", "")
        run = lab.engine.run_of(execution.id)
        assert run is not None
        live = run.live
        assert live is not None
        os.kill(next(m.pid for m in live.movers if m.slot < 1000), signal.SIGKILL)
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        told = await lab.journal.milestones(execution.key)
    kinds = [m.kind for m in told]
    assert [m.text for m in told if m.kind is MilestoneKind.STATE] == [
        "running",
        "paused; lunch",
        "running",
        "completed",
    ]
    assert [m.text for m in told if m.kind is MilestoneKind.HOLD] == ["user by ana; lunch"]
    assert [m.text for m in told if m.kind is MilestoneKind.LIFTED] == ["user lifted"]
    died = [m.text for m in told if m.kind is MilestoneKind.MOVER_DIED]
    assert [text.startswith("mover 1: ") for text in died] == [True]
    assert kinds.index(MilestoneKind.SCANNED) < kinds.index(MilestoneKind.MOVER_DIED)
    assert [m.at for m in told] == sorted(m.at for m in told)
