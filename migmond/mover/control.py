"""What the daemon wants right now: asked at every entry and every chunk."""

from __future__ import annotations

import time
from collections.abc import Mapping

from migmond.domain.activity import Activity
from migmond.fsys.read_write import CHUNK_BYTES
from migmond.mover.budget import POLL_S, Budget, Payer
from migmond.wire.budget import OPERATION, Kind
from migmond.wire.slots import Control, Doing, MoverSide

LOOKS = 16
"""Entries that a scan looks at for one operation: so many inodes of 256 bytes are in a block, and those of one
directory lie side by side on most file systems."""


class Abandoned(Exception):
    """The daemon wants the work in hand given up."""


class Controls:
    """Pauses, abandons and throttles the copying thread, and counts for the daemon what it does.

    Attributes:
        payer: draws from the budget for the copying thread.
        committing: for the committing one.
    """

    def __init__(self, slot: MoverSide) -> None:
        self.slot = slot
        self.payer = Payer(slot, slot, slot.meter)
        self.committing = Payer(slot, slot.commit, slot.commit_meter)
        self._bytes_total = 0
        self._entries_total = 0
        self._file_done = 0

    def join(self, budget: Budget) -> None:
        """Draw from that from now on; called by another thread."""
        self.payer.budget = self.committing.budget = budget

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
            self._beginning()

    def _beginning(self) -> bool:
        if self._held() is Control.DRAIN:
            raise Abandoned
        return True

    def _going_on(self) -> bool:
        self._held()
        return True

    def _held(self) -> Control:
        """Wait while paused; returns what is wanted then.

        Raises:
            Abandoned: the daemon wants the work in hand given up.
        """
        control = self._paused()
        if control is Control.ABANDON:
            raise Abandoned
        return control

    def _paused(self) -> Control:
        control = self.slot.control
        if control is Control.PAUSE:
            doing = Doing(self.slot.doing)
            self.slot.meter.lap(Activity.METADATA)
            self.slot.set_paused(1)
            try:
                while (control := self.slot.control) is Control.PAUSE:
                    time.sleep(POLL_S)
            finally:
                self.slot.set_paused(0)
                self.slot.meter.lap(Activity.HELD)
            self.slot.began(doing, time.monotonic_ns())
        return control

    def entry(self, number: int, size: int, path: bytes) -> None:
        """An entry begins: `path` is below its root.

        Raises:
            Abandoned: see `check`.
        """
        slot = self.slot
        if not slot.running:
            self._beginning()
        self._file_done = 0
        slot.file(number, size, path, Doing.COPYING, time.monotonic_ns())
        self.payer.operations(OPERATION, self._beginning)

    def entry_done(self) -> None:
        self._entries_total += 1
        self.slot.count(self._entries_total)

    def took(self, entries: int, count: int) -> None:
        """So many entries with so many bytes were copied, and are in the slot already."""
        self._entries_total += entries
        self._bytes_total += count

    def paid(self, marks: Mapping[Kind, int]) -> bool:
        """Wait for what the machine code has taken; returns False when the daemon wants nothing begun any more."""
        try:
            self.payer.wait(marks, self._beginning)
        except Abandoned:
            return False
        return True

    def piece(self) -> int:
        """Return how many bytes may be moved before the next `step`, `read` or `committed`."""
        return min(self.payer.piece or CHUNK_BYTES, CHUNK_BYTES)

    def step(self, count: int) -> None:
        """`count` more bytes of the entry at hand are copied; it waits while paused.

        Raises:
            Abandoned: the daemon wants the entry given up.
        """
        self._file_done += count
        self._bytes_total += count
        self._stepped(count)

    def step_back(self, count: int) -> None:
        """`count` more bytes of what is at the target already were read: as `step`, but they are not copied.

        Raises:
            Abandoned: as `step`.
        """
        self._stepped(count)

    def _stepped(self, count: int) -> None:
        slot = self.slot
        slot.progress(self._file_done, self._bytes_total, time.monotonic_ns())
        if not slot.running:
            self._going_on()
        self.payer.moved(count, self._going_on)

    # --- what is no copying ------------------------------------------------------------------------

    def looked_at(self, entries: int, *, directory: bool = False) -> None:
        """A scan has looked at so many more entries, or (`directory`) is about to read a directory.

        Raises:
            Abandoned: see `check`.
        """
        self.payer.operations(entries * OPERATION // LOOKS + OPERATION * directory, self._beginning)

    def looks_at_once(self, most: int) -> int:
        """Return how many entries a scan may look at before it pays for them: at least those of one operation, for it
        waits as long for its turn as others do with a whole one."""
        return min(most, LOOKS * self.payer.at_once(most // LOOKS))

    def operations(self, count: int) -> None:
        """So many operations of a batch that is never given up are about to be done; it waits while paused. When the
        execution ends it does not: what is left of the batch is done at once."""
        if self.slot.control is Control.PAUSE:
            self._paused()
        self.payer.operations(count * OPERATION, self._unless_ending)

    def read(self, count: int) -> None:
        """`count` bytes of something else than the entry at hand were read; see `operations`."""
        self.payer.moved(count, self._unless_ending)

    def _unless_ending(self) -> bool:
        return self._paused() is Control.RUN

    def committed(self, count: int = 0) -> None:
        """The committing thread has read so many bytes again, or done something else that takes processor time."""
        self.committing.moved(count, lambda: self.slot.control is not Control.ABANDON)
