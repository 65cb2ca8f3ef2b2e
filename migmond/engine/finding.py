"""Which execution somebody means."""

from __future__ import annotations

from collections.abc import Sequence

from migmond.domain.errors import Ambiguous, NotFound
from migmond.domain.execution import Execution
from migmond.domain.names import to_text
from migmond.domain.states import LIVE_EXECUTION_STATES
from migmond.engine.views import local_text

MIN_PREFIX = 3
"""Shortest id prefix that names an execution."""
_SHOWN = 5
"""Of several that match, so many are named in the error."""
_PATH_SHOWN = 60
"""Of a longer destination, the end."""


def named(seen: Sequence[Execution], name: str, *, newest: bool = False) -> Execution:
    """Return the one of `seen`, oldest first, that a unique prefix of its id or a unique name names.

    Of several with one name, the only live one is meant.

    Args:
        newest: else the newest is, of the live ones if there are any.

    Raises:
        NotFound: none.
        Ambiguous: more than one.
    """
    begins = [e for e in seen if len(name) >= MIN_PREFIX and e.id.startswith(name)]
    same = [e for e in seen if e.name == name]
    live = [e for e in same if e.state in LIVE_EXECUTION_STATES]
    if len(live) == 1 or (live and newest):
        same = live
    if newest:
        same = same[-1:]
    # A name that is also the beginning of another's id must not take its place: hints are made of such beginnings.
    matching = {e.id: e for e in (*begins, *same)}
    if len(matching) == 1:
        return next(iter(matching.values()))
    if matching:
        which = ", ".join(_told(e) for e in [*matching.values()][-_SHOWN:])
        raise Ambiguous(f"{len(matching)} migrations match {name!r}", hint=f"give the id of one: {which}")
    short = f"; the beginning of an id takes {MIN_PREFIX} characters" if len(name) < MIN_PREFIX else ""
    raise NotFound(f"no migration matches {name!r}", hint=f"migmon ls shows them all{short}")


def _told(execution: Execution) -> str:
    """What tells it from others of its name. The time is local, as people see it everywhere else."""
    path = to_text(execution.plan.destination)
    path = path if len(path) <= _PATH_SHOWN else f"…{path[1 - _PATH_SHOWN :]}"
    return f"{execution.id[:6]} ({execution.state} to {path}, begun {local_text(execution.created_at)})"
