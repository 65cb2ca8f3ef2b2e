"""The main loop's pulse: fed to systemd from the loop itself, so that a stuck loop is noticed and restarted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import trio

from migmond.daemon.notify import Notifier

_LAG_TICK_S = 0.1
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


class LoopLag:
    """How long the loop was blocked: the longest delay of a timer in the last minute."""

    def __init__(self) -> None:
        self._delays: deque[tuple[float, float]] = deque()

    @property
    def max_s(self) -> float:
        return max((delay for _, delay in self._delays), default=0.0)

    def observe(self, now: float, delay_s: float) -> None:
        """Take in that a timer was `delay_s` late at `now`."""
        self._delays.append((now, delay_s))
        while self._delays[0][0] < now - _LAG_WINDOW_S:
            self._delays.popleft()

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            before = trio.current_time()
            await trio.sleep(_LAG_TICK_S)
            now = trio.current_time()
            self.observe(now, max(0.0, now - before - _LAG_TICK_S))
