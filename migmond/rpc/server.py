"""The listening side: binds or inherits the socket, admits peers, keeps connections."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections import Counter
from collections.abc import Callable, Sequence

import trio

from migmond.domain.errors import Conflict, InvalidInput, LimitExceeded, NotPermitted
from migmond.domain.identity import Role
from migmond.rpc.backend import Backend
from migmond.rpc.budget import Budget
from migmond.rpc.connection import Connection, Limits
from migmond.rpc.fanout import Fanout
from migmond.rpc.faults import error_object
from migmond.rpc.peer import RoleGroups, peer_of
from migmond.rpc.registry import Registry
from migmond.rpc.subscriptions import EventEncoder
from migmond.rpc.trickle import Trickle, Trickles
from migmond.wire.framing import frame
from migmond.wire.jsonrpc import Codec, Encoding, Failure

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


_PATH_BYTES = 107
"""sun_path has 108 and ends with a zero byte."""


def bind_socket(path: str, *, mode: int, backlog: int) -> socket.socket:
    """Bind and listen on a Unix socket. What a dead daemon left there is replaced; a live one's is not.

    Raises:
        InvalidInput: the path is too long for a socket.
        Conflict: a daemon answers there, or something that is no socket has the name.
        OSError: the directory is missing or not writable.
    """
    if (length := len(os.fsencode(path))) > _PATH_BYTES:
        raise InvalidInput(
            f"the socket's path has {length} bytes, the limit is {_PATH_BYTES}: {path}", hint="give a shorter --socket"
        )
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Conflict(f"{path} exists and is no socket", hint="choose another --socket, or remove it")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            except FileNotFoundError:
                pass
            else:
                raise Conflict(f"a daemon is serving {path} already", hint="use that one, or choose another --socket")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Nobody gets in between bind and chmod: what the mode should allow is decided by roles afterwards anyway.
        old = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(old)
        os.chmod(path, mode)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def has_room(role: Role, *, clients: int, of_user: int, most: int) -> bool:
    """Return whether one more connection is admitted.

    One user who is no admin gets at most a quarter of the places, and the last tenth is kept for admins: somebody has
    to be able to look what goes on.

    Args:
        role: of the peer that wants to connect.
        clients: how many are connected.
        of_user: how many of these have the peer's uid.
        most: how many there may be.
    """
    if role is Role.ADMIN:
        return clients < most
    return clients < most - most // 10 and of_user < max(1, most // 4)


class Server:
    """All connections of a daemon.

    Args:
        role_groups: how peers get their roles.
        max_connections: further ones are told so and closed.
        budget: what the connections of one user may hold in memory.
    """

    def __init__(
        self,
        registry: Registry,
        backend: Backend,
        limits: Limits,
        role_groups: RoleGroups,
        max_connections: int,
        budget: Budget,
        log: Callable[..., None],
    ) -> None:
        self._registry = registry
        self._backend = backend
        self._limits = limits
        self._role_groups = role_groups
        self._max_connections = max_connections
        self._budget = budget
        self._trickles = Trickles()
        self._log = log
        self._connections: set[Connection] = set()
        self._of_user: Counter[int] = Counter()
        self._encoder = EventEncoder()
        self._fanout = Fanout()
        self._accepting = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self.last_client_at = trio.current_time()

    @property
    def clients(self) -> int:
        return len(self._connections)

    @property
    def subscriptions(self) -> int:
        return sum(c.subscriptions for c in self._connections)

    async def serve(
        self,
        sockets: Sequence[socket.socket],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept until `stop`; `task_status.started()` once every socket accepts."""
        async with trio.open_nursery() as fanning:
            fanning.start_soon(self._fanout.run)
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                with self._accepting:
                    async with trio.open_nursery() as acceptors:
                        for sock in sockets:
                            acceptors.start_soon(self._accept, trio.socket.from_stdlib_socket(sock))
                        task_status.started()
            fanning.cancel_scope.cancel()

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, let running requests be answered within `grace_s` seconds, close all connections."""
        self._accepting.cancel()
        async with trio.open_nursery() as nursery:
            for connection in list(self._connections):
                nursery.start_soon(connection.stop, grace_s)

    async def _accept(self, listener: trio.socket.SocketType) -> None:
        while True:
            try:
                sock, _ = await listener.accept()
            except OSError as e:
                if e.errno not in _OUT_OF_RESOURCES and e.errno not in (errno.ECONNABORTED, errno.EINTR):
                    raise
                self._log("cannot accept", why=e.strerror)
                await trio.sleep(0.1)
                continue
            assert self._nursery is not None
            self._nursery.start_soon(self._admit, sock)

    async def _admit(self, sock: trio.socket.SocketType) -> None:
        stream = trio.SocketStream(sock)
        refusal: NotPermitted | LimitExceeded | None = None
        try:
            peer = peer_of(sock, self._role_groups)
        except OSError:
            peer = None  # it left before we looked
        if peer is None:
            refusal = NotPermitted(
                "you may not use this daemon", hint="ask to be put into group migmond, migmond-ro or migmond-admin"
            )
        elif not has_room(
            peer.role,
            clients=len(self._connections),
            of_user=self._of_user[peer.identity.uid],
            most=self._max_connections,
        ):
            refusal = LimitExceeded("too many clients are connected already", hint="close some, or try again later")
        if refusal is not None or peer is None:
            await self._refuse(stream, refusal)
            return
        share, trickle = self._budget.of(peer.identity.uid), Trickle(self._trickles)
        connection = Connection(
            stream,
            peer,
            self._registry,
            self._backend,
            self._limits,
            self._encoder,
            self._fanout,
            share,
            trickle,
            self._log,
        )
        self._connections.add(connection)
        self._of_user[peer.identity.uid] += 1
        try:
            await connection.run()
        except Exception as e:  # a bug in serving one client must not end the others and their migrations
            self._log("unexpected error in a connection", uid=peer.identity.uid, pid=peer.pid, exc_info=e)
        finally:
            self._connections.discard(connection)
            self._of_user -= Counter((peer.identity.uid,))
            self.last_client_at = trio.current_time()

    async def _refuse(self, stream: trio.SocketStream, refusal: NotPermitted | LimitExceeded | None) -> None:
        if refusal is not None:
            answer = Codec(Encoding.MSGPACK).encode(Failure(None, error_object(refusal, self._log)))
            with trio.move_on_after(1), contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(frame(answer))
        await trio.aclose_forcefully(stream)
