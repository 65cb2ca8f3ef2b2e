"""Something costly that many may ask for at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Shared(Generic[T]):
    """Makes one at a time, however many ask: whoever asks gets one that was begun afterwards, and shares it with all
    that have been waiting by then."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._lock = trio.Lock()
        self._begun = 0
        self._last: tuple[int, T] | None = None

    async def get(self) -> T:
        """Return a fresh one. What making it raises is raised to the one who it was made for; the next tries again."""
        asked = self._begun
        async with self._lock:
            if self._last is None or self._last[0] <= asked:
                self._begun += 1
                self._last = self._begun, await self._make()
            return self._last[1]
