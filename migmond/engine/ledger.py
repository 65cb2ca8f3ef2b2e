"""The way of an execution's changes into the journal: everything that waits goes into one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from migmond.ports import Change, Journal

AfterCommit = Callable[[], None]


class Ledger:
    """Collects changes while a transaction is on its way and writes them together (group commit).

    A journal transaction costs an fsync; under load many batches share one. Changes are applied in the order in
    which they were recorded. `run` must be running.

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
            JournalError: a transaction failed; nothing after it was written.
        """
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            changes, self._waiting = self._waiting, []
            callbacks, self._callbacks = self._callbacks, []
            self._busy = True
            await self._journal.apply([*changes, *self._closing()])
            for callback in callbacks:
                callback()
            self._busy = False
            async with self._idle:
                self._idle.notify_all()
