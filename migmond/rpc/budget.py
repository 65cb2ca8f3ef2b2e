"""How much of the daemon's memory the clients of one user may fill with what they do not finish or do not read."""

from __future__ import annotations

from collections import Counter

from migmond.domain.units import show_size

MAX_USER_SUBSCRIPTIONS = 2_000
"""On all connections of one user: each event is shown to each of them, which takes 1 µs."""
ALWAYS_BYTES = 64 * 1024
"""What a connection may hold in any case."""


class Budget:
    """Bytes that wait because of clients, by user. One connection's own limits say nothing about thousands of them.

    Args:
        per_user: bytes that all connections of one uid may hold together.
    """

    def __init__(self, per_user: int) -> None:
        self.per_user = per_user
        self._held: Counter[int] = Counter()
        self.subscriptions: Counter[int] = Counter()
        """How many subscriptions each user has."""

    def of(self, uid: int) -> Share:
        """Return a new connection's share."""
        return Share(self, uid)

    def held(self, uid: int) -> int:
        """How many bytes wait because of this user now."""
        return self._held[uid]

    def _move(self, uid: int, change: int) -> None:
        self._held[uid] += change
        if not self._held[uid]:
            del self._held[uid]


class Share:
    """What one connection holds of its user's budget, as it is set; 0 at the end of the connection."""

    def __init__(self, budget: Budget, uid: int) -> None:
        self._budget = budget
        self._uid = uid
        self._reading = self._writing = 0

    def set(self, *, reading: int | None = None, writing: int | None = None) -> bool:
        """Say how much of a message has come so far, or how much of the answers is unsent.

        Returns:
            Whether the user is within the budget, or this connection has next to nothing: whoever behaves is served
            while other clients of the same user do not. What is held counts all the same until it is set lower.
        """
        before = self._reading + self._writing
        self._reading = self._reading if reading is None else reading
        self._writing = self._writing if writing is None else writing
        change = self._reading + self._writing - before
        if change:
            self._budget._move(self._uid, change)
        own = self._reading + self._writing
        return change <= 0 or own <= ALWAYS_BYTES or self._budget.held(self._uid) <= self._budget.per_user

    def subscribe(self, change: int) -> bool:
        """Count subscriptions that begin (1) or end (-1); whether the user may have so many. One that may not be is
        not counted."""
        counted = self._budget.subscriptions
        if change > 0 and counted[self._uid] + change > MAX_USER_SUBSCRIPTIONS:
            return False
        counted[self._uid] += change
        if not counted[self._uid]:
            del counted[self._uid]
        return True

    @property
    def excess(self) -> str:
        """Say that there is too much, for people."""
        return f"your clients hold more than {show_size(self._budget.per_user)} of messages that wait"
