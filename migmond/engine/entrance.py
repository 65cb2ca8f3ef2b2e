"""The way into the engine: what is looked at before a plan becomes an execution, and what that begins with."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import trio

import migmond
from migmond.domain.entry import EntryType
from migmond.domain.errors import LimitExceeded
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.identity import Identity
from migmond.domain.plan import Operation, Plan
from migmond.domain.states import ExecutionState
from migmond.domain.task import Task
from migmond.engine.check import refuse_obstructed
from migmond.engine.crew import open_mover
from migmond.engine.opening import fresh_opening
from migmond.engine.process import MoverProcess
from migmond.engine.settings import Surroundings
from migmond.engine.turns import Turns, crew_of, refuse_too_many_movers
from migmond.planning.turns import Work
from migmond.wire.from_mover import Opened

MAX_OPENINGS = 8
"""Plans of one user whose roots are looked at before they start, at a time: each takes a process."""
PATIENCE_S = 30.0
"""How long a further one waits for that; it takes 0.1 s unless a disk hangs."""


class Entrance:
    """Lets plans in, a few of each user at a time."""

    def __init__(self, surroundings: Surroundings, turns: Turns) -> None:
        self._surroundings = surroundings
        self._settings = surroundings.settings
        self._turns = turns
        self._places: defaultdict[int, trio.CapacityLimiter] = defaultdict(lambda: trio.CapacityLimiter(MAX_OPENINGS))

    @asynccontextmanager
    async def opened(
        self, execution_id: str, plan: Plan, identity: Identity
    ) -> AsyncIterator[tuple[MoverProcess, Opened]]:
        """Yield a mover that has opened the plan's roots. It is ended when the context is left by an error, and the
        turn given back, if one was taken.

        Raises:
            InvalidInput: it asks for more movers than one may have.
            LimitExceeded: as many wait for their turn as may, or to be looked at.
            PlanInfeasible, NotPermitted: the roots do not fit or may not be opened by `identity`.
        """
        refuse_too_many_movers(plan, self._settings.turns)
        async with self._place(identity.uid):
            self._turns.refuse_when_full(Work(execution_id, identity.uid, crew_of(plan, self._settings)))
            opening = fresh_opening(execution_id, plan, self._surroundings)
            opening = msgspec.structs.replace(opening, probing=plan.operation is Operation.MOVE)
            process, opened = await open_mover(self._surroundings.pool, 1, identity, opening)
            try:
                await refuse_obstructed(process, opened, plan)
                yield process, opened
            except BaseException:
                self._turns.end(execution_id)
                await process.end()
                raise

    @asynccontextmanager
    async def _place(self, uid: int) -> AsyncIterator[None]:
        place, who = self._places[uid], object()
        with trio.move_on_after(PATIENCE_S) as patience:
            await place.acquire_on_behalf_of(who)
        if patience.cancelled_caught:
            raise LimitExceeded(
                f"{MAX_OPENINGS} of your migrations are being looked at, and none for {PATIENCE_S:.0f} s to its end",
                hint="does a disk of theirs hang?",
            )
        try:
            yield
        finally:
            place.release_on_behalf_of(who)


def first_tasks(opened: Opened) -> list[Task]:
    """Return the tasks of a plan's sources."""
    return [
        Task(i + 1, 0, b"", r.type, r.size, r.mtime_ns, r.ctime_ns, r.inode, r.source_device, r.links)
        for i, r in enumerate(opened.roots)
    ]


def fresh_execution(
    execution_id: str, key: int, name: str, plan: Plan, identity: Identity, opened: Opened, now_wall: float
) -> Execution:
    """Return the execution of a plan whose roots were found as `opened`; `name`: "" for the plan's."""
    size = sum(r.size for r in opened.roots if r.type is EntryType.FILE)
    return Execution(
        id=execution_id,
        key=key,
        name=name or plan.name,
        plan=plan,
        identity=identity,
        state=ExecutionState.CREATED,
        created_at=now_wall,
        totals=Totals(planned=Tally(len(opened.roots), size)),
        limits=plan.limits,
        anchors=tuple(r.anchor for r in opened.roots),
        source_file_systems=tuple(r.source_file_system for r in opened.roots),
        host=os.uname().nodename,
        version=migmond.__version__,
    )
