"""Ended executions that are set going again, as a resume and a retry do."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from migmond.domain.changes import Change, PutIntervention
from migmond.domain.execution import Execution, Tally
from migmond.domain.intervention import Intervention
from migmond.domain.states import EXECUTION_TRANSITIONS, ExecutionState, advance
from migmond.domain.steering import StandingAction
from migmond.engine.changer import Changer
from migmond.engine.recording import Ask

RESTARTABLE = frozenset({ExecutionState.DRAINED, ExecutionState.COMPLETED_WITH_ERRORS, ExecutionState.FAILED})


class Restarting(Changer):
    """Of all executions."""

    async def restart(
        self, now: Execution, ask: Ask, changes: Sequence[Change], failed: Tally, why: Intervention | None = None
    ) -> Intervention:
        """Set an ended execution going again; holds on all of it are lifted, those on some of it stay.

        Args:
            why: the record of the change that it goes on for; None for a resume.
        """
        self._verifications.refuse_while_verified(now)
        held = [h for h in now.holds if h.selector.selects_all]
        again = msgspec.structs.replace(
            now,
            state=advance(EXECUTION_TRANSITIONS, now.state, ExecutionState.RUNNING),
            totals=msgspec.structs.replace(now.totals, failed=failed),
            finished_at=None,
            reason="",
            holds=tuple(h for h in now.holds if h not in held),
        )
        record = why or self._recording.made(now, ask, None)
        made: list[Intervention] = []

        def told(begun: Execution) -> Change:
            made.append(why or msgspec.structs.replace(record, after=begun.state.value))
            return PutIntervention(made[0])

        overs = self._records.over((h.intervention for h in held), ask.author, record.at)
        try:
            await self._roster.set_going(again, told, *changes, *(PutIntervention(o) for o in overs))
        except BaseException:
            self._records.again(overs)
            raise
        self._records.add(made[0], lasting=isinstance(ask.action, StandingAction))
        self._recording.tell([*overs, *made])
        return made[0]
