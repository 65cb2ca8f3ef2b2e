"""What is left, at the end of a run, where nobody would look for it: whoever reads why it ended is told."""

from __future__ import annotations

from migmond.domain.states import TaskState
from migmond.ports import Journal

_PAGE = 2000


class Leftovers:
    """Collects what stays."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._temporaries: list[str] = []

    def tell(self, what: str) -> None:
        """Something that deserves a sentence of its own."""
        self._told.append(what)

    def temporary(self, why: str) -> None:
        """A temporary that could not be swept away; `why` names it."""
        self._temporaries.append(why)

    def text(self) -> str:
        """Return all of it in one line; "" when there is nothing."""
        return "; ".join([*self._told, *_counted(self._temporaries, "temporary file", "temporary files")])


def _counted(each: list[str], one: str, many: str) -> list[str]:
    if not each:
        return []
    return [f"1 {one} stays ({each[0]})" if len(each) == 1 else f"{len(each):,} {many} stay (the first: {each[0]})"]


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
