"""Which executions a page of their list has, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from migmond.domain import api
from migmond.domain.errors import InvalidInput
from migmond.domain.execution import Execution
from migmond.domain.states import ExecutionState

_VIEW_BYTES = 2_000
"""Of one without its paths and holds."""
_PART_BYTES = 200
"""Of a hold or a change without its texts."""
_MAX_PAGE_BYTES = 4 << 20
_STATES = frozenset(s.value for s in ExecutionState)
_STATE_ORDER = ("failed", "completed_with_errors", "paused", "cancelling", "draining", "running", "waiting", "created")
"""Worst first; all others come after."""


def in_states(executions: list[Execution], states: Sequence[str]) -> list[Execution]:
    """Return those that are in one of `states`; all of them when there are none.

    Raises:
        InvalidInput: there is no such state.
    """
    if unknown := sorted(set(states) - _STATES):
        raise InvalidInput(f"there is no state {unknown[0][:40]!r}", hint=f"states are {', '.join(sorted(_STATES))}")
    return [e for e in executions if e.state.value in states] if states else executions


def that_fit(views: list[api.ExecutionView]) -> Iterator[api.ExecutionView]:
    """Yield as many as a page may hold, at least one: a few plans of a thousand sources would fill a frame."""
    size = 0
    for view in views:
        size += _VIEW_BYTES + len(view.destination) + sum(map(len, view.sources))
        size += sum(_PART_BYTES + len(h.note) + len(h.covers) for h in view.holds)
        size += sum(_PART_BYTES + len(c.what) + len(c.reason) for c in view.changes)
        if size > _MAX_PAGE_BYTES and view is not views[0]:
            return
        yield view


def sort_key(sort: str) -> Callable[[api.ExecutionView], tuple[object, ...]]:
    """Return what puts executions in an order that people ask for.

    Raises:
        InvalidInput: there is no such order.
    """
    order = {state: i for i, state in enumerate(_STATE_ORDER)}
    keys: dict[str, Callable[[api.ExecutionView], tuple[object, ...]]] = {
        "name": lambda v: (v.name,),
        "state": lambda v: (order.get(v.state, len(order)), v.name),
        "rate": lambda v: (-(v.progress.bytes_per_s or 0.0),),
        "eta": lambda v: (v.progress.seconds_remaining is None, v.progress.seconds_remaining or 0.0),
    }
    if sort not in keys:
        raise InvalidInput(f"cannot sort by {sort!r}", hint=f"sort by created, {', '.join(keys)}")
    return keys[sort]
