"""What stands between whoever measures and the history: a bounded buffer, so that nobody ever waits for a disk."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec
import trio

from migmond.domain.errors import HistoryError
from migmond.domain.telemetry import Annotation, Batch
from migmond.ports import (
    Clock,
    History,
)

FLUSH_S = 10.0
"""So much is lost by a crash, at most: a slot of the finest tier (see `migmond_sqlite.history_rows.SPANS_S`)."""
MAX_WAITING = 60_000
"""Readings that may wait: two minutes of 1,000 series every 2 s, while a disk takes nothing. About 10 MB."""
PRUNE_EVERY_S = 600.0
_STEADY_S = 300.0
"""How long the clock must have run evenly before anything is removed by it: NTP sets a wrong one within that time."""
_JUMP_S = 60.0
_LAST_FLUSH_S = 5.0
"""So long the last flush may wait for a query or another flush to end."""


class WriterState(msgspec.Struct, frozen=True):
    """How the writing goes.

    Attributes:
        waiting: readings and annotations that are not written yet.
        written, dropped: how many were, and were not: no room here or on the disk, or not fit to be kept.
    """

    waiting: int
    written: int
    dropped: int


class SteadyClock:
    """Whether the wall clock can be trusted to say what is old: pure, told of both clocks from time to time.

    What was recorded goes for ever when a clock that is a year ahead says that it is old, so after the start and after
    each jump nothing is removed for a while. A suspended machine looks like a jump, and then it waits for nothing.
    """

    def __init__(self) -> None:
        self._offset: float | None = None
        self._since = 0.0

    def is_steady(self, monotonic: float, wall: float) -> bool:
        """Return whether it has run evenly for some minutes, as far as this was asked."""
        offset = wall - monotonic
        if self._offset is None or abs(offset - self._offset) > _JUMP_S:
            self._offset, self._since = offset, monotonic
        return monotonic - self._since >= _STEADY_S


class HistoryWriter:
    """Takes what was measured, without ever waiting, and writes it to a history from time to time.

    When more waits than may, the oldest goes: people look at the newest. What a history refuses is dropped as well:
    it is telemetry. Both are counted, and said once in the log until it goes well again.

    Args:
        log: message and fields.
    """

    def __init__(
        self,
        history: History,
        clock: Clock,
        log: Callable[..., None],
        *,
        flush_s: float = FLUSH_S,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._history = history
        self._clock = clock
        self._log = log
        self._flush_s = flush_s
        self._max_waiting = max_waiting
        self._batches: deque[Batch] = deque()
        self._annotations: deque[Annotation] = deque()
        self._readings = 0
        self._written = 0
        self._dropped = 0
        self._failing = ""
        self._told_lost = ""
        self._steady = SteadyClock()
        self._lock = trio.Lock()

    def put(self, batch: Batch) -> None:
        """Take what was read at one moment. Returns at once, whatever the disk does."""
        self._batches.append(batch)
        self._readings += len(batch.readings)
        while self._readings > self._max_waiting:
            gone = len(self._batches.popleft().readings)
            self._readings -= gone
            self._dropped += gone

    def note(self, annotation: Annotation) -> None:
        """Take an event. Returns at once."""
        self._annotations.append(annotation)
        if len(self._annotations) > self._max_waiting:
            self._annotations.popleft()
            self._dropped += 1

    @property
    def state(self) -> WriterState:
        return WriterState(self._readings + len(self._annotations), self._written, self._dropped)

    async def flush(self) -> None:
        """Write what has been taken by now, in one transaction. Raises nothing: what cannot be written is dropped."""
        async with self._lock:
            batches, notes = tuple(self._batches), tuple(self._annotations)
            count = self._readings + len(notes)
            self._batches.clear()
            self._annotations.clear()
            self._readings = 0
            if not count:
                return
            try:
                left_out = await self._history.append(batches, notes)
            except HistoryError as e:
                self._dropped += count
                self._failed(e.message)
            except trio.Cancelled:
                # Whether it was written is not known: at worst the last flush at the end has it count twice.
                self._batches.extendleft(reversed(batches))
                self._annotations.extendleft(reversed(notes))
                self._readings += count - len(notes)
                raise
            else:
                self._written += count - left_out
                self._dropped += left_out
                self._went_well()

    async def run(self) -> None:
        """Flush and prune from time to time, until cancelled."""
        pruned_at = self._clock.monotonic()
        while True:
            await trio.sleep(self._flush_s)
            await self.flush()
            now = self._clock.monotonic()
            steady = self._steady.is_steady(now, self._clock.wall())
            if steady and now - pruned_at >= PRUNE_EVERY_S:
                pruned_at = now
                try:
                    await self._history.prune(self._clock.wall())
                except HistoryError as e:
                    self._failed(e.message)

    def _failed(self, why: str) -> None:
        if why != self._failing:
            self._failing = why
            self._log("telemetry is not recorded", why=why, dropped=self._dropped)
        self._tell_lost()

    def _went_well(self) -> None:
        if self._failing:
            self._failing = ""
            self._log("telemetry is recorded again", dropped=self._dropped)
        self._tell_lost()

    def _tell_lost(self) -> None:
        lost = self._history.condition().lost
        if lost != self._told_lost:
            self._told_lost = lost
            self._log("the history was damaged", what=lost)


@contextlib.asynccontextmanager
async def writing(
    history: History, clock: Clock, log: Callable[..., None], *, flush_s: float = FLUSH_S
) -> AsyncIterator[HistoryWriter]:
    """Yield a writer that flushes by itself; what it has at the end is written as well."""
    writer = HistoryWriter(history, clock, log, flush_s=flush_s)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            yield writer
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_FLUSH_S):
            await writer.flush()
