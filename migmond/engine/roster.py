"""All executions as they stand, and what works on them or waits for its turn to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec
import trio

from migmond.domain import api
from migmond.domain.changes import (
    AddMilestone,
    Change,
    PutExecution,
)
from migmond.domain.errors import MigmondError, NotFound
from migmond.domain.events import ExecutionStateChanged
from migmond.domain.execution import Execution
from migmond.domain.observation import Observation
from migmond.domain.states import (
    EXECUTION_TRANSITIONS,
    LIVE_EXECUTION_STATES,
    TERMINAL_EXECUTION_STATES,
    ExecutionState,
    advance,
)
from migmond.domain.timeline import Milestone, MilestoneKind
from migmond.engine.causes import leaf
from migmond.engine.causes import why as why_stopped
from migmond.engine.process import MoverProcess
from migmond.engine.run import Run
from migmond.engine.scope import Scope
from migmond.engine.settings import Surroundings
from migmond.engine.turns import Turns, crew_size
from migmond.engine.views import execution_view
from migmond.planning.turns import Work
from migmond.wire.from_mover import Opened

ENDED_KEPT = 1000
"""Last looks that wait for the monitor; it comes every two seconds."""


class Roster:
    """Who decides what an execution is to do asks for it here; each state is journaled before it is told.

    Attributes:
        turns: who may work now, and who waits.
        ended: the last look at each run that has ended lately, for the monitor to take.
    """

    def __init__(self, surroundings: Surroundings, nursery: trio.Nursery) -> None:
        self._surroundings = surroundings
        self._nursery = nursery
        self._executions: dict[str, Execution] = {}
        self._runs: dict[str, Run] = {}
        self.turns = Turns(surroundings.settings.turns)
        self.ended: deque[Observation] = deque(maxlen=ENDED_KEPT)

    async def load(self) -> None:
        """Take up every live execution of the journal."""
        journal = self._surroundings.journal
        for execution in await journal.executions():
            self._executions[execution.id] = execution
        for execution in list(self._executions.values()):
            if execution.state is ExecutionState.DRAINING:
                drained = msgspec.structs.replace(
                    execution, state=advance(EXECUTION_TRANSITIONS, execution.state, ExecutionState.DRAINED)
                )
                await journal.apply([PutExecution(drained), self._milestone(drained)])
                self._executions[execution.id] = drained
            elif execution.state in LIVE_EXECUTION_STATES and execution.waiting_since is None:
                self._surroundings.log("taking up", execution=execution.id, name=execution.name)
                self.turns.go_on(self._work(execution))
                self.launch(Run(self._surroundings, execution, resumed=True))
        line = [e for e in self._executions.values() if e.waiting_since is not None]
        for execution in sorted(line, key=lambda e: e.waiting_since or 0.0):
            self.wait(execution, resumed=True)

    # --- what there is -----------------------------------------------------------------------------

    def all(self) -> list[Execution]:
        """Every execution as it stands now, oldest first."""
        return [self.now(e) for e in self._executions.values()]

    def get(self, execution_id: str) -> Execution | None:
        """Return an execution as it stands now; None when there is none of that id."""
        execution = self._executions.get(execution_id)
        return None if execution is None else self.now(execution)

    def now(self, execution: Execution) -> Execution:
        """Return an execution as it stands now."""
        run = self._runs.get(execution.id)
        return run.execution if run is not None else self._executions.get(execution.id, execution)

    def run_of(self, execution_id: str) -> Run | None:
        """Return the live run of an execution."""
        return self._runs.get(execution_id)

    def scopes(self) -> list[Scope]:
        """Return those of all runs that have begun."""
        return [run.scope for run in self.runs() if run.scope is not None and not run.finished.is_set()]

    def runs(self) -> list[Run]:
        """Return all live runs."""
        return list(self._runs.values())

    async def controllable(self, execution: Execution) -> Run | None:
        """Return the live run as soon as it listens, None when there is none (any more).

        Raises:
            NotFound: it was forgotten meanwhile: what is put now would bring it back without its entries.
        """
        ended: Run | None = None
        while (run := self._runs.get(execution.id)) not in (None, ended):
            assert run is not None
            await run.ready.wait()
            if run.closed or run.execution.state in TERMINAL_EXECUTION_STATES:
                await run.finished.wait()
            if not run.finished.is_set():
                return run
            ended = run  # another one may go on from there
        if execution.id not in self._executions:
            raise NotFound(f"{execution.name} was forgotten meanwhile", hint="migmon ls lists what there is")
        return None

    async def journaled(self, execution: Execution) -> None:
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

    # --- what works ----------------------------------------------------------------------------------

    def add(self, execution: Execution) -> None:
        """Enter an execution that is journaled as it is."""
        self._executions[execution.id] = execution

    def remove(self, execution: Execution) -> None:
        """Take out one that nothing works on and the journal has forgotten."""
        del self._executions[execution.id]

    def launch(self, run: Run) -> None:
        """Let a run work, whose turn it is."""
        self._runs[run.execution.id] = run
        run.on_resized = lambda: self.resized(run.execution)
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
                if run.goes_on and run.execution.state in LIVE_EXECUTION_STATES:
                    self.launch(Run(self._surroundings, run.execution, resumed=True))
                else:
                    del self._runs[execution_id]
                    self.turns.end(execution_id)
            self._look_back(run)

    def _look_back(self, run: Run) -> None:
        """Let the monitor have the last look at a run. Whatever goes wrong with that is no concern of anything else."""
        try:
            last = run.observation()
        except Exception as e:
            self._surroundings.log("the last look at a run failed", execution=run.execution.id, exc_info=e)
            return
        if last is not None:
            self.ended.append(last)

    async def _mark_failed(self, run: Run, why: str) -> None:
        execution = run.execution
        if ExecutionState.FAILED not in EXECUTION_TRANSITIONS[execution.state]:
            return
        failed = msgspec.structs.replace(execution, state=ExecutionState.FAILED, reason=why, finished_at=self._wall())
        run.replace_execution(failed)
        self._executions[failed.id] = failed
        await self._put_if_possible(failed, self._milestone(failed))
        self._tell(execution.state, execution_view(failed, None, self._wall()))

    async def replace(self, execution: Execution) -> None:
        """Journal an execution that nothing works on, if the journal can."""
        await self._put_if_possible(execution)
        self._executions[execution.id] = execution

    async def _put_if_possible(self, ended: Execution, *changes: Change) -> None:
        try:
            await self._surroundings.journal.apply([PutExecution(ended), *changes])
        except MigmondError as e:
            self._surroundings.log("how it ended could not be journaled", execution=ended.id, why=e.message)

    # --- turns -------------------------------------------------------------------------------------

    def _work(self, execution: Execution) -> Work:
        return Work(execution.id, execution.identity.uid, crew_size(execution, self._surroundings.settings))

    def resized(self, execution: Execution) -> None:
        """It may take another number of movers now than when it took its turn, or its place in the line."""
        self.turns.resize(self._work(execution))

    def refuse_more_movers(self, execution: Execution) -> None:
        """Raise LimitExceeded when others have what it would take as it is now."""
        self.turns.refuse_more(self._work(execution))

    def with_turn(self, execution: Execution) -> Execution:
        """Take its turn, or return it as one that has to wait: for the journal, before `launch` or `wait`.

        Raises:
            LimitExceeded: as many wait as may. A cancel is not refused.
        """
        work = self._work(execution)
        if self.turns.take(work) is None:
            return execution
        waits = execution.state is not ExecutionState.CANCELLING  # which says more
        if waits:
            self.turns.refuse_when_full(work)
        self.turns.come(work)
        state = ExecutionState.WAITING if waits else execution.state
        return msgspec.structs.replace(execution, state=state, waiting_since=self._wall())

    def wait(self, execution: Execution, *, resumed: bool) -> None:
        """Let it stand in the line. `resumed`: as of Run."""

        def begin() -> None:
            now = msgspec.structs.replace(self._executions[execution.id], waiting_since=None, reason="")
            self._executions[now.id] = now
            self.launch(Run(self._surroundings, now, resumed=resumed))

        self.turns.wait(self._work(execution), begin)

    async def begin(self, execution: Execution, process: MoverProcess, opened: Opened) -> None:
        """Add a new execution, which is journaled; it works now, or waits for its turn.

        Args:
            process: the mover that has opened its roots; without a turn it is ended.
        """
        self.add(execution)
        if execution.waiting_since is None:
            self.launch(Run(self._surroundings, execution, first=(process, opened), resumed=False))
        else:
            self.wait(execution, resumed=False)
            await process.end()

    async def set_going(self, execution: Execution, told: Callable[[Execution], Change], *changes: Change) -> None:
        """Journal `changes` and the execution, and let something work on it now or when its turn has come.

        Args:
            told: returns what is journaled as well of an execution that begins or waits as the one given to it.
        """
        before, begun = self._executions[execution.id].state, self.with_turn(execution)
        await self._put(begun, *changes, told(begun))
        if begun.waiting_since is None:
            self.launch(Run(self._surroundings, begun, resumed=True))
        else:
            self.wait(begun, resumed=True)
            self._tell_state(before, begun)

    async def leave_line(self, execution: Execution, state: ExecutionState, *changes: Change) -> None:
        """End the waiting of an execution that nothing has worked on since it took its place."""
        advance(EXECUTION_TRANSITIONS, execution.state, state)
        ended = msgspec.structs.replace(execution, state=state, waiting_since=None, reason="")
        if state is ExecutionState.CANCELLED:
            totals, planned = execution.totals, execution.totals.planned
            ended = msgspec.structs.replace(
                ended,
                finished_at=self._wall(),
                holds=(),
                totals=msgspec.structs.replace(totals, cancelled=planned),
            )
        self.turns.withdraw(execution.id)
        await self._put(ended, *changes)
        self._tell_state(execution.state, ended)

    async def _put(self, execution: Execution, *changes: Change) -> None:
        """Journal a new state of an execution that nothing works on; if that fails, everything is as it was."""
        before = self._executions[execution.id]
        try:
            await self._surroundings.journal.apply([*changes, PutExecution(execution), self._milestone(execution)])
        except BaseException:
            self.turns.end(execution.id)
            if before.waiting_since is not None:
                self.wait(before, resumed=True)
            raise
        self._executions[execution.id] = execution

    def _milestone(self, execution: Execution) -> AddMilestone:
        """Return what the timeline is told of the state of an execution that nothing works on."""
        text = f"{execution.state.value}; {execution.reason}" if execution.reason else execution.state.value
        return AddMilestone(execution.key, Milestone(self._wall(), MilestoneKind.STATE, text))

    def _tell_state(self, before: ExecutionState, execution: Execution) -> None:
        """Tell of an execution that nothing works on: when it waits, what for."""
        told = msgspec.structs.replace(execution, reason=self.turns.why(execution.id) or execution.reason)
        self._tell(before, execution_view(told, None, self._wall()))

    def _tell(self, before: ExecutionState, view: api.ExecutionView) -> None:
        self._surroundings.bus.publish(
            lambda i, at: ExecutionStateChanged(i, at, view.id, before.value, view.state, view)
        )

    def _wall(self) -> float:
        return self._surroundings.clock.wall()
