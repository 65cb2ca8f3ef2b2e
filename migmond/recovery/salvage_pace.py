"""How a salvage gets on: pure, `now` is monotonic seconds."""

from __future__ import annotations

from collections import deque

import msgspec

WINDOW_S = 10.0
"""Over so long a rate is taken: a bad spot keeps a disk for seconds, and the next megabyte comes at full speed."""


class Standing(msgspec.Struct, frozen=True):
    """What is known of a file that is being salvaged, bytes.

    Attributes:
        saved, failed: what was read, and what could not be up to now: smaller pieces of that may still be.
        untried: what nobody has come to yet.
        bytes_per_s: saved lately; None in the first moment.
        seconds_remaining: until all was tried in large pieces; None when nobody can say. What failed is tried again in
            smaller ones after that, and how long these take only the disk knows.
    """

    size: int
    saved: int
    untried: int
    bytes_per_s: float | None = None
    seconds_remaining: float | None = None

    @property
    def failed(self) -> int:
        return self.size - self.saved - self.untried


class SalvagePace:
    """Takes in what a mover tells, in order.

    Args:
        limit_s: reading ends after so many seconds.
    """

    def __init__(self, limit_s: float, now: float) -> None:
        self._end = now + limit_s
        self._told: deque[tuple[float, int, int]] = deque()

    def observe(self, size: int, saved: int, untried: int, now: float) -> Standing:
        """Return what is known now."""
        told = self._told
        told.append((now, saved, size - untried))
        while len(told) > 2 and now - told[1][0] >= WINDOW_S:
            told.popleft()
        began, saved_then, tried_then = told[0]
        if now <= began:
            return Standing(size, saved, untried)
        tried_per_s = (size - untried - tried_then) / (now - began)
        left = None
        if untried and tried_per_s > 0:
            left = min(untried / tried_per_s, max(0.0, self._end - now))
        return Standing(size, saved, untried, (saved - saved_then) / (now - began), left)
