"""The application: what a request becomes, and what the answer is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp

from migmond.client.errors import RemoteError, Unreachable
from migmond.domain.errors import InvalidInput
from migmond_web import security
from migmond_web.answers import Refused, answer, as_refused, failure
from migmond_web.composed import Composed, composed
from migmond_web.daemon import Daemon, SignedOut
from migmond_web.guard import Guard
from migmond_web.live import Hub
from migmond_web.openapi import document, page
from migmond_web.parameters import parameters
from migmond_web.report_files import REPORT_FILES, ReportFile, as_file
from migmond_web.routes import BASE, routes
from migmond_web.routes import Route as Endpoint
from migmond_web.signing_in import SigningIn
from migmond_web.static import Files
from migmond_web.streams import Streams


class Gateway:
    """One gateway.

    Args:
        daemon: to whom everything is passed on.
        site: where people reach it.
        session_s: how long a browser keeps its cookie; the daemon says how long it is good.
    """

    def __init__(self, daemon: Daemon, site: security.Site, session_s: int = 366 * 86400) -> None:
        self._daemon = daemon
        self._site = site
        self._hub = Hub(daemon)
        self._signing_in = SigningIn(daemon, site, session_s)
        self._streams = Streams(daemon, self._signing_in.people, self._hub)
        self._files = Files()
        self._document = document()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ASGIApp]:
        """Yield the application; it works while the context lasts."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._daemon.run)
            await nursery.start(self._hub.run)
            yield self._application()
            nursery.cancel_scope.cancel()

    def _application(self) -> ASGIApp:
        table: list[BaseRoute] = [
            Route(f"{BASE}/session", self._signing_in.whoami, methods=["GET"]),
            Route(f"{BASE}/session", self._signing_in.sign_in, methods=["POST"]),
            Route(f"{BASE}/session", self._signing_in.sign_out, methods=["DELETE"]),
            Route(f"{BASE}/openapi.json", self._openapi, methods=["GET"]),
            Route(f"{BASE}/docs", self._docs, methods=["GET"]),
            Route(f"{BASE}/stream", self._streams.events, methods=["GET"]),
            WebSocketRoute(f"{BASE}/stream", self._streams.socket),
        ]
        # What has a fixed name is looked for before what has a parameter in its place.
        endpoints: list[Endpoint | Composed] = [*composed(), *routes()]
        endpoints.sort(key=lambda e: [part.startswith("{") for part in e.path.split("/")])
        table += [Route(BASE + e.path, self._serving(e), methods=[e.verb]) for e in endpoints]
        table += [
            *(Route(BASE + f.endpoint.path, self._filing(f), methods=["GET"]) for f in REPORT_FILES),
            Route(f"{BASE}/{{id}}/stream", self._streams.events, methods=["GET"]),
            WebSocketRoute(f"{BASE}/{{id}}/stream", self._streams.socket),
            Route("/{path:path}", self._static, methods=["GET"]),
        ]
        inner = Starlette(routes=table, exception_handlers={404: _no_such_page, 405: _no_such_page, 500: _broken})
        return Guard(GZipMiddleware(inner, minimum_size=1024), self._site)

    # --- one call of the daemon --------------------------------------------------------------------

    def _serving(self, endpoint: Endpoint | Composed) -> Any:
        async def serve(request: Request) -> Response:
            try:
                params = await parameters(request, endpoint)
                if isinstance(endpoint, Composed):
                    found = await endpoint.compose(partial(self._call, request), params)
                else:
                    found = await self._call(request, endpoint.call, params)
            except Refused as e:
                return failure(e)
            return answer(request, found, endpoint.status)

        return serve

    def _filing(self, file: ReportFile) -> Any:
        async def serve(request: Request) -> Response:
            try:
                params = await parameters(request, file.endpoint)
                return as_file(file, await self._call(request, file.endpoint.call, params))
            except Refused as e:
                return failure(e)

        return serve

    async def _call(self, request: Request, method: str, params: Any) -> dict[str, Any]:
        """Raises Refused: what the answer is in place of the daemon's."""
        try:
            return await self._signing_in.people.acting(request.headers, lambda t: self._daemon.call(t, method, params))
        except (SignedOut, RemoteError, Unreachable) as e:
            raise as_refused(e) from e
        except (InvalidInput, UnicodeEncodeError) as e:  # JSON has numbers and text that a message cannot hold
            raise Refused(422, "invalid_input", f"a value is out of range: {e}"[:200], f"see {BASE}/docs") from e

    # --- for people and programs that look around -----------------------------------------------------

    async def _openapi(self, request: Request) -> Response:
        return answer(request, self._document, 200)

    async def _docs(self, request: Request) -> Response:
        return Response(page(self._document), media_type="text/html")

    async def _static(self, request: Request) -> Response:
        if request.url.path.startswith("/api/"):
            return failure(Refused(404, "not_found", f"there is nothing at {request.url.path[:200]}", f"{BASE}/docs"))
        return self._files.serve(request, signed_in=bool(security.token_of(request.headers)))


async def _no_such_page(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    what = "there is nothing at" if status == 404 else f"{request.method} is not for"
    return failure(Refused(status, "not_found", f"{what} {request.url.path[:200]}", f"see {BASE}/docs"))


async def _broken(request: Request, error: Exception) -> Response:
    return failure(Refused(500, "internal", "a mistake of migmond-web; its log has the traceback", "report it"))
