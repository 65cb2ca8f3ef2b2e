"""What the daemon wants right now: asked at every entry and every chunk."""

from __future__ import annotations

import time
from collections.abc import Callable

from migmond.domain.activity import Activity
from migmond.mover.throttle import Throttle
from migmond.wire.slots import Control, Doing, MoverSide

_POLL_S = 0.01
"""How often a waiting mover looks at its control word: pause and cancel are effective well within 100 ms."""


class Abandoned(Exception):
    """The daemon wants the work in hand given up."""


class Controls:
    """Pauses, abandons and throttles the copying thread, and counts for the daemon what it does."""

    def __init__(self, slot: MoverSide) -> None:
        self.slot = slot
        self._bytes = Throttle()
        self._entries = Throttle()
        self._bytes_total = 0
        self._entries_total = 0
        self._file_done = 0

    @property
    def totals(self) -> tuple[int, int]:
        """Entries begun and bytes copied since the mover started, as the slot has them."""
        return self._entries_total, self._bytes_total

    def check(self) -> None:
        """Wait while paused. Something new is about to begin.

        Raises:
            Abandoned: the daemon wants nothing begun any more.
        """
        if not self.slot.running:
            self._held(beginning=True)

    def _held(self, *, beginning: bool) -> None:
        control = self.slot.control
        if control is Control.PAUSE:
            self.slot.meter.lap(Activity.METADATA)
            self.slot.set_paused(1)
            try:
                while (control := self.slot.control) is Control.PAUSE:
                    time.sleep(_POLL_S)
            finally:
                self.slot.set_paused(0)
                self.slot.meter.lap(Activity.HELD)
            self.slot.began(Doing.COPYING, time.monotonic_ns())
        if control is Control.ABANDON or (control is Control.DRAIN and beginning):
            raise Abandoned

    def entry(self, number: int, size: int, path: bytes) -> None:
        """An entry begins: `path` is below its root.

        Raises:
            Abandoned: see `check`.
        """
        slot = self.slot
        if not slot.running:
            self._held(beginning=True)
        self._file_done = 0
        slot.file(number, size, path, Doing.COPYING, time.monotonic_ns())
        if slot.ops_per_s:
            self._pay(1, self._entries, lambda: slot.ops_per_s, beginning=True)

    def entry_done(self) -> None:
        self._entries_total += 1
        self.slot.count(self._entries_total)

    def took(self, entries: int, count: int) -> None:
        """So many entries with so many bytes were copied, and are in the slot already."""
        self._entries_total += entries
        self._bytes_total += count

    def step(self, count: int) -> None:
        """`count` more bytes of the entry at hand are copied; it waits while paused.

        Raises:
            Abandoned: the daemon wants the entry given up.
        """
        slot = self.slot
        self._file_done += count
        self._bytes_total += count
        slot.progress(self._file_done, self._bytes_total, time.monotonic_ns())
        if not slot.running:
            self._held(beginning=False)
        if slot.bytes_per_s:
            self._pay(count, self._bytes, lambda: slot.bytes_per_s, beginning=False)

    def _pay(self, amount: int, bucket: Throttle, rate: Callable[[], float], *, beginning: bool) -> None:
        """Take `amount` from `bucket` and wait until it is paid for. A limit that changes meanwhile holds at once: what
        was begun at 1 KiB/s must not keep one waiting for an hour when that has long been lifted."""
        slot = self.slot
        slot.meter.lap(Activity.METADATA)
        while True:
            now = time.monotonic()
            bucket.set_rate(rate(), now)
            left = bucket.take(amount, now)
            amount = 0
            slot.began(Doing.COPYING, time.monotonic_ns())  # throttled is not stalled
            if left <= 0:
                return
            time.sleep(min(left, _POLL_S * 2))
            slot.meter.lap(Activity.THROTTLED)
            if not slot.running:
                self._held(beginning=beginning)
