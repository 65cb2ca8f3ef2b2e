"""A daemon made of canned answers: what a real one says only rarely, on a real socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from migmond.wire.jsonrpc import METHOD_NOT_FOUND

_HEADER_BYTES = 4
Handler = Callable[["Connection", dict[str, Any]], Any]


class Refusal(Exception):
    """Raised by a handler: the answer is an error of that kind."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {
            "code": -32000,
            "message": message,
            "data": {"kind": kind, "hint": hint, "retryable": False},
        }


class HangUp(Exception):
    """Raised by a handler: the connection closes without an answer."""


def _handler(handlers: Mapping[str, Handler], method: str) -> Handler:
    """What it cannot answer it does not know, as an older daemon does not."""
    if method not in handlers:
        unknown = Refusal("method_not_found", f"there is no method {method}")
        unknown.error["code"] = METHOD_NOT_FOUND
        raise unknown
    return handlers[method]


class Connection:
    """One client. `later` is sent after the answer to the present call; then it closes if `hang_up` is set."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self.later: list[dict[str, Any]] = []
        self.hang_up = False

    def notify(self, event: Any) -> None:
        """Send an event (of `migmond.domain.events`) after the answer."""
        params = {"subscription": 1, "event": event, "missed": 0}
        self.later.append({"jsonrpc": "2.0", "method": "event", "params": params})

    def serve(self, handlers: Mapping[str, Handler], calls: list[tuple[str, dict[str, Any]]]) -> None:
        """Answer until the client leaves."""
        with self._stream, contextlib.suppress(HangUp, ConnectionError):
            while header := self._exactly(_HEADER_BYTES):
                request = msgspec.msgpack.decode(self._exactly(int.from_bytes(header, "big")))
                method, params = request["method"], request.get("params") or {}
                calls.append((method, params))
                answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
                try:
                    answer["result"] = _handler(handlers, method)(self, params)
                except Refusal as e:
                    answer["error"] = e.error
                frames = [msgspec.msgpack.encode(message) for message in (answer, *self.later)]
                # In one piece, as a busy daemon's answer and first events arrive.
                self._stream.sendall(b"".join(len(f).to_bytes(_HEADER_BYTES, "big") + f for f in frames))
                self.later.clear()
                if self.hang_up:
                    return

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length and (more := self._stream.recv(length - len(data))):
            data += more
        return data


class FakeDaemon:
    """A context manager that listens on `path` and answers each method with its handler.

    Args:
        handlers: by method; what a handler returns is the result (Structs or plain data).
    """

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self.path = str(path)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._handlers = handlers
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._start(self._accept)
        return self

    def __exit__(self, k: type[BaseException] | None, e: BaseException | None, t: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def parameters(self, method: str) -> list[dict[str, Any]]:
        """What `method` was called with, in order."""
        return [params for name, params in self.calls if name == method]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed: the test is over
            while True:
                stream, _ = self._listener.accept()
                connection = Connection(stream)
                self._start(lambda c=connection: c.serve(self._handlers, self.calls))  # type: ignore[misc]

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()
