"""Batches compared: the last ones as they were, all of them in sums by how far the execution was."""

from __future__ import annotations

from collections import deque

import msgspec

RECENT = 200
STEPS = 10
"""Sums are kept for each tenth of the way, and for the time in which nobody knows yet how long it is."""


class BatchRecord(msgspec.Struct, frozen=True, array_like=True):
    """One batch. `at`: wall clock seconds of its answer. `seconds`: since it was sent, or since the mover's answer
    before if that was later. `limit_entries`, `limit_bytes`: how large it might have been."""

    at: float
    mover: int
    entries: int
    bytes: int
    seconds: float
    limit_entries: int
    limit_bytes: int


class BatchSums(msgspec.Struct, frozen=True, array_like=True):
    """Many batches. Seconds are those of the movers, so of several at the same time."""

    batches: int = 0
    entries: int = 0
    bytes: int = 0
    seconds: float = 0.0


class BatchesState(msgspec.Struct, frozen=True, array_like=True):
    """As they are kept. `sums`: one more than STEPS; the last one is of the unknown."""

    recent: tuple[BatchRecord, ...] = ()
    sums: tuple[BatchSums, ...] = ()


class Batches:
    """Of one execution, over all its runs."""

    def __init__(self, state: BatchesState | None = None) -> None:
        state = state or BatchesState()
        self._recent = deque(state.recent, maxlen=RECENT)
        whole = len(state.sums) == STEPS + 1
        self._sums = list(state.sums) if whole else [BatchSums()] * (STEPS + 1)

    def add(self, record: BatchRecord, percent: float | None) -> None:
        """Take in a batch. `percent`: how far the execution is, None when that is unknown."""
        self._recent.append(record)
        step = STEPS if percent is None else min(STEPS - 1, max(0, int(percent * STEPS / 100)))
        s = self._sums[step]
        self._sums[step] = BatchSums(
            s.batches + 1, s.entries + record.entries, s.bytes + record.bytes, s.seconds + record.seconds
        )

    def state(self) -> BatchesState:
        return BatchesState(tuple(self._recent), tuple(self._sums))
