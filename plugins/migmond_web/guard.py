"""In front of all routes: requests that another site has made a browser send get no answer, and every answer says what
a page may do."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from migmond_web import security
from migmond_web.answers import Refused, failure


class Guard:
    """Asks `security` about each request before `inner` sees it.

    Args:
        inner: the application.
        site: where people reach it.
    """

    def __init__(self, inner: ASGIApp, site: security.Site) -> None:
        self._inner = inner
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._inner(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        socket = scope["type"] == "websocket"
        why = security.refusal(self._site, scope.get("method", "GET"), headers, socket=socket)
        if why and socket:
            await receive()
            await send({"type": "websocket.close", "code": 4403, "reason": why})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", []))
                there = {name.lower() for name, _ in given}
                for name, value in security.HEADERS.items():
                    if name.encode() not in there:
                        given.append((name.encode(), value.encode()))
                message = {**message, "headers": given}
            await send(message)

        if why:
            refused = failure(Refused(403, "not_permitted", why, "use the address that migmon dash prints"))
            await refused(scope, receive, with_headers)
            return
        await self._inner(scope, receive, with_headers)
