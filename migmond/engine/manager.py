"""All executions: started, found by name, controlled, and taken up again when a daemon starts."""

from __future__ import annotations

import os
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

import migmond
from migmond.domain import api
from migmond.domain.entry import EntryType
from migmond.domain.errors import Conflict, MigmondError, NotFound, Unavailable
from migmond.domain.events import ExecutionCreated, ExecutionStateChanged, ExecutionVerified, InterventionRecorded
from migmond.domain.execution import Execution, Tally, Totals, Verification
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
from migmond.domain.task import Task
from migmond.engine.check import refuse_obstructed
from migmond.engine.crew import open_mover
from migmond.engine.opening import fresh_opening
from migmond.engine.run import Run
from migmond.engine.settings import Surroundings
from migmond.engine.verify import Verifier
from migmond.engine.views import execution_view, intervention_views, time_text, verification_view
from migmond.ports import AddIntervention, AddRoot, Change, PutExecution, Retry
from migmond.wire.mover import Opened

MIN_PREFIX = 3
"""Shortest id prefix that names an execution."""
_SHOWN = 5
"""Of several that match, so many are named in the error."""

_RESTARTABLE = frozenset({ExecutionState.DRAINED, ExecutionState.COMPLETED_WITH_ERRORS, ExecutionState.FAILED})


class Engine:
    """The engine's face towards the daemon. Made by `Engine.serving`."""

    def __init__(self, surroundings: Surroundings, nursery: trio.Nursery) -> None:
        self._surroundings = surroundings
        self._nursery = nursery
        self._executions: dict[str, Execution] = {}
        self._runs: dict[str, Run] = {}
        self._verifiers: dict[str, Verifier] = {}
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
            yield engine
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
            elif execution.state in LIVE_EXECUTION_STATES:
                self._surroundings.log("taking up", execution=execution.id, name=execution.name)
                self._launch(Run(self._surroundings, execution, resumed=True))

    # --- finding -----------------------------------------------------------------------------------

    def all(self) -> list[Execution]:
        """Every execution as it stands now, oldest first."""
        return [self._now(e) for e in self._executions.values()]

    def find(self, name: str, visible: Callable[[Execution], bool] = lambda execution: True) -> Execution:
        """Return the execution that `name` names: its id, a unique prefix of it, or a unique name.

        Of several with one name, the only live one is meant.

        Args:
            visible: the others are not there, neither to be found nor to make a name ambiguous.

        Raises:
            NotFound: none, or more than one.
        """
        if name in self._executions and visible(self._executions[name]):
            return self._now(self._executions[name])
        seen = [e for e in self.all() if visible(e)]
        begins = [e for e in seen if len(name) >= MIN_PREFIX and e.id.startswith(name)]
        named = [e for e in seen if e.name == name]
        live = [e for e in named if e.state in LIVE_EXECUTION_STATES]
        if len(live) == 1:
            named = live
        # A name that is also the beginning of another's id must not take its place: hints are made of such beginnings.
        matching = {e.id: e for e in (*begins, *named)}
        if len(matching) == 1:
            return next(iter(matching.values()))
        if matching:
            newest = [*matching.values()][-_SHOWN:]
            which = ", ".join(f"{e.id[:6]} ({e.state}, of {time_text(e.created_at)[:16]})" for e in newest)
            raise NotFound(f"{len(matching)} migrations match {name!r}", hint=f"name one of {which}")
        short = f"; the beginning of an id takes {MIN_PREFIX} characters" if len(name) < MIN_PREFIX else ""
        raise NotFound(f"no migration matches {name!r}", hint=f"migmon ls shows them all{short}")

    def adopt(self, execution: Execution, identity: Identity) -> Execution:
        """Take its owner's present credentials for the ones that the journal remembers: a group that was left since is
        left. What works on it already keeps what it has, as every process does. Returns the execution as it is now."""
        now = self._now(execution)
        if now.id in self._runs or now.id in self._verifiers or now.identity == identity:
            return now
        self._executions[now.id] = msgspec.structs.replace(now, identity=identity)
        return self._executions[now.id]

    def run_of(self, execution_id: str) -> Run | None:
        """Return the live run of an execution."""
        return self._runs.get(execution_id)

    def view(self, execution: Execution) -> api.ExecutionView:
        """Return what clients see of it now."""
        run = self._runs.get(execution.id)
        live = run.live if run is not None else None
        verifier = self._verifiers.get(execution.id)
        if verifier is not None:
            execution = msgspec.structs.replace(execution, reason=verifier.progress)
        return execution_view(self._now(execution) if verifier is None else execution, live, self._wall())

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
        execution_id = secrets.token_hex(6)
        opening = fresh_opening(execution_id, plan, self._surroundings.settings)
        process, opened = await open_mover(1, identity, opening)
        try:
            await refuse_obstructed(process, opened, plan)
            execution = await self._create(execution_id, plan, identity, name, request_id, opened)
        except BaseException:
            await process.end()
            raise
        self._executions[execution.id] = execution
        view = self.view(execution)
        self._surroundings.bus.publish(lambda i, at: ExecutionCreated(i, at, execution.id, view))
        self._launch(Run(self._surroundings, execution, first=(process, opened), resumed=False))
        return execution

    async def _create(
        self, execution_id: str, plan: Plan, identity: Identity, name: str, request_id: str, opened: Opened
    ) -> Execution:
        journal = self._surroundings.journal
        roots = [
            Task(i + 1, 0, b"", r.type, r.size, r.mtime_ns, r.ctime_ns, r.inode, r.source_device, r.links)
            for i, r in enumerate(opened.roots)
        ]
        size = sum(t.size for t in roots if t.type is EntryType.FILE)
        execution = Execution(
            id=execution_id,
            key=await journal.next_key(),
            name=name or plan.name,
            plan=plan,
            identity=identity,
            state=ExecutionState.CREATED,
            created_at=self._wall(),
            totals=Totals(planned=Tally(len(roots), size)),
            limits=plan.limits,
            anchors=tuple(r.anchor for r in opened.roots),
            host=os.uname().nodename,
            version=migmond.__version__,
        )
        changes: list[Change] = [PutExecution(execution, request_id)]
        changes += [AddRoot(execution.key, i, task) for i, task in enumerate(roots)]
        await journal.apply(changes)
        return execution

    def _launch(self, run: Run) -> None:
        self._runs[run.execution.id] = run
        self._nursery.start_soon(self._attend, run)

    async def _attend(self, run: Run) -> None:
        """Run to the end. Whatever goes wrong inside concerns this execution only, and is said."""
        execution_id = run.execution.id
        try:
            await run.run()
        except* Exception as group:
            why = _why(group)
            known = isinstance(_leaf(group), MigmondError)
            details = {} if known else {"exc_info": group}
            self._surroundings.log("execution stopped by an error", execution=execution_id, why=why, **details)
            await self._mark_failed(run, why)
        finally:
            self._executions[execution_id] = run.execution
            if self._runs.get(execution_id) is run:
                del self._runs[execution_id]

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

    async def _put_if_possible(self, ended: Execution) -> None:
        try:
            await self._surroundings.journal.apply([PutExecution(ended)])
        except MigmondError as e:
            self._surroundings.log("how it ended could not be journaled", execution=ended.id, why=e.message)

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
                self._refuse_while_verified(now)
                await self._restart(now)
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
                if now.state is not ExecutionState.CANCELLING:
                    run.cancel()
            elif ExecutionState.CANCELLING in EXECUTION_TRANSITIONS[now.state]:
                self._refuse_while_verified(now)
                cancelling = msgspec.structs.replace(
                    now, state=ExecutionState.CANCELLING, finished_at=None, reason="", holds=()
                )
                await self._surroundings.journal.apply([PutExecution(cancelling)])
                self._launch(Run(self._surroundings, cancelling, resumed=True))
            else:
                raise Conflict(f"{now.name} is {now.state} already")
        await self._record(execution, InterventionKind.CANCEL, author, reason, "")
        return self._now(execution)

    async def drain(self, execution: Execution, author: str, reason: str) -> Execution:
        """Finish what runs, start nothing more.

        Raises:
            Conflict: it is not running.
        """
        run = await self._live(execution, "drained")
        if run.execution.state is ExecutionState.DRAINING:
            return run.execution
        run.drain()
        await self._record(execution, InterventionKind.DRAIN, author, reason, f"migmon resume {execution.id[:6]}")
        return run.execution

    async def verify(self, execution: Execution) -> Execution:
        """Start to re-read the targets of an execution that nothing works on; `execution.verified` tells the result.

        Raises:
            Conflict: it still runs, or is being verified already.
        """
        async with self._launching[execution.id]:
            run = await self._controllable(execution)
            now = self._now(execution)
            if run is not None:
                raise Conflict(f"{now.name} is {now.state}", hint="verify it when it has finished (migmon watch)")
            self._refuse_while_verified(now)
            verifier = self._verifiers[now.id] = Verifier(self._surroundings, now)
            self._nursery.start_soon(self._verify, now, verifier)
        return now

    async def cancel_verification(self, execution: Execution, author: str) -> Execution:
        """End a verification; what it found so far stays on record. Returns when nothing works on it any more.

        Raises:
            Conflict: the execution is not being verified.
        """
        verifier = self._verifiers.get(execution.id)
        if verifier is None:
            raise Conflict(f"{execution.name} is not being verified", hint="migmon show tells what the last one found")
        verifier.cancel(author)
        await verifier.finished.wait()
        return self._now(execution)

    async def _verify(self, execution: Execution, verifier: Verifier) -> None:
        try:
            verification = await self._attended(verifier, execution.id)
            ended = msgspec.structs.replace(execution, verification=verification)
            await self._put_if_possible(ended)
            self._executions[execution.id] = ended
        finally:
            del self._verifiers[execution.id]
            verifier.finished.set()
        outcome = verification_view(verification)
        self._surroundings.bus.publish(lambda i, at: ExecutionVerified(i, at, execution.id, outcome))

    async def _attended(self, verifier: Verifier, execution_id: str) -> Verification:
        """Whatever goes wrong with a verification concerns it only, not the daemon, and is said in its result."""
        try:
            found = await verifier.run()
        except* Exception as group:
            why = _why(group)
            self._surroundings.log("verification failed", execution=execution_id, why=why)
            found = verifier.result(why)
        return found

    async def suspend(self) -> None:
        """The daemon stops: bring every run to a safe boundary and wait for it. Cancel this to stop waiting."""
        self._stopping = True
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

    def _refuse_while_verified(self, execution: Execution) -> None:
        if execution.id in self._verifiers:
            raise Conflict(f"{execution.name} is being verified", hint="migmon show tells how far it is")

    async def _live(self, execution: Execution, done: str) -> Run:
        run = await self._controllable(execution)
        if run is None:
            raise Conflict(f"{execution.name} cannot be {done}: it is {self._now(execution).state}")
        return run

    async def _restart(self, execution: Execution) -> None:
        totals = msgspec.structs.replace(execution.totals, failed=Tally())
        again = msgspec.structs.replace(
            execution,
            state=advance(EXECUTION_TRANSITIONS, execution.state, ExecutionState.RUNNING),
            totals=totals,
            finished_at=None,
            reason="",
            holds=(),
        )
        await self._surroundings.journal.apply([Retry(execution.key), PutExecution(again)])
        self._executions[execution.id] = again
        self._launch(Run(self._surroundings, again, resumed=True))

    async def _record(self, execution: Execution, kind: InterventionKind, author: str, reason: str, undo: str) -> None:
        self._interventions += 1
        after = self._now(execution).state.value
        intervention = Intervention(
            f"i-{self._interventions}",
            execution.id,
            kind,
            author,
            self._wall(),
            reason,
            execution.state.value,
            after,
            undo,
        )
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


def _leaf(group: BaseException) -> BaseException:
    """Return one of the errors in a group: they have one cause."""
    parts: Sequence[BaseException] = group.exceptions if isinstance(group, BaseExceptionGroup) else ()
    return _leaf(parts[0]) if parts else group


def _why(group: BaseExceptionGroup) -> str:
    """Return why something was stopped, one sentence for people."""
    leaf = _leaf(group)
    return leaf.message if isinstance(leaf, MigmondError) else f"internal error: {leaf!r}"
