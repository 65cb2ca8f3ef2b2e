"""Events from the engine to whoever listens, with ids that rise for ever and a short memory for `since`."""

from __future__ import annotations

import datetime
import math
from collections import deque
from collections.abc import Callable

from migmond.domain.events import Event, ExecutionProgress

Listener = Callable[[Event], None]


class EventBus:
    """Numbers events and hands each to every listener at once, in order. Listeners must not block.

    Args:
        first_id: id of the first event.
        wall: returns wall clock seconds.
        remember: how many events (progress excepted) are kept for `since`.
    """

    def __init__(self, first_id: int, wall: Callable[[], float], remember: int = 10_000) -> None:
        self._next_id = first_id
        self._wall = wall
        self._recent: deque[Event] = deque(maxlen=remember)
        self._dropped_up_to = first_id - 1
        self._listeners: dict[object, Listener] = {}
        self._hurried: dict[object, float] = {}

    @property
    def last_id(self) -> int:
        """Id of the newest event; the first id minus one before there is any."""
        return self._next_id - 1

    def publish(self, make: Callable[[int, str], Event]) -> Event:
        """Build an event with `make(id, at)` and hand it out. Progress is not remembered."""
        at = datetime.datetime.fromtimestamp(self._wall(), datetime.UTC).isoformat(timespec="milliseconds")
        event = make(self._next_id, at)
        self._next_id += 1
        if not isinstance(event, ExecutionProgress):
            if self._recent.maxlen == len(self._recent):
                self._dropped_up_to = self._recent[0].id
            self._recent.append(event)
        for listener in list(self._listeners.values()):
            listener(event)
        return event

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on; the returned function stops that."""
        key = object()
        self._listeners[key] = listener

        def stop() -> None:
            self._listeners.pop(key, None)

        return stop

    def hurry(self, who: object, interval_s: float) -> None:
        """Somebody wants progress every `interval_s` seconds from now on; `math.inf`: not any more."""
        if interval_s < math.inf:
            self._hurried[who] = interval_s
        else:
            self._hurried.pop(who, None)

    @property
    def fastest_s(self) -> float:
        """How often anybody wants progress; `math.inf` when nobody does."""
        return min(self._hurried.values(), default=math.inf)

    def since(self, last_seen: int) -> tuple[list[Event], bool]:
        """Return the remembered events after `last_seen`, and whether some after it are no longer remembered."""
        gap = last_seen < self._dropped_up_to or last_seen > self.last_id
        return [e for e in self._recent if e.id > last_seen], gap
