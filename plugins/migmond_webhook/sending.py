"""Sending one request, and what an answer means."""

from __future__ import annotations

import datetime
import email.utils
import functools
import os
import socket
import ssl
from collections.abc import Mapping

import httpx
import trio

import migmond
from migmond.plugin_api import ActionFailed
from migmond_webhook.presets import Message

_TRY_AGAIN = frozenset({408, 425, 429})
"""Of the client's errors those that pass (RFC 9110, RFC 8470, RFC 6585); all of the server's (5xx) may."""


class Sender:
    """Sends requests; everything that is slow to make is made once.

    Args:
        timeout_s: from the first look-up to the answer's headers.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def send(self, target: str, message: Message, headers: Mapping[str, str], ca_file: str, now: float) -> None:
        """Post a message.

        Args:
            target: what it is called, for people: its address may be a secret.
            ca_file: certificates that may vouch for the receiver, "" for those of the system.
            now: wall clock seconds.

        Raises:
            ActionFailed: it was not accepted.
        """
        fixed = {"User-Agent": f"migmond/{migmond.__version__}", "Content-Type": "application/json"}
        context = await self._context(target, ca_file)
        with trio.move_on_after(self._timeout_s) as scope:
            try:
                async with (
                    httpx.AsyncClient(
                        trust_env=False, follow_redirects=False, timeout=self._timeout_s, verify=context
                    ) as client,
                    client.stream(
                        "POST", message.url, content=message.body, headers={**headers, **message.headers, **fixed}
                    ) as response,
                ):
                    judge(target, response.status_code, response.headers.get("retry-after"), now)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as e:  # the last: a name that is none
                raise ActionFailed(f"{target}: its url is none that begins with http:// or https://") from e
            except httpx.TimeoutException as e:
                raise ActionFailed(f"{target} did not answer within {self._timeout_s:g} s") from e
            except httpx.ConnectError as e:
                raise ActionFailed(f"{target} cannot be connected to: {_cause(e)}") from e
            except httpx.HTTPError as e:
                raise ActionFailed(f"{target}: the connection failed ({type(e).__name__})") from e
        if scope.cancelled_caught:
            raise ActionFailed(f"{target} did not answer within {self._timeout_s:g} s")

    async def _context(self, target: str, ca_file: str) -> ssl.SSLContext:
        if ca_file not in self._contexts:
            make = functools.partial(ssl.create_default_context, cafile=ca_file or None)
            try:  # reading a hundred certificates takes 20 ms
                self._contexts[ca_file] = await trio.to_thread.run_sync(make)
            except OSError as e:
                raise ActionFailed(f"{target}: {ca_file} cannot be used: {e.strerror or e}") from e
        return self._contexts[ca_file]


def _cause(error: BaseException) -> str:
    """The operating system's or TLS's own words: an address, which may be a secret, is never in them."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({seen.verify_message})"
        if isinstance(seen, socket.gaierror):
            return "its name is not known"
        if isinstance(seen, OSError) and seen.errno and not isinstance(seen, ssl.SSLError):
            return os.strerror(seen.errno)  # its own text names the address
        inner = seen.exceptions[0] if isinstance(seen, BaseExceptionGroup) else None
        seen = inner or seen.__cause__ or seen.__context__
    return "nobody answers"


def judge(target: str, status: int, retry_after: str | None, now: float) -> None:
    """Return when an answer means that it was accepted.

    Raises:
        ActionFailed: it was not.
    """
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise ActionFailed(f"{target} answers {status}, a redirection, which is not followed: give the new address")
    final = 400 <= status < 500 and status not in _TRY_AGAIN
    raise ActionFailed(f"{target} answers {status}", final=final, after_s=seconds_of(retry_after, now))


def seconds_of(retry_after: str | None, now: float) -> float | None:
    """Return what a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date); None for nothing sensible."""
    if retry_after is None:
        return None
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return float(retry_after.strip()[:12])
    try:
        at = email.utils.parsedate_to_datetime(retry_after)
    except (ValueError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=datetime.UTC)
    return max(0.0, at.timestamp() - now)
