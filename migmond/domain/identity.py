"""Who asks: the kernel's word about the peer of a socket, and the role it gives."""

from __future__ import annotations

import enum

import msgspec


class Role(enum.IntEnum):
    """What a peer may do. A higher role includes the lower ones."""

    GUEST = 0
    """Asks nothing for itself: the web gateway (group migmond-web), until somebody has signed in through it."""
    VIEWER = 1
    """Reads everything, changes nothing (group migmond-ro)."""
    OPERATOR = 2
    """Runs and steers executions of its own, under its own uid (group migmond)."""
    ADMIN = 3
    """Steers everybody's executions, may ask for a privileged mover (root, group migmond-admin)."""


class Identity(msgspec.Struct, frozen=True):
    """The credentials a mover takes on. The journal keeps them, so that a resume runs as the same user."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


class Peer(msgspec.Struct, frozen=True):
    """One connected client, as SO_PEERCRED and SO_PEERGROUPS describe it. `pid` is for logs only (racy)."""

    identity: Identity
    role: Role
    pid: int = 0
