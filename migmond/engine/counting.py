"""How much a selector picks of an execution's entries."""

from __future__ import annotations

import os
from collections.abc import Collection

from migmond.breath import Breath
from migmond.domain.execution import Execution
from migmond.domain.selector import Selector
from migmond.domain.states import TaskState
from migmond.domain.task import Task, may_be_read
from migmond.engine.places import Places
from migmond.engine.settings import Surroundings
from migmond.engine.sieve import Counted, Sieve, compiled
from migmond.planning.selection import Candidate

_PAGE = 2000


class Counting:
    """Looks through the entries of one execution, as the journal has them.

    Args:
        in_hand: numbers of tasks that movers have: they are beyond what a selector changes.
    """

    def __init__(self, surroundings: Surroundings, execution: Execution, in_hand: Collection[int]) -> None:
        self._journal, self._clock = surroundings.journal, surroundings.clock
        self._execution = execution
        self._in_hand = frozenset(in_hand)
        self._places = Places(surroundings.journal, execution.key)

    async def count(self, selector: Selector) -> Counted:
        """Return how many pending entries `selector` picks, directories apart: these are only finished in the end."""
        return await Sieve(self._journal, self._execution.key, self._places).count(selector, self._clock.wall())

    async def failed(self, selector: Selector) -> list[Task]:
        """Return the failed entries that `selector` picks, in scan order."""
        found: list[Task] = []
        matcher = await compiled(selector, self._clock.wall())
        after, breath = 0, Breath(self._clock.monotonic)
        while True:
            page = await self._journal.tasks(
                self._execution.key, after=after, limit=_PAGE, states=(TaskState.FAILED,), directories=None
            )
            places = await self._places.find(t.directory for t in page if t.directory)
            faults = {}
            if matcher.asks_for_errors and page:
                faults = await self._journal.faults(self._execution.key, [t.number for t in page])
            kinds = {}
            if matcher.asks_for_content:
                kinds = await self._journal.kinds(self._execution.key, [t.number for t in page if may_be_read(t)])
            for task in page:
                await breath.take()
                if task.number in self._in_hand:
                    continue
                above = places[task.directory].path if task.directory else b""
                path = os.path.join(above, task.name) if above else task.name
                record = faults.get(task.number)
                kind, group = (record.fault.kind, record.fault.fingerprint) if record is not None else ("", "")
                content = kinds.get(task.number)
                facts = (path, task.type, task.size, task.mtime_ns, TaskState.FAILED, kind, group, content, task.device)
                if matcher.picks(Candidate(*facts)):
                    found.append(task)
            if len(page) < _PAGE:
                return found
            after = page[-1].number
