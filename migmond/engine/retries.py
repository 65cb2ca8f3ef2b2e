"""What has failed is tried again: while an execution is at work, and when it has ended."""

from __future__ import annotations

from collections.abc import Sequence

from migmond.domain.entry import EntryType
from migmond.domain.errors import Conflict
from migmond.domain.execution import Execution, Stage
from migmond.domain.intervention import Intervention
from migmond.domain.states import ExecutionState, TaskState
from migmond.domain.task import Task
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
        record = retrying.begun(self._recording.made(now, ask, picked))
        *early, last = retrying.pieces(picked.failed)
        # When the daemon is cut off here, the record says how many are pending: whoever resumes it tries them.
        for piece in early:
            record, now = retrying.counted(record, piece), retrying.with_fewer_failed(now, piece)
            await self._recording.put(now, [record], retrying.try_again(now, piece))
        record, failed = retrying.counted(record, last), retrying.with_fewer_failed(now, last).totals.failed
        return await self._restarts.restart(now, ask, [retrying.try_again(now, last)], failed, record)

    async def under(
        self, then: Execution, run: Run | None, ask: Ask, failed: Sequence[Task], record: Intervention
    ) -> Intervention:
        """Let a change stand that concerns what has failed as well, and let that be pending again under it: to be left
        out, or to be tried where it is sent now. What has completed with errors goes on for it. What is returned is
        durable.

        Args:
            then: the execution with the change, which is the last of those that stand.
            record: of the change.

        Raises:
            Conflict: it would not be seen to now.
        """
        if run is not None:
            return await self._running_under(then, run, failed, record)
        refuse_while_undone(then, self._roster.all())
        ended = then.state is ExecutionState.COMPLETED_WITH_ERRORS
        pieces = retrying.pieces(failed)
        at_once = pieces[:-1] if ended else pieces
        if at_once:
            self._records.add(record, lasting=True)
        for piece in at_once:  # the change is there before anything is pending
            then = retrying.with_fewer_failed(then, piece)
            await self._recording.put(then, [record], retrying.try_again(then, piece))
        if not ended:
            return record
        left = retrying.with_fewer_failed(then, pieces[-1]).totals.failed
        return await self._restarts.restart(then, ask, [retrying.try_again(then, pieces[-1])], left, record)

    async def _running_under(
        self, then: Execution, run: Run, failed: Sequence[Task], record: Intervention
    ) -> Intervention:
        if not _tries_again(run.execution):
            raise _past_copying(run.execution)
        await run.let_go(failed)
        self._records.add(record, lasting=True)
        run.put_standing((*run.execution.standing, then.standing[-1]), [record])  # others may be over meanwhile
        await self._roster.journaled(then)
        for picks in retrying.pieces(failed):
            async with run.naming():
                piece = await self._still_failed(then, picks)
                if not _tries_again(run.execution):  # it has gone on meanwhile; what is pending is seen to
                    return record
                run.try_again(piece)
                run.record([], retrying.try_again(then, piece))
                await self._roster.journaled(then)
        return record

    async def _still_failed(self, now: Execution, picks: Sequence[Task]) -> list[Task]:
        """Return those that have failed still, as they are: a first name may have become a further one since it was
        picked."""
        rows = await self._surroundings.journal.get_tasks(now.key, [t.number for t in picks])
        return [t for t in rows.values() if t.state is TaskState.FAILED]

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
            async with run.naming():
                piece = await self._still_failed(now, picks)
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
