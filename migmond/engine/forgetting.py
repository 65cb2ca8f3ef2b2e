"""Executions are forgotten: nobody finds them any more, and nothing is found out about their entries."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import trio

from migmond.domain.changes import ForgetExecution, PutSession
from migmond.domain.errors import Conflict
from migmond.domain.events import ExecutionForgotten
from migmond.domain.execution import Execution
from migmond.domain.fault import Phase
from migmond.domain.session import Ended, SessionRecord
from migmond.domain.states import TaskState
from migmond.engine.restarting import RESTARTABLE
from migmond.engine.roster import Roster
from migmond.engine.settings import Surroundings
from migmond.engine.verifications import Verifications
from migmond.planning.retention import deletes, refusal
from migmond.ports import (
    Journal,
)

_PAGE = 1000


class Forgetting:
    """For the engine. Args: see `Steering`."""

    def __init__(
        self,
        surroundings: Surroundings,
        roster: Roster,
        verifications: Verifications,
        launching: Mapping[str, trio.Lock],
    ) -> None:
        self._surroundings = surroundings
        self._roster = roster
        self._verifications = verifications
        self._launching = launching

    async def forget(self, execution: Execution, by: str, reason: str) -> Execution:
        """Remove an execution that has ended; durable on return. Its entries are left in the journal, for whoever
        removes them in pieces (`ForgetSome`).

        Args:
            by: user name, uid, or a component's name.

        Returns:
            It, as it was.

        Raises:
            Conflict: it may not be forgotten: it has not ended, is being verified, a rollback may need it, or deletes
                of it are unfinished.
            NotFound: it was forgotten meanwhile.
            JournalError: the journal cannot.
        """
        surroundings, journal = self._surroundings, self._surroundings.journal
        async with self._launching[execution.id]:
            await self._roster.controllable(execution)
            now = self._roster.now(execution)
            why, hint = refusal(now, self._roster.all())
            if why:
                raise Conflict(why, hint=hint)
            self._verifications.refuse_while_verified(now)
            if why := await unfinished(journal, now):
                raise Conflict(f"{why} of {now.name}", hint=_hint(now))
            await surroundings.records.keep_ids(journal)
            record = await journal.session(now.key)
            changes = [ForgetExecution(now.key)]
            went = [] if record is None else [PutSession(_kept(record, now))]
            with trio.CancelScope(shield=True):  # it must not be there in memory and be gone in the journal
                await journal.apply([*changes, *went])
            surroundings.bus.publish(lambda i, at: ExecutionForgotten(i, at, now.id, now.name, by))
            self._roster.remove(now)
            surroundings.records.forget_execution(now.id)
        surroundings.log("execution forgotten", execution=now.id, name=now.name, by=by, reason=reason)
        return now


def _hint(execution: Execution) -> str:
    short = execution.id[:6]
    sees = f"migmon resume {short} sees to it" if execution.state in RESTARTABLE else "nothing else knows of them"
    return f"migmon errors {short} tells what is left; {sees}"


def _kept(record: SessionRecord, execution: Execution) -> SessionRecord:
    """Return what is kept of how it went: the figures, no name."""
    e = execution
    facts = Ended(e.identity.uid, e.state, e.created_at, e.started_at, e.finished_at, e.totals, e.limits)
    return msgspec.structs.replace(record, course=(), forecast=b"", ended=facts)


async def unfinished(journal: Journal, execution: Execution) -> str:
    """Return what only the journal knows of where somebody's files are, "" when there is nothing.

    A file of a group that was not closed may stand under either of two names, and so may a source whose delete failed
    (`kept_aside`, `left_aside`); a source that is still to be deleted is beside its complete copy.
    """
    key = execution.key
    if await journal.open_groups(key):
        return "it is not settled under which names some files stand"
    if await journal.tasks(key, states=(TaskState.DURABLE,), limit=1):
        return "sources are still to be deleted"
    after = 0
    while deletes(execution) and execution.totals.failed.entries:
        failed = await journal.tasks(key, after=after, states=(TaskState.FAILED,), limit=_PAGE)
        faults = await journal.faults(key, [t.number for t in failed])
        if any(f.fault.phase is Phase.DELETE for f in faults.values()):
            return "sources could not be deleted"
        if len(failed) < _PAGE:
            break
        after = failed[-1].number
    return ""
