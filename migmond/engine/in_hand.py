"""Which tasks the engine has in hand: each at most once, wherever it waits or works."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Collection, Iterable, Iterator

from migmond.domain.errors import MigmondError
from migmond.domain.task import Task


class _Where(enum.Enum):
    QUEUED = enum.auto()
    """It waits to be dispatched."""
    OUT = enum.auto()
    """A mover has it, or it is in a commit group that is on its way or has to be settled."""
    SETTLED = enum.auto()
    """What became of it is on its way into the journal, which calls it pending until then."""


_QUEUED, _OUT, _SETTLED = _Where


class InHand:
    """The entries (never directories) that were taken from the journal and are still pending there.

    Two movers on one task would both copy it, and count it twice; so every step of a task on its way passes here, and
    a step that does not fit ends the execution. As large as what is in memory anyway: a settled task is let go when
    the journal has it.
    """

    def __init__(self) -> None:
        self._where: dict[int, _Where] = {}
        self._settled: list[int] = []
        self._composed: list[int] = []
        self._late: list[int] = []
        self._readers = 0

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, number: int) -> bool:
        return number in self._where

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """While pending tasks are read from the journal, nothing is let go: what was read may be older than that."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._let_go(self._late)
                self._late = []

    def take(self, number: int) -> bool:
        """Queue a task that the journal has as pending; False when it is in hand already."""
        if number in self._where:
            return False
        self._where[number] = _QUEUED
        return True

    def take_all(self, tasks: Iterable[Task]) -> list[Task]:
        """As `take`, for many; returns those that were not in hand."""
        where = self._where
        fresh = {task.number: task for task in tasks if task.number not in where}
        where.update(dict.fromkeys(fresh, _QUEUED))
        return list(fresh.values())

    def send(self, number: int) -> None:
        """It goes to a mover."""
        self._step(number, _QUEUED, _OUT)

    def send_all(self, numbers: Collection[int]) -> None:
        """As `send`, for many."""
        self._all_step(numbers, _QUEUED, _OUT)

    def adopt(self, numbers: Iterable[int]) -> None:
        """They are in a group that somebody else left, and has to be settled."""
        for number in numbers:
            self._step(number, None, _OUT)

    def back(self, number: int) -> None:
        """It is queued again."""
        self._step(number, _OUT, _QUEUED)

    def leave(self, number: int) -> None:
        """It is not dispatched now after all: a later pass reads it from the journal again."""
        self._step(number, _QUEUED, _SETTLED)
        del self._where[number]

    def settle(self, number: int) -> None:
        """What became of it is recorded in the same step."""
        self._step(number, _OUT, _SETTLED)
        self._settled.append(number)

    def settle_all(self, numbers: Collection[int]) -> None:
        """As `settle`, for many."""
        self._all_step(numbers, _OUT, _SETTLED)
        self._settled += numbers

    def composed(self) -> None:
        """A transaction is put together with everything that was recorded until now."""
        self._composed += self._settled
        self._settled = []

    def written(self) -> None:
        """The transactions that were put together are durable."""
        if self._readers:
            self._late += self._composed
        else:
            self._let_go(self._composed)
        self._composed = []

    def _let_go(self, numbers: list[int]) -> None:
        for number in numbers:
            del self._where[number]

    def _all_step(self, numbers: Collection[int], before: _Where, after: _Where) -> None:
        # One look and one update for all: a call for each costs more than most of what is done for a small file.
        where, stepped = self._where, dict.fromkeys(numbers, after)
        if len(stepped) != len(numbers) or any(where.get(number) is not before for number in numbers):
            for number in numbers:  # the one that does not fit says so
                self._step(number, before, after)
        where.update(stepped)

    def _step(self, number: int, before: _Where | None, after: _Where) -> None:
        where = self._where.get(number)
        if where is not before:
            found, expected = (w.name.lower() if w is not None else "not in hand" for w in (where, before))
            raise MigmondError(
                f"entry {number} is {found} when it should be {expected}: a mistake of migmond",
                hint="nothing was deleted because of it; resume the execution",
            )
        self._where[number] = after
