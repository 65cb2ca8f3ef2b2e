"""The way of an execution's changes into the journal: everything that waits goes into one transaction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import trio

from migmond.domain.changes import (
    Change,
)
from migmond.domain.errors import JournalFull
from migmond.ports import (
    Journal,
)

FULL_RETRY_S = 1.0
AfterCommit = Callable[[], None]


class Ledger:
    """Collects changes while a transaction is on its way and writes them together (group commit).

    A journal transaction costs an fsync; under load many batches share one. Changes are applied in the order in
    which they were recorded. `run` must be running.

    When the journal has no room, everything waits in the order in which it came, and is tried again: whoever waits
    for a change to be durable waits on, so that nothing is acted upon meanwhile. When it has room for nothing but
    what is under way (its reserve), changes are written, and nothing more should be begun.

    Attributes:
        on_full: called with what the journal says, at every try that finds no room, or only the reserve.
        on_room: called when there is room again.

    Args:
        journal: where it goes.
        closing: returns the changes that end every transaction (the execution's own row with its totals),
            called when the transaction is put together, so that totals and task rows are always in step.
        written: called when everything that `closing` has ended is durable, before anybody else is told.
    """

    def __init__(self, journal: Journal, closing: Callable[[], Sequence[Change]], written: AfterCommit) -> None:
        self._journal = journal
        self._closing = closing
        self._written = written
        self._waiting: list[Change] = []
        self._callbacks: list[AfterCommit] = []
        self._wake = trio.Event()
        self._busy = False
        self._short = False
        self._idle = trio.Condition()
        self.on_full: Callable[[str], None] = lambda _: None
        self.on_room: Callable[[], None] = lambda: None

    def record(self, changes: Sequence[Change], after: AfterCommit | None = None) -> None:
        """Queue `changes`; `after` is called (and must not block) once they are durable."""
        self._waiting.extend(changes)
        if after is not None:
            self._callbacks.append(after)
        self._wake.set()

    async def commit(self, changes: Sequence[Change]) -> None:
        """Queue `changes` and wait until they are durable."""
        done = trio.Event()
        self.record(changes, done.set)
        await done.wait()

    async def settled(self) -> None:
        """Wait until nothing is queued or on its way."""
        async with self._idle:
            while self._busy or self._waiting or self._callbacks:
                await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled.

        Raises:
            JournalError: a transaction failed for another reason than room; nothing after it was written.
        """
        while True:
            with trio.move_on_after(FULL_RETRY_S if self._short else math.inf):
                await self._wake.wait()
            if self._wake.is_set():
                self._busy = True
                for callback in await self._write():
                    callback()
                self._busy = False
                async with self._idle:
                    self._idle.notify_all()
            await self._look_for_room()

    async def _look_for_room(self) -> None:
        short = await self._journal.room()
        if short:
            self._short = True
            self.on_full(short)
        elif self._short:
            self._short = False
            self.on_room()

    async def _write(self) -> list[AfterCommit]:
        """Write what waits, and what comes while there is no room; returns whom to tell."""
        changes: list[Change] = []
        callbacks: list[AfterCommit] = []
        while True:
            self._wake = trio.Event()
            changes, self._waiting = changes + self._waiting, []
            callbacks, self._callbacks = callbacks + self._callbacks, []
            try:
                await self._journal.apply([*changes, *self._closing()])
            except JournalFull as e:
                self._short = True
                self.on_full(e.message)
                await trio.sleep(FULL_RETRY_S)
            else:
                self._written()
                return callbacks
