"""What is journaled about entries before anything of them is written: where they go, and where temporaries may lie."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection

from migmond.domain.changes import Change, DirectoriesTouched, SendTo
from migmond.domain.names import to_text
from migmond.domain.states import Outcome
from migmond.domain.task import Task
from migmond.engine.judging import Judging
from migmond.engine.scope import Scope

REMEMBERED = 100_000
"""Directories known to be touched; beyond that they are journaled again, which changes nothing."""


class Touching:
    """For whoever gives entries to movers.

    Args:
        rules: they say where what was taken goes.
    """

    def __init__(self, scope: Scope, rules: Judging) -> None:
        self._scope = scope
        self._rules = rules
        self._known: defaultdict[int, OrderedDict[int, None]] = defaultdict(OrderedDict)
        """By destination, which directories are touched there."""

    async def touch(self, tasks: Collection[Task]) -> None:
        """Journal, of entries that are to be given to movers now, what is not journaled yet."""
        scope = self._scope
        goes: dict[int, list[Task]] = {0: list(tasks)}
        changes: list[Change] = []
        if scope.routes.active and scope.plan.undoes is None:
            goes, changes = await self._by_destination(tasks)
        fresh: dict[int, set[int]] = {}
        for destination, its in goes.items():
            known = self._known[destination]
            fresh[destination] = {t.directory for t in its if t.directory and t.directory not in known}
        touched = set().union(*fresh.values())
        if not touched and not changes:
            return
        if fresh.get(0):
            changes.append(DirectoriesTouched(scope.key, tuple(sorted(fresh[0]))))
        await scope.ledger.commit([*changes, *await scope.reopen(touched)])
        for destination, numbers in fresh.items():
            known = self._known[destination]
            known.update(dict.fromkeys(numbers))
            while len(known) > REMEMBERED:
                known.popitem(last=False)

    async def _by_destination(self, tasks: Collection[Task]) -> tuple[dict[int, list[Task]], list[Change]]:
        """Return which of `tasks` go where, and the changes that say so where the journal does not. Of what has a copy
        of ours at one, that copy is the one that is looked at again, unless its disk is away."""
        scope, goes = self._scope, dict[int, list[Task]]()
        moved: dict[int, list[int]] = {}
        sent = await scope.routes.find([t.number for t in tasks])
        for task in tasks:
            before = sent.get(task.number, 0)
            stays = bool(task.target_inode) and task.outcome is not Outcome.UNCHANGED
            if stays and before in scope.away:
                stays = False
                scope.leftovers.astray(to_text(task.target_name or task.name))
            destination = before if stays else self._rules.destination_of(task)
            goes.setdefault(destination, []).append(task)
            if destination != before:
                moved.setdefault(destination, []).append(task.number)
        return goes, [SendTo(scope.key, to, tuple(numbers)) for to, numbers in sorted(moved.items())]
