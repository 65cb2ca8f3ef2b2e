"""Counting a cube anew from the journal while the execution works on: each task once, whatever becomes of it meanwhile.

Tasks are read in the order of their numbers, a page at a time. Up to the last one read, changes are counted as they
happen; of those behind it nobody counts anything, as they are read later, with what has become of them until then. What
changes while a page is on its way is read again: nobody can tell which of the two states was read. One look goes so:

1. `begin`: from now on changes are noted;
2. wait until everything that was recorded before is durable, so that reading finds it;
3. read the tasks that `begin` named;
4. `take` them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from migmond.analytics.cube import Cube
from migmond.domain.entry import EntryType
from migmond.domain.execution import Tally
from migmond.domain.file_kinds import FileKind
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Listing, Task

_FILE = EntryType.FILE


class Recount:
    """Has the methods by which a Cube is told of changes. They return the same, whether it is counted yet or not.

    Args:
        copies: see Cube.

    Attributes:
        cube: what is counted; all of it when `complete`.
        complete: every change may be told to `cube` directly.
        abandoned: it can never be complete: everything was cancelled in one go.
        counted: up to which task number everything is counted, but for a few.
    """

    def __init__(self, *, copies: bool = True) -> None:
        self.cube = Cube(copies=copies)
        self.complete = False
        self.abandoned = False
        self.counted = 0
        self._again: set[int] = set()
        """Those up to `counted` that are not: they changed while they were read."""
        self._touched: set[int] = set()
        self._listings: list[Listing] = []
        self._added: list[Task] = []

    # --- looks -------------------------------------------------------------------------------------

    def begin(self) -> tuple[int, tuple[int, ...]]:
        """Return after which number to read, and which tasks to read again."""
        self._touched.clear()
        self._listings.clear()
        self._added.clear()
        return self.counted, tuple(sorted(self._again))

    def take(
        self, page: Sequence[Task], again: Sequence[Task], kinds: Mapping[int, FileKind] = {}, *, more: bool
    ) -> None:
        """Count what was read: since `begin`, and what it named.

        Args:
            kinds: what the contents of all of these told, by number.
            more: there may be tasks behind the page's last.
        """
        if self.complete or self.abandoned:
            return
        for task in again:
            if task.number not in self._touched:
                self._again.discard(task.number)
                self.cube.count((task,), _of((task,), kinds))
        if self._touched:
            for task in page:  # also those that are not counted yet: others lie in them
                self.cube.note(task)
            self._again.update(task.number for task in page if task.number in self._touched)
            untouched = [task for task in page if task.number not in self._touched]
            self.cube.count(untouched, _of(untouched, kinds))
        else:
            self.cube.count(page, _of(page, kinds))
        if page:
            self.counted = page[-1].number
        if more or self._again or any(number > self.counted for number in self._touched):
            return
        for listing in self._listings:  # recorded meanwhile, and not durable when the page was read
            if listing.first > self.counted:
                self.cube.plan(listing)
        self.cube.count([task for task in self._added if task.number > self.counted])
        self.complete = True
        self._listings.clear()
        self._added.clear()

    # --- changes -----------------------------------------------------------------------------------

    def plan(self, listing: Listing) -> tuple[Tally, Tally]:
        """See `Cube.plan`."""
        if self.complete:
            return self.cube.plan(listing)
        self._listings.append(listing)
        planned, skipped = [0, 0], [0, 0]
        for position, entry in enumerate(listing.entries):
            outcome = listing.outcomes.get(position)
            if outcome is Outcome.NOT_SELECTED:
                continue
            size = entry.size if entry.type is _FILE and position not in listing.leaders else 0
            for sums in (planned, skipped) if outcome is not None else (planned,):
                sums[0] += 1
                sums[1] += size
        return Tally(*planned), Tally(*skipped)

    def count(self, tasks: Sequence[Task]) -> None:
        """See `Cube.count`."""
        if self.complete:
            self.cube.count(tasks)
        else:
            self._added += tasks

    def settle(self, task: Task, state: TaskState) -> None:
        if self._counts(task):
            self.cube.settle(task, state)

    def settle_all(self, tasks: Sequence[Task], state: TaskState) -> Tally:
        """See `Cube.settle_all`."""
        if self.complete:
            return self.cube.settle_all(tasks, state)
        self.cube.settle_all([task for task in tasks if self._counts(task)], state)
        return Tally(len(tasks), sum(t.size for t in tasks if t.type is _FILE and not t.leader))

    def resize(self, task: Task, size: int) -> None:
        if self._counts(task):
            self.cube.resize(task, size)

    def read(self, found: Iterable[tuple[Task, FileKind]]) -> None:
        self.cube.read([(task, kind) for task, kind in found if self._counts(task)])

    def inherit(self, old: Task, heir: Task) -> None:
        if self._counts(heir):
            self.cube.gain(heir)
        if self._counts(old):
            self.cube.lose(old)

    def reopen(self, directory: Task) -> None:
        if self._counts(directory):
            self.cube.reopen(directory)

    def unfail(self, task: Task) -> None:
        if self._counts(task):
            self.cube.unfail(task)

    def bring_back(self, task: Task) -> None:
        if self._counts(task):
            self.cube.bring_back(task)

    def leave_out(self, directory: Task) -> None:
        if self._counts(directory):
            self.cube.leave_out(directory)

    def cancel_rest(self, failed: Sequence[Task]) -> None:
        if self.complete:
            self.cube.cancel_rest(failed)
        else:
            self.abandoned = True

    def _counts(self, task: Task) -> bool:
        """Whether a change of `task` is to be counted now."""
        if self.complete:
            return True
        if task.number <= self.counted and task.number not in self._again:
            return True
        self._touched.add(task.number)
        return False


def _of(tasks: Sequence[Task], kinds: Mapping[int, FileKind]) -> dict[int, FileKind]:
    return {task.number: kinds[task.number] for task in tasks if task.number in kinds} if kinds else {}
