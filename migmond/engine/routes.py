"""Where entries of an execution went, or go, when that is not where its plan says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from migmond.domain.execution import Execution
from migmond.domain.task import Directory, Task
from migmond.planning.routes import place_at
from migmond.ports import Journal

_PAGE = 10_000


class Routes:
    """Of one execution; of a rollback those of the execution that it undoes, whose numbers its tasks have.

    Attributes:
        active: there are further destinations. Nothing is asked while there are none.
    """

    def __init__(self, journal: Journal, execution: Execution) -> None:
        undoing = execution.plan.undoes
        self._journal = journal
        self._key = undoing.key if undoing is not None and undoing.further else execution.key
        self._further = [d.path for d in execution.further]
        self._sources = len(execution.plan.sources)
        self.active = bool(execution.further or (undoing is not None and undoing.further))

    async def find(self, numbers: Collection[int]) -> dict[int, int]:
        """Return the destinations of those of these tasks that do not go to the plan's."""
        return await self._journal.sent_to(self._key, sorted(set(numbers))) if self.active and numbers else {}

    async def paths(self, numbers: Collection[int]) -> dict[int, bytes]:
        """Return the paths of the destinations of those of these tasks that do not go to the plan's; none of a
        rollback, which has one only."""
        found = await self.find(numbers) if self._further else {}
        return {number: self._further[destination - 1] for number, destination in found.items()}

    async def applied(self, tasks: Iterable[Task], places: Mapping[int, Directory]) -> dict[int, Directory]:
        """Return where each of `tasks` lies, by the root that it has at its destination.

        Args:
            places: the same by the root of its source, by task number.
        """
        sent = await self.find([t.number for t in tasks])
        return {n: place_at(p, sent.get(n, 0), self._sources) for n, p in places.items()} if sent else dict(places)

    async def directories(self) -> dict[int, set[int]]:
        """Return, for each further destination, the numbers of the directories of which something may be there."""
        found: dict[int, set[int]] = {}
        after, more = (0, 0), self.active
        while more:
            page = await self._journal.sent_directories(self._key, after=after, limit=_PAGE)
            for destination, number in page:
                found.setdefault(destination, set()).add(number)
            after, more = page[-1] if page else after, len(page) == _PAGE
        return found
