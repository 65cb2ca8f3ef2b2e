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
    AddIntervention,
    AddRoot,
    CancelPending,
    PutExecution,
    Retry,
)
from migmond.domain.errors import Conflict, Unavailable
from migmond.domain.events import ExecutionCreated, InterventionRecorded
from migmond.domain.execution import Execution, Tally
from migmond.domain.hold import HoldReason
from migmond.domain.identity import Identity
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.observation import Observation
from migmond.domain.plan import Plan
from migmond.domain.preflight import Promise
from migmond.domain.states import (
    EXECUTION_TRANSITIONS,
    LIVE_EXECUTION_STATES,
    TERMINAL_EXECUTION_STATES,
    ExecutionState,
    advance,
)
from migmond.engine.breakdowns import Breakdowns, Counted
from migmond.engine.entrance import Entrance, first_tasks, fresh_execution
from migmond.engine.finding import named
from migmond.engine.parts import Parts
from migmond.engine.rivals import with_rival
from migmond.engine.roster import Roster
from migmond.engine.run import Run
from migmond.engine.settings import Surroundings
from migmond.engine.verifications import Verifications
from migmond.engine.views import execution_view, intervention_views

_RESTARTABLE = frozenset({ExecutionState.DRAINED, ExecutionState.COMPLETED_WITH_ERRORS, ExecutionState.FAILED})


class Engine:
    """The engine's face towards the daemon. Made by `Engine.serving`."""

    def __init__(self, surroundings: Surroundings, nursery: trio.Nursery) -> None:
        self._surroundings = surroundings
        self._roster = Roster(surroundings, nursery)
        self._breakdowns = Breakdowns(surroundings, nursery)
        self._verifications = Verifications(surroundings, nursery, self._roster.turns, self._roster.replace)
        self._entrance = Entrance(surroundings, self._roster.turns)
        self._requests: defaultdict[tuple[int, str], trio.Lock] = defaultdict(trio.Lock)
        self._launching: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        """Held from the look whether anything works on an execution until something does: two scopes on one would
        write the same temporaries."""
        self._stopping = False
        self._interventions = 0
        self._learning = 0

    @classmethod
    @asynccontextmanager
    async def serving(cls, surroundings: Surroundings) -> AsyncIterator[Engine]:
        """Take up every live execution of the journal and yield; on leaving, what still runs is cut off resumably."""
        async with trio.open_nursery() as nursery:
            engine = cls(surroundings, nursery)
            await engine._load()
            try:
                yield engine
            finally:
                engine._roster.turns.closed = True
            nursery.cancel_scope.cancel()

    async def _load(self) -> None:
        await self._roster.load()
        for execution in self._roster.all():
            self._interventions += len(await self._surroundings.journal.interventions(execution.id))

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
        if busy_with:
            now = msgspec.structs.replace(now, reason=busy_with)
        return execution_view(now, run.live if run is not None else None, self._wall())

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
        self._roster.add(execution)
        if execution.waiting_since is None:
            self._roster.launch(Run(self._surroundings, execution, first=(process, opened), resumed=False))
        else:
            self._roster.wait(execution, resumed=False)
            await process.end()
        view = self.view(execution)
        self._surroundings.bus.publish(lambda i, at: ExecutionCreated(i, at, execution.id, view))
        return self._roster.now(execution)

    # --- control -----------------------------------------------------------------------------------

    async def pause(self, execution: Execution, author: str, reason: str, for_s: float | None) -> Execution:
        """Set a user's hold.

        Raises:
            Conflict: it is not running.
        """
        run = await self._live(execution, "paused")
        if run.execution.state not in (ExecutionState.RUNNING, ExecutionState.PAUSED):
            raise Conflict(f"{execution.name} cannot be paused: it is {run.execution.state}")
        until = None if for_s is None else self._wall() + for_s
        run.pause(HoldReason.USER, author, reason, until)
        await self._record(execution, InterventionKind.PAUSE, author, reason, f"migmon resume {execution.id[:6]}")
        return run.execution

    async def resume(self, execution: Execution, author: str, reason: str) -> Execution:
        """Lift all holds, or set an ended execution going again; failed tasks are tried once more.

        Raises:
            Conflict: it runs already, or there is nothing left to do.
        """
        async with self._launching[execution.id]:
            run = await self._roster.controllable(execution)
            now = self._roster.now(execution)
            if now.state is ExecutionState.DRAINING:
                raise Conflict(f"{now.name} is draining", hint=f"resume it when it has: migmon watch {now.id[:6]}")
            if run is not None:
                if not run.lift(lambda hold: True, "lifted"):
                    raise Conflict(f"{now.name} is not paused: it is {now.state}")
            elif now.state in _RESTARTABLE:
                self._verifications.refuse_while_verified(now)
                await self._restart(now)
            elif now.waiting_since is not None:
                raise Conflict(f"{now.name} {self._roster.turns.why(now.id)}", hint="it begins by itself")
            else:
                raise Conflict(f"{now.name} is {now.state}: there is nothing to resume")
        await self._record(execution, InterventionKind.RESUME, author, reason, f"migmon pause {execution.id[:6]}")
        return self._roster.now(execution)

    async def cancel(self, execution: Execution, author: str, reason: str) -> Execution:
        """End it; what was done stays done, no partial file is left.

        Raises:
            Conflict: it has ended already.
        """
        async with self._launching[execution.id]:
            run = await self._roster.controllable(execution)
            now = self._roster.now(execution)
            if run is not None:
                if now.state is ExecutionState.CANCELLING:  # asked for before: one record of it is enough
                    await self._roster.journaled(now)
                    return now
                run.cancel()
            elif now.state is ExecutionState.WAITING and now.started_at is None:
                await self._roster.leave_line(now, ExecutionState.CANCELLED, CancelPending(now.key))
            elif ExecutionState.CANCELLING in EXECUTION_TRANSITIONS[now.state]:
                self._verifications.refuse_while_verified(now)
                self._roster.turns.withdraw(now.id)
                await self._roster.set_going(
                    msgspec.structs.replace(
                        now, state=ExecutionState.CANCELLING, finished_at=None, reason="", holds=(), waiting_since=None
                    )
                )
            elif now.state is ExecutionState.CANCELLING:
                return now  # it waits for its turn
            else:
                raise Conflict(f"{now.name} is {now.state} already")
        await self._record(execution, InterventionKind.CANCEL, author, reason, "")
        return self._roster.now(execution)

    async def drain(self, execution: Execution, author: str, reason: str) -> Execution:
        """Finish what runs, start nothing more.

        Raises:
            Conflict: it is not running.
        """
        async with self._launching[execution.id]:
            now = self._roster.now(execution)
            if waits := now.state is ExecutionState.WAITING and now.waiting_since is not None:
                await self._roster.leave_line(now, ExecutionState.DRAINED)
        if waits:
            await self._record(execution, InterventionKind.DRAIN, author, reason, f"migmon resume {execution.id[:6]}")
            return self._roster.now(execution)
        run = await self._live(execution, "drained")
        if run.execution.state is ExecutionState.DRAINING:
            return run.execution
        run.drain()
        await self._record(execution, InterventionKind.DRAIN, author, reason, f"migmon resume {execution.id[:6]}")
        return run.execution

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

    def observations(self, *, learn: bool = False) -> tuple[list[Observation], list[Observation]]:
        """Return what the monitor sees of all that is at work, and the last looks at what has ended since it asked
        before.

        Args:
            learn: find out as well what a run has cost (see `Forecasting.outlook`), of one at a time, by turns.
        """
        ended = [self._roster.ended.popleft() for _ in range(len(self._roster.ended))]
        runs = self._roster.runs()
        self._learning += learn
        seen = [run.observation(learn=learn and i == self._learning % len(runs)) for i, run in enumerate(runs)]
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

    async def _live(self, execution: Execution, done: str) -> Run:
        run = await self._roster.controllable(execution)
        if run is None:
            waits = self._roster.now(execution).waiting_since is not None
            hint = "drain takes it out of the line, resume puts it back" if waits else ""
            raise Conflict(f"{execution.name} cannot be {done}: it is {self._roster.now(execution).state}", hint=hint)
        return run

    async def _restart(self, execution: Execution) -> None:
        again = msgspec.structs.replace(
            execution,
            state=advance(EXECUTION_TRANSITIONS, execution.state, ExecutionState.RUNNING),
            totals=msgspec.structs.replace(execution.totals, failed=Tally()),
            finished_at=None,
            reason="",
            holds=(),
        )
        await self._roster.set_going(again, Retry(execution.key))

    async def _record(self, execution: Execution, kind: InterventionKind, author: str, reason: str, undo: str) -> None:
        self._interventions += 1
        number, before, after = (
            f"i-{self._interventions}",
            execution.state.value,
            self._roster.now(execution).state.value,
        )
        intervention = Intervention(number, execution.id, kind, author, self._wall(), reason, before, after, undo)
        await self._surroundings.journal.apply([AddIntervention(intervention)])
        await self._roster.journaled(execution)
        view = intervention_views([intervention])[0]
        self._surroundings.bus.publish(lambda i, at: InterventionRecorded(i, at, execution.id, view))

    def _wall(self) -> float:
        return self._surroundings.clock.wall()
