"""Rollbacks: looked over, and set going."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager

import msgspec

from migmond.domain import api
from migmond.domain.changes import PutExecution, PutIntervention
from migmond.domain.entry import EntryType
from migmond.domain.errors import Conflict
from migmond.domain.execution import Execution, Tally
from migmond.domain.identity import Identity
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.mover_slots import OUTLOOK_SLOT
from migmond.domain.plan import Plan, Undoing
from migmond.domain.selector import Selector
from migmond.domain.states import LIVE_EXECUTION_STATES
from migmond.domain.task import Task
from migmond.domain.units import show_size
from migmond.engine.account import task_bytes
from migmond.engine.check import probe
from migmond.engine.crew import open_mover
from migmond.engine.entrance import Entrance, fresh_execution
from migmond.engine.opening import fresh_opening
from migmond.engine.process import MoverProcess
from migmond.engine.roster import Roster
from migmond.engine.routes import Routes
from migmond.engine.settings import Surroundings
from migmond.engine.undo import roots_counted, roots_recorded, undo_roots
from migmond.engine.undo_walk import UndoWalk, compiled, path_of
from migmond.engine.views import tally_view
from migmond.planning.room import missing_at
from migmond.planning.routes import target_of
from migmond.planning.undo import Fate, fate_of, recovery_plan, undo_plan, what_stays
from migmond.planning.verdict import obstacles
from migmond.wire.from_mover import Opened

MAX_EXAMPLES = 5
"""Of each fate, when nobody asks for one of them."""


_PAGE = 10_000


class Rollback(msgspec.Struct, frozen=True):
    """What somebody wants undone: of which execution, which entries, and why."""

    first: Execution
    selector: Selector = Selector()
    reason: str = ""
    request_id: str = ""
    again: bool = False
    """Nothing is undone: what is not at the target as it was copied is copied again."""


class Example(msgspec.Struct, frozen=True):
    """An entry by its path below its source, and why it has its fate, "" when that says it all."""

    number: int
    fate: Fate
    path: bytes
    message: str


class Outlook(msgspec.Struct, frozen=True):
    """What a rollback would do.

    Attributes:
        plan: of the rollback.
        tallies: entries by their fates, directories left out.
        examples: in the order of their numbers.
        backups: how many backups get their names back.
        notes: what else cannot be undone, or is in the way, sentences for people.
        next: number after which there may be more examples of the fate that was asked for; None when there are none.
    """

    plan: Plan
    tallies: dict[Fate, Tally]
    examples: tuple[Example, ...]
    next: int | None
    backups: int = 0
    notes: tuple[str, ...] = ()


class Rollbacks:
    """For the engine.

    Args:
        entrance: lets their plans in.
        roster: gives them their turns.
    """

    def __init__(self, surroundings: Surroundings, entrance: Entrance, roster: Roster) -> None:
        self._surroundings = surroundings
        self._entrance = entrance
        self._roster = roster

    async def start(
        self, order: Rollback, first: Execution, identity: Identity, author: str, number: str
    ) -> tuple[Execution, Intervention]:
        """Journal a rollback of `first`, and its record there, in one transaction, and set it going.

        Args:
            identity: whose rights its movers have.
            number: the record's id.

        Raises:
            Conflict: `first` is a rollback itself, or has done nothing.
            PlanInfeasible, NotPermitted: the roots do not fit (any more), or may not be opened by `identity`.
            InvalidInput, LimitExceeded: the selector makes no sense; as many wait as may.
        """
        firsts, plan, undoing = await self._plan(first, order)
        execution_id, journal = secrets.token_hex(6), self._surroundings.journal
        matcher = await compiled(plan, self._surroundings.clock.wall())
        async with self._entrance.opened(execution_id, plan, identity) as (process, opened):
            walk = UndoWalk(self._surroundings, undoing, matcher, process)
            roots = await undo_roots(walk, plan, undoing, opened.roots, firsts, matcher.picks)
            key, now = await journal.next_key(), self._surroundings.clock.wall()
            fresh = fresh_execution(execution_id, key, "", plan, identity, opened, now)
            fresh = msgspec.structs.replace(fresh, totals=roots_counted(roots))
            execution = self._roster.with_turn(fresh)
            state = first.state.value
            kind, what = InterventionKind.ROLLBACK, "rolled back"
            if order.again:
                kind, what = InterventionKind.RECOVER, "recovered"
            told = f"is {what} by {execution_id[:6]}"
            intervention = Intervention(number, first.id, kind, author, now, order.reason, state, told)
            changes = [*roots_recorded(key, roots), PutIntervention(intervention)]
            await journal.apply([PutExecution(execution, order.request_id), *changes])
        await self._roster.begin(execution, process, opened)
        return execution, intervention

    async def outlook(
        self,
        order: Rollback,
        first: Execution,
        identity: Identity,
        *,
        fate: Fate | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> Outlook:
        """Look at everything that a rollback of `first` would concern; nothing is written or changed.

        Args:
            fate: give examples of this one only, `limit` of them from task number `after` on, and look no further than
                that; None for some of each, and all the sums.

        Raises:
            Conflict, PlanInfeasible, NotPermitted, InvalidInput: as `start`.
            MoverError: a mover could not be had, or died.
        """
        firsts, plan, undoing = await self._plan(first, order)
        matcher = await compiled(plan, self._surroundings.clock.wall())
        tallies: dict[Fate, Tally] = {}
        examples: list[Example] = []
        shown: dict[Fate, int] = {}
        backups = 0
        notes = what_stays(first.plan, undoing)
        async with self._looking(plan, identity) as (process, opened):
            walk = UndoWalk(self._surroundings, undoing, matcher, process)
            async with aclosing(walk.pages(after, roots=True)) as pages:
                async for page in pages:
                    for task, found in page.found:
                        if task.type is EntryType.DIRECTORY:
                            continue
                        backups += found.backup
                        its = fate_of(found, removing=undoing.removing)
                        tallies[its] = tallies.get(its, Tally()).plus(1, task_bytes(task))
                        most = MAX_EXAMPLES if fate is None else limit if its is fate else 0
                        if shown.get(its, 0) < most:
                            shown[its] = shown.get(its, 0) + 1
                            examples.append(Example(task.number, its, path_of(task, page.places), found.message))
                    if fate is not None and shown.get(fate, 0) >= limit:
                        return Outlook(plan, tallies, tuple(examples), examples[-1].number, backups)
            if fate is None and not undoing.removing:
                notes += await self._in_the_way(process, opened, plan, tallies.get(Fate.RESTORE, Tally()))
        for number in undoing.whole if fate in (None, Fate.WHOLE) and after < len(plan.sources) else ():
            tallies[Fate.WHOLE] = tallies.get(Fate.WHOLE, Tally()).plus(1, 0)
            message = "it was renamed as a whole: all that is in it now comes back, also what was put there since"
            examples.append(Example(firsts[number].number, Fate.WHOLE, b"", message))
        return Outlook(plan, tallies, tuple(examples), None, backups, notes)

    async def _in_the_way(self, process: MoverProcess, opened: Opened, plan: Plan, back: Tally) -> tuple[str, ...]:
        """Return why things cannot be brought back to where they came from, as far as one can tell.

        Args:
            back: what is to be.
        """
        count = len(plan.sources)
        roots, targets = opened.roots[:count], (await probe(process))[:count]
        paths = [target_of(s, plan.destination) for s in plan.sources]
        told = [f.message for f in obstacles(paths, targets, [r.target_empty for r in roots])]
        one = len({t.device for t in targets}) == 1
        if one and not any(r.source_device == r.target_device for r in roots):  # what is near is renamed
            promises = [p for run in self._roster.runs() for p in run.promises(run.execution.name)]
            if (short := missing_at(targets[0], back, promises)).bytes:
                told.append(f"{show_size(short.bytes)} short there: {show_size(targets[0].free_bytes)} free")
        return tuple(told)

    async def _plan(self, first: Execution, order: Rollback) -> tuple[dict[int, Task], Plan, Undoing]:
        numbers = range(1, len(first.plan.sources) + 1)
        firsts = await self._surroundings.journal.get_tasks(first.key, numbers)
        sent = await self._surroundings.journal.sent_to(first.key, list(numbers)) if first.further else {}
        if order.again:
            plan = recovery_plan(first, order.selector)
        else:
            now, before = self._surroundings.clock.wall(), undone_by(first, self._roster.all())
            plan = undo_plan(first, firsts, order.selector, now, before, sent)
        assert plan.undoes is not None
        undoing = msgspec.structs.replace(plan.undoes, fetched=await self._fetched(first))
        plan = msgspec.structs.replace(plan, undoes=undoing)
        if first.totals.brought.entries == 0:  # then its destination may never have been made
            raise Conflict(
                f"{first.name} brought nothing to its destination: there is nothing to undo",
                hint=f"see what became of it: migmon show {first.id[:6]}",
            )
        return firsts, plan, undoing

    async def _fetched(self, first: Execution) -> tuple[tuple[int, int], ...]:
        """See `Undoing.fetched`."""
        journal, found = self._surroundings.journal, set[tuple[int, int]]()
        for destination, numbers in (await Routes(journal, first).directories()).items():
            ordered = sorted(numbers)
            for i in range(0, len(ordered), _PAGE):
                places = await journal.places(first.key, ordered[i : i + _PAGE])
                found.update((destination, place.root) for place in places.values())
        return tuple(sorted(found))

    @asynccontextmanager
    async def _looking(self, plan: Plan, identity: Identity) -> AsyncIterator[tuple[MoverProcess, Opened]]:
        opening = fresh_opening("0" * 12, plan, self._surroundings)
        process, opened = await open_mover(self._surroundings.pool, OUTLOOK_SLOT, identity, opening)
        try:
            yield process, opened
        finally:
            await process.end()


def refuse_while_undone(first: Execution, executions: Iterable[Execution]) -> None:
    """Raise Conflict while a rollback of `first` is not at its end."""
    for e in executions:
        if e.plan.undoes is not None and e.plan.undoes.execution == first.id and e.state in LIVE_EXECUTION_STATES:
            what = "recovered" if e.plan.undoes.again else "rolled back"
            raise Conflict(f"{first.name} is being {what}", hint=f"see how far it is: migmon watch {e.id[:6]}")


def rollbacks_of(first: Execution, executions: Iterable[Execution]) -> tuple[api.RolledBack, ...]:
    """Return what clients see of the rollbacks of `first` among `executions`, which come oldest first."""
    return tuple(api.RolledBack(e.id, e.state.value, tally_view(e.totals.done)) for e in undone_by(first, executions))


def undone_by(first: Execution, executions: Iterable[Execution]) -> list[Execution]:
    """Return the rollbacks of `first` among `executions`, in their order."""
    undoing = ((e, e.plan.undoes) for e in executions)
    return [e for e, undoes in undoing if undoes is not None and undoes.execution == first.id and not undoes.again]
