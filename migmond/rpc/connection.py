"""One client: bytes in, requests run side by side, answers and events out, everything bounded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

import msgspec
import trio

from migmond.domain.errors import FrameTooLarge, LimitExceeded, ProtocolError
from migmond.domain.identity import Peer
from migmond.rpc.backend import Backend
from migmond.rpc.budget import Share
from migmond.rpc.exchange import Caller, Exchange
from migmond.rpc.fanout import Fanout
from migmond.rpc.peer import has_left
from migmond.rpc.registry import Registry
from migmond.rpc.subscribed import Subscribed
from migmond.rpc.subscriptions import EventEncoder
from migmond.rpc.trickle import Trickle
from migmond.wire.framing import FrameReader, LineReader, frame
from migmond.wire.jsonrpc import Encoding, Notification
from migmond.wire.requests import Batch, Malformed, Request, RequestCodec

_RECEIVE_BYTES = 65536
_WRITE_BYTES = 65536
PARTIAL_FRAME_S = 30.0
"""A message that was begun must be complete after so long (slow loris)."""
WRITE_STALL_S = 60.0
"""A client that does not make room for the next _WRITE_BYTES in so long is cut off. The kernel tells of room when three
quarters of its buffer are free: that is a rate of some 4 KiB/s."""
_EVENT_WINDOW_BYTES = 256 * 1024
"""Events wait, coalesced, while more than this is unsent."""


class Limits(msgspec.Struct, frozen=True):
    """Per-connection limits; see `[socket]` in the configuration."""

    max_frame_bytes: int = 16 << 20
    max_outstanding: int = 64
    max_write_queue_bytes: int = 8 << 20


class _CutOff(Exception):
    """The client does not read."""


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
        self._share = share
        self._trickle = trickle
        self.limits = limits
        self._stream = stream
        self._event_encoder = encoder
        self._fanout = fanout
        self._log = log
        self._outstanding = 0
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._sent = trio.Event()
        self._to_send = trio.Event()
        self._subscribed = Subscribed(backend, share, self._wake)
        self._caller = Caller(peer, registry, backend, limits, self._subscribed, log)
        self._ended_by: Exception | None = None
        self._stopping = False
        self._leaving = False
        self._idle = trio.Event()
        self._scope = trio.CancelScope()

    @property
    def peer(self) -> Peer:
        return self._caller.peer

    @property
    def subscriptions(self) -> int:
        return self._subscribed.count

    @property
    def _codec(self) -> RequestCodec:
        return self._caller.codec

    # --- lifetime ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the end."""
        stop_listening = self._subscribed.listen()
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
            self._fanout.forget(self)
            self._share.set(reading=0, writing=0)
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
            self._send(self._caller.failure(None, e))

    def _choose(self, first: bytes) -> FrameReader | LineReader:
        if first[:1] in (b"{", b"["):
            self._caller.codec = RequestCodec(Encoding.JSON)
            return LineReader(self.limits.max_frame_bytes)
        return FrameReader(self.limits.max_frame_bytes)

    def _take(self, payload: bytes, nursery: trio.Nursery) -> None:
        try:
            message = self._codec.decode(payload)
        except Malformed as e:
            self._send(self._caller.failure(e.id, e))
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
        answer = self._caller.refusal(message, error)
        if answer is not None:
            self._send(answer)

    async def _serve(self, message: Request | Batch, calls: int) -> None:
        exchange = Exchange(self._caller, self._has_left)
        try:
            answer = await exchange.answer(message)
            if answer is not None:
                self._send(answer)
            exchange.answered()
            self._wake()
        finally:
            self._outstanding -= calls
            self._idle.set()
            self._idle = trio.Event()

    def _has_left(self) -> bool:
        return self._leaving and has_left(self._stream.socket.fileno())

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

    def _wake(self) -> None:
        if self._subscribed.count:
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
        if not self._leaving:
            if self._unsent_bytes >= self._event_window:
                return None
            for number, found in self._subscribed.due(now):
                raw = self._event_encoder.encode(found.event, self._codec.encoding.value, found.base)
                delivery = {"subscription": number, "event": raw, "missed": found.missed}
                self._send(self._codec.encode(Notification("event", delivery)))
                if self._unsent_bytes >= self._event_window:
                    return None
        return self._subscribed.next_due_s(now)
