"""A backend that answers every method with a plain value and records who asked."""

from __future__ import annotations

import inspect
import socket
import typing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from migmond.domain import api
from migmond.domain.errors import NotFound
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.identity import Identity, Peer, Role
from migmond.domain.plan import Plan, Source
from migmond.domain.states import ExecutionState
from migmond.engine.bus import EventBus
from migmond.engine.views import execution_view
from migmond.rpc.backend import Backend
from migmond.rpc.budget import Budget
from migmond.rpc.connection import Connection, Limits
from migmond.rpc.fanout import Fanout
from migmond.rpc.methods import standard_registry
from migmond.rpc.registry import Registry
from migmond.rpc.subscriptions import EventEncoder
from migmond.rpc.trickle import Trickle, Trickles


def an_execution(id_: str = "aaaaaaaaaaaa") -> api.ExecutionView:
    plan = Plan("photos", (Source(b"/src"),), b"/dst")
    execution = Execution(
        id_, 1, "photos", plan, Identity(1000, 1000), ExecutionState.RUNNING, 0.0, totals=Totals(Tally(10, 1000))
    )
    return execution_view(execution, None, 0.0)


class FakeBackend:
    """Implements `migmond.rpc.backend.Backend` by `__getattr__`: unknown methods return an empty result."""

    def __init__(self) -> None:
        self.bus = EventBus(1, lambda: 0.0)
        self.calls: list[tuple[str, Peer]] = []
        self.hidden: set[str] = set()
        self.gate: trio.Event | None = None
        self.entered = trio.Event()

    def may_see(self, peer: Peer, execution: str) -> bool:
        return execution not in self.hidden

    async def get_execution(self, peer: Peer, execution_id: str, *, newest: bool = False) -> api.ExecutionView:
        self.calls.append(("get_execution", peer))
        if execution_id == "missing":
            raise NotFound("no migration matches 'missing'", hint="migmon ls")
        if execution_id == "slow" and self.gate is not None:
            await self.gate.wait()
        if execution_id == "bug":
            raise ZeroDivisionError("secret inside")
        return an_execution()

    async def list_executions(self, peer: Peer, params: api.ListParams) -> api.ExecutionPage:
        self.calls.append(("list_executions", peer))
        if self.gate is not None:
            self.entered.set()
            await self.gate.wait()
        return api.ExecutionPage((an_execution(),), 1)

    def __getattr__(self, name: str) -> Any:
        declared = inspect.getattr_static(Backend, name)  # a typo in a method shows here
        result = typing.get_type_hints(declared, vars(inspect.getmodule(Backend)))["return"]

        async def answer(peer: Peer, *_: object) -> Any:
            self.calls.append((name, peer))
            return empty(result)

        return answer


def empty(kind: Any) -> Any:
    """Return the emptiest value of a result type."""
    samples = {str: "", int: 0, float: 0.0, bool: False, type(None): None}
    origin = typing.get_origin(kind)
    if kind in samples:
        return samples[kind]
    if origin is tuple:
        return ()
    if origin is dict:
        return {}
    if origin is not None:
        return None  # an optional value
    if kind is api.ExecutionView:
        return an_execution()
    return kind(**{f.name: empty(f.type) for f in msgspec.structs.fields(kind) if f.required})


class Lines:
    """A raw client: sends bytes, reads lines or frames."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def ask(self, *messages: Any) -> Any:
        """Send JSON messages as lines and return one answer."""
        for message in messages:
            await self.send(msgspec.json.encode(message) + b"\n")
        return await self.line()

    async def line(self) -> Any:
        """Return the next JSON line, None at the end of the stream."""
        while b"\n" not in self._buffer:
            with trio.fail_after(10):
                data = await self.stream.receive_some(65536)
            if not data:
                return None
            self._buffer += bytes(data)
        line, self._buffer = self._buffer.split(b"\n", 1)
        return msgspec.json.decode(line)

    async def frame(self) -> Any:
        """Return the next msgpack frame, None at the end of the stream."""
        while len(self._buffer) < 4 or len(self._buffer) < 4 + int.from_bytes(self._buffer[:4], "big"):
            with trio.fail_after(10):
                data = await self.stream.receive_some(65536)
            if not data:
                return None
            self._buffer += bytes(data)
        end = 4 + int.from_bytes(self._buffer[:4], "big")
        payload, self._buffer = self._buffer[4:end], self._buffer[end:]
        return msgspec.msgpack.decode(payload)


@asynccontextmanager
async def connected(
    backend: FakeBackend,
    role: Role = Role.ADMIN,
    limits: Limits | None = None,
    registry: Registry | None = None,
    log: list[dict[str, Any]] | None = None,
    budget: Budget | None = None,
    trickles: Trickles | None = None,
) -> AsyncIterator[Lines]:
    """Serve one real connection over a socketpair."""
    ours, theirs = socket.socketpair()
    records = log if log is not None else []
    fanout = Fanout()
    connection = Connection(
        trio.SocketStream(trio.socket.from_stdlib_socket(theirs)),
        Peer(Identity(1000, 1000), role),
        registry or standard_registry(),
        typing.cast("Backend", backend),
        limits or Limits(),
        EventEncoder(),
        fanout,
        (budget or Budget(1 << 30)).of(1000),
        Trickle(trickles or Trickles()),
        lambda message, **fields: records.append({"message": message, **fields}),
    )
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    async with trio.open_nursery() as nursery, stream:
        nursery.start_soon(fanout.run)
        nursery.start_soon(connection.run)
        yield Lines(stream)
        nursery.cancel_scope.cancel()
