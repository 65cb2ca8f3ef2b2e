"""The shared page: what one side writes, the other reads."""

from __future__ import annotations

import mmap
import time

import pytest

from migmond.domain.activity import Activity
from migmond.wire.slots import NAME_BYTES, SLOT_BYTES, Control, ControlSide, Doing, MoverSide


@pytest.fixture
def sides() -> tuple[ControlSide, MoverSide]:
    memory = mmap.mmap(-1, SLOT_BYTES)
    return ControlSide(memory), MoverSide(memory)


def test_control_reaches_the_mover(sides: tuple[ControlSide, MoverSide]) -> None:
    control, mover = sides
    assert (mover.control, mover.running) == (Control.RUN, True)
    control.set_control(Control.PAUSE)
    assert (mover.control, mover.running) == (Control.PAUSE, False)


def test_progress_reaches_the_daemon(sides: tuple[ControlSide, MoverSide]) -> None:
    control, mover = sides
    assert control.look().name is None
    mover.file(7, 1000, b"a/b\xff\n", Doing.COPYING, 5_000)
    mover.progress(600, 1600, 6_000)
    mover.count(3)
    mover.set_paused(1)
    seen = control.look()
    assert seen.longest == (6_000, Doing.COPYING)
    assert (seen.task, seen.file_bytes, seen.file_done, seen.bytes_total) == (7, 1000, 600, 1600)
    assert (seen.entries_total, seen.paused, seen.name) == (3, True, b"a/b\xff\n")
    mover.file(8, 1, b"x", Doing.COPYING, 7_000)
    assert (control.look().file_done, control.look().name) == (0, b"x")
    mover.no_file()
    seen = control.look()
    assert (seen.task, seen.name, seen.started_ns, seen.doing) == (0, None, 0, Doing.IDLE)


def test_a_long_path_keeps_its_end(sides: tuple[ControlSide, MoverSide]) -> None:
    control, mover = sides
    path = b"x" * NAME_BYTES + b"/end"
    mover.file(1, 0, path, Doing.COPYING, 1)
    assert control.look().name == path[-NAME_BYTES:]


def test_a_hanging_copy_is_not_hidden_by_a_sync_that_ends(sides: tuple[ControlSide, MoverSide]) -> None:
    control, mover = sides
    mover.file(7, 1000, b"stuck", Doing.COPYING, 1_000)
    mover.commit.began(Doing.SYNCING, 2_000)
    mover.commit.ended()
    seen = control.look()
    assert (seen.longest, seen.name) == ((1_000, Doing.COPYING), b"stuck")


def test_what_lasts_longest_is_told(sides: tuple[ControlSide, MoverSide]) -> None:
    control, mover = sides
    mover.commit.began(Doing.SYNCING, 1_000)
    mover.file(7, 1000, b"fine", Doing.COPYING, 2_000)
    seen = control.look()
    assert seen.longest == (1_000, Doing.SYNCING)
    assert seen.task == 7  # still the file at hand, should the mover die
    mover.commit.ended()
    assert control.look().longest == (2_000, Doing.COPYING)


def test_all_of_a_threads_time_belongs_to_something(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = mmap.mmap(-1, SLOT_BYTES)
    control, now = ControlSide(memory), 1_000_000
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    mover = MoverSide(memory)
    for number, activity in enumerate(Activity):
        now += number
        mover.meter.lap(activity)
    now += 5_000
    mover.commit_meter.lap(Activity.SYNC)
    copying, committing = control.spent()
    assert [copying[a] for a in Activity] == list(range(len(Activity)))
    assert (committing[Activity.SYNC], committing.total) == (now - 1_000_000, now - 1_000_000)
    mover.meter.lap(Activity.METADATA)
    before = mover.meter.total_ns()
    assert before == now - 1_000_000
    mover.meter._words[mover.meter._activities + Activity.HASH] += 300  # as the machine code does
    now += 1_000
    mover.meter.lap_around(Activity.METADATA, before)
    after, _ = control.spent()
    since = after.minus(copying)
    assert (since[Activity.HASH], since[Activity.METADATA]) == (300, 5_700)
    assert after.total == now - 1_000_000
    copying, committing = control.spent()
    mover.file(1, 0, b"n" * NAME_BYTES, Doing.COPYING, 1)
    assert control.spent() == (copying, committing)
