"""Who is at the other end of a socket, by the kernel's word, and what that makes of them."""

from __future__ import annotations

import errno
import select
import socket
import struct
from functools import partial
from typing import Protocol

import msgspec

from migmond.domain.identity import Identity, Peer, Role

_SO_PEERGROUPS = 59
_MAX_GROUPS = 65536
_CREDENTIALS = struct.Struct("iII")
"""pid, uid, gid: ids above 2**31 are in use (containers)."""


class RoleGroups(msgspec.Struct, frozen=True):
    """Which groups give which role. None: there is no such group here. `gateway_gid`: the web gateway's.

    `user_daemon_uid`: this is a per-user daemon of that uid; it serves that user (as admin) and root, nobody else.
    """

    admin_gid: int | None = None
    operator_gid: int | None = None
    viewer_gid: int | None = None
    user_daemon_uid: int | None = None
    gateway_gid: int | None = None


def role_of(identity: Identity, groups: RoleGroups) -> Role | None:
    """Return the highest role that `identity` has, None for no access."""
    if identity.uid == 0:
        return Role.ADMIN
    if groups.user_daemon_uid is not None:
        return Role.ADMIN if identity.uid == groups.user_daemon_uid else None
    member = {identity.gid, *identity.groups}
    for gid, role in (
        (groups.admin_gid, Role.ADMIN),
        (groups.operator_gid, Role.OPERATOR),
        (groups.viewer_gid, Role.VIEWER),
        (groups.gateway_gid, Role.GUEST),
    ):
        if gid is not None and gid in member:
            return role
    return None


class _HasOptions(Protocol):
    """A socket of the standard library or of trio."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...


def credentials_of(sock: _HasOptions) -> tuple[Identity, int]:
    """Return identity and pid of the process that connected. Raises OSError."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Identity(uid, gid, _groups_of(partial(sock.getsockopt, socket.SOL_SOCKET, _SO_PEERGROUPS))), pid


def _groups_of(ask: partial[bytes]) -> tuple[int, ...]:
    size = 1024
    while True:
        try:
            raw = ask(size)
        except OSError as e:
            if e.errno == errno.ERANGE and size < _MAX_GROUPS * 4:
                size *= 4
                continue
            raise
        return struct.unpack(f"{len(raw) // 4}I", raw)


def has_left(fd: int) -> bool:
    """Return whether the process at the other end of a connected Unix socket has closed it, both ways: one that only
    sends no more still reads."""
    poll = select.poll()
    poll.register(fd, 0)
    return any(flags & (select.POLLHUP | select.POLLERR) for _, flags in poll.poll(0))


def peer_of(sock: _HasOptions, groups: RoleGroups) -> Peer | None:
    """Return the peer with its role, or None when it has no access."""
    identity, pid = credentials_of(sock)
    role = role_of(identity, groups)
    return None if role is None else Peer(identity, role, pid)
