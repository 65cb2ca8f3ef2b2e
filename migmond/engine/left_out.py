"""Which directories are left out with what was in them: of a skipped tree nothing is written, as rclone does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migmond.domain.changes import LeaveOut
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Task
from migmond.engine.judging import Judging
from migmond.engine.scope import Scope

_PAGE = 10_000


class LeftOutDirectories:
    """A directory goes without its target when a skip picks it, or when something in it or below was left out; but for
    sources themselves, and for what something was put into, which the caller sees to.

    To be asked about children before their parents.

    Args:
        rules: the skips are among them.
    """

    def __init__(self, scope: Scope, rules: Judging) -> None:
        self._scope = scope
        self._rules = rules
        self._emptied: dict[int, str] = {}
        """By directory, which change left out what was in it."""

    async def load(self) -> bool:
        """Find out what was left out; False when no directory has to be asked for."""
        scope, journal = self._scope, self._scope.surroundings.journal
        for by in await journal.left_out(scope.key):
            after = 0
            while tasks := await journal.left_out_by(scope.key, by, after=after, limit=_PAGE):
                after = tasks[-1].number
                for task in tasks:
                    self._emptied.setdefault(task.directory, by)
        return bool(self._emptied) or bool(self._rules.skips)

    async def picked(self, tasks: Sequence[Task]) -> Mapping[int, str]:
        """Return which skip picks each of `tasks`, of those that any does."""
        return await self._rules.skipped_by(tasks) if self._rules.skips else {}

    def leave_out(self, task: Task, picked: Mapping[int, str]) -> bool:
        """Settle a pending directory as left out if it is to be."""
        by = picked.get(task.number) or self._emptied.get(task.number)
        if by is None or not task.directory:
            return False
        self._emptied.setdefault(task.directory, by)
        self._scope.account.settle(task, TaskState.SKIPPED, Outcome.LEFT_OUT)
        self._scope.record([LeaveOut(self._scope.key, by, (task.number,))])
        return True
