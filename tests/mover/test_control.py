"""A mover does what is wanted now, in the middle of what it was told before."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import threading
from collections.abc import Callable, Iterator

import pytest

from migmond.engine.limiter import Limiter
from migmond.mover.budget import Budget
from migmond.mover.control import Abandoned, Controls
from migmond.planning.allowances import Allowance
from migmond.wire.slots import SLOT_BYTES, Control, ControlSide, MoverSide

GENEROUS_S = 5.0
"""It looks every 20 ms, on a machine that may do other things as well."""


class Mover:
    """Controls at work in a thread, and the daemon's end of its slot."""

    def __init__(self, work: Callable[[Controls], None], library: ctypes.CDLL | None) -> None:
        memory = mmap.mmap(-1, SLOT_BYTES)
        self.daemon = ControlSide(memory)
        self.limiter = Limiter(None, "")
        self._controls = Controls(MoverSide(memory))
        self._controls.join(Budget(os.dup(self.limiter.page()), library))
        self._work = work
        self.abandoned = False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._work(self._controls)
        except Abandoned:
            self.abandoned = True

    def ends(self) -> bool:
        self.thread.join(GENEROUS_S)
        return not self.thread.is_alive()


@contextlib.contextmanager
def throttled(work: Callable[[Controls], None]) -> Iterator[Mover]:
    """A mover that waits, because of a limit of one byte and one entry in a thousand seconds."""
    mover = Mover(work, None)
    mover.limiter.allow(Allowance(1, 0.001), 1)
    mover.thread.start()
    mover.thread.join(0.1)
    assert mover.thread.is_alive()
    yield mover
    assert mover.ends()


def a_chunk(controls: Controls) -> None:
    controls.step(1 << 20)


def an_entry(controls: Controls) -> None:
    controls.entry(1, 0, b"x")
    controls.entry(2, 0, b"y")


@pytest.mark.parametrize("work", [a_chunk, an_entry])
@pytest.mark.parametrize("limits", [Allowance(), Allowance(1 << 30, 1e6)], ids=["lifted", "raised"])
def test_who_waits_because_of_a_limit_goes_on_when_it_is(work: Callable[[Controls], None], limits: Allowance) -> None:
    with throttled(work) as mover:
        mover.limiter.allow(limits, 1)
        assert mover.ends()
        assert not mover.abandoned


@pytest.mark.parametrize("work", [a_chunk, an_entry])
def test_who_waits_because_of_a_limit_is_cancelled(work: Callable[[Controls], None]) -> None:
    with throttled(work) as mover:
        mover.daemon.set_control(Control.ABANDON)
        assert mover.ends()
        assert mover.abandoned


@pytest.mark.parametrize("work", [a_chunk, an_entry])
def test_who_waits_because_of_a_limit_is_paused_and_goes_on(work: Callable[[Controls], None]) -> None:
    with throttled(work) as mover:
        mover.daemon.set_control(Control.PAUSE)
        mover.limiter.allow(Allowance(), 1)
        mover.thread.join(0.2)
        assert mover.thread.is_alive()
        assert mover.daemon.look().paused
        mover.daemon.set_control(Control.RUN)
        assert mover.ends()
