"""Clients that want nothing good, and how long the others wait because of them."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import select
import signal
import socket
import time
import traceback
from collections.abc import Iterator
from typing import Protocol

import msgspec
import psutil

from migmond.client.sync import Client
from migmond.domain import api

_ROUND_S = 0.5
_HURRIED_S = 0.05
_SPARE_FILES = 200
_READ_BYTES = 1 << 20
_READ_PAUSE_S = 0.02
"""Who reads all that has come 50 times a second is no reader who has to be waited for, and leaves the CPU to others."""


def room_for(clients: int) -> int:
    """Raise our own limit of open files; returns how many clients of `clients` it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return clients if hard < 0 else min(clients, hard - _SPARE_FILES)


@contextlib.contextmanager
def idle(path: str, count: int) -> Iterator[list[socket.socket]]:
    """Clients that connect and say nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_connected(path)) for _ in range(count)]


@contextlib.contextmanager
def trickling(path: str, count: int, *, hurried: bool = False) -> Iterator[None]:
    """Slow loris: each sends a byte of a long message every half second, ten times as often when `hurried`."""

    def send(client: socket.socket, *, fresh: bool) -> None:
        if fresh:
            client.send((10_000).to_bytes(4, "big"))
        client.send(b"x")

    with _busy(path, count, send, _HURRIED_S if hurried else _ROUND_S):
        yield


@contextlib.contextmanager
def deaf(path: str, count: int) -> Iterator[None]:
    """Each asks for the longest answer that there is every half second, and reads none."""

    def send(client: socket.socket, *, fresh: bool) -> None:
        with contextlib.suppress(BlockingIOError):
            client.setblocking(False)
            client.send(b'{"jsonrpc":"2.0","method":"system.methods","id":1}\n')

    with _busy(path, count, send, _ROUND_S):
        yield


class _Send(Protocol):
    def __call__(self, client: socket.socket, *, fresh: bool) -> None: ...


@contextlib.contextmanager
def _busy(path: str, count: int, send: _Send, round_s: float) -> Iterator[None]:
    """Let `count` clients act once in `round_s` seconds, evenly spread over them, in a process of their own; who
    is cut off connects again."""
    child = os.fork()
    if child == 0:
        try:
            _act_forever(path, count, send, round_s)
        except BaseException:  # whatever it is belongs on the screen, not past this fork
            traceback.print_exc()
        os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _act_forever(path: str, count: int, send: _Send, round_s: float) -> None:
    clients: list[socket.socket | None] = [None] * count
    began = time.monotonic()
    parent = os.getppid()
    for turn in itertools.count():
        if os.getppid() != parent:
            return  # nobody is left to end us
        time.sleep(max(0.0, began + turn * round_s / count - time.monotonic()))
        number = turn % count
        client = clients[number]
        try:
            if fresh := client is None:
                client = clients[number] = _connected(path)
            send(client, fresh=fresh)
        except OSError:
            if client is not None:
                client.close()
            clients[number] = None


def _connected(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)  # without a timeout: with one, a full backlog is an error at once
    client.settimeout(10)
    return client


def waits(path: str, calls: int, pause_s: float = 0.002) -> list[float]:
    """Seconds that each of `calls` calls of a client that behaves takes, in order of length; it pauses in between."""
    found = []
    with Client(path) as client:
        for _ in range(calls):
            began = time.perf_counter()
            client.call("execution.list", api.ListParams(), api.ExecutionPage)
            found.append(time.perf_counter() - began)
            if pause_s:
                time.sleep(pause_s)
    return sorted(found)


def percentile(ordered: list[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@contextlib.contextmanager
def subscribed(path: str, count: int, interval_s: float, *, deltas: bool = False) -> Iterator[None]:
    """Each has subscribed to everything, with so many seconds between two looks at one execution, and reads it all."""
    ready, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(ready)
            _read_on(path, count, {"interval_s": interval_s, "deltas": deltas}, theirs)
        except BaseException:  # whatever it is belongs on the screen, not past this fork
            traceback.print_exc()
        os._exit(1)
    os.close(theirs)
    try:
        if not os.read(ready, 1):
            raise RuntimeError("the subscribers did not come")
        yield
    finally:
        os.close(ready)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _read_on(path: str, count: int, params: dict[str, float | bool], ready: int) -> None:
    room_for(count)
    request = msgspec.msgpack.encode({"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": params})
    parent, poll = os.getppid(), select.epoll()
    clients = {}
    for _ in range(count):
        client = _connected(path)
        client.sendall(len(request).to_bytes(4, "big") + request)
        client.recv(_READ_BYTES)  # the answer, or its beginning
        clients[client.fileno()] = client
        poll.register(client, select.EPOLLIN)
    os.write(ready, b"1")
    while os.getppid() == parent:
        time.sleep(_READ_PAUSE_S)
        for fd, _ in poll.poll(1.0):
            clients[fd].recv(_READ_BYTES)


def cpu_share(pid: int, seconds: float) -> float:
    """What a process takes of one core in the next `seconds`."""
    process = psutil.Process(pid)
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (time.monotonic() - began)
