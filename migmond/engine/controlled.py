"""What may be changed about a live execution while it works: holds, changes in force, its state, its end."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

import msgspec
import trio

from migmond.domain.changes import Change, PutIntervention
from migmond.domain.events import ExecutionStateChanged, HoldChanged, InterventionRecorded
from migmond.domain.execution import Destination, Execution, Stage
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.intervention import EXPIRED, Intervention
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState
from migmond.domain.steering import Standing
from migmond.domain.task import Task
from migmond.domain.timeline import MilestoneKind
from migmond.engine.agenda import Agenda
from migmond.engine.disks import find_disks
from migmond.engine.gate import Gate, Mode
from migmond.engine.hold_ends import HoldEnds
from migmond.engine.observer import Observer
from migmond.engine.scope import Scope
from migmond.engine.settings import Surroundings
from migmond.engine.staffing import Staffing
from migmond.engine.views import Live, execution_view, intervention_views
from migmond.planning.standing import batch_entries_of, held_whole, limits_of, next_hold_number
from migmond.wire.items import RootInfo

ENGINE, JOURNAL = "engine", "journal"
"""Who sets holds that people did not ask for; the second while the journal's disk is full."""
BROUGHT_BACK_S = 1.0
"""How long a change waits for entries that come back; what comes later it picks as it is found."""
_ITS_END = "its end"
"""By which pauses are over that nobody has lifted."""


class Controlled:
    """A live execution in the hands of those who change it; `Run` is what works on it. Control methods take effect at
    once and return.

    Attributes:
        on_resized: called when another number of movers may be wanted.
        closed: it only closes its books: what is asked of it now it would not hear.

    Args: see `Run`.
    """

    def __init__(self, surroundings: Surroundings, execution: Execution) -> None:
        self._surroundings = surroundings
        mode = Mode.RUN
        if execution.state is ExecutionState.CANCELLING:
            mode = Mode.CANCEL
        elif held_whole(execution.holds):
            mode = Mode.PAUSE
        self._gate = Gate(mode)
        self._gate.freeze(frozen=_is_emergency(execution))
        self._execution = execution
        self._suspending = False
        self._undrained = False
        self._at_work = trio.CancelScope()
        """Around all that movers are asked; what is to be journaled is journaled nevertheless."""
        self._scope: Scope | None = None
        self._agenda: Agenda
        """There is one as long as there is a scope."""
        self._observer: Observer | None = None
        self._hold_number = 0
        self._hold_ends = HoldEnds()
        self._staffing: Staffing | None = None
        self.on_resized: Callable[[], None] = lambda: None
        self.closed = False

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
    def scope(self) -> Scope | None:
        """What its parts share; None before there is something to do."""
        return self._scope

    @property
    def live(self) -> Live | None:
        return self._observer.live if self._observer is not None else None

    # --- control -----------------------------------------------------------------------------------

    def pause(
        self,
        reason: HoldReason,
        author: str,
        note: str,
        until: float | None,
        selector: Selector = Selector(),  # noqa: B008 (it is frozen)
        intervention: str = "",
    ) -> Hold:
        """Set a hold; with one on everything, movers stop at their next chunk."""
        self._hold_number = next_hold_number(self.execution.holds, self._hold_number)
        since = self._surroundings.clock.wall()
        hold = Hold(f"h{self._hold_number}", reason, author, since, until, note, selector, intervention)
        self._change(holds=(*self.execution.holds, hold))
        if selector.selects_all:
            if self.execution.state is ExecutionState.RUNNING:
                self._enter(ExecutionState.PAUSED, note)
            self._set_mode(Mode.PAUSE)
        else:
            self.steered()
        self._tell_hold(hold, "set")
        return hold

    def lift(self, picks: Callable[[Hold], bool], change: str, by: str = "") -> int:
        """Lift the holds that `picks` names; the execution goes on when none covers all of it. Returns how many.

        Args:
            by: who does it, for the record; "" for `change`.
        """
        lifted = [h for h in self.execution.holds if picks(h)]
        if not lifted:
            return 0
        self._change(holds=tuple(h for h in self.execution.holds if h not in lifted))
        wall = self._surroundings.clock.wall()
        self.record(self._surroundings.records.over((h.intervention for h in lifted), by or change, wall))
        for hold in lifted:
            self._tell_hold(hold, change)
        self.steered()
        if not held_whole(self.execution.holds):
            if self.execution.state is ExecutionState.PAUSED:
                self._enter(ExecutionState.RUNNING)
            self._set_mode(Mode.RUN)
        else:
            self._set_mode(self._gate.mode)  # what an emergency had stopped goes on
        return len(lifted)

    def put_standing(self, standing: tuple[Standing, ...], records: Sequence[Intervention]) -> None:
        """Let `standing` be all that is in force from now on; `records` say so."""
        self._change(standing=standing, limits=limits_of(self.execution.plan.limits, standing))
        self.record(records)
        self.steered()

    async def add_destination(self, destination: Destination, roots: Sequence[RootInfo]) -> None:
        """Know a further destination from now on. When this returns movers can be sent there.

        Args:
            roots: what a mover found on opening its roots, one for each source.
        """
        self._change(further=(*self.execution.further, destination))
        scope = self._scope
        if scope is None:
            return
        scope.routes.active = True
        if scope.roots:
            scope.roots = (*scope.roots, *roots)
            await find_disks(scope)  # not in the scope's nursery, which is closed when the run has just ended
        await scope.crew.add_roots(len(scope.plan.sources) * (1 + len(self.execution.further)))

    def steered(self) -> None:
        """What is in force has changed, or what is held: let it be so at once."""
        scope = self._scope
        if scope is None:
            return
        scope.crew.cap_batches(batch_entries_of(self.execution.standing))
        if self._staffing is not None:
            self._staffing.adjust()
        self.on_resized()
        self._agenda.steer()
        scope.share_limits()
        scope.progress.set()

    async def brought_back(self) -> None:
        """Wait, but not for long, until what is no longer skipped is pending: whoever picks entries next means these as
        well."""
        with trio.move_on_after(BROUGHT_BACK_S):
            while self._scope is not None and self._agenda.returning:  # noqa: ASYNC110 (a few entries take 1 ms)
                await trio.sleep(0.005)

    async def let_go(self, tasks: Iterable[Task]) -> None:
        """Wait until none of `tasks`, which have failed, is in hand any more."""
        scope = self._scope
        assert scope is not None
        numbers = [t.number for t in tasks]
        while any(n in scope.in_hand for n in numbers):  # noqa: ASYNC110 (until the page that is read now has come)
            await trio.sleep(0.01)

    def naming(self) -> trio.Lock:
        """Return the lock of `Agenda.naming`, under which entries that are tried again are read."""
        assert self._scope is not None
        return self._agenda.naming

    def try_again(self, tasks: Iterable[Task]) -> int:
        """Let entries that failed be dispatched once more, those that are failed still; returns how many, which
        `Account` has as pending: their `RetrySome` is to be recorded at once."""
        scope = self._scope
        assert scope is not None
        again = [scope.account.try_again(t) for t in tasks]
        for task in again:
            self._agenda.rules.judge_anew(task.number)
            if not task.leader:  # the others are met when the further names are
                scope.in_hand.take(task.number)
                scope.requeue.ready(task, scope.now())
        scope.progress.set()
        return len(again)

    def record(self, records: Sequence[Intervention], *changes: Change) -> None:
        """Journal interventions, and `changes`, in the transaction that has the execution as it is now; they are told
        when they are durable."""
        scope = self._scope
        if scope is None or not (records or changes):
            return

        def durable() -> None:
            for view in intervention_views(records):
                self._surroundings.bus.publish(
                    functools.partial(InterventionRecorded, execution=scope.id, intervention=view)
                )

        scope.ledger.record([*changes, *(PutIntervention(r) for r in records)], durable)

    def drain(self) -> None:
        """Start nothing more; end as DRAINED when what runs is done."""
        self._undrained = False
        self._enter(ExecutionState.DRAINING)
        self._set_mode(Mode.DRAIN)

    def take_back_drain(self) -> None:
        """It runs on: what has begun to end ends at its boundary, and another run goes on from there (`goes_on`)."""
        self._undrained = True
        self._enter(ExecutionState.RUNNING)

    @property
    def goes_on(self) -> bool:
        """Whether another run is to follow this one at once."""
        return self._undrained and self._gate.mode is Mode.DRAIN and not self._suspending

    def cancel(self) -> None:
        """Abandon what runs, clean up, end as CANCELLED."""
        self._enter(ExecutionState.CANCELLING)
        self._set_mode(Mode.CANCEL)
        self.lift(lambda h: h.reason is HoldReason.EMERGENCY, "lifted", "cancel")  # or it could not tidy up

    def suspend(self) -> None:
        """The daemon stops: end at a safe boundary without a change of state; the next daemon goes on. What is held is
        cut off where it stands: to finish what it has in hand is what the hold is against."""
        self._suspending = True
        self._set_mode(Mode.DRAIN)

    async def journaled(self) -> None:
        """Wait until every change so far is durable. With no end when the run is over before: wait for that too."""
        if self._scope is not None:
            await self._scope.ledger.commit([])

    # --- state -------------------------------------------------------------------------------------

    def _hold_for(
        self,
        reason: HoldReason,
        note: str,
        *,
        for_s: float | None = None,
        selector: Selector = Selector(),  # noqa: B008 (it is frozen)
    ) -> None:
        """Set an engine's hold unless one of that kind covers the same; it lifts itself after `for_s` to try again."""
        ours = [h for h in self.execution.holds if h.reason is reason and h.author == ENGINE]
        if any(h.selector in (selector, Selector()) for h in ours) or self._gate.ending:
            return
        lasts_s = self._surroundings.settings.hold_s if for_s is None else for_s
        self.pause(reason, ENGINE, note, self._surroundings.clock.wall() + lasts_s, selector)

    def _journal_is_full(self, why: str) -> None:
        """Hold for as long as it lasts: this hold does not lift itself to try again, the ledger tries."""
        if not self._gate.ending and not any(h.author == JOURNAL for h in self.execution.holds):
            self._surroundings.log("journal full", execution=self.execution.id, why=why)
            self.pause(HoldReason.SPACE, JOURNAL, why, None)

    def _journal_has_room(self) -> None:
        self.lift(lambda h: h.author == JOURNAL, "lifted")

    def _expire(self) -> None:
        clock = self._surroundings.clock
        wall, now = clock.wall(), clock.monotonic()
        self.lift(lambda h: self._hold_ends.over(h, wall, now), "expired")
        standing = self.execution.standing
        over = [s.id for s in standing if self._hold_ends.over(s, wall, now)]
        if over:
            left = tuple(s for s in standing if s.id not in over)
            self.put_standing(left, self._surroundings.records.over(over, EXPIRED, wall))

    def _set_mode(self, mode: Mode) -> None:
        self._gate.set(mode)
        self._gate.freeze(frozen=_is_emergency(self.execution) or (self.goes_on and held_whole(self.execution.holds)))
        if self._scope is not None:
            self._scope.crew.mirror_control()
            self._scope.progress.set()
        if self._suspending and self._stands_still:
            self._at_work.cancel()

    @property
    def _stands_still(self) -> bool:
        """Whether holds stop whatever movers have in hand."""
        ending = self.execution.state in (ExecutionState.DRAINING, ExecutionState.CANCELLING)
        return self._gate.frozen or (held_whole(self.execution.holds) and not ending)

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
        scope.timeline.tell(MilestoneKind.STATE, sentence(state.value, reason))

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
        held = [h.intervention for h in self.execution.holds]
        scope.account.change(finished_at=scope.wall(), stage=stage, holds=())
        self.record(self._surroundings.records.over(held, _ITS_END, scope.wall()))
        self._enter(state, reason)

    def _tell_hold(self, hold: Hold, change: str) -> None:
        id_ = self.execution.id
        if self._scope is not None:
            kind = MilestoneKind.HOLD if change == "set" else MilestoneKind.LIFTED
            told = f"{hold.reason.value} by {hold.author}" if change == "set" else f"{hold.reason.value} {change}"
            self._scope.timeline.tell(kind, sentence(told, hold.note if change == "set" else ""))
        self._surroundings.bus.publish(
            lambda i, at: HoldChanged(i, at, id_, hold.id, change, hold.reason.value, hold.note)
        )


def _is_emergency(execution: Execution) -> bool:
    """Whether even what a drain or a cancel still has to do is stopped, which no pause does."""
    return held_whole([h for h in execution.holds if h.reason is HoldReason.EMERGENCY])


def sentence(*parts: str) -> str:
    """Return the parts that say something, as one."""
    return "; ".join(filter(None, parts))
