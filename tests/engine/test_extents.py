"""Pending files in the order in which they lie on their disk."""

from __future__ import annotations

import os
import random
from array import array
from pathlib import Path

import pytest
import trio

import loopfs
from agenda import agenda_of, hold, lift, scope_of
from engine_harness import laboratory, plan
from migmond.domain.selector import Selector
from migmond.domain.steering import Order, Reordering
from migmond.domain.timeline import MilestoneKind
from migmond.engine.recording import Ask
from migmond.engine.settings import EngineSettings
from migmond.fsys.extents import first_extent
from migmond.planning.orders import by_address
from oracle import differences
from steering import change

COUNT = 60
ORDER = Reordering(Order.EXTENT)


def scattered(root: Path) -> None:
    """Make files whose inodes are in another order than their content."""
    names = [f"{n:02}" for n in range(COUNT)]
    for name in names:
        (root / name).write_bytes(b"")
    random.Random(3).shuffle(names)
    for name in names:
        (root / name).write_bytes(os.urandom(40_000))
        fd = os.open(root / name, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def address(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return first_extent(fd) or 0
    finally:
        os.close(fd)


async def test_files_begin_in_the_order_of_their_content(tmp_path: Path) -> None:
    if missing := loopfs.missing("ext4"):
        pytest.skip(missing)
    with loopfs.mounted(tmp_path / "disk", "ext4") as fs:
        source, target = fs.root / "source", tmp_path / "target"
        source.mkdir()
        scattered(source)
        wanted = sorted((p.name for p in source.iterdir()), key=lambda name: address(source / name))
        assert wanted != sorted(wanted, key=lambda name: (source / name).stat().st_ino)
        async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
            execution = await lab.start(plan(source, target, reflink=False))
            agenda = await agenda_of(lab, execution)
            hold(lab, execution, "h1", Selector(include=("**",)))
            await lab.until(lambda: not lab.engine.find(execution.id).totals.growing)
            effect, _ = await lab.engine.steering.intervene(execution, Ask(ORDER, "ana"), dry_run=True)
            assert not any("does not tell" in note for note in effect.notes)
            reordered = list[int]()
            line, before = agenda._line, agenda._line.reordered

            def seen(start: int) -> None:
                reordered.append(start)
                before(start)

            line.reordered = seen  # type: ignore[method-assign]
            await change(lab, execution, ORDER)
            await lab.until(lambda: bool(reordered))
            tasks = {t.number: os.fsdecode(t.name) for t in await lab.journal.tasks(execution.key, limit=1000)}
            lined_up = [tasks[n] for n in line._sequence]
            assert lined_up == [name for name in wanted if name in set(lined_up)]
            assert len(lined_up) > COUNT // 2
            lift(lab, execution, "h1")
            done = await lab.ended(execution)
        assert differences(source, target) == []
        assert done.totals.done == done.totals.planned


async def test_where_nobody_tells_it_goes_by_inode_and_says_so(tmp_path: Path, other_fs: Path) -> None:
    source, target = other_fs / "source", tmp_path / "target"
    source.mkdir()
    scattered(source)
    async with laboratory(tmp_path / "state") as lab:
        execution = await lab.start(plan(source, target))
        await scope_of(lab, execution)
        hold(lab, execution, "h1", Selector(include=("**",)))
        await lab.until(lambda: not lab.engine.find(execution.id).totals.growing)
        effect, _ = await lab.engine.steering.intervene(execution, Ask(ORDER, "ana"), dry_run=True)
        notes = " ".join(effect.notes)
        pending = await lab.journal.pending(execution.key)
        assert ("does not tell where files lie" in notes) is bool(len(pending))
        assert ("memory, which does not seek" in notes) is bool(len(pending))
        await change(lab, execution, ORDER)
        if len(pending):
            with trio.fail_after(30):
                while MilestoneKind.ORDER not in {m.kind for m in await lab.journal.milestones(execution.key)}:  # noqa: ASYNC110 (the journal has no event)
                    await trio.sleep(0.02)
        lift(lab, execution, "h1")
        done = await lab.ended(execution)
        assert done.totals.done == done.totals.planned
        kinds = {m.kind for m in await lab.journal.milestones(execution.key)}
        assert (MilestoneKind.ORDER in kinds) is bool(len(pending))
    assert differences(source, target) == []


def test_content_without_an_address_comes_first_as_it_is() -> None:
    numbers = array("Q", [5, 6, 7, 8, 9, 10])
    devices, addresses = array("q", [1, 1, 2, 1, 1, 2]), array("q", [300, -1, 100, 200, -1, 50])
    assert list(by_address(numbers, devices, addresses)) == [6, 9, 8, 5, 10, 7]
    assert list(by_address(array("Q"), array("q"), array("q"))) == []
