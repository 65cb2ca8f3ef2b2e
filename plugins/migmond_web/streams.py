"""What happens, as it happens: WebSockets and server-sent events, both fed by `live`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

import trio
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from migmond.client.errors import RemoteError, Unreachable
from migmond_web.answers import Refused, as_refused, failure
from migmond_web.daemon import Daemon, SignedOut
from migmond_web.live import Crowded, Hub, Listener
from migmond_web.proxied import Proxied

KEEP_ALIVE_S = 2.0
"""A stream that says nothing for longer is taken for dead by proxies in between."""

_CLOSING: dict[type[Exception], int] = {
    SignedOut: 4401,
    RemoteError: 4404,
    Unreachable: 4503,
    Crowded: 4429,
    Refused: 4422,
}
"""With what a WebSocket is closed that does not come about; the browser is not told of any answer before."""


class Streams:
    """Streams of everything that a person may see, or of one migration.

    Args:
        daemon: whom to ask for what a path names.
        people: who asks.
        hub: what is told to whom.
    """

    def __init__(self, daemon: Daemon, people: Proxied, hub: Hub) -> None:
        self._daemon = daemon
        self._people = people
        self._hub = hub

    async def socket(self, socket: WebSocket) -> None:
        """Serve a WebSocket until either side ends it."""
        try:
            token, chosen, since = await self._listening(socket)
        except tuple(_CLOSING) as e:
            await socket.accept()
            await socket.close(next(code for kind, code in _CLOSING.items() if isinstance(e, kind)), str(e)[:100])
            return
        await socket.accept()
        async with self._hub.listening(token, chosen, since) as listener, trio.open_nursery() as nursery:
            nursery.start_soon(_until_gone, socket, nursery.cancel_scope)
            async for update in _updates(listener):
                try:
                    await socket.send_text(update.decode())
                except (WebSocketDisconnect, RuntimeError):  # it went while we sent
                    break
            else:
                await socket.close(4401, "signed out")
            nursery.cancel_scope.cancel()

    async def events(self, request: Request) -> Response:
        """The same as server-sent events."""
        try:
            token, chosen, since = await self._listening(request)
        except tuple(_CLOSING) as e:
            return failure(as_refused(e))

        async def stream() -> AsyncIterator[bytes]:
            async with self._hub.listening(token, chosen, since) as listener:
                yield b"retry: 2000\n\n"
                async for update in _updates(listener):
                    yield b"data: " + update + b"\n\n"

        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)

    async def _listening(self, connection: HTTPConnection) -> tuple[str, frozenset[str], int]:
        """Whose stream it is, of which migration (none: all of them), and from which event on.

        Raises:
            Refused, SignedOut, Crowded, RemoteError, Unreachable: it does not come about.
        """
        since = _since(connection.query_params)

        async def look(token: str) -> tuple[str, frozenset[str]]:
            with contextlib.suppress(Unreachable):  # the stream says so, and when it is back
                await self._daemon.person(token)
            if (id_ := connection.path_params.get("id")) is None:
                return token, frozenset()
            # What a path names may be an id, a name or a prefix of one.
            view = await self._daemon.call(token, "execution.get", {"id": id_, "newest": True})
            return token, frozenset({view["id"]})

        token, chosen = await self._people.acting(connection.headers, look)
        self._hub.check_room(token)
        return token, chosen, since


def _since(query: Mapping[str, str]) -> int:
    """Return the id of the last event that somebody has seen, 0 for none. Raises Refused."""
    since = query.get("since", "0")
    if not (since.isascii() and since.isdigit() and len(since) < 17):
        raise Refused(422, "invalid_input", "since is the id of an event", "give last_event of what you saw", "since")
    return int(since)


async def _updates(listener: Listener) -> AsyncIterator[bytes]:
    """Yield encoded updates, something at least every KEEP_ALIVE_S, until the session has ended."""
    while not listener.over:
        updates = [b'{"kind":"alive","data":null,"gap":false}']
        with trio.move_on_after(KEEP_ALIVE_S):  # not around what takes them: a slow browser may need longer
            updates = await listener.take()
        for update in updates:
            yield update


async def _until_gone(socket: WebSocket, scope: trio.CancelScope) -> None:
    """Read what the browser says, which is nothing, until it goes: a sender alone would not hear of that."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    scope.cancel()
