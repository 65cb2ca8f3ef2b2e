"""What happens, to many browsers: one subscription for each person, and for each browser a queue that never grows.

Of progress only the newest of each migration waits, so that a slow browser sees fewer updates, never old ones; what
several migrations tell at about the same time is taken together, so that a page is drawn once for all of them. All else
waits in order; a browser that does not take it is told that it has missed something, and looks anew.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from migmond.client.aio import AsyncClient
from migmond.client.errors import ClientError
from migmond.domain.event_api import SubscribeParams, Subscription
from migmond.domain.events import Delivery, ExecutionForgotten, ExecutionProgress, ExecutionVerified
from migmond_web.daemon import Daemon, SignedOut

WAITING = 1000
"""Events that wait for one browser, progress not counted."""
INTERVAL_S = 1.0
GATHER_S = 0.25
"""For so long progress waits for that of other migrations: the daemon looks at each of them every 0.25 s, and tells of
all of them at the beginning of an interval (`migmond.rpc.subscriptions`)."""
LOOK_S = 3.0
"""How often it is asked whether the person is still signed in: nothing tells of a session that was closed."""
MAX_STREAMS, MAX_STREAMS_OF_SESSION = 1000, 256
"""Each takes a queue and a socket; a page has one, and somebody may have many pages."""
RETRY_S = (0.5, 1.0, 2.0, 4.0)
"""Between tries to reach a daemon that is away; the last one again and again."""


class Crowded(Exception):
    """There are too many streams already."""


class Update(msgspec.Struct, frozen=True):
    """What one message to a browser consists of.

    `kind`: `hello` (`data`: a Snapshot; what else is shown has to be asked for anew when `gap`), `event`, `lost` (no
    daemon answers; `data` says why), `over` (the session has ended).
    """

    kind: str
    data: Any
    gap: bool = False


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """What there is. `last_event`: id of the last event that is in it.

    For a browser that comes while the daemon is away, it is what there was: `lost` says why, `age_s` how many seconds
    ago it was true.
    """

    executions: Sequence[Any]
    last_event: int
    lost: str = ""
    age_s: float = 0.0


class Listener:
    """One browser's queue.

    Args:
        executions: ids of what it wants to see; empty for all.
    """

    def __init__(self, executions: frozenset[str]) -> None:
        self.executions = executions
        self.over = False
        """The session has ended: nothing follows what was taken."""
        self._progress: OrderedDict[str, bytes] = OrderedDict()
        self._others: deque[bytes] = deque()
        self._missed = self._ended = False
        self._woken, self._pressed = trio.Event(), trio.Event()

    def put(self, execution: str, data: bytes, *, progress: bool) -> None:
        """Add an encoded update that concerns `execution`, "" for all."""
        if self.executions and execution and execution not in self.executions:
            return
        if progress:
            self._progress[execution] = data
        elif len(self._others) < WAITING:
            self._others.append(data)
        else:
            self._missed = True
        self._woken.set()
        if not progress:
            self._pressed.set()

    def end(self) -> None:
        """What waits is the last."""
        self._ended = True

    async def take(self) -> list[bytes]:
        """Wait for updates and return all there are, what happened before how far it is. Where it is only how far
        something is, GATHER_S more is waited for the like of others."""
        await self._woken.wait()
        with trio.move_on_after(GATHER_S):
            await self._pressed.wait()
        self._woken, self._pressed = trio.Event(), trio.Event()
        self.over = self._ended
        found = [*self._others, *self._progress.values()]
        self._others.clear()
        self._progress.clear()
        if self._missed:
            self._missed = False
            found.append(_ENCODER.encode(Update("event", None, gap=True)))
        return found


_ENCODER = msgspec.json.Encoder()


class _Channel:
    """One person's subscription and the browsers that it serves."""

    def __init__(self, token: str, since: int = 0) -> None:
        self.token = token
        self.listeners: set[Listener] = set()
        self.scope = trio.CancelScope()
        self.views: OrderedDict[str, Any] = OrderedDict()
        self.last_event = since
        self.known = False
        """There is something to begin with."""
        self.lost = ""
        """Why no daemon answers, "" while one does."""
        self._lost_at = 0.0

    def snapshot(self, now: float) -> Snapshot:
        """Return what is known to whoever comes at `now` (monotonic seconds)."""
        age_s = now - self._lost_at if self.lost else 0.0
        return Snapshot(list(self.views.values()), self.last_event, self.lost, age_s)

    def begin(self, found: Subscription, now: float) -> None:
        """The daemon answers, and that is what there is."""
        self.views = OrderedDict((v.id, v) for v in found.executions)
        self.last_event, self.known, self.lost = found.last_event, True, ""
        self.tell("", Update("hello", self.snapshot(now), gap=found.gap))

    def lose(self, why: str, now: float) -> None:
        """The daemon is away: what is known is as old as that from now on."""
        if not self.lost:
            self._lost_at = now
        self.lost = why
        self.tell("", Update("lost", why))

    def tell(self, execution: str, update: Update, *, progress: bool = False) -> None:
        data = _ENCODER.encode(update)
        for listener in self.listeners:
            listener.put(execution, data, progress=progress)


class Hub:
    """All channels. `run` has to run meanwhile."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._channels: set[_Channel] = set()
        self._shared: dict[str, _Channel] = {}
        """By token, for everybody who begins with what there is now."""
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    @property
    def listeners(self) -> int:
        """How many browsers listen."""
        return sum(len(c.listeners) for c in self._channels)

    def check_room(self, token: str) -> None:
        """Raise Crowded when one more stream for `token` would be too many."""
        own = sum(len(c.listeners) for c in self._channels if c.token == token)
        if own >= MAX_STREAMS_OF_SESSION:
            raise Crowded(f"{own} streams of this session are open")
        if self.listeners >= MAX_STREAMS:
            raise Crowded(f"{MAX_STREAMS} streams are open")

    @asynccontextmanager
    async def listening(self, token: str, executions: frozenset[str], since: int = 0) -> AsyncIterator[Listener]:
        """Updates for a browser of the person who has `token`; the first is what there is now.

        Args:
            since: id of the last event that it has seen: what the daemon still has of later ones follows, and whether
                there is a gap is said. 0 for none.
        """
        assert self._nursery is not None
        listener, channel = Listener(executions), None if since else self._shared.get(token)
        if channel is None:
            channel = _Channel(token, since)
            self._channels.add(channel)
            if not since:
                self._shared[token] = channel
            channel.listeners.add(listener)
            self._nursery.start_soon(self._serve, channel)
        else:
            channel.listeners.add(listener)
            if channel.known:
                hello = Update("hello", channel.snapshot(trio.current_time()))
                listener.put("", _ENCODER.encode(hello), progress=False)
            elif channel.lost:
                listener.put("", _ENCODER.encode(Update("lost", channel.lost)), progress=False)
        try:
            yield listener
        finally:
            channel.listeners.discard(listener)
            if not channel.listeners:
                self._close(channel)
                channel.scope.cancel()

    def _close(self, channel: _Channel) -> None:
        self._channels.discard(channel)
        if self._shared.get(channel.token) is channel:
            del self._shared[channel.token]

    async def _serve(self, channel: _Channel) -> None:
        tries = 0
        with channel.scope:
            while True:
                try:
                    async with self._daemon.acting(channel.token) as (client, _):
                        since = channel.last_event or None
                        params = SubscribeParams(since=since, interval_s=INTERVAL_S)
                        found = await client.call("events.subscribe", params, Subscription)
                        tries = 0
                        channel.begin(found, trio.current_time())
                        await self._pass_all_on(channel, client)
                    why = "the daemon closed the connection"
                except SignedOut:
                    channel.tell("", Update("over", None))
                    for listener in channel.listeners:
                        listener.end()
                    self._close(channel)
                    return
                except ClientError as e:
                    why = str(e)
                channel.lose(why, trio.current_time())
                await trio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1

    async def _pass_all_on(self, channel: _Channel, client: AsyncClient) -> None:
        """Return when the connection breaks. Raises SignedOut when the session has ended."""
        looked_at = trio.current_time()
        while True:
            with trio.move_on_at(looked_at + LOOK_S) as waiting:
                try:
                    self._pass_on(channel, await client.events.receive())
                except trio.EndOfChannel:
                    return
            if waiting.cancelled_caught or trio.current_time() - looked_at >= LOOK_S:
                await self._daemon.person(channel.token, fresh=True)
                looked_at = trio.current_time()

    def _pass_on(self, channel: _Channel, delivery: Delivery) -> None:
        event = delivery.event
        channel.last_event = max(channel.last_event, event.id)
        execution = str(getattr(event, "execution", ""))
        view = getattr(event, "view", None)
        if view is not None:
            channel.views[execution] = view
        elif isinstance(event, ExecutionForgotten):
            channel.views.pop(execution, None)
        elif isinstance(event, ExecutionVerified) and (known := channel.views.get(execution)) is not None:
            channel.views[execution] = msgspec.structs.replace(known, verification=event.verification)
        progress = isinstance(event, ExecutionProgress)
        channel.tell(execution, Update("event", event, gap=delivery.missed > 0), progress=progress)
