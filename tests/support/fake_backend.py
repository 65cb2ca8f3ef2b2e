"""A backend that answers every method with a plain value and records who asked."""

from __future__ import annotations

import collections.abc
import enum
import inspect
import socket
import typing
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from migmond.domain import api
from migmond.domain.dashboards import DashboardList, DashboardView, PutDashboardParams
from migmond.domain.errors import NotFound
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.identity import Identity, Peer, Role
from migmond.domain.people import Link, OpenParams, Person, PersonSession, Token
from migmond.domain.plan import Plan, Source
from migmond.domain.states import ExecutionState
from migmond.engine.bus import EventBus
from migmond.engine.views import execution_view
from migmond.rpc.alert_backend import AlertBackend
from migmond.rpc.backend import Backend, Dashboards, People
from migmond.rpc.budget import Budget
from migmond.rpc.connection import Connection, Limits
from migmond.rpc.fanout import Fanout
from migmond.rpc.methods import standard_registry
from migmond.rpc.record_backend import RecordBackend
from migmond.rpc.registry import Registry
from migmond.rpc.subscriptions import EventEncoder
from migmond.rpc.system_backend import SystemBackend
from migmond.rpc.trickle import Trickle, Trickles


def an_execution(id_: str = "aaaaaaaaaaaa") -> api.ExecutionView:
    plan = Plan("photos", (Source(b"/src"),), b"/dst")
    execution = Execution(
        id_, 1, "photos", plan, Identity(1000, 1000), ExecutionState.RUNNING, 0.0, totals=Totals(Tally(10, 1000))
    )
    return execution_view(execution, None, 0.0)


class FakePeople:
    """Everybody's token is good."""

    def link(self, peer: Peer, role: str) -> Link:
        return Link("link", "ana", role, "")

    async def open(self, peer: Peer, params: OpenParams) -> Token:
        return Token("token", "1", "ana", 1000, "viewer", "")

    def assume(self, token: str) -> tuple[Peer, Person]:
        return Peer(Identity(1000, 1000), Role.VIEWER), Person("1", "ana", 1000, "viewer", "")

    def all(self, peer: Peer, own: str) -> tuple[PersonSession, ...]:
        return ()

    def close(self, peer: Peer, session_id: str) -> None:
        pass

    def is_open(self, session_id: str) -> bool:
        return True


class FakeDashboards:
    """Nobody has any."""

    def all(self, peer: Peer) -> DashboardList:
        return DashboardList(())

    def put(self, peer: Peer, params: PutDashboardParams) -> DashboardView:
        return DashboardView(params.dashboard, "")

    def remove(self, peer: Peer, name: str) -> None:
        pass


class FakeDesk:
    """Implements a protocol of a desk, such as `migmond.rpc.alert_backend.AlertBackend`, likewise."""

    def __init__(self, protocol: type, calls: list[tuple[str, Peer]]) -> None:
        self._protocol = protocol
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return answering(self._protocol, name, self._calls)


def answering(protocol: type, name: str, calls: list[tuple[str, Peer]]) -> Callable[..., Awaitable[Any]]:
    """Return what stands in for a method of `protocol`: it records who called and returns an empty result."""
    declared = inspect.getattr_static(protocol, name)  # a typo in a method shows here
    result = typing.get_type_hints(declared, vars(inspect.getmodule(protocol)))["return"]

    async def answer(peer: Peer, *_: object) -> Any:
        calls.append((name, peer))
        return empty(result)

    return answer


class FakeBackend:
    """Implements `migmond.rpc.backend.Backend` by `__getattr__`: unknown methods return an empty result."""

    def __init__(self) -> None:
        self.bus = EventBus(1, lambda: 0.0)
        self.people: People = FakePeople()
        self.dashboards: Dashboards = FakeDashboards()
        self.calls: list[tuple[str, Peer]] = []
        self.hidden: set[str] = set()
        self.gate: trio.Event | None = None
        self.entered = trio.Event()
        self.alerts = FakeDesk(AlertBackend, self.calls)
        self.system = FakeDesk(SystemBackend, self.calls)
        self.records = FakeDesk(RecordBackend, self.calls)

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
        return answering(Backend, name, self.calls)


def empty(kind: Any) -> Any:
    """Return the emptiest value of a result type."""
    samples = {str: "", int: 0, float: 0.0, bool: False, type(None): None}
    origin = typing.get_origin(kind)
    if kind in samples:
        return samples[kind]
    if isinstance(kind, enum.EnumMeta):
        return next(iter(kind))
    if origin is tuple:
        return ()
    if origin in (dict, collections.abc.Mapping):
        return {}
    if origin is not None:
        return None  # an optional value
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
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
