"""From the totals of counters to rates, over resets, restarts and clocks that jump."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

CARRY_S = 86_400.0
"""How long the last total of a counter that is read no more is kept, seconds: the counters of ended executions must
not pile up, and of a machine that was off for longer nobody wants one rate for all of that time."""
_SOONEST = 0.25
"""An interval shorter than this part of the announced one was made by a clock that was set back: its rate would be a
peak that never was."""


class Counters(Generic[K]):
    """The last total of every counter.

    What a counter counted between two readings is booked at the second one, with the seconds since the first:
    - it is smaller than before: it began again at 0, so all of it is new (as Prometheus has it);
    - after a restart the first reading books what was counted meanwhile, if the totals were carried over;
    - the clock was set back: the interval has no length, so its increase is lost and counting begins anew there;
    - the clock was set forward: the interval is too long by that, and its rate too low, this once.
    """

    def __init__(self, carried: Iterable[tuple[K, float, float]] = ()) -> None:
        self._last = {key: (at, total) for key, at, total in carried}

    def rate(self, key: K, at: float, total: float, every_s: float) -> tuple[float, float] | None:
        """Return units per second and in how many seconds, or None when there is nothing to compare with.

        Args:
            at: wall clock seconds.
            every_s: how often it is read, seconds.
        """
        last = self._last.get(key)
        if last is None:
            self._last[key] = (at, total)
            return None
        elapsed = at - last[0]
        if 0 < elapsed < every_s * _SOONEST:
            return None  # the next reading has it
        self._last[key] = (at, total)
        if elapsed <= 0:
            return None
        return (total - last[1] if total >= last[1] else total) / elapsed, elapsed

    def forget(self, keys: Iterable[K]) -> None:
        """Drop counters that are gone for good."""
        for key in keys:
            self._last.pop(key, None)

    def drop_older(self, than: float) -> None:
        """Drop those not read since wall clock `than`; one that is read again later begins anew."""
        self._last = {key: last for key, last in self._last.items() if last[0] >= than}

    def carried(self) -> list[tuple[K, float, float]]:
        """Return key, time and total of each, to be kept over a restart."""
        return [(key, at, total) for key, (at, total) in self._last.items()]
