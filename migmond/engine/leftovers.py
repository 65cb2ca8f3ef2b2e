"""What is left, at the end of a run, where nobody would look for it: whoever reads why it ended is told."""

from __future__ import annotations

from migmond.domain.states import TaskState
from migmond.domain.task import Task
from migmond.ports import (
    Journal,
)

_PAGE = 2000


class Leftovers:
    """Collects what stays.

    Attributes:
        failed: tasks that are to be told as failed even by a cancel, by number: it is not enough that they were to be
            cancelled.
    """

    def __init__(self) -> None:
        self._told: list[str] = []
        self._aside: list[str] = []
        self._temporaries: list[str] = []
        self._astray: list[str] = []
        self.failed: dict[int, Task] = {}

    def tell(self, what: str) -> None:
        """Something that deserves a sentence of its own."""
        self._told.append(what)

    def aside(self, task: Task, why: str) -> None:
        """A source that is, or may be, under its private name; `why` says that name."""
        self.failed[task.number] = task
        self._aside.append(why)

    def temporary(self, why: str) -> None:
        """A temporary that could not be swept away; `why` names it."""
        self._temporaries.append(why)

    def astray(self, name: str) -> None:
        """A copy of that name that may be at a destination whose disk is not there: another one was made."""
        self._astray.append(name)

    def text(self) -> str:
        """Return all of it in one line; "" when there is nothing."""
        aside = _counted(self._aside, "1 source may not be under its name", "{n} sources may not be under their names")
        swept = _counted(self._temporaries, "1 temporary file stays", "{n} temporary files stay")
        doubled = _counted(
            self._astray,
            "1 copy may be at a destination whose disk is not there as well",
            "{n} copies may be at a destination whose disk is not there as well",
        )
        return "; ".join([*self._told, *aside, *swept, *doubled])


def _counted(each: list[str], one: str, many: str) -> list[str]:
    """Return what there is to say of all, with the first as an example; nothing when there are none."""
    if not each:
        return []
    return [f"{one} ({each[0]})" if len(each) == 1 else f"{many.format(n=f'{len(each):,}')} (the first: {each[0]})"]


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
