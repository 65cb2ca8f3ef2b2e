"""The way of an execution's changes into the journal: everything that waits goes into one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from migmond.domain.errors import JournalFull
from migmond.ports import Change, Journal

FULL_RETRY_S = 1.0
AfterCommit = Callable[[], None]


class Ledger:
    """Collects changes while a transaction is on its way and writes them together (group commit).

    A journal transaction costs an fsync; under load many batches share one. Changes are applied in the order in
    which they were recorded. `run` must be running.

    When the journal has no room, everything waits in the order in which it came, and is tried again: whoever waits
    for a change to be durable waits on, so that nothing is acted upon meanwhile.

    Attributes:
        on_full: called with what the journal says, at every try that finds no room.
        on_room: called when a transaction has succeeded after such a try.

    Args:
        journal: where it goes.
        closing: returns the changes that end every transaction (the execution's own row with its totals),
            called when the transaction is put together, so that totals and task rows are always in step.
    """

    def __init__(self, journal: Journal, closing: Callable[[], Sequence[Change]]) -> None:
        self._journal = journal
        self._closing = closing
        self._waiting: list[Change] = []
        self._callbacks: list[AfterCommit] = []
        self._wake = trio.Event()
        self._busy = False
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
            await self._wake.wait()
            self._busy = True
            for callback in await self._write():
                callback()
            self._busy = False
            async with self._idle:
                self._idle.notify_all()

    async def _write(self) -> list[AfterCommit]:
        """Write what waits, and what comes while there is no room; returns whom to tell."""
        changes: list[Change] = []
        callbacks: list[AfterCommit] = []
        full = False
        while True:
            self._wake = trio.Event()
            changes, self._waiting = changes + self._waiting, []
            callbacks, self._callbacks = callbacks + self._callbacks, []
            try:
                await self._journal.apply([*changes, *self._closing()])
            except JournalFull as e:
                full = True
                self.on_full(e.message)
                await trio.sleep(FULL_RETRY_S)
            else:
                break
        if full:
            self.on_room()
        return callbacks
