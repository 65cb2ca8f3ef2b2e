"""Brings pending entries from the journal into the line, and has rules evaluated over all of them, a page at a time."""

from __future__ import annotations

from collections.abc import Callable

import trio

from migmond.engine.judging import Judging
from migmond.engine.scope import Scope
from migmond.engine.sieve import PAGE, Sieve
from migmond.planning.line import Line

AS_WANTED = 2000
"""Entries that are read at once while somebody else reads all of them: a second of small files."""


class Intake:
    """Of one execution; for whom it works, see `Agenda`.

    Args:
        changed: called when what was taken from the line may not be what is next any more.
        version: returns what changes with that.

    Attributes:
        with_movers: numbers in the line that movers had when they were read: what is not given back is settled by the
            time that nothing is in flight.
        complete: whether all that was found is in the line, and every rule was evaluated over it; the same of further
            names of files.
        wanted: somebody has found nothing in the line.
    """

    def __init__(
        self, scope: Scope, line: Line, rules: Judging, changed: Callable[[], None], version: Callable[[], int]
    ) -> None:
        self._scope = scope
        self._sieve = Sieve(scope.surroundings.journal, scope.key, scope.places)
        self._line = line
        self._rules = rules
        self._changed = changed
        self._version = version
        self._known = [0, 0]
        self._planned = -1
        self._generation = 0
        self.with_movers: set[int] = set()
        self.complete = [False, False]
        self.wanted = False

    def restart(self) -> None:
        """Nothing is known any more; what is being read meanwhile is forgotten."""
        self._generation += 1
        self.with_movers.clear()
        self._known, self.complete, self._planned = [0, 0], [False, False], -1

    async def catch_up(self) -> None:
        """Read what is pending and not known, and what rules are not evaluated over."""
        scope = self._scope
        planned, scan_done = scope.account.totals.planned.entries, scope.scan_done
        new = any(0 in r.upto for r in self._rules)
        if planned == self._planned and all(self.complete) and not new:
            return
        generation = self._generation
        rules = [r for r, _ in self._rules.ready]  # what comes meanwhile saw some at most
        for followers in (False, True):
            while generation == self._generation:
                if self._may_wait(followers=followers):
                    return
                if not await self._read(followers=followers):
                    break
        if generation == self._generation:
            self._planned = planned
            for rule in rules:
                rule.upto = [upto or -1 for upto in rule.upto]  # of none it was evaluated over all
            complete = [scan_done, scan_done]
            if complete != self.complete:
                self.complete = complete
                scope.progress.set()

    def _may_wait(self, *, followers: bool) -> bool:
        """Whether nobody needs more now: while something is set aside, whoever asked for that reads all there is, and
        to do the same beside it would make both slow. What is taken meanwhile is judged when it is."""
        return self._rules.sets_aside and self._known[followers] > 0 and not self.wanted

    async def _read(self, *, followers: bool) -> bool:
        """Read and evaluate one page; False when there is none."""
        generation, version = self._generation, self._version()
        self.wanted = False
        due = self._rules.ready
        after = min([self._known[followers], *(max(0, r.upto[followers]) for r, _ in due)])
        in_hand = self._scope.in_hand
        with in_hand.reading():
            limit = AS_WANTED if self._rules.sets_aside else PAGE
            page = await self._sieve.read(after, [m for _, m in due], followers=followers, limit=limit)
            numbers = page.tasks.numbers
            if generation == self._generation and in_hand:  # at once: what is given back from here on leaves it
                self.with_movers.update(n for n in numbers if n > self._known[followers] and n in in_hand)
        if not numbers or generation != self._generation:
            return False
        last = numbers[-1]
        open_ = [(r, m) for r, m in due if r.upto[followers] < last]
        found = await trio.to_thread.run_sync(page.picked, [m for _, m in open_])
        if generation != self._generation:
            return False
        marked = False
        for (rule, _), its in zip(open_, found, strict=True):
            rule.rule.marks.add(its)
            rule.upto[followers] = last
            marked |= bool(its)
        known = self._known[followers]
        if last > known:
            self._line.put([n for n in numbers if n > known], followers=followers)
            self._known[followers] = last
        self._line.changed()
        if marked or version != self._version():
            self._changed()
        else:
            self._scope.progress.set()
        return True
