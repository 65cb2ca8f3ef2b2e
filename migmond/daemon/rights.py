"""Whose executions a peer may see and steer, and as whom movers act for it."""

from __future__ import annotations

import os
import pwd
from collections import defaultdict

import trio

from migmond.domain.errors import NotFound, NotPermitted
from migmond.domain.execution import Execution
from migmond.domain.identity import Identity, Peer, Role
from migmond.engine.manager import Engine

MAX_READS = 2
"""Requests of one user that read the journal at a time: what runs reads it as well, and waits behind them."""


class Rights:
    """Finds executions for peers.

    Attributes:
        reads: by uid; held while something is read from the journal for that user.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.reads: defaultdict[int, trio.CapacityLimiter] = defaultdict(lambda: trio.CapacityLimiter(MAX_READS))

    def may_see(self, peer: Peer, execution: str) -> bool:
        """Whether `peer` may see the execution of that id or name."""
        try:
            return sees(peer, self._engine.find(execution))
        except NotFound:
            return False

    def find(self, peer: Peer, name: str, *, newest: bool = False) -> Execution:
        """Return what `peer` may see under an id, a unique prefix of one, or a name; see `Engine.find`.

        Raises:
            NotFound: there is none that the peer may see.
        """
        return self._engine.find(name, lambda execution: sees(peer, execution), newest=newest)

    def steer(self, peer: Peer, name: str) -> Execution:
        """Return what `peer` may change under that id or name; of an own one, the rights of now count from here on.

        Raises:
            NotFound: there is none that the peer may see.
            NotPermitted: it is somebody else's.
        """
        execution = self.find(peer, name)
        if peer.role < Role.ADMIN and execution.identity.uid != peer.identity.uid:
            raise NotPermitted(f"{execution.name} belongs to uid {execution.identity.uid}", hint="ask an admin")
        if execution.identity.uid == peer.identity.uid and not execution.plan.privileged:
            return self._engine.adopt(execution, peer.identity)
        return execution

    def all_seen_by(self, peer: Peer) -> list[Execution]:
        """Return the executions that `peer` may see, in the order of `Engine.all`."""
        return [e for e in self._engine.all() if sees(peer, e)]

    def ids_seen_by(self, peer: Peer) -> frozenset[str] | None:
        """See the function of that name."""
        return ids_seen_by(self._engine, peer)


def ids_seen_by(engine: Engine, peer: Peer) -> frozenset[str] | None:
    """Return the ids of the executions that `peer` may see; None for all, those that are no more as well."""
    if peer.role is not Role.OPERATOR:
        return None
    return frozenset(e.id for e in engine.all() if sees(peer, e))


def sees(peer: Peer, execution: Execution) -> bool:
    """Operators see what is theirs: names of files are as private as the files. Viewers were given the sight of all."""
    return peer.role is not Role.OPERATOR or execution.identity.uid == peer.identity.uid


def mover_identity(peer: Peer, *, privileged: bool) -> Identity:
    """Return whom a mover acts as for `peer`.

    Raises:
        NotPermitted: root was asked for, and this daemon is not root.
    """
    if not privileged:
        return peer.identity
    if os.geteuid() != 0:
        raise NotPermitted("this daemon has no rights but yours", hint="a privileged migration needs the system daemon")
    return Identity(0, 0, ())


def author(peer: Peer) -> str:
    """Return who made a change, for people: the name of the peer's uid, or the uid when it has none."""
    try:
        return pwd.getpwuid(peer.identity.uid).pw_name
    except KeyError:
        return f"uid {peer.identity.uid}"
