"""What holds for an execution, from all changes that are in force. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import UNSET

from migmond.domain.hold import Hold
from migmond.domain.limits import Limits
from migmond.domain.steering import (
    BatchSize,
    Move,
    Order,
    Prioritise,
    Reordering,
    Route,
    Skip,
    Standing,
    Throttle,
    Weight,
    Workers,
)

A = TypeVar("A")


def limits_of(plan: Limits, standing: Sequence[Standing]) -> Limits:
    """Return the limits that hold: those of the plan, each field as the latest change that sets it has it."""
    for change in standing:
        if isinstance(change.action, Throttle):
            told = {name: value for name, value in msgspec.structs.asdict(change.action).items() if value is not UNSET}
            plan = msgspec.structs.replace(plan, **told)
    return plan


def workers_of(plan: int | None, standing: Sequence[Standing]) -> int | None:
    """Return how many movers are wanted; None for as many as the daemon's default."""
    latest = _latest(standing, Workers)
    return latest.count if latest is not None else plan


def batch_entries_of(standing: Sequence[Standing]) -> int | None:
    """Return how many entries a batch may have; None when the daemon finds out."""
    latest = _latest(standing, BatchSize)
    return latest.entries or None if latest is not None else None


def order_of(standing: Sequence[Standing]) -> Order:
    """Return in which order pending entries begin."""
    latest = _latest(standing, Reordering)
    return latest.order if latest is not None else Order.SCANNED


def weight_of(standing: Sequence[Standing]) -> float:
    """Return the execution's share of what executions divide among themselves."""
    latest = _latest(standing, Weight)
    return latest.weight if latest is not None else 1.0


def rules_of(standing: Sequence[Standing]) -> list[Standing]:
    """Return the changes that concern some entries only, in the order in which they were made."""
    return [s for s in standing if isinstance(s.action, Prioritise | Move | Skip | Route)]


def whole_holds(holds: Sequence[Hold]) -> tuple[Hold, ...]:
    """Return the holds that cover everything."""
    return tuple(h for h in holds if h.selector.selects_all)


def held_whole(holds: Sequence[Hold]) -> bool:
    """Whether a hold covers everything."""
    return bool(whole_holds(holds))


def in_scan_order(standing: Sequence[Standing], holds: Sequence[Hold]) -> bool:
    """Whether pending entries begin in the order in which they were met, all of them."""
    return order_of(standing) is Order.SCANNED and not rules_of(standing) and len(whole_holds(holds)) == len(holds)


def next_hold_number(holds: Sequence[Hold], used: int = 0) -> int:
    """Return the number of the next hold: above those of `holds` and above `used`, the highest there ever was."""
    return max([used, *(int(h.id[1:]) for h in holds)]) + 1


def _latest(standing: Sequence[Standing], kind: type[A]) -> A | None:
    found = [s.action for s in standing if isinstance(s.action, kind)]
    return found[-1] if found else None
