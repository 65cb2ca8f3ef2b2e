"""How fast an execution goes and when it will be done: recent rate, honest about what is unknown."""

from __future__ import annotations

from collections import deque

import msgspec

from migmond.domain.execution import Tally

ENTRY_COST_BYTES = 32 * 1024
"""One entry costs as much time as copying this many bytes: about 60 µs a small file (design page PERF, cost per call)
against 500 MB/s. Only the mix of files and bytes in percent and ETA depends on it."""


class Estimate(msgspec.Struct, frozen=True):
    """Rates over the window, and the time left; None with a reason while it cannot be told. `low_s`, `high_s`: the band
    that holds the truth four times of five; None for a mere extrapolation."""

    bytes_per_s: float | None
    entries_per_s: float | None
    seconds_remaining: float | None
    reason: str
    low_s: float | None = None
    high_s: float | None = None


def work(tally: Tally) -> float:
    """Return the work in a tally, in bytes-equivalents."""
    return tally.bytes + tally.entries * ENTRY_COST_BYTES


def percent(there: Tally, planned: Tally) -> float:
    """Return how much of the planned work is there, 0 to 100. An empty plan is 100."""
    total = work(planned)
    if total <= 0:
        return 100.0
    return min(100.0, 100.0 * work(there) / total)


class Pace:
    """Remembers what was brought when, over a sliding window.

    Args:
        window_s: how far to look back, in seconds of the monotonic clock.
    """

    def __init__(self, window_s: float = 20.0) -> None:
        self._window_s = window_s
        self._points: deque[tuple[float, Tally]] = deque()
        self._handled = Tally()

    def observe(self, now: float, handled: Tally, brought: Tally | None = None) -> None:
        """Take in what was reached at `now`, what is in flight included.

        Args:
            handled: nothing more is to be brought of that.
            brought: what of it was moved, or looked at; all of it by default.
        """
        self._handled = handled
        self._points.append((now, handled if brought is None else brought))
        while len(self._points) > 2 and self._points[1][0] < now - self._window_s:
            self._points.popleft()

    def restart(self) -> None:
        """Forget everything: after a pause the old rate says nothing."""
        self._points.clear()

    def estimate(self, planned: Tally, *, growing: bool) -> Estimate:
        """Return rates, and the time left for what is planned and not yet handled."""
        if len(self._points) < 2:
            return Estimate(None, None, None, "not measured yet")
        (t0, first), (t1, last) = self._points[0], self._points[-1]
        elapsed = t1 - t0
        if elapsed <= 0:
            return Estimate(None, None, None, "not measured yet")
        bytes_per_s = max(0.0, (last.bytes - first.bytes) / elapsed)
        entries_per_s = max(0.0, (last.entries - first.entries) / elapsed)
        if growing:
            return Estimate(bytes_per_s, entries_per_s, None, "still scanning")
        rate = (work(last) - work(first)) / elapsed
        if rate <= 0:
            return Estimate(bytes_per_s, entries_per_s, None, "nothing was finished lately")
        if elapsed < 2.0:
            return Estimate(bytes_per_s, entries_per_s, None, "not measured long enough")
        return Estimate(bytes_per_s, entries_per_s, max(0.0, work(planned) - work(self._handled)) / rate, "")
