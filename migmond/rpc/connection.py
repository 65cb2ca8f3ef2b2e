"""One client: bytes in, requests run side by side, answers and events out, everything bounded."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable

import msgspec
import trio

from migmond.domain import api
from migmond.domain.errors import FrameTooLarge, InvalidInput, LimitExceeded, NotFound, NotPermitted, ProtocolError
from migmond.domain.events import Event
from migmond.domain.identity import Peer, Role
from migmond.rpc.backend import Backend
from migmond.rpc.budget import MAX_USER_SUBSCRIPTIONS, Share
from migmond.rpc.fanout import Fanout
from migmond.rpc.faults import error_object
from migmond.rpc.peer import has_left
from migmond.rpc.registry import Context, Registry
from migmond.rpc.subscriptions import MAX_SUBSCRIPTIONS, EventEncoder, Subscriber
from migmond.rpc.trickle import Trickle
from migmond.wire.framing import FrameReader, LineReader, frame
from migmond.wire.jsonrpc import (
    METHOD_NOT_FOUND,
    Encoding,
    ErrorObject,
    Failure,
    Notification,
    RequestId,
    Success,
)
from migmond.wire.requests import Batch, Malformed, Request, RequestCodec

_RECEIVE_BYTES = 65536
_WRITE_BYTES = 65536
MAX_PARAMS_BYTES = 1 << 20
"""Of one request. A megabyte of the shortest strings takes 30 MiB and 20 ms to decode; a whole frame of them took half
a gigabyte, and all others waited meanwhile."""
PARTIAL_FRAME_S = 30.0
"""A message that was begun must be complete after so long (slow loris)."""
WRITE_STALL_S = 60.0
"""A client that does not make room for the next _WRITE_BYTES in so long is cut off. The kernel tells of room when three
quarters of its buffer are free: that is a rate of some 4 KiB/s."""
_ERROR_BYTES = 400
"""Room in a frame that each answer of a batch is sure of: enough to say that the real one does not fit."""
_EVENT_WINDOW_BYTES = 256 * 1024
"""Events wait, coalesced, while more than this is unsent."""


class Limits(msgspec.Struct, frozen=True):
    """Per-connection limits; see `[socket]` in the configuration."""

    max_frame_bytes: int = 16 << 20
    max_outstanding: int = 64
    max_write_queue_bytes: int = 8 << 20


class _CutOff(Exception):
    """The client does not read."""


class _Exchange:
    """One message and its answer. Implements `rpc.session.Session` for the handlers that it calls."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._begun: list[Subscriber] = []

    @property
    def peer(self) -> Peer:
        return self._connection.peer

    @property
    def limits(self) -> Limits:
        return self._connection.limits

    def subscribe(self, params: api.SubscribeParams) -> tuple[int, int, bool]:
        """See `rpc.session.Session`."""
        subscriber, last_event, gap = self._connection.add_subscriber(params)
        self._begun.append(subscriber)
        return subscriber.number, last_event, gap

    def unsubscribe(self, subscription: int) -> None:
        """See `rpc.session.Session`."""
        self._connection.unsubscribe(subscription)

    def mark(self) -> int:
        """Return a mark for `undo_from`."""
        return len(self._begun)

    def undo_from(self, mark: int) -> None:
        """A request failed: nobody learns the number of what it subscribed to since `mark`."""
        for subscriber in self._begun[mark:]:
            self._connection.drop(subscriber)
        del self._begun[mark:]

    def answered(self) -> None:
        """The answer is on its way: let the events follow it."""
        for subscriber in self._begun:
            subscriber.begun = True


class Connection:
    """Serves one client until it leaves, misbehaves, or `stop` is called."""

    def __init__(
        self,
        stream: trio.SocketStream,
        peer: Peer,
        registry: Registry,
        backend: Backend,
        limits: Limits,
        encoder: EventEncoder,
        fanout: Fanout,
        share: Share,
        trickle: Trickle,
        log: Callable[..., None],
    ) -> None:
        self.peer = peer
        self._share = share
        self._trickle = trickle
        self.limits = limits
        self._stream = stream
        self._registry = registry
        self._backend = backend
        self._event_encoder = encoder
        self._fanout = fanout
        self._log = log
        self._codec = RequestCodec(Encoding.MSGPACK)
        self._outstanding = 0
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._sent = trio.Event()
        self._to_send = trio.Event()
        self._subscribers: dict[int, Subscriber] = {}
        self._next_subscription = 1
        self._ended_by: Exception | None = None
        self._stopping = False
        self._leaving = False
        self._idle = trio.Event()
        self._scope = trio.CancelScope()

    @property
    def subscriptions(self) -> int:
        return len(self._subscribers)

    # --- lifetime ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the end."""
        stop_listening = self._backend.bus.listen(self._on_event)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read(nursery)
                    self._leaving = True
                    await self._finish()
                    nursery.cancel_scope.cancel()
            if self._ended_by is not None:
                raise self._ended_by
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client left: there is nobody to tell
        except* _CutOff:
            self._log("client cut off: it does not read", pid=self.peer.pid, uid=self.peer.identity.uid)
        finally:
            stop_listening()
            self._backend.bus.hurry(self, math.inf)
            self._fanout.forget(self)
            self._share.set(reading=0, writing=0)
            self._share.subscribe(-len(self._subscribers))
            self._trickle.end()
            with trio.move_on_after(1, shield=True):
                await trio.aclose_forcefully(self._stream)

    async def stop(self, grace_s: float) -> None:
        """Take no more requests, answer the running ones within `grace_s` seconds, then close."""
        self._stopping = True
        with trio.move_on_after(grace_s):
            await self._finish()
        self._scope.cancel()

    async def _finish(self) -> None:
        """Wait until running requests are answered and everything is sent."""
        while self._outstanding or self._unsent_bytes:
            mark = self._sent if not self._outstanding else self._idle
            await mark.wait()

    # --- reading -----------------------------------------------------------------------------------

    async def _read(self, nursery: trio.Nursery) -> None:
        """Read and start requests until the client has said everything it will ever say."""
        reader: FrameReader | LineReader | None = None
        deadline, pause_s = float("inf"), 0.0
        try:
            while not self._stopping:
                with trio.move_on_at(deadline) as waiting:
                    if pause_s:
                        await trio.sleep(pause_s)
                    data = await self._stream.receive_some(_RECEIVE_BYTES)
                if waiting.cancelled_caught:
                    raise ProtocolError(f"a message was begun and not completed within {PARTIAL_FRAME_S:.0f} s")
                if not data:
                    if reader is not None:
                        reader.finish()
                    return
                if reader is None:
                    reader = self._choose(bytes(data))
                messages = 0
                for payload in reader.feed(bytes(data)):
                    deadline, messages = float("inf"), messages + 1
                    self._take(payload, nursery)
                    await trio.lowlevel.checkpoint()
                if not self._share.set(reading=reader.pending_bytes):
                    raise LimitExceeded(self._share.excess, hint="close some, or send and read what is under way")
                if not reader.pending_bytes:
                    deadline = float("inf")
                elif deadline == float("inf"):
                    deadline = trio.current_time() + PARTIAL_FRAME_S
                pause_s = self._trickle.pause_s(len(data), messages)
        except (FrameTooLarge, ProtocolError, LimitExceeded) as e:
            # The stream cannot be followed any more: say why, then close.
            self._share.set(reading=0)
            self._send(self._failure(None, e))

    def _choose(self, first: bytes) -> FrameReader | LineReader:
        if first[:1] in (b"{", b"["):
            self._codec = RequestCodec(Encoding.JSON)
            return LineReader(self.limits.max_frame_bytes)
        return FrameReader(self.limits.max_frame_bytes)

    def _take(self, payload: bytes, nursery: trio.Nursery) -> None:
        try:
            message = self._codec.decode(payload)
        except Malformed as e:
            self._send(self._failure(e.id, e))
            return
        calls = len(message.items) if isinstance(message, Batch) else 1
        if self._outstanding + calls > max(self.limits.max_outstanding, calls if not self._outstanding else 0):
            self._refuse(message)
            return
        self._outstanding += calls
        nursery.start_soon(self._serve, message, calls)

    def _refuse(self, message: Request | Batch) -> None:
        error = LimitExceeded(
            f"more than {self.limits.max_outstanding} requests of this connection are running",
            hint="wait for answers before sending more",
        )
        if isinstance(message, Request):
            if not message.notification:
                self._send(self._failure(message.id, error))
        elif answers := [a for item in message.items if (a := self._not_called(item, error)) is not None]:
            self._send(self._joined(answers))

    def _not_called(self, item: Request | Malformed, error: Exception) -> bytes | None:
        if isinstance(item, Malformed):
            return self._failure(item.id, item)
        return None if item.notification else self._failure(item.id, error)

    def _joined(self, answers: list[bytes]) -> bytes:
        return self._codec.encode([msgspec.Raw(a) for a in answers])

    async def _serve(self, message: Request | Batch, calls: int) -> None:
        exchange = _Exchange(self)
        try:
            if isinstance(message, Request):
                answer = await self._answer(message, exchange, self.limits.max_frame_bytes)
                if answer is not None:
                    self._send(answer)
            elif answers := await self._answer_all(message, exchange):
                self._send(self._joined(answers))
            exchange.answered()
            self._wake()
        finally:
            self._outstanding -= calls
            self._idle.set()
            self._idle = trio.Event()

    async def _answer_all(self, batch: Batch, exchange: _Exchange) -> list[bytes]:
        """Answer one after the other. What would not fit into one frame with the answers before is not called."""
        answers: list[bytes] = []
        room = self.limits.max_frame_bytes - _ERROR_BYTES * len(batch.items)
        for item in batch.items:
            if self._leaving and not self._changes_something(item) and has_left(self._stream.socket.fileno()):
                continue
            if room > 0:
                answer = await self._answer(item, exchange, room)
            else:
                full = LimitExceeded("the answers of this batch fill a frame", hint="use smaller batches")
                answer = self._not_called(item, full)
            if answer is not None:
                answers.append(answer)
                room -= max(0, len(answer) - _ERROR_BYTES)
            # Handlers that never wait must not keep the other clients waiting for the whole batch.
            await trio.lowlevel.checkpoint()
        return answers

    def _changes_something(self, item: Request | Malformed) -> bool:
        """What a client asked for before it left is done; what only tells it something need not be."""
        method = self._registry.get(item.method) if isinstance(item, Request) else None
        return method is not None and method.role > Role.VIEWER

    async def _answer(self, item: Request | Malformed, exchange: _Exchange, room: int) -> bytes | None:
        """Return the answer's bytes, at most `room` unless it is an error; None to a notification."""
        if isinstance(item, Malformed):
            return self._failure(item.id, item)
        mark = exchange.mark()
        try:
            result = await self._call(item, exchange)
            if isinstance(result, Failure):
                answer = self._codec.encode(result)
            else:
                answer = self._codec.encode_success(Success(item.id, result))
            if len(answer) > room and not item.notification:
                raise LimitExceeded(
                    f"the answer has {len(answer)} bytes, {room} fit into the frame", hint="ask for less at a time"
                )
        except Exception as e:  # the boundary: every exception becomes a code here, the connection lives on
            exchange.undo_from(mark)
            answer = self._failure(item.id, e)
        return None if item.notification else answer

    def _failure(self, id_: RequestId, error: Exception) -> bytes:
        found = error_object(error, self._log)
        answer = self._codec.encode(Failure(id_, found))
        # An id may fill a frame by itself.
        return answer if len(answer) <= self.limits.max_frame_bytes else self._codec.encode(Failure(None, found))

    async def _call(self, request: Request, exchange: _Exchange) -> api.Result | Failure:
        method = self._registry.get(request.method)
        if method is None:
            data: dict[str, object] = {"kind": "not_found", "hint": "system.methods lists them all"}
            return Failure(request.id, ErrorObject(METHOD_NOT_FOUND, f"no method {request.method[:100]!r}", data))
        if self.peer.role < method.role:
            needed, role = method.role.name.lower(), self.peer.role.name.lower()
            raise NotPermitted(f"{method.name} needs the role {needed}, you are {role}", hint="ask an administrator")
        if len(bytes(request.params)) > MAX_PARAMS_BYTES:
            raise InvalidInput(
                f"the parameters have {len(bytes(request.params))} bytes, the limit is {MAX_PARAMS_BYTES}",
                hint="no method needs that many",
            )
        try:
            empty = not bytes(request.params)
            params = method.params() if empty else self._codec.convert(request.params, method.params)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, TypeError) as e:
            raise msgspec.ValidationError(f"parameters of {method.name}: {e}") from e
        result: api.Result = await method.handler(Context(self._backend, exchange, self._registry), params)
        return result

    # --- writing -----------------------------------------------------------------------------------

    def _send(self, message: bytes) -> None:
        """Queue an encoded message. A client that does not read its answers is cut off: it has at most
        `max_write_queue_bytes` and one more message waiting."""
        if self._unsent_bytes > self.limits.max_write_queue_bytes:
            raise _CutOff
        data = message + b"\n" if self._codec.encoding is Encoding.JSON else frame(message)
        if not self._unsent_bytes and len(data) <= _WRITE_BYTES:
            data = data[self._send_now(data) :]
            if not data:
                return
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        self._to_send.set()
        if not self._share.set(writing=self._unsent_bytes):
            raise _CutOff

    def _send_now(self, data: bytes) -> int:
        """Give the kernel what it takes at once, nearly always all of it: nobody has to be woken for that. Returns how
        many bytes; whatever is wrong with the connection, the writing task meets it as well."""
        try:
            return os.write(self._stream.socket.fileno(), data)
        except OSError:
            return 0

    async def _write(self) -> None:
        while True:
            if not self._unsent:
                self._sent.set()
                self._sent = trio.Event()
                await self._to_send.wait()
                self._to_send = trio.Event()
                continue
            data = memoryview(self._unsent.popleft())
            # In pieces: a client that reads slowly but steadily is not cut off in the middle of a long answer.
            for start in range(0, len(data), _WRITE_BYTES):
                piece = data[start : start + _WRITE_BYTES]
                with trio.move_on_after(WRITE_STALL_S) as stalled:
                    await self._stream.send_all(piece)
                if stalled.cancelled_caught:
                    raise _CutOff
                self._unsent_bytes -= len(piece)
                self._share.set(writing=self._unsent_bytes)
                if self._unsent_bytes < self._event_window:
                    self._wake()

    # --- events ------------------------------------------------------------------------------------

    @property
    def _event_window(self) -> int:
        return min(_EVENT_WINDOW_BYTES, self.limits.max_write_queue_bytes // 2)

    def add_subscriber(self, params: api.SubscribeParams) -> tuple[Subscriber, int, bool]:
        """Collect events for a new subscription, see `rpc.session.Session.subscribe`."""
        if len(self._subscribers) >= MAX_SUBSCRIPTIONS:
            raise LimitExceeded(f"{MAX_SUBSCRIPTIONS} subscriptions on one connection", hint="unsubscribe some first")
        if not self._share.subscribe(1):
            raise LimitExceeded(
                f"your clients have {MAX_USER_SUBSCRIPTIONS} subscriptions",
                hint="unsubscribe some, or close some first",
            )
        bus = self._backend.bus
        subscriber = Subscriber(
            self._next_subscription, params, lambda execution: self._backend.may_see(self.peer, execution)
        )
        self._next_subscription += 1
        gap = False
        if params.since is not None:
            events, gap = bus.since(params.since)
            for event in events:
                subscriber.put(event)
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

    def unsubscribe(self, subscription: int) -> None:
        """End a subscription. Raises NotFound."""
        if self._subscribers.pop(subscription, None) is None:
            raise NotFound(f"this connection has no subscription {subscription}")
        self._share.subscribe(-1)
        self._hurry()

    def _on_event(self, event: Event) -> None:
        for subscriber in self._subscribers.values():
            if subscriber.put(event):
                self._fanout.wake(self)

    def _wake(self) -> None:
        if self._subscribers:
            self._fanout.wake(self)

    def move_events(self, now: float) -> float | None:
        """Move events from the subscriptions to the write queue, as far as the client keeps up; see `fanout.Receiver`.
        What goes wrong ends this connection, where it is run."""
        try:
            return self._move_events(now)
        except Exception as e:
            self._ended_by = e
            self._scope.cancel()
            return None

    def _move_events(self, now: float) -> float | None:
        """Move what is due until the window is full, one event of each subscription after the other.

        Returns:
            In how many seconds more will be due; None when that begins with an event, or with room in the window.
        """
        busy = list(self._subscribers.values())
        while busy and not self._leaving:
            for subscriber in list(busy):
                if self._unsent_bytes >= self._event_window:
                    return None
                found = subscriber.take(now)
                if found is None:
                    busy.remove(subscriber)
                    continue
                event, missed = found
                raw = self._event_encoder.encode(event, self._codec.encoding.value)
                delivery = {"subscription": subscriber.number, "event": raw, "missed": missed}
                self._send(self._codec.encode(Notification("event", delivery)))
        return min((w for s in self._subscribers.values() if (w := s.next_due_s(now)) is not None), default=None)
