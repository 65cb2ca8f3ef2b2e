"""One mover at work: what it has in hand, and what it was asked."""

from __future__ import annotations

import contextlib
from typing import TypeVar

import trio

from migmond.domain.errors import MoverError
from migmond.domain.execution import Tally
from migmond.engine.flight import Flight
from migmond.engine.process import MoverProcess
from migmond.planning.batching import BatchSizer
from migmond.wire.from_mover import FromMover
from migmond.wire.slots import Glimpse
from migmond.wire.to_mover import ToMover

A = TypeVar("A")


class Station:
    """One mover at work.

    Attributes:
        number: of all stations that there ever were in this run, no other one has it.
        roots: how many it has been told to open.
        flight: what it has in hand.
        sizer: how large its next batch should be.
        last_answer_at: monotonic seconds of its last answer to a batch.
        answered_for: entries and bytes that its answers to batches cover, counted as in its slot.
        stalled: subscribers have been told that it hangs.
        leaving: fewer movers are wanted: it begins nothing more, and ends when all it has in hand is settled.
        last_glimpse: what it did when it died.
    """

    def __init__(self, process: MoverProcess, number: int, roots: int) -> None:
        self.process = process
        self.number = number
        self.roots = roots
        self.flight = Flight()
        self.sizer = BatchSizer()
        self.last_answer_at = 0.0
        self.answered_for = Tally()
        self.stalled = False
        self.leaving = False
        self._waiting: dict[type, trio.MemorySendChannel[object]] = {}
        self.last_glimpse: Glimpse | None = None

    @property
    def slot(self) -> int:
        return self.process.slot

    @property
    def busy(self) -> bool:
        """Something is expected of it."""
        return bool(self._waiting) or not self.flight.empty

    async def send(self, message: ToMover) -> None:
        """Send, or do nothing when the mover is gone: its end is dealt with where its messages are read."""
        with contextlib.suppress(MoverError):
            await self.process.send(message)

    async def ask(self, message: ToMover, answer: type[A]) -> A:
        """Send a request and return its answer; one request of a kind may be out at a time.

        Raises:
            MoverError: the mover died before it answered.
        """
        sender, receiver = trio.open_memory_channel[object](1)
        self._waiting[answer] = sender
        await self.process.send(message)
        try:
            found = await receiver.receive()
        except trio.EndOfChannel as e:
            raise MoverError(f"mover {self.slot} died before it answered") from e
        assert isinstance(found, answer)
        return found

    def answered(self, message: FromMover) -> bool:
        """Hand `message` to whoever asked for it; False when nobody did."""
        sender = self._waiting.pop(type(message), None)
        if sender is None:
            return False
        sender.send_nowait(message)
        return True

    def fail_waiting(self) -> None:
        """The mover is gone: whoever waits for an answer gets MoverError."""
        for sender in self._waiting.values():
            sender.close()
        self._waiting.clear()
