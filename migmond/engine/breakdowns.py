"""Progress by parts of any execution: of those that run from their run, of the others from the journal."""

from __future__ import annotations

from collections import OrderedDict

import msgspec
import trio

from migmond.analytics.cube import Cube
from migmond.analytics.recount import Recount
from migmond.domain.errors import MigmondError
from migmond.domain.execution import Execution, Totals
from migmond.engine.parts import Parts, agrees, load_parts, recount
from migmond.engine.run import Run
from migmond.engine.settings import Surroundings

REMEMBERED = 8
"""Cubes of executions that nothing works on; 2 MB each at most, but for a byte for each entry."""
WAIT_S = 1.0
"""How long whoever asks is kept waiting while it is counted."""


class Counted(msgspec.Struct, frozen=True):
    """`cube`: a snapshot, with what is in flight; None while it is counted, up to task number `counted`; `reason`: why
    it cannot be had."""

    cube: Cube | None
    counted: int = 0
    reason: str = ""


class _Job:
    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.reason = ""
        self.ended = trio.Event()


class Breakdowns:
    """Args: nursery: counts what has to be counted anew, in the background."""

    def __init__(self, surroundings: Surroundings, nursery: trio.Nursery) -> None:
        self._surroundings = surroundings
        self._nursery = nursery
        self._jobs: OrderedDict[tuple[str, float | None, Totals], _Job] = OrderedDict()
        self._loading = trio.Lock()

    async def of(self, execution: Execution, run: Run | None) -> Counted:
        """Return the cube of an execution as it is now, or how far its counting is.

        Raises:
            JournalError: the journal cannot be read.
        """
        if run is not None and run.parts is not None:
            if run.parts.cube is None:
                with trio.move_on_after(WAIT_S):
                    await run.counted.wait()
            cube = run.parts.cube
            return Counted(None if cube is None else cube.snapshot(run.in_flight()), run.parts.counted)
        job = await self._job(execution)
        with trio.move_on_after(WAIT_S):
            await job.ended.wait()
        known = None if job.reason else job.parts.cube
        return Counted(None if known is None else known.snapshot(), job.parts.counted, job.reason)

    async def parts(self, execution: Execution, run: Run | None) -> Parts:
        """Return what is kept with an execution, or what its run knows by now; its cube may not be counted yet.

        Raises:
            JournalError: the journal cannot be read.
        """
        if run is not None and run.parts is not None:
            return run.parts
        return (await self._job(execution)).parts

    async def _job(self, execution: Execution) -> _Job:
        key = (execution.id, execution.finished_at, execution.totals)
        async with self._loading:
            job = self._jobs.get(key)
            if job is None or job.reason:
                job = self._jobs[key] = _Job(await load_parts(self._surroundings.journal, execution, fresh=False))
                counts = job.parts.counts
                if isinstance(counts, Recount):
                    self._nursery.start_soon(self._count, job, counts, execution)
                else:
                    job.ended.set()
            self._jobs.move_to_end(key)
            while len(self._jobs) > REMEMBERED:
                self._jobs.popitem(last=False)
        return job

    async def _count(self, job: _Job, counts: Recount, execution: Execution) -> None:
        surroundings = self._surroundings
        try:
            await recount(
                counts, surroundings.journal, execution.key, trio.lowlevel.checkpoint, surroundings.clock.monotonic
            )
            if not agrees(counts.cube, execution.totals):
                job.reason = "it was set going again while its entries were counted: ask again"
        except MigmondError as e:
            job.reason = e.message
        finally:
            job.ended.set()
