"""Signing in and out, and who is signed in."""

from __future__ import annotations

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response

from migmond.client.errors import RemoteError, Unreachable
from migmond.domain.people import OpenParams, Token
from migmond_web import security
from migmond_web.answers import Refused, answer, as_refused, failure
from migmond_web.daemon import Daemon, SignedOut
from migmond_web.parameters import body_of, decoded
from migmond_web.proxied import Proxied


class SigningIn:
    """Sessions of browsers.

    Args:
        daemon: it says who may sign in, and keeps the sessions.
        site: where people reach the gateway.
        session_s: how long a browser keeps its cookie; the daemon says how long it is good.
    """

    def __init__(self, daemon: Daemon, site: security.Site, session_s: int) -> None:
        self._daemon = daemon
        self._site = site
        self._session_s = session_s
        self._tries = security.Tries()
        self.people = Proxied(site.proxy_header, self._open)

    async def _open(self, params: OpenParams) -> Token:
        async with self._daemon.plain() as client:
            return await client.call("session.open", params, Token)

    async def sign_in(self, request: Request) -> Response:
        """Sign somebody in by a link or a password; the answer has the cookie."""
        try:
            given = decoded(await body_of(request), OpenParams)
            # Several people may have one address: who guesses passwords there must not lock out who has a link.
            source = f"{'link' if given.link else 'password'} {self._address(request)}"
            if (wait_s := self._tries.wait_s(source, trio.current_time())) > 0:
                raise Refused(429, "limit_exceeded", "too many tries to sign in", f"wait {wait_s:.0f} s")
            if given.vouched:
                raise Refused(400, "invalid_input", "who somebody is, a proxy says in its header", "give a link")
            note = request.headers.get("user-agent", "")[:200]
            found = await self._open(msgspec.structs.replace(given, note=note))
        except (Refused, RemoteError, Unreachable) as e:
            return failure(as_refused(e))
        self._tries.succeeded(source)
        shown = {"session": found.session, "user": found.user, "uid": found.uid, "role": found.role}
        response = answer(request, {**shown, "expires_at": found.expires_at}, 201)
        response.headers["set-cookie"] = security.cookie(found.token, self._site, self._session_s)
        return response

    def _address(self, request: Request) -> str:
        header = self._site.address_header
        try:
            told = request.headers.getlist(header) if header else []
            return security.source_of(told, request.client.host if request.client else "")
        except ValueError as e:  # all of them would count as one, or each as another
            why = f"the proxy does not say in {header} where this comes from"
            raise Refused(400, "invalid_input", why, "it has to set that header itself: see contrib/nginx") from e

    async def whoami(self, request: Request) -> Response:
        """Tell who is signed in."""
        try:
            person = await self.people.acting(request.headers, self._daemon.person)
        except (SignedOut, RemoteError, Unreachable) as e:
            return failure(as_refused(e))
        return answer(request, msgspec.to_builtins(person), 200)

    async def sign_out(self, request: Request) -> Response:
        """End the session, and take the cookie back."""
        try:
            found = await self.people.acting(request.headers, lambda t: self._daemon.call(t, "session.close", {}))
        except (SignedOut, RemoteError, Unreachable) as e:
            return failure(as_refused(e))
        self._daemon.forget(security.token_of(request.headers))
        response = answer(request, found, 200)
        response.headers["set-cookie"] = security.cookie("", self._site, 0)
        return response
