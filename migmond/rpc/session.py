"""What a method may know of, and do to, the connection that it was called on."""

from __future__ import annotations

from typing import Protocol

from migmond.domain.event_api import SubscribeParams
from migmond.domain.identity import Peer
from migmond.domain.people import Person


class ConnectionLimits(Protocol):
    """Per-connection limits."""

    @property
    def max_frame_bytes(self) -> int: ...
    @property
    def max_outstanding(self) -> int: ...
    @property
    def max_write_queue_bytes(self) -> int: ...


class Session(Protocol):
    """One connection, as the handler of one request sees it."""

    @property
    def peer(self) -> Peer: ...

    @property
    def limits(self) -> ConnectionLimits: ...

    def subscribe(self, params: SubscribeParams) -> tuple[int, int, bool]:
        """Begin a subscription: it collects events from now on, and sends them behind the answer of the request.

        There is none when the request fails. Returns its number, the last event's id, and whether events after
        `since` are no longer remembered.

        Raises:
            LimitExceeded: the connection has MAX_SUBSCRIPTIONS.
        """

    @property
    def person(self) -> Person | None:
        """Whom the connection acts for, None when for whoever is at its other end."""

    def assume(self, peer: Peer, person: Person) -> None:
        """Act for that person from now on. Raises Conflict: it acts for one already, or has subscriptions."""

    def unsubscribe(self, subscription: int) -> None:
        """End a subscription. Raises NotFound."""
