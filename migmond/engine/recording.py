"""How a change gets on record: made, journaled in one transaction with what it changes, told when that is durable."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import msgspec
import trio

from migmond.domain.changes import Change, PutExecution, PutIntervention
from migmond.domain.events import InterventionRecorded
from migmond.domain.execution import Execution
from migmond.domain.hold import HoldReason
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.steering import Action, Drain, Pause, Resume, StandingAction
from migmond.engine.previews import Picked, effect_of, pace_of
from migmond.engine.roster import Roster
from migmond.engine.settings import Surroundings
from migmond.engine.views import intervention_views


class Ask(msgspec.Struct, frozen=True):
    """What somebody wants changed.

    Attributes:
        author: user name or uid, by the kernel's word, or the name of a component.
        for_s: seconds after which it is taken back by itself; None until somebody does.
        request_id: repeated by the same author, it changes nothing; "" for none.
        automatic: a component asks.
        why: what a pause's hold says of who set it.
    """

    action: Action
    author: str
    reason: str = ""
    for_s: float | None = None
    request_id: str = ""
    automatic: bool = False
    why: HoldReason = HoldReason.USER


class Recording:
    """For all executions."""

    def __init__(self, surroundings: Surroundings, roster: Roster) -> None:
        self._surroundings = surroundings
        self._roster = roster
        self._records = surroundings.records

    def wall(self) -> float:
        """Wall clock seconds."""
        return self._surroundings.clock.wall()

    def made(self, now: Execution, ask: Ask, picked: Picked | None) -> Intervention:
        """Return the record of a change that is about to be made to an execution that is as `now`."""
        pace = pace_of(now, self._roster.run_of(now.id), self._surroundings)
        effect = effect_of(ask.action, now, picked, pace, ask.for_s)
        id_, at = self._records.next_id(), self.wall()
        return Intervention(
            id=id_,
            execution=now.id,
            kind=InterventionKind(str(ask.action.__struct_config__.tag)),
            author=ask.author,
            at=at,
            reason=ask.reason,
            before=effect.before,
            after=effect.after,
            undo=_undo(ask.action, id_, now),
            action=ask.action,
            until=None if ask.for_s is None else at + ask.for_s,
            entries=effect.entries,
            bytes=effect.bytes,
            automatic=ask.automatic,
            request_id=ask.request_id,
        )

    async def put(self, execution: Execution, records: Sequence[Intervention], *changes: Change) -> None:
        """Journal an execution that nothing works on, with what is on record of its change.

        It is so for everybody at once: its turn may come while the journal writes. If the journal cannot, all is as it
        was.
        """
        before = self._roster.get(execution.id)
        self._roster.add(execution)
        self._roster.resized(execution)
        put = [*changes, *(PutIntervention(r) for r in records), PutExecution(execution)]
        try:
            with trio.CancelScope(shield=True):  # half of it must not be so in memory and the other in the journal
                await self._surroundings.journal.apply(put)
        except BaseException:
            for record in records:
                self._records.forget(record)
            if before is not None and self._roster.run_of(execution.id) is None:
                self._roster.add(before)
            raise
        self.tell(records)

    def tell(self, records: Sequence[Intervention]) -> None:
        """Tell subscribers of what is durable."""
        for view, record in zip(intervention_views(records), records, strict=True):
            told = functools.partial(InterventionRecorded, execution=record.execution, intervention=view)
            self._surroundings.bus.publish(told)

    async def find(self, id_: str) -> Intervention | None:
        """Return the intervention of that id, as it is on record; None when there is none."""
        execution = self._records.execution_of(id_)
        if execution is None:
            return None
        found = await self._surroundings.journal.interventions(execution)
        return next((r for r in found if r.id == id_), None)


def _undo(action: Action, id_: str, now: Execution) -> str:
    """Return the command that takes it back."""
    if isinstance(action, StandingAction | Pause):
        return f"migmon undo {id_}"
    if isinstance(action, Resume):
        return f"migmon pause {now.id[:6]}"
    return f"migmon resume {now.id[:6]}" if isinstance(action, Drain) else ""
