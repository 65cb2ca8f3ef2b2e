"""What happened to an execution and when: its phases and milestones, for charts and for people."""

from __future__ import annotations

import enum

import msgspec


class MilestoneKind(enum.StrEnum):
    """Journaled as text: never rename."""

    STATE = "state"
    """The execution has another state."""
    STAGE = "stage"
    """It is busy with something else."""
    SCANNED = "scanned"
    """All there is to do is known."""
    FIRST_BYTE = "first byte"
    """The first content arrived."""
    PERCENT = "percent"
    """So much is done; once for each, over all its runs."""
    HOLD = "hold"
    LIFTED = "lifted"
    """A hold was lifted or ended."""
    MOVER_DIED = "mover died"
    LEFT_OUT = "left out"
    """So much happened that the rest is not on record."""
    ORDER = "order"
    """It goes on in another order than was asked for."""
    INTERVENTION = "intervention"
    """Somebody changed something; on record with who did so and why (execution.interventions)."""


class Milestone(msgspec.Struct, frozen=True, array_like=True):
    """`at`: wall clock seconds."""

    at: float
    kind: MilestoneKind
    text: str
