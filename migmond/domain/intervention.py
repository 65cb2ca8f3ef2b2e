"""A recorded change to a running execution."""

from __future__ import annotations

import enum

import msgspec

from migmond.domain.steering import Action

EXPIRED = "expired"
"""Stands for whoever took a change back that was for so long only."""


class InterventionKind(enum.StrEnum):
    """What was changed; the values are the tags of `migmond.domain.steering.Action`, but for the first."""

    LIMITS = "limits"
    """By an older version."""
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    DRAIN = "drain"
    THROTTLE = "throttle"
    WORKERS = "workers"
    BATCH_SIZE = "batch_size"
    ORDER = "order"
    WEIGHT = "weight"
    PRIORITY = "priority"
    REORDER = "reorder"
    SKIP = "skip"
    ROUTE = "route"
    RETRY = "retry"
    ROLLBACK = "rollback"
    RECOVER = "recover"
    STOP_ALL = "stop_all"


class Intervention(msgspec.Struct, frozen=True):
    """Who changed what, why, and how to take it back.

    Attributes:
        id: `i-1`, `i-2`, ... within the daemon.
        author: user name (or uid) of the peer, by the kernel's word; never taken from a message. A component's name
            (`engine`, `alert NAME`) when nobody asked.
        at: wall clock seconds.
        before, after: one short phrase each, for people.
        undo: the command that takes it back, "" when nothing can.
        action: what was asked for; None when an older version recorded it.
        until: wall clock seconds at which it is over by itself.
        entries, bytes: what it concerned when it was made; None when that is the whole execution.
        automatic: a component did it.
        ended_at: wall clock seconds at which it was taken back or was over; None while it is in force, and for what
            does not last.
        ended_by: who took it back, or `expired`.
        ended_reason: why they did, one sentence, or "".
        request_id: what its author called the request: repeated, it changes nothing.
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
    action: Action | None = None
    until: float | None = None
    entries: int | None = None
    bytes: int | None = None
    automatic: bool = False
    ended_at: float | None = None
    ended_by: str = ""
    ended_reason: str = ""
    request_id: str = ""
