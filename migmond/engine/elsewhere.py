"""Which directories are made at further destinations, and which of them there only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from migmond.domain.changes import Change, SendTo
from migmond.domain.states import TaskState
from migmond.domain.task import Task
from migmond.engine.scope import Scope
from migmond.planning.routes import rest_goes_to


class Elsewhere:
    """To be asked about children before their parents. A source itself is always made at the plan's destination."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._fetching = scope.plan.undoes is not None
        """What a rollback brings back goes where it came from; where it is fetched tells what belongs to it."""
        self._there: dict[int, set[int]] = {}
        """By destination, the directories that have or get something there."""
        self._only: dict[int, int] = {}
        """Those that are not at the plan's destination, and where they are instead: it is what stands for them."""
        self._back: set[int] = set()
        """Those that were among these and are no more."""

    async def load(self) -> bool:
        """Find out what was sent to further destinations; False when nothing is."""
        scope = self._scope
        if self._fetching:
            return False
        self._there = await scope.routes.directories()
        return scope.routes.active

    async def recall(self, tasks: Sequence[Task]) -> None:
        """Find out which of `tasks` were made elsewhere before: by a run that this one goes on from, or by what is
        rolled back."""
        self._only |= await self._scope.routes.find([t.number for t in tasks])

    def takes(self, task: Task) -> bool:
        """Whether a directory is made at a further destination: then so are those that it lies in."""
        found = False
        for numbers in self._there.values():
            if task.number in numbers:
                numbers.add(task.directory)
                found = True
        return found

    def put(self, task: Task, *, main: bool) -> None:
        """A directory is made, at the plan's destination as well if `main`."""
        if self._fetching:
            return
        if main or not task.directory:
            if self._only.pop(task.number, None) is not None:
                self._back.add(task.number)
        elif task.state is not TaskState.DONE:  # where it was meant to be made before does not count
            self._only[task.number] = min(d for d, numbers in self._there.items() if task.number in numbers)

    def takes_rest(self, task: Task) -> bool:
        """Make a directory that nothing is put into where all that is left goes; False when that is the plan's."""
        execution = self._scope.account.execution
        destination = rest_goes_to(execution.standing, execution) if execution.further else 0
        if not destination or not task.directory:
            return False
        self._there.setdefault(destination, set()).update((task.number, task.directory))
        self.put(task, main=False)
        return True

    def changes(self, tasks: Iterable[Task]) -> list[Change]:
        """Return what is to be journaled before `tasks` are made: where each is that is not where the plan says."""
        moved: dict[int, list[int]] = {}
        for task in tasks if not self._fetching else ():
            if task.number in self._only or task.number in self._back:
                moved.setdefault(self._only.get(task.number, 0), []).append(task.number)
        return [SendTo(self._scope.key, to, tuple(numbers)) for to, numbers in sorted(moved.items())]

    def by_destination(self, tasks: Sequence[Task]) -> dict[int, list[Task]]:
        """Return which of `tasks` are made where, in the order in which they are to be made.

        What a rollback fetches from several destinations goes to one place, where children come before their parents:
        what a directory lies in has something at each of its destinations, and stands at the first of them.
        """
        found: dict[int, list[Task]] = {}
        for destination in sorted({*self._there, *self._only.values()} - {0}, reverse=True):
            there = self._there.get(destination, ())
            fetched = [t for t in tasks if self._fetching and self._only.get(t.number) == destination]
            found[destination] = fetched or [t for t in tasks if t.number in there]
        found[0] = [t for t in tasks if t.number not in self._only]
        return {destination: its for destination, its in found.items() if its}
