"""One running execution, from its first mover to its last directory: the scope in which everything else works."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from migmond.analytics.recount import Recount
from migmond.domain.errors import JournalError, MigmondError, MoverError
from migmond.domain.events import MoverDied, MoverStarted
from migmond.domain.execution import Execution, Stage
from migmond.domain.hold import HoldReason
from migmond.domain.mover_slots import FIRST_SLOT
from migmond.domain.names import to_text
from migmond.domain.observation import Observation
from migmond.domain.preflight import Promise
from migmond.domain.session import DeviceSide
from migmond.domain.states import ExecutionState
from migmond.domain.timeline import MilestoneKind
from migmond.engine.agenda import Agenda
from migmond.engine.away import begin as begin_with_destinations
from migmond.engine.backups import restore_backups
from migmond.engine.causes import why
from migmond.engine.commits import Commits
from migmond.engine.controlled import ENGINE, JOURNAL, Controlled, sentence
from migmond.engine.crew import Crew, Handler
from migmond.engine.deleter import Deleter
from migmond.engine.disks import find_disks
from migmond.engine.dispatch import Dispatcher
from migmond.engine.faults import FaultDesk, no_sides
from migmond.engine.finish import Finisher
from migmond.engine.forecasting import begin
from migmond.engine.gate import Mode
from migmond.engine.hanging import Hanging
from migmond.engine.limiter import Limiter
from migmond.engine.observer import Observer
from migmond.engine.opening import opening_for
from migmond.engine.parking import Parking
from migmond.engine.parts import Parts, agrees, load_parts, recount
from migmond.engine.process import MoverProcess
from migmond.engine.promises import promises_of
from migmond.engine.root_renames import remark_on_renames, rename_roots
from migmond.engine.scan import Scanner
from migmond.engine.schedule import Schedule
from migmond.engine.scope import Scope
from migmond.engine.settings import Surroundings
from migmond.engine.space import SpaceWatch
from migmond.engine.staffing import Staffing
from migmond.engine.station import Station
from migmond.engine.taking_over import cancel_rest, take_over
from migmond.engine.trust import stop_when_damaged
from migmond.engine.turns import crew_size
from migmond.engine.undo import UndoScanner, remark_on_rest
from migmond.engine.whereabouts import Whereabouts, whereabouts
from migmond.planning.selection import takes_long
from migmond.planning.standing import batch_entries_of
from migmond.wire.from_mover import Copied, Deleted, FromMover, Opened, OpenFailed, Published, Synced
from migmond.wire.to_mover import Open

CANCEL_GRACE_S = 10.0
"""How long a cancel waits for movers to give up what they have in hand before it kills them."""


_LEFT_THERE = "copies on their way there, and sources that were being deleted, have names that begin with .migmond-"


class Run(Controlled):
    """A live execution.

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
        super().__init__(surroundings, execution)
        self._first = first
        self._resumed = resumed
        self._failure = ""
        self._untidied = False
        self._doubled = ""
        self._limiter = Limiter(surroundings.groups, execution.id)
        self.ready = trio.Event()
        self.counted = trio.Event()
        self.finished = trio.Event()

    @property
    def parts(self) -> Parts | None:
        """Progress by parts; None before it is known where to begin."""
        return self._scope.parts if self._scope is not None else None

    def observation(self) -> Observation | None:
        """Return what the monitor sees of it, None before there is anything."""
        return self._observer.observation() if self._observer is not None else None

    def running_tasks(self) -> set[int]:
        """Return the numbers of the tasks that movers have in hand."""
        if self._scope is None:
            return set()
        stations = self._scope.crew.stations.values()
        return {n for s in stations for batch in s.flight.batches.values() for n in batch.tasks}

    def whereabouts(self, number: int) -> Whereabouts:
        """Return where a task is that has not ended."""
        return whereabouts(self._scope, number) if self._scope is not None else Whereabouts()

    @property
    def past_bringing_back(self) -> bool:
        """Whether nothing is left to do but to end, so that what was skipped stays so."""
        return self._scope is not None and self._agenda.ended and not self._gate.ending

    @property
    def movers(self) -> list[MoverProcess]:
        """All that work on it now, the one that scans among them."""
        return list(self._scope.crew.processes.values()) if self._scope is not None else []

    def promises(self, holder: str) -> list[Promise]:
        """Return what it has yet to bring to each file system; `holder` is what it is called to whoever asks."""
        return promises_of(holder, self._scope, self.live) if self._scope and self.live else []

    # --- the scope ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until the execution ends, is drained, or is cancelled from outside (then it is resumable)."""
        try:
            async with trio.open_nursery() as nursery:
                limiter, journal, key = self._limiter, self._surroundings.journal, self._execution.key
                parts = await load_parts(journal, self._execution, fresh=not self._resumed)
                before = await journal.milestones(key) if self._resumed else ()
                scope = Scope(
                    self._surroundings, self._execution, self._gate, nursery, parts, limiter, before,
                    resumed=self._resumed,
                )  # fmt: skip
                self._agenda = Agenda(scope)
                scope.ledger.on_full = self._journal_is_full
                scope.ledger.on_room = self._journal_has_room
                async with self._serving(scope, nursery):
                    await self._guarded(scope)
                nursery.cancel_scope.cancel()
        finally:
            if self._first is not None:  # cut off before a crew took it over
                await self._first[0].end()
            self._limiter.close()
            self.ready.set()
            self.finished.set()

    @asynccontextmanager
    async def _serving(self, scope: Scope, nursery: trio.Nursery) -> AsyncIterator[None]:
        async def opening() -> Open:
            return await opening_for(scope.account.execution, self._surroundings, scope.away)

        self._faults = FaultDesk(scope, self._hold_for, self._sides)
        self._deleter = Deleter(scope, self._faults)
        self._commits = Commits(scope, self._agenda, self._faults, self._deleter)
        handler = Handler(self._on_message, self._on_joined, self._commits.lost, self._on_lost, self._on_failing)
        limit, pool = self._surroundings.settings.restart_limit, self._surroundings.pool
        scope.crew = Crew(pool, self._execution.identity, opening, self._gate, handler, limit, scope.now)
        scope.crew.most_entries = batch_entries_of(self._execution.standing)
        scope.crew.roots = len(scope.plan.sources) * (1 + len(self._execution.further))
        schedule, agenda = Schedule(scope, self.pause, self.lift, self.steered), self._agenda
        self._observer = Observer(scope, self._expire, schedule, lambda: agenda.holds_back)
        space, selector = SpaceWatch(scope, self._hold_for, self._observer, opening), scope.plan.selector
        make = functools.partial(Scanner, scope, opening, space, self._faults)  # compiles the plan's patterns
        long = takes_long(selector.include, selector.exclude)
        scanner = await trio.to_thread.run_sync(make) if long else make()
        undoing = scope.plan.undoes
        self._scanner = scanner if undoing is None else UndoScanner(scope, undoing, opening, scanner)
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
            with self._at_work:
                await self._work(scope)
        except* JournalError:
            raise
        except* MigmondError as group:
            self._fail(why(group))
        self.closed = True
        if self._untidied and not self._suspending:
            self._doubled = await cancel_rest(scope)
            note = f"nothing could be tidied up: {self._failure}; {_LEFT_THERE}{scope.id}-"
            self._end(ExecutionState.CANCELLED, sentence(note, self._doubled))
        elif self._failure and not self._suspending:
            self._surroundings.log("execution failed", execution=scope.id, why=self._failure)
            self._end(ExecutionState.FAILED, self._failure)
        await scope.ledger.settled()
        # Nothing changes any more, so a thread may look through all of it.
        await scope.ledger.commit([await trio.to_thread.run_sync(scope.parts.ended, scope.account.totals)])
        if self._observer is not None:
            await self._observer.forecasting.learn()  # for the last look at it

    async def _count(self, scope: Scope) -> None:
        """Count the parts anew if need be; the execution goes on meanwhile."""
        counts, ledger = scope.parts.counts, scope.ledger
        if isinstance(counts, Recount):
            await recount(counts, self._surroundings.journal, scope.key, lambda: ledger.commit([]), scope.now)
            if counts.complete:
                scope.account.recounted(counts.cube.sums().durable)
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
        if self._resumed:
            # A daemon that starts looks for itself whether the disk is back and has room: after a power cut nobody
            # may be there to say so.
            self.lift(lambda h: h.author in (ENGINE, JOURNAL), "lifted")
        if scope.account.execution.state is ExecutionState.RUNNING and self._gate.mode is Mode.PAUSE:
            self._enter(ExecutionState.PAUSED, scope.account.execution.reason)
        self.ready.set()
        await take_over(scope)
        scope.nursery.start_soon(self._agenda.run)
        dispatcher = Dispatcher(scope, self._agenda, self._faults)
        finisher = Finisher(scope, self._agenda.rules, self._faults, self._deleter)
        if await self._gate.passed() and self._resumed and scope.plan.undoes is None:
            begun = await begin_with_destinations(self.execution, self._surroundings)
            scope.away, self._first = begun.away, begun.first
            if begun.why:
                self._fail(begun.why)
                return
        async with trio.open_nursery() as crew_nursery:
            self._start_crew(scope, crew_nursery)
            self._staffing = Staffing(scope, crew_nursery)
            self._staffing.adjust()  # what was asked for while it began
            async with trio.open_nursery() as watch:
                watch.start_soon(self._staffing.run)
                watch.start_soon(self._cancel_when_failing, scope, crew_nursery.cancel_scope)
                await rename_roots(scope, self._agenda.rules, self._faults)
                async with trio.open_nursery() as scanning:
                    scanning.start_soon(self._scan)
                    await dispatcher.entries()
                    scanning.cancel_scope.cancel()
                await self._rest(scope, dispatcher, finisher)
                while await self._gate.passed() and self._agenda.reopen():  # what a late pause was for may come back
                    await dispatcher.entries()
                    await self._rest(scope, dispatcher, finisher)
                self._agenda.ended = True
                watch.cancel_scope.cancel()
            self._staffing = None
            await scope.crew.close()
            crew_nursery.cancel_scope.cancel()
        await self._gate.passed()  # a pause that came last of all: it ends when it goes on
        self._conclude(scope, sentence(await remark_on_renames(scope), await remark_on_rest(scope)))

    async def _scan(self) -> None:
        try:
            await self._scanner.run()
        except MigmondError as e:
            if not self._gate.ending:  # then nobody needs to know what else there is
                self._fail(e.message)

    def _start_crew(self, scope: Scope, nursery: trio.Nursery) -> None:
        workers = crew_size(scope.account.execution, self._surroundings.settings, scope.around.scheduled.workers)
        for slot in scope.crew.resize(workers):
            if slot == FIRST_SLOT:
                nursery.start_soon(scope.crew.serve, slot, *(self._first or (None, None)))
            else:
                nursery.start_soon(scope.crew.reinforce, slot)
        self._first = None
        parking = Parking(scope, self._agenda, functools.partial(self._stand_in, scope, nursery))
        nursery.start_soon(parking.run)

    @staticmethod
    def _stand_in(scope: Scope, nursery: trio.Nursery) -> None:
        for slot in scope.crew.stand_in():
            nursery.start_soon(scope.crew.serve, slot, None, None)

    async def _cancel_when_failing(self, scope: Scope, cancel_scope: trio.CancelScope) -> None:
        """End everything when the execution cannot go on; give movers that ignore a cancel a deadline."""
        hanging = Hanging(scope.crew, self._surroundings.log)
        while True:
            mark = self._gate.changed.mark()
            if self._failure:
                cancel_scope.cancel()
            if self._gate.mode is Mode.CANCEL:
                await trio.sleep(CANCEL_GRACE_S)
                if not self._gate.frozen:
                    hanging.kill()
                continue
            await mark.wait()

    async def _rest(self, scope: Scope, dispatcher: Dispatcher, finisher: Finisher) -> None:
        if not self._gate.ending:
            scope.stage(Stage.LINK)
        while not self._gate.ending and await dispatcher.followers():
            await dispatcher.entries()
        await dispatcher.quiet()
        self._agenda.close()
        if scope.moving and await self._gate.passed():
            scope.stage(Stage.DELETE)
            await finisher.deletes()
        if scope.moving and scope.untidy and await self._gate.passed_or_cancelling():
            await finisher.put_back()
        if await self._gate.passed_or_cancelling():
            scope.stage(Stage.DIRECTORIES)
            if scope.untidy:  # first, for it moves the times that directories get in the end
                await finisher.sweep()
            await finisher.directories()
        if scope.moving and await self._gate.passed():
            scope.stage(Stage.CLEAN_UP)
        if scope.moving and await self._gate.passed_or_cancelling():
            await restore_backups(scope)
        if scope.moving and await self._gate.passed():
            await finisher.remove_source_directories()
        if self._gate.mode is Mode.CANCEL:
            self._doubled = await cancel_rest(scope)
        await scope.ledger.settled()

    def _conclude(self, scope: Scope, remark: str) -> None:
        if self._failure or self._suspending or self.goes_on:
            return
        left = scope.leftovers.text()
        if self._gate.mode is Mode.CANCEL:
            self._end(ExecutionState.CANCELLED, sentence(self._doubled, left))
        elif self._gate.mode is Mode.DRAIN:
            self._enter(ExecutionState.DRAINED, sentence("resume goes on from here", left))
        else:
            state, reason = scope.account.conclusion()
            self._end(state, sentence(reason or remark, left))

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
            case OpenFailed():  # of a further destination; whoever comes next is told the same, and that is the end
                raise MoverError(message.message)
            case _:
                raise MoverError(f"mover {station.slot} said {type(message).__name__}, which nobody asked for")

    async def _on_joined(self, station: Station, opened: Opened) -> None:
        scope = self._scope
        assert scope is not None
        await scope.limiter.admit(station.process)
        scope.share_limits()
        if not scope.roots and opened.roots:
            scope.roots = opened.roots
            assert self._observer is not None
            scope.nursery.start_soon(begin, scope, self._observer.forecasting)
            scope.nursery.start_soon(find_disks, scope)
        if scope.orphans:
            await self._gate.thawed()
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
        scope.timeline.tell(MilestoneKind.MOVER_DIED, sentence(f"mover {slot}: {why}", file or ""))
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

    def _sides(self) -> tuple[DeviceSide, DeviceSide]:
        if self._observer is None:
            return no_sides()
        return self._observer.forecasting.source, self._observer.forecasting.target
