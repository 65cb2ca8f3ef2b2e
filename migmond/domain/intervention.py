"""A recorded change to a running execution."""

from __future__ import annotations

import enum

import msgspec


class InterventionKind(enum.StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    DRAIN = "drain"
    LIMITS = "limits"


class Intervention(msgspec.Struct, frozen=True):
    """Who changed what, why, and how to take it back.

    Attributes:
        id: `i-1`, `i-2`, ... within the daemon.
        author: user name (or uid) of the peer, by the kernel's word; never taken from a message.
        at: wall clock seconds.
        before, after: one short phrase each, for people.
        undo: the command that takes it back, "" when nothing can.
    """

    id: str
    execution: str
    kind: InterventionKind
    author: str
    at: float
    reason: str
    before: str
    after: str
    undo: str = ""
