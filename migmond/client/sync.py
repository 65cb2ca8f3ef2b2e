"""The blocking client. Starts fast: no trio."""

from __future__ import annotations

import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TypeVar

from migmond.client.core import ClientCore
from migmond.client.errors import RemoteError, Unreachable, no_connection
from migmond.domain import api
from migmond.domain.events import Delivery
from migmond.wire.answers import Answer

R = TypeVar("R")
_RECEIVE_BYTES = 256 * 1024
DEFAULT_TIMEOUT_S = 60.0
_TIMEVAL = struct.Struct("@ll")


def _split(seconds: float) -> tuple[int, int]:
    """Whole seconds and microseconds; a timeval of zero would wait for ever."""
    return int(seconds), max(1, int(seconds % 1 * 1_000_000))


class Client:
    """One connection; a context manager. Not for several threads.

    Args:
        path: the daemon's socket.
        timeout_s: how long a call may take; None for ever.

    Raises:
        Unreachable: nobody listens there, or it may not be opened.
    """

    def __init__(self, path: str, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
        self._core = ClientCore()
        self._timeout_s = timeout_s
        self._events: deque[Delivery] = deque()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if timeout_s is not None:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(*_split(timeout_s)))
            # Blocking: with a timeout of Python's, a full backlog is an error at once (EAGAIN) instead of a wait.
            self._socket.connect(path)
            self._socket.settimeout(timeout_s)
        except OSError as e:
            self._socket.close()
            raise no_connection(path, e) from e

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def call(self, method: str, params: api.Params | dict[str, Any], result: type[R]) -> R:
        """Call a method and return its result.

        Raises:
            RemoteError: the daemon refused.
            Unreachable: the connection broke or the time is over.
        """
        number, data = self._core.request(method, params)
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        self._send(data)
        while True:
            try:
                messages = self._receive(deadline)
            except TimeoutError as e:
                raise Unreachable(f"the daemon did not answer {method} within {self._timeout_s:.0f} s") from e
            # Events may come in one piece with the answer: all are kept before it is returned.
            self._events.extend(m for m in messages if isinstance(m, Delivery))
            for message in messages:
                if isinstance(message, Delivery):
                    continue
                if message.error is not None and message.id in (number, None):
                    raise RemoteError(message.error)
                if message.id == number:
                    return self._core.result(message.result, result)

    def events(self, timeout_s: float | None = None) -> Iterator[Delivery | None]:
        """Yield the events of this connection's subscriptions as they come; None whenever `timeout_s` passes without.

        Raises:
            Unreachable: the connection broke.
        """
        while True:
            while self._events:
                yield self._events.popleft()
            deadline = None if timeout_s is None else time.monotonic() + timeout_s
            try:
                self._events.extend(m for m in self._receive(deadline) if isinstance(m, Delivery))
            except TimeoutError:
                yield None

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._timeout_s)
            self._socket.sendall(data)
        except OSError as e:
            # It may have said why before it closed (no access, too many clients).
            for message in self._last_words():
                if isinstance(message, Answer) and message.error is not None:
                    raise RemoteError(message.error) from e
            raise Unreachable(f"the daemon closed the connection ({e.strerror or e})") from e

    def _last_words(self) -> list[Answer | Delivery]:
        try:
            self._socket.settimeout(1.0)
            return list(self._core.feed(self._socket.recv(_RECEIVE_BYTES)))
        except OSError:
            return []

    def _receive(self, deadline: float | None) -> list[Answer | Delivery]:
        wait = None if deadline is None else max(0.001, deadline - time.monotonic())
        try:
            self._socket.settimeout(wait)
            data = self._socket.recv(_RECEIVE_BYTES)
        except TimeoutError:  # an OSError, but not a broken connection
            raise
        except OSError as e:
            raise Unreachable(f"the connection to the daemon broke ({e.strerror or e})") from e
        if not data:
            raise Unreachable("the daemon closed the connection")
        return list(self._core.feed(data))
