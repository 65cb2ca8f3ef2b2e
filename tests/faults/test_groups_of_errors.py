"""Errors of one disk of several, and what is picked by them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import sickfs
import trees
from engine_harness import ME, Laboratory, laboratory, plan
from migmond.domain.events import ExecutionStateChanged
from migmond.domain.plan import Operation, Plan, Source
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState
from migmond.engine.rollbacks import Rollback
from migmond.engine.settings import EngineSettings
from sickfs import SickFs, sick_fs

pytestmark = pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")

SETTINGS = EngineSettings(workers=1, hold_s=0.3, attempts=2)


@pytest.fixture
def sick(tmp_path: Path) -> Iterator[SickFs]:
    with sick_fs(tmp_path / "disk") as mounted:
        yield mounted


def from_two(first: Path, second: Path, target: Path) -> Plan:
    sources = tuple(Source(os.fsencode(s), os.fsencode(s.name)) for s in (first, second))
    return Plan("two", sources, os.fsencode(target), Operation.MOVE)


def paused(lab: Laboratory) -> bool:
    return any(isinstance(e, ExecutionStateChanged) and e.after == "paused" for e in lab.events)


@pytest.mark.hazard(21)
@pytest.mark.parametrize("begins", [True, False], ids=["the dead one first", "the dead one last"])
async def test_a_dead_disk_holds_what_is_on_it_and_nothing_else(tmp_path: Path, sick: SickFs, *, begins: bool) -> None:
    dead, well, target = sick.root / "dead", tmp_path / "well", tmp_path / "target"
    trees.small_files(sick.backing / "dead", 200, 100, random.Random(1))
    trees.small_files(well, 1000, 100, random.Random(2))
    rule = sick.fall_ill("read", error="EIO")
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(from_two(dead, well, target) if begins else from_two(well, dead, target))
        await lab.until(lambda: len(list((target / "well").rglob("f*"))) == 1000)
        await lab.until(lambda: sick.struck(rule) > 20)
        now = lab.engine.find(execution.id)
        assert (now.state, now.totals.failed.entries) == (ExecutionState.RUNNING, 0)
        await lab.until(lambda: len(lab.engine.find(execution.id).holds) == 1)
        (hold,) = lab.engine.find(execution.id).holds
        assert (hold.reason.value, hold.author, len(hold.selector.devices)) == ("device", "engine", 1)
        assert not paused(lab)
        assert len(list((sick.backing / "dead").rglob("f*"))) == 200
        sick.heal()
        done = await lab.ended(execution)
        assert not paused(lab)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert len(list((target / "dead").rglob("f*"))) == 200
    assert list(dead.rglob("f*")) == []


@pytest.mark.hazard(21)
async def test_a_daemon_that_starts_tries_a_disk_that_was_held_alone(tmp_path: Path, sick: SickFs) -> None:
    dead, well, target = sick.root / "dead", tmp_path / "well", tmp_path / "target"
    trees.small_files(sick.backing / "dead", 100, 100, random.Random(1))
    trees.small_files(well, 10, 100, random.Random(2))
    sick.fall_ill("read", error="EIO")
    async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=600)) as lab:
        execution = await lab.start(from_two(dead, well, target))
        await lab.until(lambda: bool(lab.engine.find(execution.id).holds))
        await lab.engine._roster.journaled(execution)
    sick.heal()
    async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=600)) as lab:
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason


@pytest.mark.hazard(21)
@pytest.mark.parametrize("error", ["EIO", "ENODEV"])
async def test_a_disk_that_goes_while_it_is_scanned_fails_no_directory(
    tmp_path: Path, sick: SickFs, error: str
) -> None:
    source, target = sick.root / "source", tmp_path / "target"
    trees.small_files(sick.backing / "source", 300, 100, random.Random(1), per_directory=10)
    rule = sick.fall_ill("readdir", path="/source/d*", error=error)
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        execution = await lab.start(plan(source, target, Operation.MOVE))
        await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
        now = lab.engine.find(execution.id)
        assert [h.reason.value for h in now.holds] == ["device"]
        assert now.totals.failed.entries == 0
        sick.heal(rule)
        done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert len(list(target.rglob("f*"))) == 300
    assert not source.exists()


@pytest.mark.hazard(21)
async def test_a_directory_that_is_really_bad_fails_when_it_was_tried_once_more(tmp_path: Path, sick: SickFs) -> None:
    source, target = sick.root / "source", tmp_path / "target"
    trees.small_files(sick.backing / "source", 300, 100, random.Random(1), per_directory=10)
    (sick.backing / "source" / "d00003" / "e").mkdir()
    (sick.backing / "source" / "d00003" / "e" / "below").touch()
    once = sick.fall_ill("readdir", path="/source/d00005", error="EIO", times=1)
    bad = sick.fall_ill("readdir", path="/source/d00003", error="EIO")
    async with laboratory(tmp_path / "state", SETTINGS) as lab:
        done = await lab.run(plan(source, target))
        groups = await lab.journal.fault_groups(done.key)
        assert not paused(lab)
        assert (sick.struck(once), sick.struck(bad)) == (1, 2)
        assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
        assert [(g.fault.fingerprint, g.count, g.waiting) for g in groups] == [("scan:EIO:5", 1, 0)]
        assert len(list(target.rglob("f*"))) == 290
        sick.heal()
        await lab.engine.resume(done, "ana", "")
        healed = await lab.ended(done)
    assert healed.state is ExecutionState.COMPLETED, healed.reason
    assert len(list(target.rglob("f*"))) == 300
    assert (target / "d00003" / "e" / "below").exists()


async def test_a_rollback_picks_groups_of_errors_as_all_else_does(tmp_path: Path, sick: SickFs) -> None:
    """By kind, and by what `migmon errors` shows."""
    source, target = sick.root / "source", tmp_path / "target"
    (sick.backing / "source").mkdir()
    for name in ("tried again", "well"):
        (sick.backing / "source" / name).write_bytes(name.encode())
    sick.fall_ill("read", path="/source/tried again", error="EIO", times=2)  # the fast way, then the careful one
    async with laboratory(tmp_path / "state", EngineSettings(workers=1, attempts=3)) as lab:
        done = await lab.run(plan(source, target))
        assert done.state is ExecutionState.COMPLETED, done.reason
        for errors, picked in ((("EIO",), 1), (("read:EIO:5",), 1), (("read:EIO:6",), 0)):
            seen = await lab.engine.rollback_plan(Rollback(done, Selector(errors=errors)), ME)
            assert sum(t.entries for t in seen.tallies.values()) == picked, errors
