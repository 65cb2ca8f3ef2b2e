"""One subscription: which events a client wants, and what it has not read yet."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from migmond.domain import api
from migmond.domain.errors import InvalidInput
from migmond.domain.event_api import SubscribeParams
from migmond.domain.events import Event, ExecutionProgress
from migmond.domain.merge import changes_between
from migmond.domain.packing import pack_for_anyone
from migmond.domain.states import TERMINAL_EXECUTION_STATES

QUEUE_EVENTS = 10_000
MAX_SUBSCRIPTIONS = 32
MAX_CHOSEN = 100
"""Types, and executions, that one subscription may name: each event is compared with all of them."""
MIN_INTERVAL_S = 0.1
_PATIENCE_S = 0.3
"""How long into its interval progress of the interval before waits for newer: the engine looks every 0.25 s."""
_ENDED = frozenset(s.value for s in TERMINAL_EXECUTION_STATES)


def check_chosen(params: SubscribeParams) -> None:
    """Raise InvalidInput when more types or executions than MAX_CHOSEN are named."""
    for chosen, what in ((params.types, "types"), (params.executions, "executions")):
        if len(chosen) > MAX_CHOSEN:
            many = f"{len(chosen)} {what}, the limit is {MAX_CHOSEN}"
            raise InvalidInput(many, hint="leave it empty for all", field=what)


class Due(NamedTuple):
    """An event to send. `missed`: how many were lost before it. `base`: the event whose view the client has, when only
    what changed since is to be told."""

    event: Event
    missed: int
    base: Event | None


class Subscriber:
    """Collects events for one subscription until they can be sent. Pure: `now` is monotonic seconds.

    Progress is coalesced: only the newest per execution, one in each interval: the first that comes in it, or what the
    interval before left, when nothing comes. Intervals are counted from zero of the clock, so that all who chose the
    same one are sent the same events, and the same changes from one to the next: each is encoded once. Everything else
    is kept in order; when QUEUE_EVENTS wait and one more comes, those that wait are dropped and counted, and the next
    delivery says so.

    Args:
        params: `executions` are whole ids.
        may_see: whether the peer may see an execution.

    Attributes:
        begun: the answer with number and snapshot is on its way; before that nothing may be sent.
    """

    def __init__(self, number: int, params: SubscribeParams, may_see: Callable[[str], bool]) -> None:
        self.number = number
        self.begun = False
        self._types = frozenset(params.types)
        self._prefixes = tuple(t for t in params.types if t.endswith("."))
        self._executions = frozenset(params.executions)
        self._interval_s = max(MIN_INTERVAL_S, params.interval_s)
        self._may_see = may_see
        self._queue: deque[Event] = deque()
        self._progress: OrderedDict[str, tuple[Event, float]] = OrderedDict()  # by id of the event; when it came
        self._sent_at: dict[str, float] = {}
        self._deltas = params.deltas
        self._bases: dict[str, Event] = {}
        self._missed = 0

    @property
    def interval_s(self) -> float:
        """Least seconds between two progress events of one execution; `math.inf` when it wants none."""
        wanted = (
            not self._types or "execution.progress" in self._types or "execution.progress".startswith(self._prefixes)
        )
        return self._interval_s if wanted else math.inf

    def wants(self, event: Event) -> bool:
        """Whether `event` is for this subscription."""
        name = type(event).__struct_config__.tag
        assert isinstance(name, str)
        if self._types and name not in self._types and not name.startswith(self._prefixes):
            return False
        execution = getattr(event, "execution", None)
        if not execution:  # it concerns none
            return True
        if self._executions and execution not in self._executions:
            return False
        return self._may_see(execution)

    def put(self, event: Event, now: float) -> bool:
        """Take an event in if it is wanted; True when there is something to send now or soon."""
        if not self.wants(event):
            return False
        if isinstance(event, ExecutionProgress):
            self._progress[event.execution] = (event, now)
            self._progress.move_to_end(event.execution)
            return True
        if len(self._queue) >= QUEUE_EVENTS:
            self._missed += len(self._queue)
            self._queue.clear()
            self._bases.clear()
        self._queue.append(event)
        return True

    def take(self, now: float) -> Due | None:
        """Remove and return the event that is due and has the lowest id. None when none is due."""
        if not self.begun:
            return None
        due = next((e for e in self._progress if self._due_s(e, now) <= 0), None)
        if due is not None and (not self._queue or self._progress[due][0].id < self._queue[0].id):
            event = self._progress.pop(due)[0]
            self._forget_ended(now)
            self._sent_at[due] = now
        elif self._queue:
            event = self._queue.popleft()
        else:
            return None
        missed, self._missed = self._missed, 0
        return Due(event, missed, self._base_for(event))

    def next_due_s(self, now: float) -> float | None:
        """Return in how many seconds something waits to be sent; None when nothing does."""
        if not self.begun:
            return None
        if self._queue:
            return 0.0
        return min((self._due_s(e, now) for e in self._progress), default=None)

    def _due_s(self, execution: str, now: float) -> float:
        sent_at = self._sent_at.get(execution)
        if sent_at is None:
            return 0.0
        begins_at = (math.floor(sent_at / self._interval_s) + 1) * self._interval_s
        came_at = self._progress[execution][1]
        return max(0.0, begins_at + (0.0 if came_at >= begins_at else _PATIENCE_S) - now)

    def _base_for(self, event: Event) -> Event | None:
        """Keep what the client knows of an execution once it has `event`, and return what it knew before: for progress
        of a subscription that wants deltas."""
        view: api.ExecutionView | None = getattr(event, "view", None)
        if view is None:
            return None
        waiting = self._progress.get(view.id)
        if waiting is not None and waiting[0].id < event.id:
            del self._progress[view.id]  # it is older than what is told now
        if not self._deltas:
            return None
        before = self._bases.pop(view.id, None)
        if view.state not in _ENDED:  # a subscription may outlive many executions
            self._bases[view.id] = event
        return before if isinstance(event, ExecutionProgress) else None

    def _forget_ended(self, now: float) -> None:
        """A subscription may outlive many executions."""
        if len(self._sent_at) > 2 * len(self._progress) + 100:
            self._sent_at = {e: at for e, at in self._sent_at.items() if now - at < self._interval_s}


class EventEncoder:
    """Encodes each event, and each change from one event to another, once per encoding, however many subscribers it
    has."""

    def __init__(self, remember: int = 256) -> None:
        self._known: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._remember = remember

    def encode(self, event: Event, encoding: str, base: Event | None = None) -> msgspec.Raw:
        """Return `event` as it travels; of progress, if there is a `base`, only what changed since that event."""
        key = (encoding, event.id, base.id if base is not None else 0)
        data = self._known.get(key)
        if data is None:
            told = _changed(event, base) if base is not None else event
            data = msgspec.json.encode(told) if encoding == "json" else pack_for_anyone(told)
            self._known[key] = data
            if len(self._known) > self._remember:
                self._known.popitem(last=False)
        return msgspec.Raw(data)


def _changed(event: Event, base: Event) -> Event:
    before: api.ExecutionView | None = getattr(base, "view", None)
    if not isinstance(event, ExecutionProgress) or event.view is None or before is None:
        return event
    return ExecutionProgress(event.id, event.at, event.execution, changes=changes_between(before, event.view))
