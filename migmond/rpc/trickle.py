"""How soon a connection is read from again whose messages come in crumbs. Pure: no clock, no I/O."""

from __future__ import annotations

READS_PER_S = 500
"""Reads that bring nothing to an end, of all connections together. One takes some 0.1 ms of the only loop there is:
1,000 clients that sent 20 bytes a second each, one at a time, let a call of another one wait for 20 s. SO_RCVLOWAT
would be cheaper, but epoll does not heed it on Unix sockets (Linux 6.18: readable after one byte of a hundred)."""
FREE_READS = 4
"""A client that has not done so before is let off so many: header and content may well come one after the other."""
EARNED_READS = 2
"""What each whole message makes good."""
BULK_BYTES = 4096
"""A read that brings so many is worth its while."""
SHORTEST_S, LONGEST_S = 0.02, 5.0
"""Of a pause. What comes meanwhile is read in one go; the longest leaves room for some before a message is overdue."""


class Trickles:
    """All connections of a server that have used up what they were let off."""

    def __init__(self) -> None:
        self.slow = 0

    @property
    def pause_s(self) -> float:
        """How long each of them is left alone now, in seconds: the more they are, the longer."""
        return min(LONGEST_S, max(SHORTEST_S, self.slow / READS_PER_S))


class Trickle:
    """One connection's record."""

    def __init__(self, all_: Trickles) -> None:
        self._all = all_
        self._free = FREE_READS
        self._slow = False

    def pause_s(self, size: int, messages: int) -> float:
        """Take note of a read; returns for how many seconds not to read from this connection again.

        Args:
            size: bytes that it brought.
            messages: how many messages came to their end with it.
        """
        if messages:
            self._free = min(FREE_READS, self._free + messages * EARNED_READS)
        elif size < BULK_BYTES:
            self._free -= 1
        self._set(slow=self._free < 0)
        self._free = max(-1, self._free)
        return self._all.pause_s if self._slow and not messages and size < BULK_BYTES else 0.0

    def end(self) -> None:
        """The connection has ended."""
        self._set(slow=False)

    def _set(self, *, slow: bool) -> None:
        self._all.slow += slow - self._slow
        self._slow = slow
