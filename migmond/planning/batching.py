"""How much work a mover is given at once."""

from __future__ import annotations

import msgspec


class BatchLimit(msgspec.Struct, frozen=True):
    """A batch ends when it holds this much; a single larger file is a batch of its own."""

    entries: int
    bytes: int


FIRST_LIMIT = BatchLimit(200, 32 << 20)
MIN_LIMIT = BatchLimit(16, 1 << 20)
MAX_LIMIT = BatchLimit(4000, 256 << 20)


class BatchSizer:
    """Keeps a batch near `target_s` of work, by what the last batches took.

    About 100 ms a batch: from 50 small files on, the messages cost nothing any more (design page PERF, "Batches"), and
    holds, limits and reordering still bite at once. Files and bytes are scaled together: a slow second tells nothing
    about which of the two was slow, and the other bound limits the damage.

    Attributes:
        most: entries that somebody allows a batch, None for any number. What is found out is not forgotten by it.
    """

    def __init__(self, target_s: float = 0.1, start: BatchLimit | None = None) -> None:
        self._target_s = target_s
        self._limit = start or FIRST_LIMIT
        self.most: int | None = None

    @property
    def limit(self) -> BatchLimit:
        """How large the next batch should be."""
        limit, most = self._limit, self.most
        return limit if most is None or most >= limit.entries else BatchLimit(most, limit.bytes)

    def observe(self, entries: int, size_bytes: int, seconds: float) -> None:
        """Take in that a batch of that much took `seconds`; moves at most by half or double."""
        if seconds <= 0:
            return
        limit = self._limit
        fill = max(entries / limit.entries, size_bytes / limit.bytes)
        if fill < 0.5:
            return
        factor = min(2.0, max(0.5, self._target_s * fill / seconds))
        factor = factor**0.5
        self._limit = BatchLimit(
            round(min(MAX_LIMIT.entries, max(MIN_LIMIT.entries, limit.entries * factor))),
            round(min(MAX_LIMIT.bytes, max(MIN_LIMIT.bytes, limit.bytes * factor))),
        )
