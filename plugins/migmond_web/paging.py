"""Paging through migrations by a cursor: where a page ended, so that one which is started meanwhile shifts nothing.

The daemon pages by offset. A cursor names the last migration that was seen and where it stood; it is looked for from
there on, because what is new pushes it down.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from migmond.domain import api
from migmond.domain.decoding import from_json
from migmond_web.answers import Refused

LOOKED_THROUGH = 1000
"""Migrations, for the one where a page ended; when it is not there (its state has changed), the offset holds."""
MAX_OFFSET = 2**53
"""JavaScript knows no larger whole numbers."""


class MigrationsParams(api.ListParams, frozen=True):
    """`cursor`: `next` of the page before, "" for the first; `offset` is of no use with it."""

    cursor: str = ""


class MigrationsPage(api.ExecutionPage, frozen=True):
    """`next`: what to give as `cursor` for the following page, null at the end."""

    next: str | None


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    last: str
    offset: int


async def migrations(call: Callable[[str, Any], Awaitable[dict[str, Any]]], params: MigrationsParams) -> dict[str, Any]:
    """Return a page as MigrationsPage has it.

    Raises:
        Refused: the cursor is none of ours, or as `call` does.
    """
    asked = api.ListParams(params.states, params.sort, params.offset, params.limit, params.search)
    if params.cursor:
        cursor = _decoded(params.cursor)
        asked = msgspec.structs.replace(asked, offset=await _after(call, asked, cursor))
    found = await call("execution.list", asked)
    executions = found["executions"]
    end = asked.offset + len(executions)
    more = bool(executions) and end < found["total"]
    return {**found, "next": _encoded(_Cursor(executions[-1]["id"], end)) if more else None}


async def _after(call: Callable[[str, Any], Awaitable[dict[str, Any]]], asked: api.ListParams, cursor: _Cursor) -> int:
    """Return the offset of what follows the migration that `cursor` names."""
    offset = max(0, cursor.offset - 1)
    end = offset + LOOKED_THROUGH
    while offset < end:
        limit = 1 if offset == cursor.offset - 1 else 200  # it is nearly always where it was
        page = await call("execution.list", msgspec.structs.replace(asked, offset=offset, limit=limit))
        for i, view in enumerate(page["executions"]):
            if view["id"] == cursor.last:
                return offset + i + 1
        offset += len(page["executions"])
        if not page["executions"] or offset >= page["total"]:
            break
    return cursor.offset


def _encoded(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).rstrip(b"=").decode()


def _decoded(text: str) -> _Cursor:
    try:
        packed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        cursor = from_json(packed, _Cursor)
        if 0 <= cursor.offset <= MAX_OFFSET:
            return cursor
    except (ValueError, msgspec.DecodeError):
        pass
    raise Refused(422, "invalid_input", "that is no cursor", "give what `next` of a page says", "cursor")
