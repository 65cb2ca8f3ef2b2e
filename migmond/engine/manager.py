"""All executions: started, found by name, controlled, and taken up again when a daemon starts."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import trio

from migmond.domain import api
from migmond.domain.errors import Conflict, MigmondError, Unavailable
from migmond.domain.events import ExecutionCreated, ExecutionStateChanged, InterventionRecorded
from migmond.domain.execution import Execution, Tally
from migmond.domain.hold import HoldReason
from migmond.domain.identity import Identity
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.plan import Plan
from migmond.domain.preflight import Promise
from migmond.domain.states import (
    EXECUTION_TRANSITIONS,
    LIVE_EXECUTION_STATES,
    TERMINAL_EXECUTION_STATES,
    ExecutionState,
    advance,
)
from migmond.engine.causes import leaf
from migmond.engine.causes import why as why_stopped
from migmond.engine.entrance import Entrance, first_tasks, fresh_execution
from migmond.engine.finding import named
from migmond.engine.rivals import with_rival
from migmond.engine.run import Run
from migmond.engine.settings import Surroundings
from migmond.engine.turns import Turns, crew_size
from migmond.engine.verifications import Verifications
from migmond.engine.views import execution_view, intervention_views
from migmond.planning.turns import Work
from migmond.ports import AddIntervention, AddRoot, CancelPending, Change, PutExecution, Retry

_RESTARTABLE = frozenset({ExecutionState.DRAINED, ExecutionState.COMPLETED_WITH_ERRORS, ExecutionState.FAILED})


class Engine:
    """The engine's face towards the daemon. Made by `Engine.serving`."""

    def __init__(self, surroundings: Surroundings, nursery: trio.Nursery) -> None:
        self._surroundings = surroundings
        self._nursery = nursery
        self._executions: dict[str, Execution] = {}
        self._runs: dict[str, Run] = {}
        self._turns = Turns(surroundings.settings.turns)
        self._verifications = Verifications(surroundings, nursery, self._turns, self._replace)
        self._entrance = Entrance(surroundings, self._turns)
        self._requests: defaultdict[tuple[int, str], trio.Lock] = defaultdict(trio.Lock)
        self._launching: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        """Held from the look whether anything works on an execution until something does: two scopes on one would
        write the same temporaries."""
        self._stopping = False
        self._interventions = 0

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
                engine._turns.closed = True
            nursery.cancel_scope.cancel()

    async def _load(self) -> None:
        journal = self._surroundings.journal
        for execution in await journal.executions():
            self._executions[execution.id] = execution
            self._interventions += len(await journal.interventions(execution.id))
        for execution in list(self._executions.values()):
            if execution.state is ExecutionState.DRAINING:
                drained = msgspec.structs.replace(
                    execution, state=advance(EXECUTION_TRANSITIONS, execution.state, ExecutionState.DRAINED)
                )
                await journal.apply([PutExecution(drained)])
                self._executions[execution.id] = drained
            elif execution.state in LIVE_EXECUTION_STATES and execution.waiting_since is None:
                self._surroundings.log("taking up", execution=execution.id, name=execution.name)
                self._turns.go_on(self._work(execution))
                self._launch(Run(self._surroundings, execution, resumed=True))
        line = [e for e in self._executions.values() if e.waiting_since is not None]
        for execution in sorted(line, key=lambda e: e.waiting_since or 0.0):
            self._wait(execution, resumed=True)

    # --- finding -----------------------------------------------------------------------------------

    def all(self) -> list[Execution]:
        """Every execution as it stands now, oldest first."""
        return [self._now(e) for e in self._executions.values()]

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
        if name in self._executions and visible(self._executions[name]):
            return self._now(self._executions[name])
        return named([e for e in self.all() if visible(e)], name, newest=newest)

    def adopt(self, execution: Execution, identity: Identity) -> Execution:
        """Take its owner's present credentials for the ones that the journal remembers: a group that was left since is
        left. What works on it already keeps what it has, as every process does. Returns the execution as it is now."""
        now, run = self._now(execution), self._runs.get(execution.id)
        if now.identity == identity or self._verifications.of(now.id):
            return now
        if run is None:
            self._executions[now.id] = msgspec.structs.replace(now, identity=identity)
        elif now.state in TERMINAL_EXECUTION_STATES:  # it only closes its books, and the next one begins with them
            run.replace_execution(msgspec.structs.replace(now, identity=identity))
        return self._now(execution)

    def run_of(self, execution_id: str) -> Run | None:
        """Return the live run of an execution."""
        return self._runs.get(execution_id)

    def view(self, execution: Execution, *, closely: bool = False) -> api.ExecutionView:
        """Return what clients see of it now. `closely`: all others are looked at as well, for why it failed."""
        run, now = self._runs.get(execution.id), self._now(execution)
        if closely:
            now = with_rival(now, self._executions.values())
        verifier = self._verifications.of(execution.id)
        busy_with = verifier.progress if verifier is not None else self._turns.why(execution.id)
        if busy_with:
            now = msgspec.structs.replace(now, reason=busy_with)
        return execution_view(now, run.live if run is not None else None, self._wall())

    def movers(self) -> int:
        """How many mover processes there are."""
        return sum(len(v.movers) for r in self._runs.values() if (v := r.live) is not None)

    def promises(self, name: Callable[[Execution], str]) -> list[Promise]:
        """Return the room that live executions have yet to fill.

        Args:
            name: what to call an execution to whoever asks.
        """
        return [p for run in self._runs.values() for p in run.promises(name(run.execution))]

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
            execution = self._with_turn(fresh)
            roots = [AddRoot(key, i, task) for i, task in enumerate(first_tasks(opened))]
            await journal.apply([PutExecution(execution, request_id), *roots])
        self._executions[execution.id] = execution
        if execution.waiting_since is None:
            self._launch(Run(self._surroundings, execution, first=(process, opened), resumed=False))
        else:
            self._wait(execution, resumed=False)
            await process.end()
        view = self.view(execution)
        self._surroundings.bus.publish(lambda i, at: ExecutionCreated(i, at, execution.id, view))
        return self._now(execution)

    def _launch(self, run: Run) -> None:
        self._runs[run.execution.id] = run
        self._nursery.start_soon(self._attend, run)

    async def _attend(self, run: Run) -> None:
        """Run to the end. Whatever goes wrong inside concerns this execution only, and is said."""
        execution_id = run.execution.id
        try:
            await run.run()
        except* Exception as group:
            why = why_stopped(group)
            known = isinstance(leaf(group), MigmondError)
            details = {} if known else {"exc_info": group}
            self._surroundings.log("execution stopped by an error", execution=execution_id, why=why, **details)
            await self._mark_failed(run, why)
        finally:
            self._executions[execution_id] = run.execution
            if self._runs.get(execution_id) is run:
                del self._runs[execution_id]
                self._turns.end(execution_id)

    async def _mark_failed(self, run: Run, why: str) -> None:
        execution = run.execution
        if ExecutionState.FAILED not in EXECUTION_TRANSITIONS[execution.state]:
            return
        failed = msgspec.structs.replace(execution, state=ExecutionState.FAILED, reason=why, finished_at=self._wall())
        run.replace_execution(failed)
        self._executions[failed.id] = failed
        await self._put_if_possible(failed)
        view = execution_view(failed, None, self._wall())
        before = execution.state.value
        self._surroundings.bus.publish(lambda i, at: ExecutionStateChanged(i, at, failed.id, before, view.state, view))

    async def _replace(self, execution: Execution) -> None:
        await self._put_if_possible(execution)
        self._executions[execution.id] = execution

    async def _put_if_possible(self, ended: Execution) -> None:
        try:
            await self._surroundings.journal.apply([PutExecution(ended)])
        except MigmondError as e:
            self._surroundings.log("how it ended could not be journaled", execution=ended.id, why=e.message)

    # --- turns -------------------------------------------------------------------------------------

    def _work(self, execution: Execution) -> Work:
        return Work(execution.id, execution.identity.uid, crew_size(execution, self._surroundings.settings))

    def _with_turn(self, execution: Execution) -> Execution:
        """Take its turn, or return it as one that has to wait: for the journal, before `_launch` or `_wait`.

        Raises:
            LimitExceeded: as many wait as may. A cancel is not refused.
        """
        work = self._work(execution)
        if self._turns.take(work) is None:
            return execution
        waits = execution.state is not ExecutionState.CANCELLING  # which says more
        if waits:
            self._turns.refuse_when_full(work)
        self._turns.come(work)
        state = ExecutionState.WAITING if waits else execution.state
        return msgspec.structs.replace(execution, state=state, waiting_since=self._wall())

    def _wait(self, execution: Execution, *, resumed: bool) -> None:
        """Let it stand in the line. `resumed`: as of Run."""

        def begin() -> None:
            now = msgspec.structs.replace(self._executions[execution.id], waiting_since=None, reason="")
            self._executions[now.id] = now
            self._launch(Run(self._surroundings, now, resumed=resumed))

        self._turns.wait(self._work(execution), begin)

    async def _set_going(self, execution: Execution, *changes: Change) -> None:
        """Journal `changes` and the execution, and let something work on it now or when its turn has come."""
        before, begun = self._executions[execution.id].state, self._with_turn(execution)
        await self._put(begun, *changes)
        if begun.waiting_since is None:
            self._launch(Run(self._surroundings, begun, resumed=True))
        else:
            self._wait(begun, resumed=True)
            self._tell_state(before, begun)

    async def _leave_line(self, execution: Execution, state: ExecutionState, *changes: Change) -> None:
        """End the waiting of an execution that nothing has worked on since it took its place."""
        advance(EXECUTION_TRANSITIONS, execution.state, state)
        ended = msgspec.structs.replace(execution, state=state, waiting_since=None, reason="")
        if state is ExecutionState.CANCELLED:
            totals, planned = execution.totals, execution.totals.planned
            ended = msgspec.structs.replace(
                ended, finished_at=self._wall(), holds=(), totals=msgspec.structs.replace(totals, cancelled=planned)
            )
        self._turns.withdraw(execution.id)
        await self._put(ended, *changes)
        self._tell_state(execution.state, ended)

    async def _put(self, execution: Execution, *changes: Change) -> None:
        """Journal a new state of an execution that nothing works on; if that fails, everything is as it was."""
        before = self._executions[execution.id]
        try:
            await self._surroundings.journal.apply([*changes, PutExecution(execution)])
        except BaseException:
            self._turns.end(execution.id)
            if before.waiting_since is not None:
                self._wait(before, resumed=True)
            raise
        self._executions[execution.id] = execution

    def _tell_state(self, before: ExecutionState, execution: Execution) -> None:
        view = self.view(execution)
        self._surroundings.bus.publish(
            lambda i, at: ExecutionStateChanged(i, at, execution.id, before.value, view.state, view)
        )

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
            run = await self._controllable(execution)
            now = self._now(execution)
            if now.state is ExecutionState.DRAINING:
                raise Conflict(f"{now.name} is draining", hint=f"resume it when it has: migmon watch {now.id[:6]}")
            if run is not None:
                if not run.lift(lambda hold: True, "lifted"):
                    raise Conflict(f"{now.name} is not paused: it is {now.state}")
            elif now.state in _RESTARTABLE:
                self._verifications.refuse_while_verified(now)
                await self._restart(now)
            elif now.waiting_since is not None:
                raise Conflict(f"{now.name} {self._turns.why(now.id)}", hint="it begins by itself")
            else:
                raise Conflict(f"{now.name} is {now.state}: there is nothing to resume")
        await self._record(execution, InterventionKind.RESUME, author, reason, f"migmon pause {execution.id[:6]}")
        return self._now(execution)

    async def cancel(self, execution: Execution, author: str, reason: str) -> Execution:
        """End it; what was done stays done, no partial file is left.

        Raises:
            Conflict: it has ended already.
        """
        async with self._launching[execution.id]:
            run = await self._controllable(execution)
            now = self._now(execution)
            if run is not None:
                if now.state is ExecutionState.CANCELLING:  # asked for before: one record of it is enough
                    await self._journaled(now)
                    return now
                run.cancel()
            elif now.state is ExecutionState.WAITING and now.started_at is None:
                await self._leave_line(now, ExecutionState.CANCELLED, CancelPending(now.key))
            elif ExecutionState.CANCELLING in EXECUTION_TRANSITIONS[now.state]:
                self._verifications.refuse_while_verified(now)
                self._turns.withdraw(now.id)
                await self._set_going(
                    msgspec.structs.replace(
                        now, state=ExecutionState.CANCELLING, finished_at=None, reason="", holds=(), waiting_since=None
                    )
                )
            elif now.state is ExecutionState.CANCELLING:
                return now  # it waits for its turn
            else:
                raise Conflict(f"{now.name} is {now.state} already")
        await self._record(execution, InterventionKind.CANCEL, author, reason, "")
        return self._now(execution)

    async def drain(self, execution: Execution, author: str, reason: str) -> Execution:
        """Finish what runs, start nothing more.

        Raises:
            Conflict: it is not running.
        """
        async with self._launching[execution.id]:
            now = self._now(execution)
            if waits := now.state is ExecutionState.WAITING and now.waiting_since is not None:
                await self._leave_line(now, ExecutionState.DRAINED)
        if waits:
            await self._record(execution, InterventionKind.DRAIN, author, reason, f"migmon resume {execution.id[:6]}")
            return self._now(execution)
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
            run = await self._controllable(execution)
            now = self._now(execution)
            if run is not None or now.state in LIVE_EXECUTION_STATES:
                raise Conflict(f"{now.name} is {now.state}", hint="verify it when it has finished (migmon watch)")
            self._verifications.begin(now)
        return now

    async def cancel_verification(self, execution: Execution, author: str) -> Execution:
        """End a verification; see `Verifications.cancel`."""
        await self._verifications.cancel(execution, author)
        return self._now(execution)

    async def suspend(self) -> None:
        """The daemon stops: bring every run to a safe boundary and wait for it. Cancel this to stop waiting."""
        self._stopping = self._turns.closed = True
        runs = list(self._runs.values())
        for run in runs:
            run.suspend()
        for run in runs:
            await run.finished.wait()

    # --- helpers -----------------------------------------------------------------------------------

    async def _controllable(self, execution: Execution) -> Run | None:
        """Return the live run as soon as it listens, None when there is none (any more)."""
        run = self._runs.get(execution.id)
        if run is None:
            return None
        await run.ready.wait()
        if run.execution.state in TERMINAL_EXECUTION_STATES:
            await run.finished.wait()  # it only closes its books: what is asked of it now, it would not hear
        return None if run.finished.is_set() else run

    async def _live(self, execution: Execution, done: str) -> Run:
        run = await self._controllable(execution)
        if run is None:
            waits = self._now(execution).waiting_since is not None
            hint = "drain takes it out of the line, resume puts it back" if waits else ""
            raise Conflict(f"{execution.name} cannot be {done}: it is {self._now(execution).state}", hint=hint)
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
        await self._set_going(again, Retry(execution.key))

    async def _record(self, execution: Execution, kind: InterventionKind, author: str, reason: str, undo: str) -> None:
        self._interventions += 1
        number, before, after = f"i-{self._interventions}", execution.state.value, self._now(execution).state.value
        intervention = Intervention(number, execution.id, kind, author, self._wall(), reason, before, after, undo)
        await self._surroundings.journal.apply([AddIntervention(intervention)])
        await self._journaled(execution)
        view = intervention_views([intervention])[0]
        self._surroundings.bus.publish(lambda i, at: InterventionRecorded(i, at, execution.id, view))

    async def _journaled(self, execution: Execution) -> None:
        """Wait until what was changed about `execution` is durable: who was told so may rely on it after a crash."""
        run = self._runs.get(execution.id)
        if run is None:
            return
        async with trio.open_nursery() as nursery:

            async def over() -> None:
                await run.finished.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(over)
            await run.journaled()
            nursery.cancel_scope.cancel()

    def _now(self, execution: Execution) -> Execution:
        run = self._runs.get(execution.id)
        return run.execution if run is not None else self._executions.get(execution.id, execution)

    def _wall(self) -> float:
        return self._surroundings.clock.wall()
