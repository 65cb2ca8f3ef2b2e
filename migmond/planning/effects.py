"""What a change of an execution means before it is made: from what to what, and how long it takes then. Pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from migmond.domain.execution import Execution, Tally
from migmond.domain.limits import Limits
from migmond.domain.names import to_text
from migmond.domain.plan import Plan
from migmond.domain.states import ExecutionState
from migmond.domain.steering import (
    Action,
    BatchSize,
    Cancel,
    Drain,
    Move,
    Pause,
    Prioritise,
    Reordering,
    Resume,
    Retry,
    Route,
    Skip,
    Standing,
    Throttle,
    Weight,
    Workers,
)
from migmond.planning.pace import work
from migmond.planning.phrases import limit_phrases, selector_phrase, told_limits
from migmond.planning.standing import batch_entries_of, limits_of, order_of, weight_of, workers_of

LIMITED = 0.9
"""An execution that reaches so much of its limit is slowed down by it: how fast it would be without, nobody knows."""


class Pace(msgspec.Struct, frozen=True):
    """How an execution goes right now.

    Attributes:
        left: what is neither settled nor in flight.
        bytes_per_s, entries_per_s: lately; None when nothing was measured.
        eta_s: seconds left by the forecast, None with a reason in `eta_reason`.
        workers: movers when nobody says how many.
    """

    left: Tally
    bytes_per_s: float | None
    entries_per_s: float | None
    eta_s: float | None
    eta_reason: str
    workers: int


class Eta(msgspec.Struct, frozen=True):
    """Seconds left with a change; None with a reason."""

    seconds: float | None
    reason: str = ""


def phrases(action: Action, now: Execution, then: Execution, pace: Pace) -> tuple[str, str]:
    """Return what changes, from what to what.

    Args:
        now, then: the execution without and with the change (`then` has it in its standing, holds or state).
    """
    match action:
        case Throttle():
            return throttle_phrases(told_limits(action), now.limits, then.limits, pace)
        case Workers():
            return _each(now, then, lambda e: f"workers {_workers(e, pace)}")
        case BatchSize():
            return _each(now, then, lambda e: f"batch {batch_entries_of(e.standing) or 'auto'}")
        case Reordering():
            return _each(now, then, lambda e: f"order {order_of(e.standing).value}")
        case Weight():
            return _each(now, then, lambda e: f"weight {weight_of(e.standing):g}")
        case Prioritise():
            return "in line", f"{action.level.value} priority: {selector_phrase(action.selector)}"
        case Move():
            return "in line", f"{action.place.value}: {selector_phrase(action.selector)}"
        case Skip():
            return "pending", f"skipped: {selector_phrase(action.selector)}"
        case Route():
            what = f" for {selector_phrase(action.selector)}" if not action.selector.selects_all else ""
            return f"to {_destination(now.plan)}", f"to {to_text(action.destination)}{what}"
        case Pause() | Resume() if not action.selector.selects_all:
            held, free = f"held: {selector_phrase(action.selector)}", "pending"
            return (free, held) if isinstance(action, Pause) else (held, free)
        case Retry():
            return "failed", "pending"
        case Pause() | Resume() | Cancel() | Drain():
            pass
    return now.state.value, then.state.value


def _workers(execution: Execution, pace: Pace) -> int:
    return workers_of(execution.plan.workers, execution.standing) or pace.workers


def throttle_phrases(names: frozenset[str], before: Limits, after: Limits, pace: Pace) -> tuple[str, str]:
    """Return what the limits `names` are before and after: those of them that change, if any does. What is not limited
    before is told as what is used."""
    names = frozenset(n for n in names if getattr(before, n) != getattr(after, n)) or names
    used = {"io_bytes_per_s": pace.bytes_per_s, "io_ops_per_s": pace.entries_per_s}
    return limit_phrases(before, names, used), limit_phrases(after, names, {})


def eta_with(
    action: Action, now: Execution, then: Execution, picked: Tally | None, pace: Pace, for_s: float | None
) -> Eta:
    """Return how long it takes when `action` is in force.

    Args:
        now, then: see `phrases`.
        picked: what a selector picks; None when it concerns the execution as such.
        for_s: seconds after which the change is taken back.
    """
    match action:
        case Throttle():
            return eta_with_limits(now.limits, then.limits, pace, for_s)
        case Skip():
            without = _less(pace, picked or Tally())
            if for_s is None or without.seconds is None or without.seconds <= for_s:
                return without
            return Eta(pace.eta_s)  # what is skipped comes back before the rest is done
        case Workers() if _workers(then, pace) == _workers(now, pace):
            return Eta(pace.eta_s, pace.eta_reason)
        case Workers():
            return Eta(None, "what another number of workers does is known when it is tried")
        case BatchSize() | Weight() | Reordering() | Prioritise() | Move():
            return Eta(pace.eta_s, pace.eta_reason)
        case Route():
            return Eta(None, "how fast the other destination is, is not known yet")
        case Pause():
            if for_s is not None and action.selector.selects_all and pace.eta_s is not None:
                return Eta(pace.eta_s + for_s)
            return Eta(None, "what is held waits until it is resumed")
        case Resume():
            return Eta(None, "known when it goes on")
        case Retry():
            return _less(pace, Tally(-picked.entries, -picked.bytes)) if picked else Eta(None, "known when it goes on")
        case Cancel() | Drain():
            pass
    return Eta(None, "it ends when what is in hand is settled")


def eta_with_limits(before: Limits, after: Limits, pace: Pace, for_s: float | None) -> Eta:
    """Return how long the rest takes under other limits: as now, but no faster than they allow.

    An execution that is held back by a limit (it reaches `LIMITED` of it) says nothing of what it would do without.
    """
    if pace.eta_s is None:
        return Eta(None, pace.eta_reason)
    if _loosened(before, after, pace):
        return Eta(None, "how fast it is without the present limit is not known")
    least = [pace.left.bytes / after.io_bytes_per_s] if after.io_bytes_per_s else []
    least += [pace.left.entries / after.io_ops_per_s] if after.io_ops_per_s else []
    limited = max([pace.eta_s, *least])
    if for_s is None or limited <= for_s:
        return Eta(limited)
    return Eta(for_s + pace.eta_s * (1 - for_s / limited))  # the rest of it as fast as now


def _loosened(before: Limits, after: Limits, pace: Pace) -> bool:
    rates = {"io_bytes_per_s": pace.bytes_per_s, "io_ops_per_s": pace.entries_per_s}
    for name, rate in rates.items():
        was, will = getattr(before, name), getattr(after, name)
        if was is not None and (will is None or will > was) and (rate is None or rate >= LIMITED * was):
            return True
    others = ("cpu_percent", "memory_bytes", "network_bytes_per_s", "timetable")
    return any(getattr(before, name) and getattr(before, name) != getattr(after, name) for name in others)


def _less(pace: Pace, saved: Tally) -> Eta:
    """Return how long it takes when `saved` is not to be done (less than nothing: when it is done as well)."""
    left = work(pace.left)
    if pace.eta_s is None or left <= 0:
        return Eta(None, pace.eta_reason or "nothing else is left to judge by")
    return Eta(pace.eta_s * max(0.0, left - work(saved)) / left)


def with_change(execution: Execution, change: Standing) -> Execution:
    """Return the execution as it is when `change` is in force as well."""
    return with_standing(execution, (*execution.standing, change))


def with_standing(execution: Execution, standing: tuple[Standing, ...]) -> Execution:
    """Return the execution as it is when `standing` is all that is in force."""
    limits = limits_of(execution.plan.limits, standing)
    return msgspec.structs.replace(execution, standing=standing, limits=limits)


def after_state(action: Action, now: Execution) -> ExecutionState:
    """Return the state in which `action` leaves an execution that runs or is paused."""
    match action:
        case Pause() if action.selector.selects_all:
            return ExecutionState.PAUSED
        case Resume() if action.selector.selects_all:
            return ExecutionState.RUNNING
        case Cancel():
            return ExecutionState.CANCELLING
        case Drain():
            return ExecutionState.DRAINING
    return now.state


def _destination(plan: Plan) -> str:
    return to_text(plan.destination)


def _each(now: Execution, then: Execution, phrase: Callable[[Execution], str]) -> tuple[str, str]:
    return phrase(now), phrase(then)
