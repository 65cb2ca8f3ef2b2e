"""What a cancel leaves in two places."""

from __future__ import annotations

from migmond.domain.states import TaskState
from migmond.ports import Journal

_PAGE = 2000


async def copies_beside_sources(journal: Journal, key: int) -> str:
    """Say how many copies are whole and durable at the destination while their sources, which were to be deleted, are
    there as well; "" when none. Ask before they are cancelled."""
    number = after = 0
    while page := await journal.tasks(key, after=after, limit=_PAGE, states=(TaskState.DURABLE,)):
        number, after = number + len(page), page[-1].number
    if not number:
        return ""
    what = "1 complete copy stays" if number == 1 else f"{number:,} complete copies stay"
    return f"{what} at the destination, and so {'does its source' if number == 1 else 'do their sources'}"
