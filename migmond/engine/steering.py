"""Changes of executions, whoever asks for them: one way to check, carry out and record all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import trio

from migmond.domain.changes import CancelPending, PutIntervention, Retry
from migmond.domain.errors import Conflict, InvalidInput
from migmond.domain.execution import Execution, Tally
from migmond.domain.hold import Hold
from migmond.domain.intervention import Intervention
from migmond.domain.states import EXECUTION_TRANSITIONS, ExecutionState
from migmond.domain.steering import (
    Cancel,
    Drain,
    Order,
    Pause,
    Reordering,
    Resume,
    Route,
    Standing,
    StandingAction,
    Workers,
)
from migmond.domain.steering import Retry as RetryAction
from migmond.domain.steering_api import Effect
from migmond.engine import retrying
from migmond.engine.changer import Changer, Means
from migmond.engine.locating import extent_notes
from migmond.engine.previews import Picked, effect_of, of_errors, pace_of, picked_by, refuse_unsuitable
from migmond.engine.recording import Ask
from migmond.engine.restarting import RESTARTABLE, Restarting
from migmond.engine.retries import Retries
from migmond.engine.rollbacks import refuse_while_undone
from migmond.engine.routing import Routing, Seen
from migmond.planning.actions import checked_for_s, refuse_too_many
from migmond.planning.effects import with_standing
from migmond.planning.standing import next_hold_number


class Steering(Changer):
    """Of all executions."""

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._routing = Routing(means)
        self._restarts = Restarting(means)
        self._retries = Retries(means, self._restarts)
        self._asking: defaultdict[tuple[str, str], trio.Lock] = defaultdict(trio.Lock)

    # --- what is asked for -------------------------------------------------------------------------

    async def intervene(
        self, execution: Execution, ask: Ask, *, dry_run: bool = False
    ) -> tuple[Effect, Intervention | None]:
        """Change an execution. What is returned is durable.

        Returns:
            What it means, and the record; None as the record when nothing is changed: it is a dry run, the selector
            picks nothing, or it is so already.

        Raises:
            Conflict: it is not in a state in which that makes sense.
            LimitExceeded: too much is in force already, or others have the movers that it would take.
            InvalidInput: more movers than one may have.
            PlanInfeasible, NotPermitted, Unavailable, MoverError: another destination cannot be used, see `Routing`.
        """
        async with self._once(ask):
            earlier = self._records.requested(ask.author, ask.request_id)
            if earlier is not None:
                return await self._answer_of(earlier, execution)
            now, run = self._roster.now(execution), self._roster.run_of(execution.id)
            self._check(ask, now)
            if isinstance(ask.action, RetryAction) or of_errors(ask.action):
                await self._roster.journaled(now)  # what failed a moment ago is looked for in the journal
            picked = await picked_by(self._surroundings, now, run, ask.action)
            effect = effect_of(ask.action, now, picked, pace_of(now, run, self._surroundings), ask.for_s)
            seen: Seen | None = None
            if isinstance(ask.action, Route) and picked is not None and not picked.nothing:
                seen = await self._routing.look(now, ask.action, picked.tally)
                effect = msgspec.structs.replace(effect, notes=(*effect.notes, *seen.notes))
            elif ask.action == Reordering(Order.EXTENT):
                told = await extent_notes(self._surroundings, now)
                effect = msgspec.structs.replace(effect, notes=(*effect.notes, *told))
            if dry_run or (picked is not None and picked.nothing):
                return effect, None
            async with self._launching[execution.id]:
                record = await self._carry_out(execution, ask, picked, seen)
        if record is not None:
            effect = msgspec.structs.replace(effect, before=record.before, after=record.after)
        return effect, record

    @asynccontextmanager
    async def _once(self, ask: Ask) -> AsyncIterator[None]:
        """Let equal requests of one author wait for one another."""
        if not ask.request_id:
            yield
            return
        key = (ask.author, ask.request_id)
        async with self._asking[key]:
            try:
                yield
            finally:
                if not self._asking[key].statistics().tasks_waiting:
                    del self._asking[key]

    async def _answer_of(self, id_: str, execution: Execution) -> tuple[Effect, Intervention | None]:
        """What a repeated request gets: the record, and of its effect what is on record."""
        record = await self._recording.find(id_)
        if record is None or record.execution != execution.id:
            raise Conflict("this request_id was used for another migration", hint="choose a new one")
        why = "it was asked for before"
        return Effect(record.entries, record.bytes, None, None, why, record.before, record.after), record

    def _check(self, ask: Ask, now: Execution) -> None:
        checked_for_s(ask.for_s, ask.action)
        refuse_unsuitable(ask.action, now)
        refuse_too_many(now, ask.action)
        if isinstance(ask.action, Workers):
            most = self._surroundings.settings.turns.most_movers
            if ask.action.count > most:
                hint = f"workers {most}, or ask an administrator to raise it: migmon config executions"
                raise InvalidInput(f"{ask.action.count} movers are asked for, the limit is {most}", hint=hint)

    async def _carry_out(
        self, execution: Execution, ask: Ask, picked: Picked | None, seen: Seen | None
    ) -> Intervention | None:
        match ask.action:
            case Pause():
                return await self._pause(execution, ask, picked)
            case Resume():
                return await self._resume(execution, ask)
            case Cancel():
                return await self._cancel(execution, ask)
            case Drain():
                return await self._drain(execution, ask)
            case RetryAction():
                return await self._retries.retry(execution, ask)
            case _:
                return await self._stand(execution, ask, ask.action, picked, seen)

    # --- one kind after the other ------------------------------------------------------------------

    async def _stand(
        self, execution: Execution, ask: Ask, action: StandingAction, picked: Picked | None, seen: Seen | None
    ) -> Intervention:
        run = await self._roster.controllable(execution)
        now = self._roster.now(execution)
        self._check(ask, now)
        self._verifications.refuse_while_verified(now)
        if picked is not None and picked.failed:
            await self._roster.journaled(now)
            picked = await picked_by(self._surroundings, now, run, action)  # again: others may have tried them
        if seen is not None:
            now = await self._routing.known(now, run, seen)
            self._check(ask, now)  # it may have ended meanwhile
        record = self._recording.made(now, ask, picked)
        change = Standing(record.id, ask.author, record.at, record.until, ask.reason, action)
        then = with_standing(now, (*now.standing, change))
        if isinstance(action, Workers):
            self._roster.refuse_more_movers(then)
        if picked is not None and picked.failed:
            return await self._retries.under(then, run, ask, picked.failed, record)
        self._records.add(record, lasting=True)
        if run is not None:
            run.put_standing(then.standing, [record])
            await self._roster.journaled(now)
        else:
            await self._recording.put(then, [record])
        return record

    async def _pause(self, execution: Execution, ask: Ask, picked: Picked | None) -> Intervention:
        assert isinstance(ask.action, Pause)
        selector = ask.action.selector
        run = await self._roster.controllable(execution)
        if run is None and selector.selects_all:
            raise self._not_live(execution, "paused")
        now = self._roster.now(execution)
        if selector.selects_all and now.state not in (ExecutionState.RUNNING, ExecutionState.PAUSED):
            raise Conflict(
                f"{now.name} cannot be paused: it is {now.state}", hint=f"migmon show {now.id[:6]} tells how it goes on"
            )
        self._check(ask, now)
        record = self._recording.made(now, ask, picked)
        self._records.add(record, lasting=True)
        if run is not None:
            run.pause(ask.why, ask.author, ask.reason, record.until, selector, record.id)
            run.record([record])
            await self._roster.journaled(now)
        else:
            self._verifications.refuse_while_verified(now)
            id_ = f"h{next_hold_number(now.holds)}"
            hold = Hold(id_, ask.why, ask.author, record.at, record.until, ask.reason, selector, record.id)
            await self._recording.put(msgspec.structs.replace(now, holds=(*now.holds, hold)), [record])
        return record

    async def _resume(self, execution: Execution, ask: Ask) -> Intervention:
        assert isinstance(ask.action, Resume)
        selector, run = ask.action.selector, await self._roster.controllable(execution)
        now = self._roster.now(execution)
        verifier = self._verifications.of(now.id)
        draining = run is not None and now.state is ExecutionState.DRAINING
        lifted = [h for h in now.holds if selector.selects_all or h.selector == selector]
        if not selector.selects_all and not lifted:
            raise Conflict(
                f"nothing of {now.name} is held by that selector", hint=f"migmon show {now.id[:6]} lists holds"
            )
        if selector.selects_all and run is None and verifier is None and now.state in RESTARTABLE:
            refuse_while_undone(now, self._roster.all())
            return await self._restarts.restart(now, ask, [Retry(now.key, durable=retrying.removes(now))], Tally())
        stops = {verifier.stopped_by} if verifier is not None else set[str]()
        if verifier is not None:
            if not verifier.held:
                self._verifications.refuse_while_verified(now)
            verifier.go_on()
        elif not lifted and not (draining and selector.selects_all):
            raise _nothing_to_resume(now, self._roster.turns.why(now.id), running=run is not None)
        record = self._recording.made(now, ask, None)
        overs = self._records.over(stops | {h.intervention for h in lifted}, ask.author, record.at)
        self._records.add(record, lasting=False)
        if run is not None:
            stopped = now.stopped_by is not None  # by an emergency: a drain that it stopped goes on draining
            run.lift(lambda h: h in lifted, "lifted", ask.author)
            if draining and selector.selects_all and not stopped:
                run.take_back_drain()
            record = msgspec.structs.replace(record, after=run.execution.state.value)
            run.record([*overs, record])
            await self._roster.journaled(now)
        else:
            left = tuple(h for h in now.holds if h not in lifted)
            await self._recording.put(msgspec.structs.replace(now, holds=left), [*overs, record])
        return record

    async def _cancel(self, execution: Execution, ask: Ask) -> Intervention | None:
        run = await self._roster.controllable(execution)
        now = self._roster.now(execution)
        record = self._recording.made(now, ask, None)
        if now.state is ExecutionState.CANCELLING:  # asked for before: one record of it is enough
            await self._roster.journaled(now)
            return None
        if run is not None:
            run.cancel()
            run.record([record])
            self._records.add(record, lasting=False)
            await self._roster.journaled(now)
            return record
        held = self._records.over((h.intervention for h in now.holds), ask.author, record.at)
        changes = [PutIntervention(h) for h in held]
        try:
            if now.state is ExecutionState.WAITING and now.started_at is None:
                record = msgspec.structs.replace(record, after=ExecutionState.CANCELLED.value)
                put = [*changes, PutIntervention(record)]
                await self._roster.leave_line(now, ExecutionState.CANCELLED, CancelPending(now.key), *put)
            elif ExecutionState.CANCELLING in EXECUTION_TRANSITIONS[now.state]:
                self._verifications.refuse_while_verified(now)
                self._roster.turns.withdraw(now.id)
                ending = msgspec.structs.replace(
                    now, state=ExecutionState.CANCELLING, finished_at=None, reason="", holds=(), waiting_since=None
                )
                await self._roster.set_going(ending, lambda begun: PutIntervention(record), *changes)
            else:
                raise Conflict(f"{now.name} is {now.state} already", hint=f"migmon show {now.id[:6]}")
        except BaseException:
            self._records.again(held)
            raise
        self._records.add(record, lasting=False)
        self._recording.tell([*held, record])
        return record

    async def _drain(self, execution: Execution, ask: Ask) -> Intervention | None:
        now = self._roster.now(execution)
        record = self._recording.made(now, ask, None)
        if now.state is ExecutionState.WAITING and now.waiting_since is not None:
            record = msgspec.structs.replace(record, after=ExecutionState.DRAINED.value)
            await self._roster.leave_line(now, ExecutionState.DRAINED, PutIntervention(record))
            self._records.add(record, lasting=False)
            self._recording.tell([record])
            return record
        run = await self._roster.controllable(execution)
        if run is None:
            raise self._not_live(execution, "drained")
        if run.execution.state is ExecutionState.DRAINING:
            return None
        record = msgspec.structs.replace(record, before=run.execution.state.value)
        run.drain()
        run.record([record])
        self._records.add(record, lasting=False)
        await self._roster.journaled(now)
        return record

    def _not_live(self, execution: Execution, done: str) -> Conflict:
        waits = self._roster.now(execution).waiting_since is not None
        hint = "drain takes it out of the line, resume puts it back" if waits else ""
        return Conflict(f"{execution.name} cannot be {done}: it is {self._roster.now(execution).state}", hint=hint)


def _nothing_to_resume(now: Execution, waits: str, *, running: bool) -> Conflict:
    if running:
        return Conflict(f"{now.name} is not paused: it is {now.state}")
    if now.waiting_since is not None:
        return Conflict(f"{now.name} {waits}", hint="it begins by itself")
    return Conflict(f"{now.name} is {now.state}: there is nothing to resume")
