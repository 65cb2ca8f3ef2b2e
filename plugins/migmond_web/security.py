"""What a browser is let do: whose requests count, what pages may load, how often somebody may try to sign in. Pure."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence

import msgspec

COOKIE = "migmond_session"
CSRF_HEADER = "x-migmond"
"""A page of another site cannot set it without asking first (CORS), and nobody is told yes. Its value does not
matter (OWASP's Cross-Site Request Forgery Prevention Cheat Sheet, "Custom Request Headers")."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""With every answer."""
TRIES = 10
TRIES_WINDOW_S = 60.0
"""So many tries to sign in, in one way, from one address within that time."""
ADDRESSES = 10_000
_LONGEST_ADDRESS = 64
"""Characters; IPv6 with a zone has fewer."""
_OF_ONE = 64
"""Bits of an IPv6 address that are the network's; all that follows a client chooses as it likes (RFC 4291, 2.5.4)."""


class Site(msgspec.Struct, frozen=True):
    """Where people reach the gateway.

    Attributes:
        origins: what browsers call it, `http://127.0.0.1:7447`; the first is in links.
        proxy_header: the header in which a reverse proxy says who somebody is, lower case; "" when there is none.
        address_header: the one in which it says where a request comes from, likewise.
    """

    origins: tuple[str, ...]
    proxy_header: str = ""
    address_header: str = ""

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset(origin.partition("://")[2] for origin in self.origins)

    @property
    def secure(self) -> bool:
        """Cookies are for encrypted connections only."""
        return self.origins[0].startswith("https://")


def refusal(site: Site, verb: str, headers: Mapping[str, str], *, socket: bool = False) -> str:
    """Return why a request does not count, "" when it does.

    Args:
        headers: with lower case names.
        socket: it asks for a WebSocket, which no header of ours can come with.
    """
    host = headers.get("host", "")
    if host not in site.hosts:  # another name for our address: DNS rebinding
        return f"this is not {host[:100]!r}"
    origin = headers.get("origin")
    if origin is not None and origin not in site.origins:
        return "another site asks"
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") and (socket or verb != "GET"):
        return "another site asks"
    if socket:
        return "" if origin is not None else "a WebSocket needs an Origin"
    if verb not in ("GET", "HEAD") and CSRF_HEADER not in headers:
        return f"a change needs the header {CSRF_HEADER}"
    return ""


def cookie(token: str, site: Site, lifetime_s: int) -> str:
    """Return the Set-Cookie that signs a browser in, or out when `token` is ""."""
    parts = [f"{COOKIE}={token}", "Path=/", "HttpOnly", "SameSite=Strict", f"Max-Age={lifetime_s if token else 0}"]
    return "; ".join([*parts, "Secure"] if site.secure else parts)


def token_of(headers: Mapping[str, str]) -> str:
    """Return the token in a request's cookies, "" when there is none."""
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def source_of(told: Sequence[str], peer: str) -> str:
    """Return where a request comes from, as tries to sign in are counted.

    Of what the proxy tells only the last entry is its own: what stands before it, anybody may have sent. Who comes past
    the proxy, as one can on its machine, has nothing told.

    Args:
        told: the lines of the site's address header.
        peer: the other end of the connection.

    Raises:
        ValueError: the proxy tells what is no address.
    """
    if not told:
        return peer
    last = told[-1].rpartition(",")[2].strip()
    if len(last) > _LONGEST_ADDRESS:
        raise ValueError("no address is that long")
    address = ipaddress.ip_address(last)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((int(address) >> _OF_ONE << _OF_ONE, _OF_ONE)))
        address = address.ipv4_mapped
    return str(address)


class Tries:
    """Counts tries to sign in by source, which is in what way and from which address; forgets the oldest of many."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, source: str, now: float) -> float:
        """Count a try at `now` (monotonic seconds); returns how long to wait before one is listened to, 0 for now."""
        tries = self._tries.setdefault(source, deque())
        self._tries.move_to_end(source)
        while len(self._tries) > ADDRESSES:
            self._tries.popitem(last=False)
        while tries and tries[0] <= now - TRIES_WINDOW_S:
            tries.popleft()
        if len(tries) >= TRIES:
            return tries[0] + TRIES_WINDOW_S - now
        tries.append(now)
        return 0.0

    def succeeded(self, source: str) -> None:
        """The latest try was a good one: only failures count."""
        tries = self._tries.get(source)
        if tries:
            tries.pop()
