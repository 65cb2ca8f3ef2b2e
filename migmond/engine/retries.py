"""What has failed is tried again: while an execution is at work, and when it has ended."""

from __future__ import annotations

import msgspec

from migmond.domain.entry import EntryType
from migmond.domain.errors import Conflict
from migmond.domain.execution import Execution, Stage
from migmond.domain.intervention import Intervention
from migmond.domain.states import ExecutionState, TaskState
from migmond.engine import retrying
from migmond.engine.changer import Changer, Means
from migmond.engine.previews import Picked, picked_by
from migmond.engine.recording import Ask
from migmond.engine.restarting import RESTARTABLE, Restarting
from migmond.engine.rollbacks import refuse_while_undone
from migmond.engine.run import Run

_RETRYING = frozenset({Stage.SCAN, Stage.COPY})


class Retries(Changer):
    """Of all executions."""

    def __init__(self, means: Means, restarts: Restarting) -> None:
        super().__init__(means)
        self._restarts = restarts

    async def retry(self, execution: Execution, ask: Ask) -> Intervention:
        """Let what `ask` picks of an execution be pending again. What is returned is durable.

        Raises:
            Conflict: nothing of it has failed any more, or it would not be seen to now.
        """
        run = await self._roster.controllable(execution)
        now = self._roster.now(execution)
        await self._roster.journaled(now)
        picked = await picked_by(self._surroundings, now, run, ask.action)  # again: others may have tried them
        assert picked is not None
        if not picked.failed:
            raise Conflict(
                f"nothing of what was picked has failed any more: {now.name} is {now.state}",
                hint=f"migmon errors {now.id[:6]} shows what has",
            )
        if run is not None:
            return await self._running(run, ask, picked)
        if now.state not in RESTARTABLE:
            raise Conflict(f"{now.name} is {now.state}: there is nothing to retry", hint=f"migmon errors {now.id[:6]}")
        self._verifications.refuse_while_verified(now)
        refuse_while_undone(now, self._roster.all())
        failed = now.totals.failed.plus(-picked.tally.entries, -picked.tally.bytes)
        record = retrying.begun(self._recording.made(now, ask, picked))
        *early, last = retrying.pieces(picked.failed)
        # When the daemon is cut off here, the record says how many are pending: whoever resumes it tries them.
        for piece in early:
            record, gone = retrying.counted(record, piece), retrying.tally_of(piece)
            left = now.totals.failed.plus(-gone.entries, -gone.bytes)
            now = msgspec.structs.replace(now, totals=msgspec.structs.replace(now.totals, failed=left))
            await self._recording.put(now, [record], retrying.try_again(now, piece))
        record = retrying.counted(record, last)
        return await self._restarts.restart(now, ask, [retrying.try_again(now, last)], failed, record)

    async def _running(self, run: Run, ask: Ask, picked: Picked) -> Intervention:
        now = run.execution
        if not _tries_again(now):
            raise _past_copying(now)
        # A directory that could not be listed is the scan's, which goes through them once.
        tasks = [t for t in picked.failed if t.type is not EntryType.DIRECTORY]
        if not tasks:
            raise Conflict(
                "only directories have failed: they are listed anew when the migration is resumed",
                hint=f"when it has ended: migmon resume {now.id[:6]}",
            )
        await run.let_go(tasks)
        record = retrying.begun(self._recording.made(now, ask, Picked(retrying.tally_of(tasks))))
        self._records.add(record, lasting=False)
        for picks in retrying.pieces(tasks):
            async with run.naming():  # a first name may have become a further one since it was picked
                rows = await self._surroundings.journal.get_tasks(now.key, [t.number for t in picks])
                piece = [t for t in rows.values() if t.state is TaskState.FAILED]
                if not _tries_again(run.execution):  # it has gone on meanwhile; what is pending is seen to
                    if record.entries:
                        return record
                    self._records.forget(record)
                    raise _past_copying(run.execution)
                run.try_again(piece)
                record = retrying.counted(record, piece)  # cut off between two, it says how many are pending
                run.record([record], retrying.try_again(now, piece))
                await self._roster.journaled(now)
        return record


def _tries_again(running: Execution) -> bool:
    """Whether what becomes pending now is seen to by the run."""
    live = running.state in (ExecutionState.RUNNING, ExecutionState.PAUSED) and not retrying.removes(running)
    return live and running.stage in _RETRYING


def _past_copying(now: Execution) -> Conflict:
    hint = f"when it has ended: migmon retry {now.id[:6]}"
    return Conflict(f"{now.name} is past copying ({now.stage}): nothing is tried again now", hint=hint)
