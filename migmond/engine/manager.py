"""All executions: started, found by name, controlled, and taken up again when a daemon starts."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import trio

from migmond.domain import api
from migmond.domain.changes import (
    AddRoot,
    PutExecution,
)
from migmond.domain.errors import Conflict, Unavailable
from migmond.domain.events import ExecutionCreated, InterventionRecorded
from migmond.domain.execution import Execution
from migmond.domain.identity import Identity
from migmond.domain.observation import Observation
from migmond.domain.plan import Plan
from migmond.domain.preflight import Promise
from migmond.domain.states import (
    LIVE_EXECUTION_STATES,
    TERMINAL_EXECUTION_STATES,
)
from migmond.domain.steering import Cancel, Drain, Pause, Resume
from migmond.engine.breakdowns import Breakdowns, Counted
from migmond.engine.changer import Means
from migmond.engine.entrance import Entrance, first_tasks, fresh_execution
from migmond.engine.finding import named
from migmond.engine.forgetting import Forgetting
from migmond.engine.parts import Parts
from migmond.engine.recording import Ask, Recording
from migmond.engine.rivals import with_rival
from migmond.engine.rollbacks import Outlook, Rollback, Rollbacks, refuse_while_undone, rollbacks_of
from migmond.engine.roster import Roster
from migmond.engine.run import Run
from migmond.engine.settings import Surroundings
from migmond.engine.sharing import Sharing
from migmond.engine.steering import Steering
from migmond.engine.stopping import Stopping
from migmond.engine.undoing import Undoing
from migmond.engine.verifications import Verifications
from migmond.engine.views import execution_view, intervention_views
from migmond.planning.undo import Fate


class Engine:
    """The engine's face towards the daemon. Made by `Engine.serving`.

    Attributes:
        steering, undoing, stopping: how executions are changed, changes are taken back, and all is stopped.
        forgetting: how executions that have ended are removed.
    """

    def __init__(self, surroundings: Surroundings, nursery: trio.Nursery) -> None:
        self._surroundings = surroundings
        self._roster = Roster(surroundings, nursery)
        self._breakdowns = Breakdowns(surroundings, nursery)
        self._verifications = Verifications(surroundings, nursery, self._roster.turns, self._roster.replace)
        self._entrance = Entrance(surroundings, self._roster.turns)
        self._rollbacks = Rollbacks(surroundings, self._entrance, self._roster)
        self._requests: defaultdict[tuple[int, str], trio.Lock] = defaultdict(trio.Lock)
        self._launching: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        """Held from the look whether anything works on an execution until something does: two scopes on one would
        write the same temporaries."""
        recording = Recording(surroundings, self._roster)
        means = Means(surroundings, self._roster, self._verifications, recording, self._launching)
        self.steering = Steering(means)
        self.undoing = Undoing(means)
        self.stopping = Stopping(means)
        self.forgetting = Forgetting(surroundings, self._roster, self._verifications, self._launching)
        self._stopping = False

    @classmethod
    @asynccontextmanager
    async def serving(cls, surroundings: Surroundings) -> AsyncIterator[Engine]:
        """Take up every live execution of the journal and yield; on leaving, what still runs is cut off resumably."""
        async with trio.open_nursery() as nursery:
            engine = cls(surroundings, nursery)
            await engine._load()
            nursery.start_soon(engine.undoing.expire)
            nursery.start_soon(Sharing(surroundings.clock, surroundings.whole, engine._roster.scopes).run)
            try:
                yield engine
            finally:
                engine._roster.turns.closed = True
            nursery.cancel_scope.cancel()

    async def _load(self) -> None:
        await self._surroundings.records.load(self._surroundings.journal)
        await self._roster.load()

    # --- finding -----------------------------------------------------------------------------------

    def all(self) -> list[Execution]:
        """Every execution as it stands now, oldest first."""
        return self._roster.all()

    def find(
        self, name: str, visible: Callable[[Execution], bool] = lambda execution: True, *, newest: bool = False
    ) -> Execution:
        """Return the execution that `name` names: its id, a unique prefix of it, or a unique name.

        Of several with one name, the only live one is meant.

        Args:
            visible: the others are not there, neither to be found nor to make a name ambiguous.
            newest: see `named`.

        Raises:
            NotFound: none, or more than one.
        """
        exactly = self._roster.get(name)
        if exactly is not None and visible(exactly):
            return exactly
        return named([e for e in self.all() if visible(e)], name, newest=newest)

    def adopt(self, execution: Execution, identity: Identity) -> Execution:
        """Take its owner's present credentials for the ones that the journal remembers: a group that was left since is
        left. What works on it already keeps what it has, as every process does. Returns the execution as it is now."""
        now, run = self._roster.now(execution), self._roster.run_of(execution.id)
        if now.identity == identity or self._verifications.of(now.id):
            return now
        if run is None:
            self._roster.add(msgspec.structs.replace(now, identity=identity))
        elif now.state in TERMINAL_EXECUTION_STATES:  # it only closes its books, and the next one begins with them
            run.replace_execution(msgspec.structs.replace(now, identity=identity))
        return self._roster.now(execution)

    def run_of(self, execution_id: str) -> Run | None:
        """Return the live run of an execution."""
        return self._roster.run_of(execution_id)

    def view(self, execution: Execution, *, closely: bool = False) -> api.ExecutionView:
        """Return what clients see of it now. `closely`: all others are looked at as well, for why it failed."""
        run, now = self._roster.run_of(execution.id), self._roster.now(execution)
        if closely:
            now = with_rival(now, self._roster.all())
        verifier = self._verifications.of(execution.id)
        busy_with = verifier.progress if verifier is not None else self._roster.turns.why(execution.id)
        busy_with = self._surroundings.salvages.why(execution.id) or busy_with
        if busy_with:
            now = msgspec.structs.replace(now, reason=busy_with)
        view = execution_view(now, run.live if run is not None else None, self._wall())
        return msgspec.structs.replace(view, rolled_back=rollbacks_of(now, self._roster.all())) if closely else view

    async def counted(self, execution: Execution) -> Counted:
        """Return the progress of an execution by kind, size and directory; see `Breakdowns.of`."""
        return await self._breakdowns.of(self._roster.now(execution), self._roster.run_of(execution.id))

    async def parts(self, execution: Execution) -> Parts:
        """Return what is known of its batches and files; see `Breakdowns.parts`."""
        return await self._breakdowns.parts(self._roster.now(execution), self._roster.run_of(execution.id))

    def movers(self) -> int:
        """How many mover processes there are."""
        return sum(len(v.movers) for r in self._roster.runs() if (v := r.live) is not None)

    def promises(self, name: Callable[[Execution], str]) -> list[Promise]:
        """Return the room that live executions have yet to fill.

        Args:
            name: what to call an execution to whoever asks.
        """
        return [p for run in self._roster.runs() for p in run.promises(name(run.execution))]

    # --- starting ----------------------------------------------------------------------------------

    async def start(self, plan: Plan, identity: Identity, name: str, request_id: str) -> Execution:
        """Check the plan's roots, journal a new execution, and set it going.

        Returns:
            The execution; the earlier one if `request_id` was used by the same user before.

        Raises:
            PlanInfeasible, NotPermitted: the roots do not fit or may not be opened by `identity`.
            InvalidInput: it asks for more movers than one may have.
            LimitExceeded: as many wait for their turn as may.
            Unavailable: the daemon is stopping.
        """
        if self._stopping:
            raise Unavailable("the daemon is stopping", hint="start it again when it is back")
        if not request_id:
            return await self._start(plan, identity, name, "")
        request = (identity.uid, request_id)
        async with self._requests[request]:  # equal ones only: a root that hangs must not keep others waiting
            try:
                earlier = await self._surroundings.journal.find_request(request_id, identity.uid)
                if earlier is not None:
                    return self.find(earlier)
                return await self._start(plan, identity, name, request_id)
            finally:
                if not self._requests[request].statistics().tasks_waiting:
                    del self._requests[request]

    async def _start(self, plan: Plan, identity: Identity, name: str, request_id: str) -> Execution:
        execution_id, journal = secrets.token_hex(6), self._surroundings.journal
        async with self._entrance.opened(execution_id, plan, identity) as (process, opened):
            key = await journal.next_key()
            fresh = fresh_execution(execution_id, key, name, plan, identity, opened, self._wall())
            execution = self._roster.with_turn(fresh)
            roots = [AddRoot(key, i, task) for i, task in enumerate(first_tasks(opened))]
            await journal.apply([PutExecution(execution, request_id), *roots])
        await self._roster.begin(execution, process, opened)
        view = self.view(execution)
        self._surroundings.bus.publish(lambda i, at: ExecutionCreated(i, at, execution.id, view))
        return self._roster.now(execution)

    async def rollback(self, order: Rollback, identity: Identity, author: str) -> Execution:
        """Start to undo what an ended execution did; see `Rollbacks.start`.

        Raises:
            Conflict: it still runs or is rolled back already, or is a rollback itself.
            InvalidInput, PlanInfeasible, NotPermitted, LimitExceeded: as `start`.
            Unavailable: the daemon is stopping.
        """
        if self._stopping:
            raise Unavailable("the daemon is stopping", hint="start it again when it is back")
        async with self._launching[order.first.id]:
            if order.request_id:
                earlier = await self._surroundings.journal.find_request(order.request_id, identity.uid)
                if earlier is not None:
                    return self.find(earlier)
            run, first = await self._roster.controllable(order.first), self._roster.now(order.first)
            if run is not None or first.state in LIVE_EXECUTION_STATES:
                raise Conflict(f"{first.name} is {first.state}", hint=f"cancel it first: migmon cancel {first.id[:6]}")
            self._verifications.refuse_while_verified(first)
            refuse_while_undone(first, self._roster.all())
            records = self._surroundings.records
            execution, record = await self._rollbacks.start(order, first, identity, author, records.next_id())
            records.add(record, lasting=False)
        view, change = self.view(execution), intervention_views([record])[0]
        self._surroundings.bus.publish(lambda i, at: ExecutionCreated(i, at, execution.id, view))
        self._surroundings.bus.publish(lambda i, at: InterventionRecorded(i, at, first.id, change))
        return self._roster.now(execution)

    async def rollback_plan(
        self, order: Rollback, identity: Identity, fate: Fate | None = None, after: int = 0, limit: int = 100
    ) -> Outlook:
        """Look what a rollback would do; see `Rollbacks.outlook`. Raises as `rollback`."""
        run, first = await self._roster.controllable(order.first), self._roster.now(order.first)
        if run is not None or first.state in LIVE_EXECUTION_STATES:
            raise Conflict(f"{first.name} is {first.state}", hint="look again when it has ended (migmon watch)")
        return await self._rollbacks.outlook(order, first, identity, fate=fate, after=after, limit=limit)

    # --- control -----------------------------------------------------------------------------------

    async def pause(self, execution: Execution, author: str, reason: str, for_s: float | None) -> Execution:
        """Set a user's hold on all of it; see `Steering.intervene`."""
        return await self._intervene(execution, Ask(Pause(), author, reason, for_s))

    async def resume(self, execution: Execution, author: str, reason: str) -> Execution:
        """Lift all holds, or set an ended execution going again; failed tasks are tried once more."""
        return await self._intervene(execution, Ask(Resume(), author, reason))

    async def cancel(self, execution: Execution, author: str, reason: str) -> Execution:
        """End it; what was done stays done, no partial file is left."""
        return await self._intervene(execution, Ask(Cancel(), author, reason))

    async def drain(self, execution: Execution, author: str, reason: str) -> Execution:
        """Finish what runs, start nothing more."""
        return await self._intervene(execution, Ask(Drain(), author, reason))

    async def _intervene(self, execution: Execution, ask: Ask) -> Execution:
        await self.steering.intervene(execution, ask)
        return self._roster.now(execution)

    async def verify(self, execution: Execution) -> Execution:
        """Start to re-read the targets of an execution that nothing works on; `execution.verified` tells the result.

        Raises:
            Conflict: it still runs or is to, or is being verified already.
            LimitExceeded: as much runs as may.
        """
        async with self._launching[execution.id]:
            run = await self._roster.controllable(execution)
            now = self._roster.now(execution)
            if run is not None or now.state in LIVE_EXECUTION_STATES:
                raise Conflict(f"{now.name} is {now.state}", hint="verify it when it has finished (migmon watch)")
            self._verifications.begin(now)
        return now

    async def cancel_verification(self, execution: Execution, author: str) -> Execution:
        """End a verification; see `Verifications.cancel`."""
        await self._verifications.cancel(execution, author)
        return self._roster.now(execution)

    def observations(self) -> tuple[list[Observation], list[Observation]]:
        """Return what the monitor sees of all that is at work, and the last looks at what has ended since it asked
        before."""
        ended = [self._roster.ended.popleft() for _ in range(len(self._roster.ended))]
        seen = [run.observation() for run in self._roster.runs()]
        return [o for o in seen if o is not None], ended

    async def suspend(self) -> None:
        """The daemon stops: bring every run to a safe boundary and wait for it. Cancel this to stop waiting."""
        self._stopping = self._roster.turns.closed = True
        runs = self._roster.runs()
        for run in runs:
            run.suspend()
        for run in runs:
            await run.finished.wait()

    # --- helpers -----------------------------------------------------------------------------------

    def _wall(self) -> float:
        return self._surroundings.clock.wall()
