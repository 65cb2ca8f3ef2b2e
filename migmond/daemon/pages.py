"""What clients ask for a page at a time: which page, and how much of it."""

from __future__ import annotations

from migmond.domain.errors import InvalidInput
from migmond.domain.limits import MAX_INTEGER

MAX_PAGE = 10_000


def check_limit(limit: int, most: int = MAX_PAGE) -> None:
    """Raises:
    InvalidInput: no page has so many.
    """
    if not 0 < limit <= most:
        raise InvalidInput(f"limit {limit}", hint=f"limit is 1 to {most}", field="limit")


def check_offset(offset: int, limit: int, most: int = MAX_PAGE) -> None:
    """Of a list that is asked for from a position on.

    Raises:
        InvalidInput: no page begins there, or has so many.
    """
    check_limit(limit, most)
    if offset < 0:
        raise InvalidInput(f"offset {offset}", hint="offset counts from 0", field="offset")


def check_after(after: int, limit: int, most: int = MAX_PAGE) -> None:
    """Of a list that is asked for from behind a number on.

    Raises:
        InvalidInput: no page begins there, or has so many.
    """
    check_limit(limit, most)
    check_cursor("after", after)


def check_cursor(name: str, given: int) -> None:
    """Raises:
    InvalidInput: no page has told that to be where the following one begins.
    """
    if not 0 <= given <= MAX_INTEGER:
        raise InvalidInput(f"{name} {given}", hint="give what `next` of a page says, 0 for the first one", field=name)
