"""The trio client: concurrent calls and event channels over one connection."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import trio

from migmond.client.core import ClientCore
from migmond.client.errors import RemoteError, Unreachable, no_connection
from migmond.domain import api
from migmond.domain.events import Delivery
from migmond.wire.answers import Answer

R = TypeVar("R")
_RECEIVE_BYTES = 256 * 1024
EVENTS_KEPT = 10_000
_BACKLOG_RETRY_S = 0.02


class AsyncClient:
    """Made by `connect`. Calls may run side by side."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._core = ClientCore()
        self._lock = trio.Lock()
        self._waiting: dict[int, trio.MemorySendChannel[Answer]] = {}
        self._events_in, self.events = trio.open_memory_channel[Delivery](EVENTS_KEPT)
        self._closed = False

    async def call(self, method: str, params: api.Params | dict[str, Any], result: type[R]) -> R:
        """Call a method and return its result.

        Raises:
            RemoteError: the daemon refused.
            Unreachable: the connection broke.
        """
        number, data = self._core.request(method, params)
        sender, receiver = trio.open_memory_channel[Answer](1)
        self._waiting[number] = sender
        try:
            async with self._lock:
                await self._stream.send_all(data)
            if self._closed:
                raise Unreachable("the daemon closed the connection")
            answer = await receiver.receive()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel) as e:
            raise Unreachable("the daemon closed the connection") from e
        finally:
            self._waiting.pop(number, None)
        if answer.error is not None:
            raise RemoteError(answer.error)
        return self._core.result(answer.result, result)

    async def read(self) -> None:
        """Read until the daemon closes; `connect` runs it."""
        try:
            while data := await self._stream.receive_some(_RECEIVE_BYTES):
                for message in self._core.feed(bytes(data)):
                    if isinstance(message, Delivery):
                        # A reader that does not keep up stops the connection here; the daemon coalesces or marks a gap.
                        await self._events_in.send(message)
                    elif isinstance(message.id, int) and message.id in self._waiting:
                        self._waiting[message.id].send_nowait(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # said to every caller below
        finally:  # cancelled as well, when whoever has connected leaves: nobody waits for what nobody reads any more
            self._closed = True
            for sender in self._waiting.values():
                sender.close()
            self._events_in.close()


async def _open(path: str) -> trio.SocketStream:
    """Connect; while the backlog is full, try again. Raises OSError."""
    while True:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)  # noqa: FBT003
        try:
            sock.connect(path)
        except BlockingIOError:
            # Nothing tells of room in a backlog; trio takes this for a connection that is under way.
            sock.close()
            await trio.sleep(_BACKLOG_RETRY_S)
            continue
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(trio.socket.from_stdlib_socket(sock))


@contextlib.asynccontextmanager
async def connect(path: str) -> AsyncIterator[AsyncClient]:
    """Connect to the daemon at `path`.

    Raises:
        Unreachable: nobody listens there.
    """
    try:
        stream = await _open(path)
    except OSError as e:
        raise no_connection(path, e) from e
    client = AsyncClient(stream)
    try:
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(client.read)
            yield client
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise _only(group) from None


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what went wrong when it is one thing: whoever uses the client need not know that it has a nursery."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
