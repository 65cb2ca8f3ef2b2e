"""Progress by parts, from one run to the next: what is kept with an execution, and how it is counted anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import trio

from migmond.analytics.batches import Batches, BatchesState
from migmond.analytics.cube import Cube, CubeState
from migmond.analytics.files_at_hand import EndedFile, FilesAtHand
from migmond.analytics.recount import Recount
from migmond.breath import Breath
from migmond.domain.changes import (
    KeepBreakdown,
)
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.packing import Unpacker, pack
from migmond.domain.task import may_be_read
from migmond.ports import (
    Journal,
)

PAGE_TASKS = 1000
"""Counting a page takes 1 to 3 ms of the loop, and reading it the same in a thread."""


class Kept(msgspec.Struct, frozen=True):
    """What is journaled. `totals`: those that `cube` belongs to, which is None while a run works on: a daemon that is
    killed then leaves totals that nobody can tell from others with the same sums."""

    totals: Totals
    cube: CubeState | None
    slowest: tuple[EndedFile, ...] = ()
    batches: BatchesState = BatchesState()


class Parts:
    """What a run knows of its execution's progress by parts.

    Attributes:
        counts: for the Account; a Recount until it is complete, which it is at once if what is kept may be taken.
        batches: compared.
        files: large ones, and the slowest.
    """

    def __init__(self, key: int, counts: Cube | Recount, kept: Kept | None = None) -> None:
        self._key = key
        self.counts = counts
        self.batches = Batches(kept.batches if kept is not None else None)
        self.files = FilesAtHand(kept.slowest if kept is not None else ())

    @property
    def cube(self) -> Cube | None:
        """None while it is counted anew."""
        counts = self.counts
        if isinstance(counts, Cube):
            return counts
        return counts.cube if counts.complete else None

    @property
    def counted(self) -> int:
        """Of how many entries it is known that they are counted, while they are counted anew."""
        return self.counts.counted if isinstance(self.counts, Recount) else 0

    def working(self, totals: Totals) -> KeepBreakdown:
        """Return what is to be recorded before a run changes anything, and now and then."""
        return self._keep(totals, None)

    def ended(self, totals: Totals) -> KeepBreakdown:
        """Return what is to be recorded when a run has changed everything that it will."""
        return self._keep(totals, self.cube)

    def _keep(self, totals: Totals, cube: Cube | None) -> KeepBreakdown:
        state = cube.state() if cube is not None else None
        return KeepBreakdown(self._key, pack(Kept(totals, state, self.files.slowest(), self.batches.state())))


async def load_parts(journal: Journal, execution: Execution, *, fresh: bool) -> Parts:
    """Return what is known of an execution that nothing works on.

    What is kept belongs to the totals at hand when it says that it was made with these (failed entries may have been
    set to be tried again since), and its sums are these: another migmond may have worked on it in between, which did
    not know of parts.

    Args:
        fresh: its sources are all that the journal has of it.
    """
    key, totals = execution.key, execution.totals
    copies = not execution.plan.removes_only
    if fresh:
        cube, numbers = Cube(copies=copies), range(1, len(execution.plan.sources) + 1)
        cube.count([t for _, t in sorted((await journal.get_tasks(key, numbers)).items())])
        return Parts(key, cube if agrees(cube, totals) else Recount(copies=copies))
    return await trio.to_thread.run_sync(_restored, execution, await journal.breakdown(key))


def _restored(execution: Execution, body: bytes) -> Parts:
    """For a thread: a large cube takes 0.1 s."""
    key, totals, kept = execution.key, execution.totals, _unpacked(body)
    copies = not execution.plan.removes_only
    anew = Recount(copies=copies)
    if kept is None or kept.cube is None:
        return Parts(key, anew, kept)
    before = kept.totals
    if not totals.failed.entries and before.failed.entries:
        before = msgspec.structs.replace(before, failed=Tally())
    if _tallies(before) != _tallies(totals):
        return Parts(key, anew, kept)
    try:
        cube = Cube.of(kept.cube, copies=copies)
    except ValueError:
        return Parts(key, anew, kept)
    if not totals.failed.entries:
        cube.retry()
    return Parts(key, cube if agrees(cube, totals) else anew, kept)


def agrees(cube: Cube, totals: Totals) -> bool:
    """Whether the sums of a cube are the totals; older versions did not keep there what is durable."""
    sums = cube.sums()
    durable = sums.durable if totals.durable != Tally() else totals.durable
    return (sums.planned, sums.done, sums.failed, sums.skipped, sums.cancelled, durable) == _tallies(totals)


async def recount(
    recount: Recount, journal: Journal, key: int, settled: Callable[[], Awaitable[None]], now: Callable[[], float]
) -> None:
    """Count from the journal until it is complete.

    Args:
        settled: waits until everything that was recorded before is durable.
        now: monotonic clock, seconds.

    Raises:
        JournalError: it cannot be read.
    """
    breath = Breath(now)
    while not recount.complete and not recount.abandoned:
        after, again = recount.begin()
        await settled()
        page = await journal.tasks(key, after=after, limit=PAGE_TASKS)
        found = await journal.get_tasks(key, again) if again else {}
        kinds = await journal.kinds(key, [t.number for t in (*page, *found.values()) if may_be_read(t)])
        recount.take(page, list(found.values()), kinds, more=len(page) == PAGE_TASKS)
        await breath.take()


def _tallies(totals: Totals) -> tuple[Tally, ...]:
    return totals.planned, totals.done, totals.failed, totals.skipped, totals.cancelled, totals.durable


def _unpacked(body: bytes) -> Kept | None:
    if not body:
        return None
    try:
        return Unpacker[Kept](Kept).unpack(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):  # it is counted anew
        return None
