"""Which execution somebody means."""

from __future__ import annotations

from collections.abc import Sequence

from migmond.domain.errors import NotFound
from migmond.domain.execution import Execution
from migmond.domain.states import LIVE_EXECUTION_STATES
from migmond.engine.views import time_text

MIN_PREFIX = 3
"""Shortest id prefix that names an execution."""
_SHOWN = 5
"""Of several that match, so many are named in the error."""


def named(seen: Sequence[Execution], name: str) -> Execution:
    """Return the one of `seen`, oldest first, that a unique prefix of its id or a unique name names.

    Of several with one name, the only live one is meant.

    Raises:
        NotFound: none, or more than one.
    """
    begins = [e for e in seen if len(name) >= MIN_PREFIX and e.id.startswith(name)]
    same = [e for e in seen if e.name == name]
    live = [e for e in same if e.state in LIVE_EXECUTION_STATES]
    if len(live) == 1:
        same = live
    # A name that is also the beginning of another's id must not take its place: hints are made of such beginnings.
    matching = {e.id: e for e in (*begins, *same)}
    if len(matching) == 1:
        return next(iter(matching.values()))
    if matching:
        newest = [*matching.values()][-_SHOWN:]
        which = ", ".join(f"{e.id[:6]} ({e.state}, of {time_text(e.created_at)[:16]})" for e in newest)
        raise NotFound(f"{len(matching)} migrations match {name!r}", hint=f"name one of {which}")
    short = f"; the beginning of an id takes {MIN_PREFIX} characters" if len(name) < MIN_PREFIX else ""
    raise NotFound(f"no migration matches {name!r}", hint=f"migmon ls shows them all{short}")
