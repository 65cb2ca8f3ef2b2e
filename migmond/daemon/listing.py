"""Which executions a list has, in which order, and how many of them fit a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from migmond.domain import api
from migmond.domain.errors import InvalidInput
from migmond.domain.execution import Execution
from migmond.domain.names import to_text
from migmond.domain.states import ExecutionState

_VIEW_BYTES = 2_000
"""Of one without its paths and holds."""
_PART_BYTES = 200
"""Of a hold or a change without its texts."""
_MAX_PAGE_BYTES = 4 << 20
_STATES = frozenset(s.value for s in ExecutionState)
_STATE_ORDER = ("failed", "completed_with_errors", "paused", "cancelling", "draining", "running", "waiting", "created")
"""Worst first; all others come after."""
_LONGEST = 4096
"""Characters of what is searched for: no path is longer."""


def wanted(params: api.ListParams) -> Callable[[Execution], bool]:
    """Return what tells of an execution whether it is listed.

    Raises:
        InvalidInput: there is no such state, or the text that is searched for is longer than any path.
    """
    if unknown := sorted(set(params.states) - _STATES):
        hint = f"states are {', '.join(sorted(_STATES))}"
        raise InvalidInput(f"there is no state {unknown[0][:40]!r}", hint=hint, field="states")
    if len(params.search) > _LONGEST:
        raise InvalidInput(f"nothing is longer than {_LONGEST} characters", hint="search for less", field="search")
    states, text = frozenset(params.states or _STATES), params.search.strip().casefold()
    return lambda e: e.state.value in states and (not text or any(text in told.casefold() for told in _texts(e)))


def _texts(execution: Execution) -> list[str]:
    """Return what people know it by. Paths as they are shown: that is what people copy."""
    plan = execution.plan
    paths = [*(s.path for s in plan.sources), plan.destination, *(d.path for d in execution.further)]
    return [execution.name, execution.id, *map(to_text, paths)]


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
    """Return the key of an order as ListParams has it. Raises InvalidInput: there is no such order."""
    order = {state: i for i, state in enumerate(_STATE_ORDER)}
    keys: dict[str, Callable[[api.ExecutionView], tuple[object, ...]]] = {
        "name": lambda v: (v.name,),
        "state": lambda v: (order.get(v.state, len(order)), v.name),
        "rate": lambda v: (-(v.progress.bytes_per_s or 0.0),),
        "eta": lambda v: (v.progress.seconds_remaining is None, v.progress.seconds_remaining or 0.0),
    }
    if sort not in keys:
        raise InvalidInput(f"cannot sort by {sort!r}", hint=f"sort by created, {', '.join(keys)}", field="sort")
    return keys[sort]
