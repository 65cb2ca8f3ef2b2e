"""Waking up tasks that wait for "something changed"."""

from __future__ import annotations

import trio


class Pulse:
    """`wait` returns at the first `set` after it was called. Waiters check their own condition again, in a loop."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()
        self._event = trio.Event()

    async def wait(self) -> None:
        await self._event.wait()

    def mark(self) -> trio.Event:
        """Return what the next `set` will set: take it before looking at the condition, wait for it afterwards."""
        return self._event
