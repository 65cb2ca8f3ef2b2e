"""Taking changes of executions back: by whoever made them, or by time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec
import trio

from migmond.domain.errors import Conflict, MigmondError, NotFound
from migmond.domain.execution import Execution
from migmond.domain.intervention import EXPIRED, Intervention
from migmond.domain.states import ExecutionState
from migmond.domain.steering import Pause, Skip, StandingAction
from migmond.domain.steering_api import Effect
from migmond.engine.changer import Changer
from migmond.engine.hold_ends import HoldEnds
from migmond.engine.previews import pace_of, undo_effect
from migmond.engine.views import local_text
from migmond.planning.effects import with_standing

IDLE_LOOK_S = 2.0
"""How often it is looked whether changes of executions that do not run are over; those that run look themselves."""

FINAL = frozenset({ExecutionState.COMPLETED, ExecutionState.CANCELLED})
"""Nothing of these goes on, so nothing that was changed about them is in force."""


class Undoing(Changer):
    """For all executions."""

    def execution_of(self, id_: str) -> str:
        """Return the id of the execution that an intervention is about.

        Raises:
            NotFound: there is none of that id.
        """
        found = self._records.execution_of(id_)
        if found is None:
            raise NotFound(f"there is no intervention {id_[:40]!r}", hint="migmon interventions ID lists them")
        return found

    def latest_of(self, author: str, executions: Iterable[Execution]) -> str:
        """Return the id of the newest that `author` made about one of `executions` and that is in force.

        Raises:
            NotFound: there is none.
        """
        found = self._records.latest_of(author, (e.id for e in executions if e.state not in FINAL))
        if found is None:
            hint = "migmon interventions ID lists all, migmon undo I-N takes one back"
            raise NotFound("nothing that you changed is in force", hint=hint)
        return found.id

    def requested(self, author: str, prefix: str) -> list[Intervention]:
        """Return what `author` asked for with a request_id that begins with `prefix` and that is in force."""
        return self._records.requested_in_force(author, prefix)

    async def undo(
        self, id_: str, author: str, reason: str, *, dry_run: bool = False
    ) -> tuple[Effect, Intervention | None]:
        """Take a change back. What is returned is durable.

        Returns:
            What that means, and the record as it is now; None as the record of a dry run.

        Raises:
            NotFound: there is no such intervention.
            Conflict: it is over already, or is nothing that can be taken back.
        """
        execution_id = self.execution_of(id_)
        async with self._launching[execution_id]:
            execution = self._roster.get(execution_id)
            if execution is None:
                raise NotFound(f"what {id_} changed was forgotten meanwhile", hint="migmon ls lists what there is")
            run = await self._roster.controllable(execution)
            now, record = self._roster.now(execution), self._records.in_force(id_)
            verifier = self._verifications.of(now.id)
            held = verifier is not None and verifier.stopped_by == id_
            if record is None or (now.state in FINAL and not held):
                raise await self._over(id_, now)
            pace = pace_of(now, run, self._surroundings)
            effect = undo_effect(now, id_, record.action, pace, record.before, record.after)
            if dry_run:
                return effect, None
            if not held:
                self._verifications.refuse_while_verified(now)
            if run is not None and isinstance(record.action, Skip) and run.past_bringing_back:
                raise Conflict(
                    f"what {id_} left out cannot come back now: {now.name} is about to end",
                    hint="when it has ended, run the plan again: what is there already is left alone",
                )
            told = self._records.over([id_], author, self._recording.wall(), reason)
            if verifier is not None and held:
                verifier.go_on()
            if run is not None:
                run.record(told)
                if any(h.intervention == id_ for h in now.holds):
                    run.lift(lambda h: h.intervention == id_, "lifted", author)
                else:
                    run.put_standing(tuple(s for s in now.standing if s.id != id_), [])
                await self._roster.journaled(now)
            else:
                await self._take_out(now, {id_}, told)
            return effect, told[0]

    async def _take_out(self, now: Execution, ids: set[str], told: list[Intervention]) -> None:
        """Of an execution that nothing works on."""
        left = with_standing(now, tuple(s for s in now.standing if s.id not in ids))
        left = msgspec.structs.replace(left, holds=tuple(h for h in left.holds if h.intervention not in ids))
        try:
            await self._recording.put(left, told)
        except BaseException:
            self._records.again(told)
            raise

    async def _over(self, id_: str, now: Execution) -> Conflict:
        """Return why there is nothing to take back."""
        record = await self._recording.find(id_)
        lists = f"migmon interventions {now.id[:6]} lists what was done"
        if record is None:
            return Conflict(f"{id_} is not on record", hint=lists)
        if record.ended_at is not None:
            when = local_text(record.ended_at)
            if record.ended_by == EXPIRED:
                return Conflict(f"{id_} is over since {when}: it was for a time only", hint=lists)
            return Conflict(f"{id_} was taken back by {record.ended_by} at {when}", hint=lists)
        if isinstance(record.action, StandingAction | Pause):
            return Conflict(f"{id_} is not in force any more: {now.name} is {now.state}", hint=lists)
        what = record.kind.value.replace("_", " ")
        hint = f"instead: {record.undo}" if record.undo else "what it did stays done"
        return Conflict(f"{id_}, a {what}, cannot be taken back", hint=hint)

    async def expire(self) -> None:
        """End changes and holds of executions that do not run when their time is over, until cancelled."""
        ends: defaultdict[str, HoldEnds] = defaultdict(HoldEnds)
        clock = self._surroundings.clock
        while True:
            for execution in self._roster.all():
                if not (execution.standing or execution.holds) or self._roster.run_of(execution.id) is not None:
                    ends.pop(execution.id, None)
                    continue
                over, wall, now = ends[execution.id].over, clock.wall(), clock.monotonic()
                ids = {s.id for s in execution.standing if over(s, wall, now)}
                ids |= {h.intervention for h in execution.holds if h.intervention and over(h, wall, now)}
                if ids:
                    await self._expire(execution, ids)
            await trio.sleep(IDLE_LOOK_S)

    async def _expire(self, execution: Execution, ids: set[str]) -> None:
        async with self._launching[execution.id]:
            if self._roster.run_of(execution.id) is not None or self._verifications.of(execution.id) is not None:
                return  # it begins and looks itself; or once more, when that is done
            if self._roster.get(execution.id) is None:  # forgotten meanwhile
                return
            told = self._records.over(ids, EXPIRED, self._recording.wall())
            try:
                await self._take_out(self._roster.now(execution), ids, told)
            except MigmondError as e:  # the journal says itself what it lacks
                self._surroundings.log("a change is over, which could not be journaled", why=e.message)
