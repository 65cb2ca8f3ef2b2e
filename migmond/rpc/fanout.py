"""Brings events to all connections: one task for all of them.

A task for each connection took 30 % of a core at 1,000 subscribers that look twice a second, and as all of them woke
at once, 200 ms in which nobody else was served.
"""

from __future__ import annotations

import heapq
import itertools
from typing import Protocol

import trio

from migmond.breath import Breath

_LEAST_WAIT_S = 0.01


class Receiver(Protocol):
    """Somebody to whom events are brought."""

    def move_events(self, now: float) -> float | None:
        """Pass on what is due at `now` and has room, and never raise.

        Returns:
            In how many seconds more will be due; None when nothing is before somebody calls `Fanout.wake`.
        """


class Fanout:
    """Lets receivers move their events when they were woken or something is due, in the order in which that happened.

    `run` must be running. Nothing else here waits or blocks.
    """

    def __init__(self) -> None:
        self._ready: dict[Receiver, None] = {}
        self._due: dict[Receiver, float] = {}
        self._timers: list[tuple[float, int, Receiver]] = []
        """A heap; those that are not as in `_due` are over."""
        self._numbers = itertools.count()
        self._woken = trio.Event()

    def wake(self, receiver: Receiver) -> None:
        """Something came for `receiver`, or it has room again."""
        self._ready[receiver] = None
        self._woken.set()

    def forget(self, receiver: Receiver) -> None:
        """Nothing is brought to it any more."""
        self._ready.pop(receiver, None)
        self._due.pop(receiver, None)

    async def run(self) -> None:
        """Serve until cancelled; nobody else waits for longer than a breath."""
        while True:
            breath = Breath(trio.current_time)
            while self._ready:
                receiver = next(iter(self._ready))
                del self._ready[receiver]
                self._set_timer(receiver, receiver.move_events(trio.current_time()))
                await breath.take()
                self._ring(trio.current_time())  # whoever waits for a time is not behind those who come all the time
            self._woken = trio.Event()
            with trio.move_on_at(self._timers[0][0] if self._timers else float("inf")):
                await self._woken.wait()
            self._ring(trio.current_time())

    def _set_timer(self, receiver: Receiver, wait_s: float | None) -> None:
        if wait_s is None:
            self._due.pop(receiver, None)
            return
        at = trio.current_time() + max(_LEAST_WAIT_S, wait_s)
        self._due[receiver] = at
        heapq.heappush(self._timers, (at, next(self._numbers), receiver))

    def _ring(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            at, _, receiver = heapq.heappop(self._timers)
            if self._due.get(receiver) == at:
                del self._due[receiver]
                self._ready[receiver] = None
