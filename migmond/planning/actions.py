"""What somebody asks to change about a running execution becomes an Action, or a clear error."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from migmond.domain.errors import InvalidInput, LimitExceeded, about
from migmond.domain.execution import Execution
from migmond.domain.limits import MAX_INTEGER, Limits
from migmond.domain.names import to_text
from migmond.domain.plan import Plan
from migmond.domain.selector import Selector
from migmond.domain.steering import (
    Action,
    BatchSize,
    Cancel,
    Drain,
    Move,
    Pause,
    Place,
    Prioritise,
    Reordering,
    Resume,
    Retry,
    Route,
    Skip,
    StandingAction,
    Throttle,
    Weight,
    Workers,
)
from migmond.domain.steering_api import (
    ActionSpec,
    MoveSpec,
    PauseSpec,
    PrioritiseSpec,
    ResumeSpec,
    RetrySpec,
    RouteSpec,
    SkipSpec,
)
from migmond.planning.plans import MAX_WORKERS, absolute_path, check_limits, refuse_overlaps
from migmond.planning.selection import selector_of

MAX_IN_FORCE = 100
"""Changes of one execution, and holds of one: each is part of its row, which every transaction writes."""
MAX_SELECTOR = 4_000
"""Characters of a selector that an execution carries with it."""
MAX_IN_FORCE_TEXT = 64 * 1024
"""Characters of all of them together."""
MAX_DESTINATIONS = 16
"""Further ones of an execution: each mover keeps one descriptor open for each source at each of them."""
MAX_FOR_S = 10 * 366 * 86400.0
MAX_BATCH = 4000
"""Entries: the largest that a mover is ever given, see `planning.batching.MAX_LIMIT`."""
MAX_CPU_PERCENT = 100_000.0
"""A thousand cores."""
MAX_PER_S = 1e12
MIN_WEIGHT, MAX_WEIGHT = 0.01, 1000.0
MAX_TIMETABLE = 2_000

LASTING = StandingAction | Pause


def action_of(spec: ActionSpec, plan: Plan, before: int = 0) -> Action:
    """Parse what is to be changed about an execution of `plan`.

    Args:
        before: number of the task that a MoveSpec names, which only the journal knows.

    Raises:
        InvalidInput: a number, size or path is out of range, or a selector makes no sense.
        PlanInfeasible: another destination lies inside a source, or is one.
    """
    match spec:
        case Throttle():
            return _throttle(spec)
        case Workers():
            with about("count"):
                _within("workers", spec.count, 1, MAX_WORKERS)
        case BatchSize():
            with about("entries"):
                _within("a batch's entries", spec.entries, 0, MAX_BATCH, hint="0 lets the daemon find out")
        case Weight():
            with about("weight"):
                _within("weight", spec.weight, MIN_WEIGHT, MAX_WEIGHT)
        case PrioritiseSpec():
            return Prioritise(_some(spec, "priority"), spec.level)
        case MoveSpec():
            return _move(spec, before)
        case SkipSpec():
            return Skip(_some(spec, "skip"))
        case RouteSpec():
            return _route(spec, plan)
        case PauseSpec():
            return Pause(_selector(spec))
        case ResumeSpec():
            return Resume(_selector(spec))
        case RetrySpec():
            return Retry(_selector(spec))
        case Reordering() | Cancel() | Drain():
            pass
    return spec


def checked_for_s(for_s: float | None, action: Action) -> float | None:
    """Return after how many seconds `action` is to be taken back by itself.

    Raises:
        InvalidInput: it is no time that makes sense, or of something that does not last.
    """
    if for_s is None:
        return None
    if not isinstance(action, LASTING):
        raise InvalidInput("this does not last, so it cannot end by itself", hint="leave --for out", field="for_s")
    if not 0 < for_s < MAX_FOR_S:
        what = "a pause" if isinstance(action, Pause) else "a change"
        raise InvalidInput(
            f"{what} of {for_s} s makes no sense", hint="give e.g. --for 2h, or leave it out", field="for_s"
        )
    return for_s


def refuse_too_many(execution: Execution, action: Action) -> None:
    """Raise LimitExceeded when no further change or hold may be put on an execution."""
    if isinstance(action, Pause) and len(execution.holds) >= MAX_IN_FORCE:
        raise LimitExceeded(f"{execution.name} has {MAX_IN_FORCE} holds already", hint="migmon resume lifts them")
    if not isinstance(action, StandingAction):
        if isinstance(action, Pause):
            _refuse_too_long(execution, action.selector)
        return
    if len(execution.standing) >= MAX_IN_FORCE:
        raise LimitExceeded(
            f"{MAX_IN_FORCE} changes of {execution.name} are in force already",
            hint=f"take some back: migmon interventions {execution.id[:6]} lists them, migmon undo takes back the last",
        )
    if isinstance(action, Route) and len(execution.further) >= MAX_DESTINATIONS:
        known = [d.path for d in execution.further]
        if action.destination not in known:
            raise LimitExceeded(
                f"{execution.name} has {MAX_DESTINATIONS} further destinations, the limit",
                hint=f"send it to one of those, such as {to_text(known[-1])}",
            )
    _refuse_too_long(execution, getattr(action, "selector", Selector()), len(getattr(action, "destination", b"")))


def _refuse_too_long(execution: Execution, selector: Selector, more: int = 0) -> None:
    """`more`: characters of what the change carries besides."""
    held = [h.selector for h in execution.holds]
    there = [*held, *(getattr(s.action, "selector", Selector()) for s in execution.standing), selector]
    paths = sum(len(s.action.destination) for s in execution.standing if isinstance(s.action, Route))
    if sum(map(_length, there)) + paths + more > MAX_IN_FORCE_TEXT:
        raise LimitExceeded(
            f"the selectors of what is in force for {execution.name} are too long together",
            hint="take some back, or use wildcards",
        )


def _length(selector: Selector) -> int:
    s = selector
    return len(s.under) + sum(map(len, (*s.include, *s.exclude, *s.types, *s.states, *s.errors)))


def _throttle(spec: Throttle) -> Throttle:
    bounds = {
        "cpu_percent": MAX_CPU_PERCENT,
        "memory_bytes": MAX_INTEGER,
        "io_bytes_per_s": MAX_INTEGER,
        "io_ops_per_s": MAX_PER_S,
        "network_bytes_per_s": MAX_INTEGER,
    }
    told = {name: value for name, value in msgspec.structs.asdict(spec).items() if value is not UNSET}
    if not told:
        raise InvalidInput("no limit is given", hint="give e.g. --io 50MiB/s, or --off to lift all of them")
    for name, most in bounds.items():
        value = told.get(name)
        if value is not None and not 0 < value < most:  # this way round NaN is refused too
            hint = "null is unlimited; to stop, use pause" if not value else f"above 0 and below {most:g}"
            raise InvalidInput(f"limit {name} is {value}", hint=hint, field=name)
    timetable = told.get("timetable", "")
    if len(timetable) > MAX_TIMETABLE or not timetable.isprintable():
        hint = 'write e.g. "08:00,20MiB 19:00,off"'
        raise InvalidInput("the timetable is too long or not printable", hint=hint, field="timetable")
    check_limits(Limits(**told))
    return spec


def _within(what: str, value: float, least: float, most: float, hint: str = "to stop, use pause") -> None:
    if not least <= value <= most:
        raise InvalidInput(f"{what}: {least:g} to {most:g}, not {value:g}", hint=hint)


def _selector(
    spec: PrioritiseSpec | MoveSpec | SkipSpec | RouteSpec | PauseSpec | ResumeSpec | RetrySpec,
) -> Selector:
    with about("selector"):
        selector = selector_of(spec.selector)
        if _length(selector) > MAX_SELECTOR:
            raise InvalidInput(
                f"a selector of {_length(selector):,} characters, the limit is {MAX_SELECTOR:,}",
                hint="use wildcards, or several changes",
            )
    return selector


def _some(spec: PrioritiseSpec | MoveSpec | SkipSpec, what: str) -> Selector:
    """What concerns some before others makes no sense for all of them."""
    selector = _selector(spec)
    if selector.selects_all:
        hint = "give e.g. --type video or --under DIR" + ("; to end all of it: migmon cancel" if what == "skip" else "")
        raise InvalidInput(f"{what}: of which entries? no selector is given", hint=hint, field="selector")
    return selector


def _move(spec: MoveSpec, before: int) -> Move:
    if (spec.place is Place.BEFORE) != bool(spec.before):
        raise InvalidInput(
            "`before` goes with the place before, and with that only", hint="--before PATH", field="before"
        )
    return Move(_some(spec, "reorder"), spec.place, before if spec.place is Place.BEFORE else 0)


def _route(spec: RouteSpec, plan: Plan) -> Route:
    selector = _selector(spec)
    with about("destination"):
        destination = absolute_path(spec.destination, "destination")
        if destination == plan.destination:
            raise InvalidInput(
                "this is the plan's destination: everything goes there already", hint="give another directory"
            )
    refuse_overlaps(plan.sources, destination)
    return Route(selector, destination)


def selector_of_action(action: Action) -> Selector | None:
    """Return which entries `action` concerns; None when it concerns the execution as such."""
    found: Selector | None = getattr(action, "selector", None)
    if found is None or (found.selects_all and isinstance(action, Pause | Resume)):
        return None
    return found
