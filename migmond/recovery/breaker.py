"""A circuit breaker of one device: after some errors, nobody tries any more but one, now and then.

    closed ──(too many errors)──▶ open ──(time is over)──▶ half-open ──(it goes well)──▶ closed
       ▲                          │  ▲                        │
       └──(a person says so)──────┘  └──(it fails)────────────┘

As in Nygard, "Release It!", chapter 5. While it is open the execution is held; half-open, one entry at a time is tried.
"""

from __future__ import annotations

import enum
from collections import deque

IN_A_ROW = 8
"""So many entries that fail, and none between that is copied: not some blocks are bad but the device is gone. The file
system on it may well be mounted and answer from its cache (design page HAZARDS row 21)."""
WINDOW_S = 60.0
AT_LEAST = 20
SHARE = 0.5
"""Or in the last minute at least so many failed, and so large a share of all (design page ETA, "Errors"; it has 5
there, which a single directory on a bad spot reaches)."""
BUCKETS = 6
LONGEST_FACTOR = 20
"""How much longer it stays open in the end than at first: 30 s become 10 min."""


class State(enum.StrEnum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Args:
        open_s: how long it stays open at first, seconds; it doubles with every probe that fails.
        steady: it does not double: room may come back at any time.

    Attributes:
        state: what it is.
        opened: how often it was opened, probes that failed not counted.
        closed: how often it was closed again: something went well then, or a person said that it would.
    """

    def __init__(self, open_s: float, *, steady: bool = False) -> None:
        self._open_s = open_s
        self._steady = steady
        self._row = 0
        self._patience = 1
        self._buckets: deque[tuple[int, int, int]] = deque(maxlen=BUCKETS)
        self._until = 0.0
        self._probes = 0
        self.state = State.CLOSED
        self.opened = self.closed = 0

    @property
    def open_s(self) -> float:
        """How long it stays open this time."""
        return self._open_s if self._steady else self._open_s * min(LONGEST_FACTOR, 2.0 ** min(self._probes, 10))

    def failed(self, now: float, *, at_once: bool = False) -> bool:
        """An entry failed because of the device.

        Args:
            now: monotonic seconds.
            at_once: one of these is enough.

        Returns:
            Whether it is open now: then the entry is not to blame.
        """
        if self.state is State.OPEN:
            return True
        if self.state is State.HALF_OPEN:
            self._probes += 1
            self._open(now)
            return True
        self._row += 1
        self._count(now, 0, 1)
        if at_once or self._row >= IN_A_ROW * self._patience or self._too_many(now):
            self.opened += 1
            self._open(now)
            return True
        return False

    def succeeded(self, now: float, entries: int = 1) -> None:
        """So many entries went well there. What was begun before it opened says nothing."""
        if self.state is State.OPEN:
            return
        if self.state is State.HALF_OPEN:
            self._close()
        self._row = 0
        self._patience = 1
        self._count(now, entries, 0)

    def answered(self, now: float) -> None:
        """Something was told by the device, perhaps out of a cache: it is not back by that, but what failed before was
        not all that there is."""
        if self.state is State.CLOSED:
            self._row = 0
            self._count(now, 1, 0)

    def lifted(self, now: float, slack_s: float = 0.0) -> None:
        """Nothing holds the execution for it any more: its time was over, or a person says that the device is there.

        After the latter it takes twice as many errors each time, until something goes well: what is left may be bad.

        Args:
            slack_s: clocks may differ by so much.
        """
        if self.state is State.OPEN:
            if now >= self._until - slack_s:
                self.state = State.HALF_OPEN
            else:
                self._close()
                self._patience *= 2

    def _open(self, now: float) -> None:
        self.state = State.OPEN
        self._until = now + self.open_s

    def _close(self) -> None:
        self.state = State.CLOSED
        self.closed += 1
        self._row = self._probes = 0
        self._buckets.clear()

    def _count(self, now: float, well: int, bad: int) -> None:
        bucket = int(now // (WINDOW_S / BUCKETS))
        if self._buckets and self._buckets[-1][0] == bucket:
            _, w, b = self._buckets.pop()
            well, bad = well + w, bad + b
        self._buckets.append((bucket, well, bad))

    def _too_many(self, now: float) -> bool:
        first = int(now // (WINDOW_S / BUCKETS)) - BUCKETS
        recent = [(w, b) for bucket, w, b in self._buckets if bucket > first]
        bad, total = sum(b for _, b in recent), sum(w + b for w, b in recent)
        return bad >= AT_LEAST and bad >= SHARE * total
