"""One running execution, from its first mover to its last directory: the scope in which everything else works."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import trio

from migmond.analytics.recount import Recount
from migmond.domain.errors import JournalError, MigmondError, MoverError
from migmond.domain.events import ExecutionStateChanged, HoldChanged, MoverDied, MoverStarted
from migmond.domain.execution import Execution, Stage
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.names import to_text
from migmond.domain.observation import Observation
from migmond.domain.preflight import Promise
from migmond.domain.states import ExecutionState
from migmond.domain.timeline import MilestoneKind
from migmond.engine.causes import why
from migmond.engine.commits import Commits
from migmond.engine.crew import Crew, Handler, Station
from migmond.engine.deleter import Deleter
from migmond.engine.dispatch import Dispatcher
from migmond.engine.faults import FaultDesk
from migmond.engine.finish import Finisher
from migmond.engine.forecasting import begin
from migmond.engine.gate import Gate, Mode
from migmond.engine.hanging import Hanging
from migmond.engine.hold_ends import HoldEnds
from migmond.engine.observer import Observer
from migmond.engine.opening import opening_for
from migmond.engine.parts import Parts, agrees, load_parts, recount
from migmond.engine.process import MoverProcess
from migmond.engine.promises import promises_of
from migmond.engine.root_renames import remark_on_renames, rename_roots
from migmond.engine.scan import Scanner
from migmond.engine.scope import Scope
from migmond.engine.settings import Surroundings
from migmond.engine.space import SpaceWatch
from migmond.engine.taking_over import cancel_rest, take_over
from migmond.engine.trust import stop_when_damaged
from migmond.engine.turns import crew_size
from migmond.engine.views import Live, execution_view
from migmond.planning.selection import takes_long
from migmond.wire.mover import Copied, Deleted, FromMover, Open, Opened, Published, Synced

CANCEL_GRACE_S = 10.0
"""How long a cancel waits for movers to give up what they have in hand before it kills them."""


FIRST_SLOT = 1
_LEFT_THERE = "copies on their way there, and sources that were being deleted, have names that begin with .migmond-"
_ENGINE, _JOURNAL = "engine", "journal"
"""Who sets holds that people did not ask for; the second while the journal's disk is full."""


class Run:
    """A live execution. Control methods take effect at once and return.

    Attributes:
        ready: set when it can be controlled.
        counted: set when progress by parts is known.
        finished: set when the scope has ended.

    Args:
        surroundings: journal, bus, clock, settings.
        execution: as the journal has it.
        first: a mover that has opened the roots already, when the caller had to check them.
        resumed: somebody worked on it before: settle and sweep what they left.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        execution: Execution,
        *,
        first: tuple[MoverProcess, Opened] | None = None,
        resumed: bool,
    ) -> None:
        self._surroundings = surroundings
        self._first = first
        self._resumed = resumed
        mode = Mode.RUN
        if execution.state is ExecutionState.CANCELLING:
            mode = Mode.CANCEL
        elif execution.holds:
            mode = Mode.PAUSE
        self._gate = Gate(mode)
        self._execution = execution
        self._suspending = False
        self._scope: Scope | None = None
        self._observer: Observer | None = None
        self._failure = ""
        self._untidied = False
        self._doubled = ""
        self._hold_number = 0
        self._hold_ends = HoldEnds()
        self.ready = trio.Event()
        self.counted = trio.Event()
        self.finished = trio.Event()

    @property
    def execution(self) -> Execution:
        """As it stands now."""
        return self._scope.account.execution if self._scope is not None else self._execution

    def replace_execution(self, execution: Execution) -> None:
        """Put another execution in the place of the present one, when nothing is done for it any more."""
        if self._scope is not None:
            self._scope.account.execution = execution
        self._execution = execution

    @property
    def parts(self) -> Parts | None:
        """Progress by parts; None before it is known where to begin."""
        return self._scope.parts if self._scope is not None else None

    @property
    def live(self) -> Live | None:
        return self._observer.live if self._observer is not None else None

    def observation(self, *, learn: bool = False) -> Observation | None:
        """Return what the monitor sees of it, None before there is anything; `learn`: see `Forecasting.outlook`."""
        return self._observer.observation(learn=learn) if self._observer is not None else None

    def running_tasks(self) -> set[int]:
        """Return the numbers of the tasks that movers have in hand."""
        if self._scope is None:
            return set()
        stations = self._scope.crew.stations.values()
        return {n for s in stations for batch in s.flight.batches.values() for n in batch.tasks}

    def promises(self, holder: str) -> list[Promise]:
        """Return what it has yet to bring to each file system; `holder` is what it is called to whoever asks."""
        return promises_of(holder, self._scope, self.live) if self._scope and self.live else []

    # --- control -----------------------------------------------------------------------------------

    def pause(self, reason: HoldReason, author: str, note: str, until: float | None) -> Hold:
        """Set a hold on everything; movers stop at their next chunk."""
        used = [int(h.id[1:]) for h in self.execution.holds]
        self._hold_number = max([self._hold_number, *used]) + 1
        hold = Hold(f"h{self._hold_number}", reason, author, self._surroundings.clock.wall(), until, note)
        self._change(holds=(*self.execution.holds, hold))
        if self.execution.state is ExecutionState.RUNNING:
            self._enter(ExecutionState.PAUSED, note)
        self._set_mode(Mode.PAUSE)
        self._tell_hold(hold, "set")
        return hold

    def lift(self, picks: Callable[[Hold], bool], change: str) -> int:
        """Lift the holds that `picks` names; the execution goes on when none is left. Returns how many."""
        lifted = [h for h in self.execution.holds if picks(h)]
        if not lifted:
            return 0
        self._change(holds=tuple(h for h in self.execution.holds if h not in lifted))
        for hold in lifted:
            self._tell_hold(hold, change)
        if not self.execution.holds:
            if self.execution.state is ExecutionState.PAUSED:
                self._enter(ExecutionState.RUNNING)
            self._set_mode(Mode.RUN)
        return len(lifted)

    def drain(self) -> None:
        """Start nothing more; end as DRAINED when what runs is done."""
        self._enter(ExecutionState.DRAINING)
        self._set_mode(Mode.DRAIN)

    def cancel(self) -> None:
        """Abandon what runs, clean up, end as CANCELLED."""
        self._enter(ExecutionState.CANCELLING)
        self._set_mode(Mode.CANCEL)

    def suspend(self) -> None:
        """The daemon stops: end at a safe boundary without a change of state; the next daemon goes on."""
        self._suspending = True
        self._set_mode(Mode.DRAIN)

    async def journaled(self) -> None:
        """Wait until every change so far is durable. With no end when the run is over before: wait for that too."""
        if self._scope is not None:
            await self._scope.ledger.commit([])

    # --- the scope ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until the execution ends, is drained, or is cancelled from outside (then it is resumable)."""
        try:
            async with trio.open_nursery() as nursery:
                journal, key = self._surroundings.journal, self._execution.key
                parts = await load_parts(journal, self._execution, fresh=not self._resumed)
                before = await journal.milestones(key) if self._resumed else ()
                scope = Scope(
                    self._surroundings, self._execution, self._gate, nursery, parts, before, resumed=self._resumed
                )
                scope.ledger.on_full = self._journal_is_full
                scope.ledger.on_room = self._journal_has_room
                async with self._serving(scope, nursery):
                    await self._guarded(scope)
                nursery.cancel_scope.cancel()
        finally:
            if self._first is not None:  # cut off before a crew took it over
                await self._first[0].end()
            self.ready.set()
            self.finished.set()

    @asynccontextmanager
    async def _serving(self, scope: Scope, nursery: trio.Nursery) -> AsyncIterator[None]:
        async def opening() -> Open:
            return await opening_for(scope.account.execution, self._surroundings)

        self._faults = FaultDesk(scope, self._hold_for)
        self._deleter = Deleter(scope, self._faults)
        self._commits = Commits(scope, self._faults, self._deleter)
        handler = Handler(self._on_message, self._on_joined, self._commits.lost, self._on_lost, self._on_failing)
        limit, pool = self._surroundings.settings.restart_limit, self._surroundings.pool
        scope.crew = Crew(pool, self._execution.identity, opening, self._gate, handler, limit, scope.now)
        self._observer = Observer(scope, self._expire_holds)
        space, selector = SpaceWatch(scope, self._hold_for, self._observer, opening), scope.plan.selector
        make = functools.partial(Scanner, scope, opening, space)  # compiles the plan's patterns
        long = takes_long(selector.include, selector.exclude)
        self._scanner = await trio.to_thread.run_sync(make) if long else make()
        self._scope = scope
        scope.ledger.record([scope.parts.working(scope.account.totals)])  # before anything changes
        nursery.start_soon(scope.ledger.run)
        nursery.start_soon(self._count, scope)
        nursery.start_soon(stop_when_damaged, self._surroundings.journal, scope.crew)
        nursery.start_soon(self._observer.run)
        nursery.start_soon(self._deleter.run)
        try:
            yield
        finally:
            await scope.crew.close()

    async def _guarded(self, scope: Scope) -> None:
        """Do the work; an error that no single task is to blame for fails the execution, not the daemon."""
        try:
            await self._work(scope)
        except* JournalError:
            raise
        except* MigmondError as group:
            self._fail(why(group))
        if self._untidied and not self._suspending:
            self._doubled = await cancel_rest(scope)
            note = f"nothing could be tidied up: {self._failure}; {_LEFT_THERE}{scope.id}-"
            self._end(ExecutionState.CANCELLED, _sentence(note, self._doubled))
        elif self._failure and not self._suspending:
            self._surroundings.log("execution failed", execution=scope.id, why=self._failure)
            self._end(ExecutionState.FAILED, self._failure)
        await scope.ledger.settled()
        # Nothing changes any more, so a thread may look through all of it.
        await scope.ledger.commit([await trio.to_thread.run_sync(scope.parts.ended, scope.account.totals)])

    async def _count(self, scope: Scope) -> None:
        """Count the parts anew if need be; the execution goes on meanwhile."""
        counts, ledger = scope.parts.counts, scope.ledger
        if isinstance(counts, Recount):
            await recount(counts, self._surroundings.journal, scope.key, lambda: ledger.commit([]), scope.now)
            if counts.complete and not agrees(counts.cube, scope.account.totals):
                self._surroundings.log("parts of the progress do not add up", execution=scope.id)
        self.counted.set()

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why
        self._gate.changed.set()

    async def _work(self, scope: Scope) -> None:
        if scope.account.execution.state in (ExecutionState.CREATED, ExecutionState.WAITING):
            scope.account.change(started_at=scope.account.execution.started_at or scope.wall())
            self._enter(ExecutionState.RUNNING)
        if self._resumed and self._gate.mode is Mode.PAUSE:
            # A daemon that starts looks for itself whether the disk is back and has room: after a power cut nobody
            # may be there to say so.
            self.lift(lambda h: h.author in (_ENGINE, _JOURNAL), "lifted")
        if scope.account.execution.state is ExecutionState.RUNNING and self._gate.mode is Mode.PAUSE:
            self._enter(ExecutionState.PAUSED, scope.account.execution.reason)
        self.ready.set()
        await take_over(scope)
        dispatcher = Dispatcher(scope, self._faults)
        finisher = Finisher(scope, self._faults, self._deleter)
        await self._gate.passed()
        async with trio.open_nursery() as crew_nursery:
            self._start_crew(scope, crew_nursery)
            async with trio.open_nursery() as watch:
                watch.start_soon(self._cancel_when_failing, scope, crew_nursery.cancel_scope)
                await rename_roots(scope, self._faults)
                async with trio.open_nursery() as scanning:
                    scanning.start_soon(self._scan)
                    await dispatcher.entries()
                    scanning.cancel_scope.cancel()
                await self._rest(scope, dispatcher, finisher)
                watch.cancel_scope.cancel()
            await scope.crew.close()
            crew_nursery.cancel_scope.cancel()
        await self._gate.passed()  # a pause that came last of all: it ends when it goes on
        self._conclude(scope, await remark_on_renames(scope))

    async def _scan(self) -> None:
        try:
            await self._scanner.run()
        except MigmondError as e:
            if not self._gate.ending:  # then nobody needs to know what else there is
                self._fail(e.message)

    def _start_crew(self, scope: Scope, nursery: trio.Nursery) -> None:
        workers = crew_size(scope.account.execution, self._surroundings.settings)
        nursery.start_soon(scope.crew.serve, FIRST_SLOT, *(self._first or (None, None)))
        self._first = None
        for slot in range(FIRST_SLOT + 1, FIRST_SLOT + workers):
            nursery.start_soon(scope.crew.reinforce, slot)

    async def _cancel_when_failing(self, scope: Scope, cancel_scope: trio.CancelScope) -> None:
        """End everything when the execution cannot go on; give movers that ignore a cancel a deadline."""
        hanging = Hanging(scope.crew, self._surroundings.log)
        while True:
            mark = self._gate.changed.mark()
            if self._failure:
                cancel_scope.cancel()
            if self._gate.mode is Mode.CANCEL:
                await trio.sleep(CANCEL_GRACE_S)
                hanging.kill()
                continue
            await mark.wait()

    async def _rest(self, scope: Scope, dispatcher: Dispatcher, finisher: Finisher) -> None:
        if not self._gate.ending:
            scope.stage(Stage.LINK)
        while not self._gate.ending and await dispatcher.followers():
            await dispatcher.entries()
        await dispatcher.quiet()
        if scope.moving and await self._gate.passed():
            scope.stage(Stage.DELETE)
            await finisher.deletes()
        if scope.moving and scope.untidy and await self._gate.passed_or_cancelling():
            await finisher.put_back()
        if await self._gate.passed_or_cancelling():
            scope.stage(Stage.DIRECTORIES)
            await finisher.directories()
        if scope.untidy and await self._gate.passed_or_cancelling():
            scope.stage(Stage.CLEAN_UP)
            await finisher.sweep()
        if scope.moving and await self._gate.passed():
            scope.stage(Stage.CLEAN_UP)
            await finisher.remove_source_directories()
        if self._gate.mode is Mode.CANCEL:
            self._doubled = await cancel_rest(scope)
        await scope.ledger.settled()

    def _conclude(self, scope: Scope, remark: str) -> None:
        if self._failure or self._suspending:
            return
        left = scope.leftovers.text()
        if self._gate.mode is Mode.CANCEL:
            self._end(ExecutionState.CANCELLED, _sentence(self._doubled, left))
        elif self._gate.mode is Mode.DRAIN:
            self._enter(ExecutionState.DRAINED, _sentence("resume goes on from here", left))
        else:
            state, reason = scope.account.conclusion()
            self._end(state, _sentence(reason or remark, left))

    # --- what the crew tells -----------------------------------------------------------------------

    async def _on_message(self, station: Station, message: FromMover) -> None:
        match message:
            case Copied():
                self._commits.copied(station, message)
            case Synced():
                self._commits.synced(station, message)
            case Published():
                self._commits.published(station, message)
            case Deleted():
                self._deleter.deleted(station, message)
            case _ if station.answered(message):
                pass
            case _:
                raise MoverError(f"mover {station.slot} said {type(message).__name__}, which nobody asked for")

    async def _on_joined(self, station: Station, opened: Opened) -> None:
        scope = self._scope
        assert scope is not None
        if not scope.roots and opened.roots:
            scope.roots = opened.roots
            assert self._observer is not None
            scope.nursery.start_soon(begin, scope, self._observer.forecasting)
        if scope.orphans:
            await self._commits.settle(station)
        pid, slot = station.process.pid, station.slot
        self._surroundings.bus.publish(lambda i, at: MoverStarted(i, at, scope.id, slot, pid))
        scope.progress.set()

    async def _on_lost(self, station: Station, why: str, returned: int) -> None:
        scope = self._scope
        assert scope is not None
        name = station.last_glimpse.name if station.last_glimpse and station.last_glimpse.task else None
        file = to_text(name) if name else None
        self._surroundings.log("mover died", execution=scope.id, slot=station.slot, why=why, file=file)
        pid, slot = station.process.pid, station.slot
        self._surroundings.bus.publish(lambda i, at: MoverDied(i, at, scope.id, slot, pid, why, file, returned))
        scope.timeline.tell(MilestoneKind.MOVER_DIED, _sentence(f"mover {slot}: {why}", file or ""))
        scope.progress.set()

    def _on_failing(self, why: str, final: bool) -> None:  # noqa: FBT001 (called by the crew only)
        """Movers cannot be had: hold when they keep dying, fail when the roots are gone or the scope is ending. Of a
        cancel the tidying alone is left then: what is not there cannot be tidied, and it has been given up all the
        same."""
        self._untidied |= final and self._gate.mode is Mode.CANCEL
        if final or self._gate.ending:
            self._fail(why)
        else:
            self._hold_for(HoldReason.DEVICE, why)

    # --- state -------------------------------------------------------------------------------------

    def _hold_for(self, reason: HoldReason, note: str, *, lasting: bool = False) -> None:
        """Set an engine's hold unless there is one of that kind; unless `lasting`, it lifts itself to try again."""
        if any(h.reason is reason and h.author == _ENGINE for h in self.execution.holds) or self._gate.ending:
            return
        until = self._surroundings.clock.wall() + self._surroundings.settings.hold_s
        self.pause(reason, _ENGINE, note, None if lasting else until)

    def _journal_is_full(self, why: str) -> None:
        """Hold for as long as it lasts: this hold does not lift itself to try again, the ledger tries."""
        if not self._gate.ending and not any(h.author == _JOURNAL for h in self.execution.holds):
            self._surroundings.log("journal full", execution=self.execution.id, why=why)
            self.pause(HoldReason.SPACE, _JOURNAL, why, None)

    def _journal_has_room(self) -> None:
        self.lift(lambda h: h.author == _JOURNAL, "lifted")

    def _expire_holds(self) -> None:
        clock = self._surroundings.clock
        wall, now = clock.wall(), clock.monotonic()
        self.lift(lambda h: self._hold_ends.over(h, wall, now), "expired")

    def _set_mode(self, mode: Mode) -> None:
        self._gate.set(mode)
        if self._scope is not None:
            self._scope.crew.mirror_control()
            self._scope.progress.set()

    def _change(self, **fields: object) -> None:
        if self._scope is None:
            self._execution = msgspec.structs.replace(self._execution, **fields)
        else:
            self._scope.account.change(**fields)
            self._scope.ledger.record([])

    def _enter(self, state: ExecutionState, reason: str = "") -> None:
        scope = self._scope
        assert scope is not None
        before = scope.account.execution.state
        scope.account.enter(state, reason)
        scope.timeline.tell(MilestoneKind.STATE, _sentence(state.value, reason))

        def durable() -> None:
            view = execution_view(scope.account.execution, self.live, scope.wall())
            self._surroundings.bus.publish(
                lambda i, at: ExecutionStateChanged(i, at, scope.id, before.value, state.value, view)
            )

        scope.ledger.record([], durable)

    def _end(self, state: ExecutionState, reason: str) -> None:
        scope = self._scope
        assert scope is not None
        stage = Stage.FINISHED if state is not ExecutionState.FAILED else scope.account.execution.stage
        if self._observer is not None:
            self._observer.tick()
        scope.account.change(finished_at=scope.wall(), stage=stage, holds=())
        self._enter(state, reason)

    def _tell_hold(self, hold: Hold, change: str) -> None:
        id_ = self.execution.id
        if self._scope is not None:
            kind = MilestoneKind.HOLD if change == "set" else MilestoneKind.LIFTED
            told = f"{hold.reason.value} by {hold.author}" if change == "set" else f"{hold.reason.value} {change}"
            self._scope.timeline.tell(kind, _sentence(told, hold.note if change == "set" else ""))
        self._surroundings.bus.publish(
            lambda i, at: HoldChanged(i, at, id_, hold.id, change, hold.reason.value, hold.note)
        )


def _sentence(*parts: str) -> str:
    return "; ".join(filter(None, parts))
