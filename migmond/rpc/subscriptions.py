"""One subscription: which events a client wants, and what it has not read yet."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

import msgspec

from migmond.domain import api
from migmond.domain.events import Event, ExecutionProgress

QUEUE_EVENTS = 10_000
MAX_SUBSCRIPTIONS = 32
MIN_INTERVAL_S = 0.1


class Subscriber:
    """Collects events for one subscription until they can be sent. Pure: `now` is monotonic seconds.

    Progress is coalesced: only the newest per execution, at most one per interval. Everything else is kept in
    order; when more than QUEUE_EVENTS wait, all of it is dropped and counted, and the next delivery says so.

    Args:
        may_see: whether the peer may see an execution.
    """

    def __init__(self, number: int, params: api.SubscribeParams, may_see: Callable[[str], bool]) -> None:
        self.number = number
        self._types = params.types
        self._executions = params.executions
        self._interval_s = max(MIN_INTERVAL_S, params.interval_s)
        self._may_see = may_see
        self._queue: deque[Event] = deque()
        self._progress: OrderedDict[str, Event] = OrderedDict()
        self._sent_at: dict[str, float] = {}
        self._missed = 0

    def wants(self, event: Event) -> bool:
        """Whether `event` is for this subscription."""
        name = type(event).__struct_config__.tag
        assert isinstance(name, str)
        if self._types and not any(name == t or (t.endswith(".") and name.startswith(t)) for t in self._types):
            return False
        execution = getattr(event, "execution", None)
        if execution is None:
            return True
        if self._executions and not any(execution.startswith(e) for e in self._executions):
            return False
        return self._may_see(execution)

    def put(self, event: Event) -> bool:
        """Take an event in if it is wanted; True when there is something to send now or soon."""
        if not self.wants(event):
            return False
        if isinstance(event, ExecutionProgress):
            self._progress[event.execution] = event
        elif len(self._queue) >= QUEUE_EVENTS:
            self._missed += len(self._queue) + 1
            self._queue.clear()
        else:
            self._queue.append(event)
        return True

    def take(self, now: float) -> tuple[list[Event], int]:
        """Remove and return what is due, in order of id, and how many events were lost before the first of them."""
        due: list[Event] = list(self._queue)
        self._queue.clear()
        for execution in list(self._progress):
            if now - self._sent_at.get(execution, -1e9) >= self._interval_s:
                due.append(self._progress.pop(execution))
                self._sent_at[execution] = now
        due.sort(key=lambda e: e.id)
        missed = self._missed if due else 0
        if due:
            self._missed = 0
        return due, missed

    def next_due_s(self, now: float) -> float | None:
        """Return in how many seconds something waits to be sent; None when nothing does."""
        if self._queue:
            return 0.0
        if not self._progress:
            return None
        return max(0.0, min(self._sent_at.get(e, -1e9) for e in self._progress) + self._interval_s - now)


class EventEncoder:
    """Encodes each event once per encoding, however many subscribers it has."""

    def __init__(self, remember: int = 256) -> None:
        self._known: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._remember = remember

    def encode(self, event: Event, encoding: str) -> msgspec.Raw:
        key = (encoding, event.id)
        data = self._known.get(key)
        if data is None:
            data = msgspec.json.encode(event) if encoding == "json" else msgspec.msgpack.encode(event)
            self._known[key] = data
            if len(self._known) > self._remember:
                self._known.popitem(last=False)
        return msgspec.Raw(data)
