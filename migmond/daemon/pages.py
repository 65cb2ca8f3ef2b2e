"""What clients ask for a page at a time: which page, and how much of it."""

from __future__ import annotations

from migmond.domain.errors import InvalidInput
from migmond.domain.limits import MAX_INTEGER

MAX_PAGE = 10_000


def check_limit(limit: int, most: int = MAX_PAGE) -> None:
    """Raises:
    InvalidInput: no page has so many.
    """
    _check(f"limit {limit}", limit, most, begins=True)


def check_offset(offset: int, limit: int, most: int = MAX_PAGE) -> None:
    """Of a list that is asked for from a position on.

    Raises:
        InvalidInput: no page begins there, or has so many.
    """
    _check(f"offset {offset}, limit {limit}", limit, most, begins=offset >= 0)


def check_after(after: int, limit: int, most: int = MAX_PAGE) -> None:
    """Of a list that is asked for from behind a number on.

    Raises:
        InvalidInput: no page begins there, or has so many.
    """
    _check(f"after {after}, limit {limit}", limit, most, begins=0 <= after <= MAX_INTEGER)


def _check(asked: str, limit: int, most: int, *, begins: bool) -> None:
    if not begins or not 0 < limit <= most:
        raise InvalidInput(asked, hint=f"limit is 1 to {most}")
