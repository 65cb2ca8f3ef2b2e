"""Bytes and parameters that nobody would send, for every method, and what a daemon must make of them."""

from __future__ import annotations

import contextlib
import enum
import os
import random
import socket
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from as_user import as_user
from daemon import EmbeddedDaemon
from migmond.rpc.methods import standard_registry
from migmond.wire.framing import frame
from migmond.wire.jsonrpc import INTERNAL_ERROR
from several_users import ANA, OPERATORS, ROLES, SystemDaemon, gid, passable

T = TypeVar("T")

_TEXTS = (
    "", "x", "/", "//", "/..", "../../etc/shadow", "/proc/self/mem", "\0", "a\nb", "\x1b[2J", "\ufffd", "ü" * 300,
    "*" * 300, "[" * 200, "{a,b}" * 60, "(?{1})", "%s%n", "/" + "a/" * 3000, "a" * 70_000, "plan", "0" * 12, "ffffff",
    "\\xff", "\\", "completed", "created", "system.hello",
)  # fmt: skip
_NUMBERS = (0, -1, 1, 2, 255, 10_000, 2**31, 2**32, 2**53, 2**63 - 1, -(2**63), 2**64 - 1, 10**30)
_FLOATS = (0.0, -0.0, 1e-300, 1e300, -1.5, float("inf"), float("-inf"), float("nan"))
_DEEP = 60


class Fuzzer:
    """Makes messages, from harmless to absurd, by a seed.

    Args:
        rng: what decides.
        names: texts that mean something to the daemon at hand (ids, paths), so that some messages get far.
    """

    def __init__(self, rng: random.Random, names: tuple[str, ...] = ()) -> None:
        self._rng = rng
        self._texts = _TEXTS + names * 3
        self._methods = standard_registry().all()

    def request(self) -> dict[str, Any]:
        """A request for some method, with parameters that fit its type, nearly fit, or do not fit at all."""
        method = self._rng.choice(self._methods)
        params = self._of(method.params, 0)
        if self._rng.random() < 0.2:
            params = self._spoilt(params)
        message = {"jsonrpc": "2.0", "method": method.name, "id": self._rng.choice((1, "a", None, 2**63))}
        if self._rng.random() < 0.95:
            message["params"] = params
        if self._rng.random() < 0.03:
            message[self._rng.choice(("jsonrpc", "method", "id", "extra"))] = self._anything(0)
        return message

    def message(self) -> bytes:
        """A whole message as it travels: a frame or a line, a request or a batch, now and then with wrong bytes."""
        rng = self._rng
        content: Any = [self.request() for _ in range(rng.randrange(8))] if rng.random() < 0.1 else self.request()
        try:
            data = msgspec.msgpack.encode(content)
        except (OverflowError, msgspec.MsgspecError):  # 10**30 has no form there
            data = msgspec.json.encode(None)
        if rng.random() < 0.15:
            data = self._mangled(data)
        if rng.random() < 0.02:
            return rng.randbytes(rng.randrange(1, 400))
        return frame(data)

    def line(self) -> bytes:
        """The same as JSON."""
        content: Any = [self.request()] * self._rng.randrange(5) if self._rng.random() < 0.1 else self.request()
        data = msgspec.json.encode(content)
        return (self._mangled(data) if self._rng.random() < 0.15 else data).replace(b"\n", b" ") + b"\n"

    # --- pieces ------------------------------------------------------------------------------------

    def _of(self, kind: Any, depth: int) -> Any:
        """A value of a type of the API; seldom of another type."""
        rng = self._rng
        if rng.random() < 0.03:
            return self._anything(depth)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (typing.Union, types.UnionType):
            return self._of(rng.choice(arguments), depth)
        if origin is tuple:
            return [self._of(arguments[0], depth + 1) for _ in range(rng.choice((0, 1, 1, 2, 5, 300)))]
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            hints = typing.get_type_hints(kind)
            wanted = {f.name: f.required for f in msgspec.structs.fields(kind)}
            return {
                n: self._of(hints[n], depth + 1) for n, required in wanted.items() if required or rng.random() < 0.4
            }
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return rng.choice(list(kind)).value
        simple: dict[Any, Callable[[], Any]] = {
            str: lambda: rng.choice(self._texts),
            int: lambda: rng.choice((*_NUMBERS[:6], *_NUMBERS)),
            float: lambda: rng.choice((0.5, 1.0, 60.0, *_FLOATS)),
            bool: lambda: rng.random() < 0.5,
            type(None): lambda: None,
        }
        return simple.get(kind, lambda: self._anything(depth))()

    def _anything(self, depth: int) -> Any:
        rng = self._rng
        if depth < 4 and rng.random() < 0.3:
            return [self._anything(depth + 1) for _ in range(rng.randrange(4))]
        if depth < 4 and rng.random() < 0.3:
            return {rng.choice(self._texts)[:50]: self._anything(depth + 1) for _ in range(rng.randrange(4))}
        if rng.random() < 0.05:
            nested: Any = 1
            for _ in range(_DEEP):
                nested = [nested]
            return nested
        return rng.choice((*self._texts, *_NUMBERS[:-1], *_FLOATS[:4], None, True, False))

    def _spoilt(self, params: Any) -> Any:
        """The same with a field too many, too few, or of another type."""
        if not isinstance(params, dict):
            return params
        found = dict(params)
        if found and self._rng.random() < 0.5:
            found.pop(self._rng.choice(sorted(found)))
        found[self._rng.choice((*sorted(params), "uid", "role", "__class__"))] = self._anything(1)
        return found

    def _mangled(self, data: bytes) -> bytes:
        """Some bytes changed, left out or put in."""
        found = bytearray(data)
        for _ in range(self._rng.randrange(1, 5)):
            at = self._rng.randrange(len(found) + 1)
            match self._rng.randrange(3):
                case 0:
                    found[at : at + 1] = self._rng.randbytes(1)
                case 1:
                    del found[at : at + self._rng.randrange(1, 9)]
                case _:
                    found[at:at] = self._rng.randbytes(self._rng.randrange(1, 9))
        return bytes(found)


class Tally:
    """What came back. `internal` has the messages that were answered with an internal error."""

    def __init__(self) -> None:
        self.sent = self.results = self.refused = self.closed = 0
        self.internal: list[bytes] = []

    def add(self, other: Tally) -> None:
        self.sent += other.sent
        self.results += other.results
        self.refused += other.refused
        self.closed += other.closed
        self.internal += other.internal


@contextlib.contextmanager
def guarded_daemon(home: Path) -> Iterator[EmbeddedDaemon]:
    """A daemon that may be asked to move anything anywhere: root's serves us as somebody without rights."""
    if os.geteuid() != 0:
        with EmbeddedDaemon(home / "daemon") as daemon:
            yield daemon
        return
    passable(home)
    with SystemDaemon(home / "daemon", ROLES) as daemon:
        yield daemon


def trees_for(home: Path) -> tuple[str, ...]:
    """Make something to migrate; returns names that mean something."""
    source = home / "mine" / "source"
    source.mkdir(parents=True, exist_ok=True)
    (source / "file").write_bytes(b"x")
    if os.geteuid() == 0:
        for path in (source.parent, source, source / "file"):
            os.chown(path, ANA, ANA)
    return str(source), str(source.with_name("target")), "0123"


def as_peer(call: Callable[[], T]) -> T:
    """Call it as the user who has no rights, or as ourselves when we have none to lose."""
    return as_user(call, uid=ANA, gid=ANA, groups=(gid(OPERATORS),)) if os.geteuid() == 0 else call()


def converse(path: str, fuzzer: Fuzzer, messages: int, *, lines: bool, timeout_s: float = 60.0) -> Tally:
    """Send `messages` messages, one after the other, and read what each is answered; a closed connection is opened
    again.

    Raises:
        TimeoutError: no answer and no end came to something that has to have one.
        OSError: nobody listens there any more.
    """
    client: _Raw | None = None
    tally = Tally()
    for _ in range(messages):
        message = fuzzer.line() if lines else fuzzer.message()
        client = client or _Raw(path, timeout_s, lines=lines)
        tally.sent += 1
        answers = client.ask(message)
        if answers is None:
            tally.closed += 1
            client.close()
            client = None
            continue
        for answer in answers:
            if "error" not in answer:
                tally.results += 1
                continue
            tally.refused += 1
            if answer["error"]["code"] == INTERNAL_ERROR:
                tally.internal.append(message)
    if client is not None:
        client.close()
    return tally


class _Raw:
    """A connection that sends anything and tells its answers by a question that it asks behind each message."""

    def __init__(self, path: str, timeout_s: float, *, lines: bool) -> None:
        self._lines = lines
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._socket.settimeout(timeout_s)
        self._buffer = b""
        self._asked = 0
        if lines:
            self._socket.sendall(b"{}\n")  # the first byte chooses
            self._next()

    def close(self) -> None:
        self._socket.close()

    def ask(self, message: bytes) -> list[dict[str, Any]] | None:
        """What the message was answered; None when the daemon hung up, as it has to when it lost the thread."""
        self._asked += 1
        mark = f"mark {self._asked}"
        hello = {"jsonrpc": "2.0", "method": "system.hello", "id": mark}
        found: list[dict[str, Any]] = []
        try:
            self._socket.sendall(message)
            self._socket.sendall(
                msgspec.json.encode(hello) + b"\n" if self._lines else frame(msgspec.msgpack.encode(hello))
            )
            if not self._lines and not _whole(message):
                self._socket.shutdown(socket.SHUT_WR)  # else both ends would wait for the rest of it
            marked = False
            while not marked:
                answer = self._next()
                if answer is None:
                    return None
                answers = answer if isinstance(answer, list) else [answer]
                marked = any(a.get("id") == mark for a in answers)
                found += [a for a in answers if "method" not in a and a.get("id") != mark]
        except (BrokenPipeError, ConnectionResetError):
            return None
        return found

    def _next(self) -> Any:
        while True:
            if self._lines and b"\n" in self._buffer:
                line, self._buffer = self._buffer.split(b"\n", 1)
                return msgspec.json.decode(line)
            end = 4 + int.from_bytes(self._buffer[:4], "big")
            if not self._lines and len(self._buffer) >= max(4, end):
                payload, self._buffer = self._buffer[4:end], self._buffer[end:]
                return msgspec.msgpack.decode(payload)
            data = self._socket.recv(1 << 20)
            if not data:
                return None
            self._buffer += data


def _whole(message: bytes) -> bool:
    return len(message) >= 4 and len(message) == 4 + int.from_bytes(message[:4], "big")
