"""The daemon, for one signed-in person at a time: connections that act for somebody, kept for the next request."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import trio

from migmond.client.aio import AsyncClient, connect
from migmond.client.errors import RemoteError, Unreachable
from migmond.domain.people import Person, TokenParams

MAX_PEOPLE = 200
"""Whose connections are kept: one each, for calls side by side."""
IDLE_S = 60.0


class SignedOut(Exception):
    """Nobody is signed in with that token (any more)."""


class _Forgotten(Exception):
    """A connection was given up while it was being opened."""


class _Line:
    """One person's connection. Calls share it."""

    def __init__(self) -> None:
        self.client: AsyncClient | None = None
        self.person: Person | None = None
        self.failure: Exception | None = None
        self.opening = trio.Lock()
        self.used_at = 0.0
        self.scope = trio.CancelScope()


class Daemon:
    """Calls the daemon for people. `run` has to run meanwhile.

    Args:
        path: of the daemon's socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep connections until cancelled; those that nobody has used for a minute are closed."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            while True:
                await trio.sleep(IDLE_S / 4)
                for token, line in list(self._lines.items()):
                    if trio.current_time() - line.used_at > IDLE_S:
                        self.forget(token)

    @contextlib.asynccontextmanager
    async def acting(self, token: str) -> AsyncIterator[tuple[AsyncClient, Person]]:
        """A connection of one's own that acts for the person who has `token`.

        Raises:
            SignedOut: nobody is signed in with it.
            Unreachable: no daemon answers.
        """
        async with connect(self._path) as client:
            yield client, await _assume(client, token)

    @contextlib.asynccontextmanager
    async def plain(self) -> AsyncIterator[AsyncClient]:
        """A connection that acts for nobody: to sign people in."""
        async with connect(self._path) as client:
            yield client

    async def call(self, token: str, method: str, params: Any) -> dict[str, Any]:
        """Call a method for the person who has `token`.

        Raises:
            SignedOut: nobody is signed in with it.
            RemoteError: the daemon refused.
            Unreachable: no daemon answers. It may have been restarted: a call that changes nothing is repeated once.
        """
        for attempt in range(2):
            line = await self._line(token)
            assert line.client is not None
            try:
                return await line.client.call(method, params, dict[str, Any])
            except Unreachable:
                self.forget(token)
                if attempt or not _only_looks(method):
                    raise
            except RemoteError as e:
                if e.kind == "not_permitted" and e.message == "that session is over":
                    self.forget(token)
                    raise SignedOut from e
                raise
        raise AssertionError("a second attempt returns or raises")

    async def person(self, token: str, *, fresh: bool = False) -> Person:
        """Return who has `token`. Raises as `call`.

        Args:
            fresh: ask the daemon, whatever was known before.
        """
        if fresh:
            async with self.acting(token) as (_, person):
                return person
        line = await self._line(token)
        assert line.person is not None
        return line.person

    def forget(self, token: str) -> None:
        """Close the connection that is kept for `token`."""
        line = self._lines.pop(token, None)
        if line is not None:
            line.scope.cancel()

    async def _line(self, token: str) -> _Line:
        assert self._nursery is not None
        while True:
            line = self._lines.get(token)
            if line is None:
                line = self._lines[token] = _Line()
            self._lines.move_to_end(token)
            line.used_at = trio.current_time()
            async with line.opening:
                if line.client is None and line.failure is None:
                    await self._nursery.start(self._hold, line, token)
            if line.failure is None:
                break
            if self._lines.get(token) is line:
                del self._lines[token]
            if not isinstance(line.failure, _Forgotten):
                raise line.failure
        while len(self._lines) > MAX_PEOPLE:
            self.forget(next(iter(self._lines)))
        return line

    async def _hold(self, line: _Line, token: str, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            with line.scope:
                async with self.acting(token) as (client, person):
                    line.client, line.person = client, person
                    task_status.started()
                    async for _ in client.events:  # there are none; they end with the connection
                        pass
        except (SignedOut, RemoteError, Unreachable) as e:
            line.failure = e
        if line.client is None:
            line.failure = line.failure or _Forgotten()
            task_status.started()
        if self._lines.get(token) is line:
            del self._lines[token]


async def _assume(client: AsyncClient, token: str) -> Person:
    try:
        return await client.call("session.assume", TokenParams(token), Person)
    except RemoteError as e:
        if e.kind in ("not_found", "not_permitted"):
            raise SignedOut from e
        raise


_LOOKING = frozenset(
    {
        "list", "get", "files", "errors", "interventions", "breakdown", "large_files", "batches", "timeline", "session",
        "why", "query", "series", "latest", "notes", "report", "compare", "since", "export", "hello", "methods",
        "status", "doctor",
    }
)  # fmt: skip
"""Second parts of methods that change nothing."""


def _only_looks(method: str) -> bool:
    return method.partition(".")[2] in _LOOKING
