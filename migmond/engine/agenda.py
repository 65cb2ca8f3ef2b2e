"""What is done next, and what is not, and where it goes: holds of some entries, priorities, places in the line, orders,
skips and routes.

While nothing of that is in force, it is not asked: pending entries go to movers as the journal has them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager, contextmanager

import trio

from migmond.domain.changes import BringBack, LeaveOut
from migmond.domain.entry import EntryType
from migmond.domain.file_kinds import FileKind
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.task import Task
from migmond.engine.in_force import InForce
from migmond.engine.intake import Intake
from migmond.engine.judging import Judging
from migmond.engine.ordering import Ordering
from migmond.engine.pulse import Pulse
from migmond.engine.scope import Scope
from migmond.engine.sieve import compiled
from migmond.planning.line import Line
from migmond.planning.standing import order_of
from migmond.wire.slots import Control

TAKEN = 1000
"""Entries that are taken from the line at once: half a second of small files, which go back when anything changes."""
FEW = 100
"""As many while something is set aside: in a moment all is looked at anew."""
AT_ONCE = 1000
"""Entries that are skipped or brought back in one go, 10 ms of the loop."""
LOOK_S = 0.25
"""How often it looks whether the scan has found more."""


class Agenda:
    """Follows `Execution.standing` and `Execution.holds`. `run` must be running.

    Attributes:
        rules: what is in force, and what it picks.
        version: changes whenever what was taken may not be what is next any more.
        parting: set whenever some of what movers have in hand may have been held or skipped.
        naming: who leaves out or brings back, or makes another of a file's names its first, has it: each of them reads
            from the journal what the others change.
        ended: nothing that is brought back from now on is seen to by this run.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._journal = scope.surroundings.journal
        self._line = Line()
        self.rules = Judging(scope)
        self._intake = Intake(scope, self._line, self.rules, self._changed, lambda: self.version)
        self._ordering = Ordering(scope, self._line, self._changed)
        self._kept: dict[int, Task] = {}
        """Tasks in the line that were taken before: what is known of them is not all in the journal, which may even
        call them failed until it has that they are tried again."""
        self._returning: set[str] = set()
        self._loaded = False
        self._closed = False
        self._wake = Pulse()
        self.parting = Pulse()
        self.naming = trio.Lock()
        self.ended = False
        self.version = 0
        self.steer()

    @property
    def active(self) -> bool:
        """Whether it says what is next."""
        return bool(self.rules) or self._ordering.active

    # --- what is in force --------------------------------------------------------------------------

    def steer(self) -> None:
        """`standing` or `holds` have changed. Effective at once: nothing that is held, skipped or less urgent now goes
        to a mover after this."""
        execution, was_active = self._scope.account.execution, self.active
        self._returning |= self.rules.follow(execution)
        self._returning = {id_ for id_ in self._returning if id_ not in self.rules}
        self._line.set_rules(r.rule for r in self.rules)
        self._ordering.follow(order_of(execution.standing))
        if not self.active and was_active:
            self._give_back()
        self._say("")
        self._changed()
        self.parting.set()

    @contextmanager
    def set_aside(self, selector: Selector) -> Iterator[None]:
        """Let nothing begin that `selector` picks while the context lasts. Of a million entries it takes a second to
        find out how many it picks, and what is asked for is to be effective at once."""
        end = self.rules.set_aside(selector, self._scope.wall())
        self.steer()
        try:
            yield
        finally:
            end()
            self.steer()

    def _changed(self) -> None:
        self.version += 1
        self._wake.set()
        self._scope.progress.set()

    def _give_back(self) -> None:
        """It is not asked any more: what it keeps goes where whoever is asked finds it."""
        scope = self._scope
        for number, task in self._kept.items():
            if scope.in_hand.take(number):
                scope.in_hand.send(number)
                scope.requeue.put(task, scope.now())
        self._kept = {}
        self._restart()

    def _restart(self) -> None:
        self._line.clear()
        self._intake.restart()
        self._ready(tuple(self._kept.values()))
        self.rules.forget_learned()

    def begin(self) -> None:
        """A pass over the pending entries begins: further names may have become files of their own."""
        if self.active:
            self._restart()
            self._changed()

    @property
    def returning(self) -> bool:
        """Whether entries that nobody has skipped any more are still to be pending again, as far as is known."""
        return (not self._loaded or bool(self._returning)) and not (self._closed or self._scope.gate.ending)

    def close(self) -> None:
        """Nothing pending is left: what is skipped or brought back from now on waits until `reopen`."""
        self._closed = True

    def reopen(self) -> bool:
        """After everything else was done: return whether entries are to come back, for which all of it is due again."""
        if not self._returning or self._scope.gate.ending:
            self.ended = True
            return False
        self._closed = False
        self._scope.resumed = True  # directories are finished
        self._changed()
        return True

    # --- what is next ------------------------------------------------------------------------------

    async def take(self, *, followers: bool) -> list[Task]:
        """Take the next entries, for a mover or to be put back; none when nothing is ready now."""
        scope = self._scope
        while True:
            while any(r.matcher is None for r in self.rules):
                await scope.progress.wait()
            version = self.version
            numbers = self._line.next(FEW if self.rules.sets_aside else TAKEN, followers=followers)
            if numbers is None:
                await trio.lowlevel.checkpoint()
                continue
            if not numbers:
                self._intake.wanted = True
                self._wake.set()
                return []
            for number in numbers:
                self._line.ready[followers].discard(number)
            tasks: list[Task] = []
            with scope.in_hand.reading():
                rows = await self._journal.get_tasks(scope.key, numbers)
                for number in numbers:
                    task = self._pending(number, rows)
                    fits = task is not None and task.type is not EntryType.DIRECTORY
                    if task is not None and fits and bool(task.leader) is followers and scope.in_hand.take(number):
                        tasks.append(task)
            if await self._judge([t for t in tasks if self.rules.is_late(t)]) or version != self.version:
                for task in tasks:
                    self.put_back(task)
                await trio.lowlevel.checkpoint()
                continue
            for task in tasks:
                self._kept.pop(task.number, None)
            if tasks:
                self._say("")
            return tasks

    def put_back(self, task: Task) -> None:
        """A task that is queued waits in the line (again)."""
        self._scope.in_hand.leave(task.number)
        self._kept[task.number] = task
        self._ready((task,))
        self._wake.set()

    def _pending(self, number: int, rows: Mapping[int, Task]) -> Task | None:
        """Return a task of the line as it is known, by what was read of the journal; None if it is not pending."""
        row, kept = rows.get(number), self._kept.get(number)
        if kept is not None and (row is None or row.leader == kept.leader):
            return kept
        return row if row is not None and row.state is TaskState.PENDING else None

    def _ready(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._intake.with_movers.discard(task.number)
            self._line.put((task.number,), followers=bool(task.leader))

    @property
    def left_behind(self) -> bool:
        """Whether entries wait that are no further names of files: tried again when those had their turn already."""
        return any(not task.leader for task in self._kept.values())

    def exhausted(self, *, followers: bool) -> bool:
        """Whether nothing is left in this pass, when `take` has just returned nothing and nothing is in flight. What is
        held is left, and the execution says who holds it."""
        if not self._loaded or self._returning:
            self._wake.set()
            return False
        if not self.active:
            return True
        if not self._all_known(followers=followers):
            return False
        for number in self._intake.with_movers:
            self._line.ready[followers].discard(number)
        held = self._line.held(followers=followers)
        if held:
            self._say_held(held)
        return not held

    def stands_still(self, parked: Set[int], *, followers: bool) -> None:
        """Say that all that is left is held, if that is so, when `take` has just returned nothing and nothing is in
        flight but what movers wait with.

        Args:
            parked: these, by number; some of them may be in the line as well.
        """
        if not self._all_known(followers=followers):
            return
        ready = self._line.ready[followers]
        for number in self._intake.with_movers - parked:
            ready.discard(number)
        self._intake.with_movers &= parked
        counted = sum(number in ready and self._line.blocked(number) for number in parked)
        self._say_held(self._line.held(followers=followers) + len(parked) - counted)

    @property
    def holds_back(self) -> bool:
        """Whether anything waits for a hold on some entries to go, as far as they were looked at."""
        if all(h.selector.selects_all for h in self._scope.account.execution.holds):
            return False
        waits = Control.PAUSE in self._scope.crew.told.values()
        return waits or any(self._line.held(followers=followers) for followers in (False, True))

    def _all_known(self, *, followers: bool) -> bool:
        """Whether every rule in force was evaluated over all there is, and nothing is left to be skipped."""
        if not self._loaded or self._returning or not self._intake.complete[followers]:
            return False
        return not any(self._line.skipped(skip.rule, 1, followers=followers) for skip in self.rules.skips)

    def _say_held(self, held: int) -> None:
        scope = self._scope
        holds = [h for h in scope.account.execution.holds if not h.selector.selects_all]
        if not holds:  # it is set aside, for a moment
            return
        by = ", ".join(dict.fromkeys(f"{h.intervention or h.id} by {h.author}" for h in holds))
        reason = f"the rest, {held:,} {'entry' if held == 1 else 'entries'}, is held: {by}"
        self._say(reason)

    def _say(self, reason: str) -> None:
        account = self._scope.account
        if account.execution.state is ExecutionState.RUNNING and account.execution.reason != reason:
            account.change(reason=reason)

    # --- what it knows -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep up with the scan and with what is changed, until cancelled."""
        scope = self._scope
        if scope.resumed:
            left_out = await self._journal.left_out(scope.key)
            self._returning |= {id_ for id_ in left_out if id_ not in self.rules}
        self._loaded = True
        scope.progress.set()
        while True:
            woken = self._wake.mark()
            await self._compile()
            for by in sorted(self._returning) if not self._closed else ():
                await self._bring_back(by)
            if self.active and not self._closed:
                await self._intake.catch_up()
                await self._ordering.line_up(complete=all(self._intake.complete))
                for skip in self.rules.skips:
                    await self._leave_out(skip)
            with trio.move_on_after(LOOK_S):
                await woken.wait()

    async def _compile(self) -> None:
        for rule in [r for r in self.rules if r.matcher is None]:
            rule.matcher = await compiled(rule.selector, rule.now)
            self._changed()

    async def _judge(self, tasks: Sequence[Task]) -> bool:
        """Judge a few tasks; returns whether any rule picks one of which that was not known."""
        marked = await self.rules.judge(tasks)
        if marked:
            self._line.changed()
            self._scope.progress.set()
        return marked

    async def withheld(self, tasks: Sequence[Task]) -> dict[int, tuple[FileKind, ...]]:
        """See `Judging.withheld`."""
        return await self.rules.withheld(tasks)

    def learned(self, number: int, kind: FileKind) -> None:
        """A mover has opened a task that was to be withheld, or was given up, and gives it back; that is on its way
        into the journal."""
        if self.active:
            self.rules.learn(number, kind)

    # --- skips -------------------------------------------------------------------------------------

    async def _leave_out(self, skip: InForce) -> None:
        """Settle what a skip picks, a piece at a time."""
        scope, id_ = self._scope, skip.rule.id
        for followers in (False, True):
            while numbers := self._line.skipped(skip.rule, AT_ONCE, followers=followers):
                async with self._reading_names():
                    rows = await self._journal.get_tasks(scope.key, numbers)
                    if scope.gate.ending or not self.rules.is_in_force(skip):
                        return
                    gone: list[int] = []
                    for number in numbers:
                        self._line.ready[followers].discard(number)
                        task = self._pending(number, rows)
                        if task is None or not scope.in_hand.take(number):
                            continue
                        self._kept.pop(number, None)
                        scope.in_hand.send(number)
                        scope.account.settle(task, TaskState.SKIPPED, Outcome.LEFT_OUT)
                        gone.append(number)
                    if gone:
                        scope.record([LeaveOut(scope.key, id_, tuple(gone))])
                scope.progress.set()

    @asynccontextmanager
    async def _reading_names(self) -> AsyncIterator[None]:
        async with self.naming:
            with self._scope.in_hand.reading():
                yield

    async def _bring_back(self, by: str) -> None:
        """A skip is taken back: exactly what it left out is pending again."""
        scope = self._scope
        await scope.ledger.settled()  # what it has left out last
        while True:
            async with self.naming:
                tasks = await self._journal.left_out_by(scope.key, by, limit=AT_ONCE)
                if not tasks:
                    break
                if scope.gate.ending:
                    return
                for task in tasks:
                    scope.account.bring_back(task)
                await scope.ledger.commit([BringBack(scope.key, tuple(t.number for t in tasks))])
            entries = [t for t in tasks if t.type is not EntryType.DIRECTORY]
            await self._judge(entries)
            self._ready(entries)
            self._changed()
        self._returning.discard(by)
        self._changed()
