"""The main loop's pulse: fed to systemd from the loop itself, so that a stuck loop is noticed and restarted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
import trio

from migmond.daemon.notify import Notifier

_LAG_WINDOW_S = 60.0


def watchdog_interval_s(environment: Mapping[str, str], pid: int) -> float | None:
    """Return how often to feed the watchdog (half its limit), None when there is none or it is not for us."""
    usec = environment.get("WATCHDOG_USEC", "")
    if not usec.isdigit() or int(usec) == 0 or environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(usec) / 1e6 / 2


async def feed(notifier: Notifier, interval_s: float) -> None:
    """Feed the watchdog until cancelled."""
    while True:
        notifier.watchdog()
        await trio.sleep(interval_s)


class Blocked(msgspec.Struct, frozen=True):
    """For how long in one go the loop looked at nobody, and the task whose step took most of that."""

    seconds: float
    task: str


_NEVER = Blocked(0.0, "")


class Longest:
    """The longest of the last minute. Times are seconds on one clock that only rises."""

    def __init__(self) -> None:
        self._of_seconds: deque[tuple[int, Blocked]] = deque()

    def at(self, now: float) -> Blocked:
        """Return the longest in the minute before `now`."""
        self._forget(now)
        return max((blocked for _, blocked in self._of_seconds), key=lambda b: b.seconds, default=_NEVER)

    def observe(self, now: float, seconds: float, task: str) -> None:
        """Take in what ended at `now`."""
        second = int(now)
        if self._of_seconds and self._of_seconds[-1][0] == second:
            if seconds <= self._of_seconds[-1][1].seconds:
                return
            self._of_seconds.pop()
        self._of_seconds.append((second, Blocked(seconds, task)))
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._of_seconds and self._of_seconds[0][0] < now - _LAG_WINDOW_S:
            self._of_seconds.popleft()


class LoopLag(trio.abc.Instrument):
    """How long the loop was blocked: its longest round of the last minute.

    A round begins when the loop has learnt who can go on and ends when it asks again; whoever comes meanwhile waits
    for its end. Every round counts, where a timer that is late sees only what happens to lie across its end. Costs
    0.2 µs a step of a task and 3 µs a round, and what trio takes to call it.

    Attributes:
        waited: by the clock: what clients had to wait.
        worked: by the CPU time of the loop's thread: the part of it that is ours, where the machine or our own threads
            took the rest.
    """

    def __init__(self) -> None:
        self.waited, self.worked = Longest(), Longest()
        self._began = self._stepped = self._cpu = self._step = 0.0
        self._task = ""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Measure the loop that this is called in for as long as the context lasts."""
        self.after_io_wait(0.0)
        trio.lowlevel.add_instrument(self)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(self)

    # --- what trio calls ---------------------------------------------------------------------------

    def after_io_wait(self, timeout: float) -> None:
        self._began = self._stepped = time.monotonic()
        self._cpu = time.thread_time()
        self._step, self._task = 0.0, ""

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        now = time.monotonic()
        if now - self._stepped > self._step:
            self._step, self._task = now - self._stepped, task.name
        self._stepped = now

    def before_io_wait(self, timeout: float) -> None:
        now = time.monotonic()
        self.waited.observe(now, now - self._began, self._task)
        self.worked.observe(now, time.thread_time() - self._cpu, self._task)
