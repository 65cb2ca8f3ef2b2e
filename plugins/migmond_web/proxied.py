"""People whom a reverse proxy has signed in: it says who somebody is with every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import trio

from migmond.domain.people import OpenParams, Token
from migmond_web import security
from migmond_web.daemon import SignedOut

T = TypeVar("T")
MAX_NOTE = 200


class Proxied:
    """The tokens of whoever asks: a cookie's, or one for each person that the proxy names, for all their requests.

    Args:
        header: in which the proxy says who somebody is, lower case; "" when there is no proxy.
        open_session: signs somebody in.
    """

    def __init__(self, header: str, open_session: Callable[[OpenParams], Awaitable[Token]]) -> None:
        self._header = header
        self._open = open_session
        self._tokens: dict[str, str] = {}
        self._opening = trio.Lock()

    async def token(self, headers: Mapping[str, str]) -> str:
        """Return the token of whoever sent these headers. What the proxy says now counts for more than a cookie that
        somebody else may have left in that browser.

        Raises:
            SignedOut: nobody is signed in there.
            RemoteError: the daemon does not take the proxy's word, or has no role for that person.
            Unreachable: no daemon answers.
        """
        user = self._named(headers)
        if not user:
            if token := security.token_of(headers):
                return token
            raise SignedOut
        async with self._opening:  # a page asks for several things at once, and one session does for all of them
            if user not in self._tokens:
                note = f"proxy {headers.get('user-agent', '')}"[:MAX_NOTE]
                self._tokens[user] = (await self._open(OpenParams(vouched=user, note=note))).token
            return self._tokens[user]

    async def acting(self, headers: Mapping[str, str], act: Callable[[str], Awaitable[T]]) -> T:
        """Call `act` with the token of whoever sent these headers; once more with a new one where the session of
        somebody whom the proxy vouches for has ended meanwhile. Raises as `token` and `act` do."""
        token = await self.token(headers)
        try:
            return await act(token)
        except SignedOut:
            user = self._named(headers)
            if not user:
                raise
            if self._tokens.get(user) == token:  # nobody else has found that out before
                del self._tokens[user]
        return await act(await self.token(headers))

    def _named(self, headers: Mapping[str, str]) -> str:
        """Whom the proxy names, "" for nobody."""
        return headers.get(self._header, "") if self._header else ""
