"""The subscriptions of one connection: begun, ended, and what of their events is due."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import trio

from migmond.domain.errors import LimitExceeded, NotFound
from migmond.domain.event_api import SubscribeParams
from migmond.domain.events import Event
from migmond.domain.identity import Peer
from migmond.rpc.backend import Backend
from migmond.rpc.budget import MAX_USER_SUBSCRIPTIONS, Share
from migmond.rpc.subscriptions import MAX_SUBSCRIPTIONS, Due, Subscriber


class Subscribed:
    """Args:
    share: what the connection takes of its user's part.
    wake: called when there is something to send.
    """

    def __init__(self, backend: Backend, share: Share, wake: Callable[[], None]) -> None:
        self._backend = backend
        self._share = share
        self._wake = wake
        self._subscribers: dict[int, Subscriber] = {}
        self._next = 1

    @property
    def count(self) -> int:
        return len(self._subscribers)

    def listen(self) -> Callable[[], None]:
        """Take events from now on. Returns what ends that, and all subscriptions."""
        stop_listening = self._backend.bus.listen(self._on_event)

        def end() -> None:
            stop_listening()
            self._backend.bus.hurry(self, math.inf)
            self._share.subscribe(-len(self._subscribers))

        return end

    def add(self, params: SubscribeParams, peer: Peer) -> tuple[Subscriber, int, bool]:
        """Collect events for a new subscription of `peer`, see `rpc.session.Session.subscribe`.

        Raises:
            LimitExceeded: the connection, or its user, has too many.
        """
        if len(self._subscribers) >= MAX_SUBSCRIPTIONS:
            raise LimitExceeded(f"{MAX_SUBSCRIPTIONS} subscriptions on one connection", hint="unsubscribe some first")
        if not self._share.subscribe(1):
            raise LimitExceeded(
                f"your clients have {MAX_USER_SUBSCRIPTIONS} subscriptions",
                hint="unsubscribe some, or close some first",
            )
        bus = self._backend.bus
        subscriber = Subscriber(self._next, params, lambda execution: self._backend.may_see(peer, execution))
        self._next += 1
        gap = False
        if params.since is not None:
            events, gap = bus.since(params.since)
            for event in events:
                subscriber.put(event, trio.current_time())
        self._subscribers[subscriber.number] = subscriber
        self._hurry()
        return subscriber, bus.last_id, gap

    def _hurry(self) -> None:
        self._backend.bus.hurry(self, min((s.interval_s for s in self._subscribers.values()), default=math.inf))

    def drop(self, subscriber: Subscriber) -> None:
        """End a subscription, if it is there."""
        if self._subscribers.pop(subscriber.number, None) is not None:
            self._share.subscribe(-1)
            self._hurry()

    def end(self, subscription: int) -> None:
        """End a subscription. Raises NotFound."""
        if self._subscribers.pop(subscription, None) is None:
            raise NotFound(
                f"this connection has no subscription {subscription}", hint="events.subscribe returns its number"
            )
        self._share.subscribe(-1)
        self._hurry()

    def _on_event(self, event: Event) -> None:
        now = trio.current_time()
        for subscriber in self._subscribers.values():
            if subscriber.put(event, now):
                self._wake()

    def due(self, now: float) -> Iterator[tuple[int, Due]]:
        """Yield what is due, one event of each subscription after the other, with the number of the subscription."""
        busy = list(self._subscribers.values())
        while busy:
            for subscriber in list(busy):
                found = subscriber.take(now)
                if found is None:
                    busy.remove(subscriber)
                else:
                    yield subscriber.number, found

    def next_due_s(self, now: float) -> float | None:
        """Return in how many seconds more will be due; None when that begins with an event."""
        return min((w for s in self._subscribers.values() if (w := s.next_due_s(now)) is not None), default=None)
