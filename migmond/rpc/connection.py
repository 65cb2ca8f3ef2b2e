"""One client: bytes in, requests run side by side, answers and events out, everything bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec
import trio

from migmond.domain import api
from migmond.domain.errors import FrameTooLarge, LimitExceeded, NotFound, NotPermitted, ProtocolError
from migmond.domain.events import Event
from migmond.domain.identity import Peer
from migmond.rpc.backend import Backend
from migmond.rpc.faults import error_object
from migmond.rpc.registry import Context, Registry
from migmond.rpc.subscriptions import MAX_SUBSCRIPTIONS, EventEncoder, Subscriber
from migmond.wire.framing import FrameReader, LineReader, frame
from migmond.wire.jsonrpc import (
    METHOD_NOT_FOUND,
    Batch,
    Codec,
    Encoding,
    ErrorObject,
    Failure,
    Malformed,
    Notification,
    Request,
    Success,
)

_RECEIVE_BYTES = 65536
PARTIAL_FRAME_S = 30.0
"""A message that was begun must go on within this time (slow loris)."""
WRITE_STALL_S = 60.0
"""A client that takes nothing for so long is cut off."""
_EVENT_WINDOW_BYTES = 256 * 1024
"""Events wait, coalesced, while more than this is unsent."""


class Limits(msgspec.Struct, frozen=True):
    """Per-connection limits; see `[socket]` in the configuration."""

    max_frame_bytes: int = 16 << 20
    max_outstanding: int = 64
    max_write_queue_bytes: int = 8 << 20


class _CutOff(Exception):
    pass


class Connection:
    """Serves one client until it leaves, misbehaves, or `stop` is called. Implements `rpc.session.Session`."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        peer: Peer,
        registry: Registry,
        backend: Backend,
        limits: Limits,
        encoder: EventEncoder,
        log: Callable[..., None],
    ) -> None:
        self.peer = peer
        self.limits = limits
        self._stream = stream
        self._registry = registry
        self._backend = backend
        self._event_encoder = encoder
        self._log = log
        self._codec = Codec(Encoding.MSGPACK)
        self._context = Context(backend, self, registry)
        self._outstanding = 0
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._sent = trio.Event()
        self._to_send = trio.Event()
        self._subscribers: dict[int, Subscriber] = {}
        self._next_subscription = 1
        self._event_came = trio.Event()
        self._stopping = False
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
                    nursery.start_soon(self._pump)
                    await self._read(nursery)
                    await self._finish()
                    nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, _CutOff):
            pass  # the client left or was cut off: there is nobody to tell
        finally:
            stop_listening()
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
        while self._outstanding or self._unsent:
            mark = self._sent if not self._outstanding else self._idle
            await mark.wait()

    # --- reading -----------------------------------------------------------------------------------

    async def _read(self, nursery: trio.Nursery) -> None:
        """Read and start requests until the client has said everything it will ever say."""
        reader: FrameReader | LineReader | None = None
        try:
            while not self._stopping:
                partial = reader is not None and reader.pending_bytes
                with trio.move_on_after(PARTIAL_FRAME_S if partial else float("inf")) as waiting:
                    data = await self._stream.receive_some(_RECEIVE_BYTES)
                if waiting.cancelled_caught:
                    raise ProtocolError(f"a message was begun and not continued for {PARTIAL_FRAME_S:.0f} s")
                if not data:
                    if reader is not None:
                        reader.finish()
                    return
                if reader is None:
                    reader = self._choose(bytes(data))
                for payload in reader.feed(bytes(data)):
                    self._take(payload, nursery)
                    await trio.lowlevel.checkpoint()
        except (FrameTooLarge, ProtocolError) as e:
            # The stream cannot be followed any more: say why, then close.
            self._send(Failure(None, error_object(e, self._log)))

    def _choose(self, first: bytes) -> FrameReader | LineReader:
        if first[:1] in (b"{", b"["):
            self._codec = Codec(Encoding.JSON)
            return LineReader(self.limits.max_frame_bytes)
        return FrameReader(self.limits.max_frame_bytes)

    def _take(self, payload: bytes, nursery: trio.Nursery) -> None:
        try:
            message = self._codec.decode(payload)
        except Malformed as e:
            self._send(Failure(e.id, error_object(e, self._log)))
            return
        calls = len(message.items) if isinstance(message, Batch) else 1
        if self._outstanding + calls > max(self.limits.max_outstanding, calls if not self._outstanding else 0):
            error = LimitExceeded(
                f"more than {self.limits.max_outstanding} requests of this connection are running",
                hint="wait for answers before sending more",
            )
            requests = message.items if isinstance(message, Batch) else (message,)
            for request in requests:
                if isinstance(request, Request) and not request.notification:
                    self._send(Failure(request.id, error_object(error, self._log)))
            return
        self._outstanding += calls
        nursery.start_soon(self._serve, message, calls)

    async def _serve(self, message: Request | Batch, calls: int) -> None:
        try:
            if isinstance(message, Request):
                answer = await self._answer(message)
                if answer is not None:
                    self._send(answer)
                return
            answers = [a for item in message.items if (a := await self._answer(item)) is not None]
            if answers:
                self._send(answers)
        finally:
            self._outstanding -= calls
            self._idle.set()
            self._idle = trio.Event()

    async def _answer(self, item: Request | Malformed) -> Success | Failure | None:
        if isinstance(item, Malformed):
            return Failure(item.id, error_object(item, self._log))
        try:
            result = await self._call(item)
        except Exception as e:  # the boundary: every exception becomes a code here, the connection lives on
            error = error_object(e, self._log)
            return None if item.notification else Failure(item.id, error)
        if item.notification:
            return None
        return result if isinstance(result, Failure) else Success(item.id, result)

    async def _call(self, request: Request) -> api.Result | Failure:
        method = self._registry.get(request.method)
        if method is None:
            data: dict[str, object] = {"kind": "not_found", "hint": "system.methods lists them all"}
            return Failure(request.id, ErrorObject(METHOD_NOT_FOUND, f"no method {request.method!r}", data))
        if self.peer.role < method.role:
            needed, role = method.role.name.lower(), self.peer.role.name.lower()
            raise NotPermitted(f"{method.name} needs the role {needed}, you are {role}", hint="ask an administrator")
        try:
            empty = not bytes(request.params)
            params = method.params() if empty else self._codec.convert(request.params, method.params)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, TypeError) as e:
            raise msgspec.ValidationError(f"parameters of {method.name}: {e}") from e
        result: api.Result = await method.handler(self._context, params)
        return result

    # --- writing -----------------------------------------------------------------------------------

    def _send(self, message: object) -> None:
        """Queue a message. A client that does not read its answers is cut off."""
        data = self._codec.encode(message)
        data = data + b"\n" if self._codec.encoding is Encoding.JSON else frame(data)
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > self.limits.max_write_queue_bytes + self.limits.max_frame_bytes // 4:
            self._log("client cut off: it does not read", pid=self.peer.pid, uid=self.peer.identity.uid)
            self._scope.cancel()
        self._to_send.set()

    async def _write(self) -> None:
        while True:
            if not self._unsent:
                self._sent.set()
                self._sent = trio.Event()
                await self._to_send.wait()
                self._to_send = trio.Event()
                continue
            data = self._unsent.popleft()
            with trio.move_on_after(WRITE_STALL_S) as stalled:
                await self._stream.send_all(data)
            if stalled.cancelled_caught:
                raise _CutOff
            self._unsent_bytes -= len(data)
            if self._unsent_bytes < _EVENT_WINDOW_BYTES:
                self._event_came.set()

    # --- events ------------------------------------------------------------------------------------

    def subscribe(self, params: api.SubscribeParams) -> tuple[int, int, bool]:
        """See `rpc.session.Session`."""
        if len(self._subscribers) >= MAX_SUBSCRIPTIONS:
            raise LimitExceeded(f"{MAX_SUBSCRIPTIONS} subscriptions on one connection", hint="unsubscribe some first")
        number, bus = self._next_subscription, self._backend.bus
        self._next_subscription += 1
        subscriber = Subscriber(number, params, lambda execution: self._backend.may_see(self.peer, execution))
        gap = False
        if params.since is not None:
            events, gap = bus.since(params.since)
            for event in events:
                subscriber.put(event)
        self._subscribers[number] = subscriber
        self._event_came.set()
        return number, bus.last_id, gap

    def unsubscribe(self, subscription: int) -> None:
        """See `rpc.session.Session`."""
        if self._subscribers.pop(subscription, None) is None:
            raise NotFound(f"this connection has no subscription {subscription}")

    def _on_event(self, event: Event) -> None:
        for subscriber in self._subscribers.values():
            if subscriber.put(event):
                self._event_came.set()

    async def _pump(self) -> None:
        """Move events from the subscriptions to the write queue, as far as the client keeps up."""
        while True:
            now = trio.current_time()
            if self._unsent_bytes < _EVENT_WINDOW_BYTES:
                for subscriber in list(self._subscribers.values()):
                    due, missed = subscriber.take(now)
                    for event in due:
                        raw = self._event_encoder.encode(event, self._codec.encoding.value)
                        delivery = {"subscription": subscriber.number, "event": raw, "missed": missed}
                        self._send(Notification("event", delivery))
                        missed = 0
                waits = [w for s in self._subscribers.values() if (w := s.next_due_s(now)) is not None]
            else:
                waits = []
            with trio.move_on_after(max(0.01, min(waits)) if waits else float("inf")):
                await self._event_came.wait()
            if self._event_came.is_set():
                self._event_came = trio.Event()
