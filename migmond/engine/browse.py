"""What is in a directory, as a person may see it: a mover looks, with that person's rights."""

from __future__ import annotations

from migmond.domain import api
from migmond.domain.entry import EntryType
from migmond.domain.errors import InvalidInput, MoverError, about
from migmond.domain.identity import Identity
from migmond.domain.names import from_outside, to_text
from migmond.engine.crew import refused
from migmond.engine.pool import MoverPool
from migmond.wire.from_mover import Browsed, OpenFailed
from migmond.wire.to_mover import Browse

MAX_ENTRIES = 1000
_MAX_PATH = 4096
_BEFORE_ALL = (False, b"")


async def browse(pool: MoverPool, identity: Identity, params: api.BrowseParams) -> api.Browsed:
    """Return a page of the entries of a directory.

    Raises:
        InvalidInput: the path is not absolute, or a bound is out of range.
        NotPermitted, PlanInfeasible: it cannot be opened by that person.
        MoverError: no mover could be started, or it died.
    """
    with about("path"):
        path = from_outside(params.path)
        if not path.startswith(b"/") or len(path) > _MAX_PATH or b"\0" in path:
            raise InvalidInput(f"{params.path[:100]!r} is no absolute path", hint="begin with /")
    if not 0 < params.limit <= MAX_ENTRIES:
        raise InvalidInput(f"limit {params.limit}", hint=f"limit is 1 to {MAX_ENTRIES}", field="limit")
    with about("after"):
        after = _cursor(params.after)
    process = await pool.start(0, identity)
    try:
        await process.send(Browse(path, after, params.limit))
        answer = await process.receive()
    finally:
        await process.end()
    if isinstance(answer, OpenFailed):
        raise refused(answer)
    if not isinstance(answer, Browsed):
        raise MoverError("a mover ended while it looked into a directory")
    entries = tuple(api.BrowsedEntry(to_text(name), kind.name.lower(), size) for name, kind, size in answer.entries)
    last = answer.entries[-1] if answer.more else None
    next_ = None if last is None else ("d" if last[1] is EntryType.DIRECTORY else "f") + to_text(last[0])
    return api.Browsed(to_text(path), entries, next_)


def _cursor(after: str) -> tuple[bool, bytes]:
    if not after:
        return _BEFORE_ALL
    if after[0] not in "df":
        raise InvalidInput("after is no place in a listing", hint="give the next of the page before")
    return after[0] == "f", from_outside(after[1:])
