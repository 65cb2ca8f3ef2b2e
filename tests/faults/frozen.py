"""A daemon that is stopped for a moment with all its movers, so that tree and journal can be seen as of one moment.

What matters is the order: the daemon is stopped first. It orders a delete only after it has journaled why, so whatever
its movers may still do before they stop as well, the journal of that moment must vouch for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from daemon import EmbeddedDaemon
from judge import Case, Finding, Harm, at_the_fault
from written import written

Meddle: TypeAlias = Callable[[Case, Mapping[bytes, int]], None]
"""For controls: does something to the tree of a case just before it is judged, knowing the journal's states."""

_STOP_S = 20.0
_LOOKS = 20


def untouched(case: Case, states: Mapping[bytes, int]) -> None:
    """Nobody meddles."""


@contextlib.contextmanager
def frozen(daemon: EmbeddedDaemon) -> Iterator[None]:
    """Stop the daemon, then its movers; let them go on afterwards."""
    stopped: list[int] = []
    try:
        _stop(daemon.pid, stopped)
        for mover in daemon.children():
            _stop(mover, stopped)
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _stop(pid: int, stopped: list[int]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)
    deadline = time.monotonic() + _STOP_S
    # One that waits for a disk stops when it gets an answer; it does nothing before that.
    while not _at_rest(pid) and time.monotonic() < deadline:
        time.sleep(0.001)


def _at_rest(pid: int) -> bool:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        return all(_state(pid, thread) in "TtZX" for thread in threads)
    except (FileNotFoundError, ProcessLookupError):
        return True


def _state(pid: int, thread: str) -> str:
    with open(f"/proc/{pid}/task/{thread}/stat") as line:
        return line.read().rpartition(")")[2].split()[0]


def judged(daemon: EmbeddedDaemon, execution: str, case: Case, meddle: Meddle = untouched) -> list[Finding]:
    """Judge a migration whose daemon lives, at this moment."""
    with frozen(daemon):
        states = written(daemon.home / "state", execution).states()
        meddle(case, states)
        # A mover that did not stop in time may still remove something between two looks of ours.
        for _ in range(_LOOKS):
            with contextlib.suppress(FileNotFoundError):
                return at_the_fault(case, states)
    return [Finding(Harm.DIFFERENT, "the tree does not come to rest")]
