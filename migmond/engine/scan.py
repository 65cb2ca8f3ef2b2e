"""The scan: a mover of its own walks the sources, the daemon journals what it tells."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec
import trio

from migmond.breath import Breath
from migmond.domain.changes import (
    AddListing,
)
from migmond.domain.entry import EntryType
from migmond.domain.errors import MoverError
from migmond.domain.events import ScanCompleted
from migmond.domain.execution import Stage
from migmond.domain.fault import Fault, Phase
from migmond.domain.mover_slots import SCANNING_SLOT
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Directory, Entry, Listing, Task
from migmond.domain.timeline import MilestoneKind
from migmond.domain.units import show_size
from migmond.engine.crew import open_mover
from migmond.engine.faults import FaultDesk
from migmond.engine.process import MoverProcess
from migmond.engine.scope import Scope
from migmond.engine.space import SpaceWatch
from migmond.planning.selection import Candidate, Matcher
from migmond.wire.from_mover import FromMover, ScanFailed, ScanFinished, Scanned
from migmond.wire.items import ScanDirectory
from migmond.wire.to_mover import Open, Scan

PAGE_DIRECTORIES = 1000
MAX_DEATHS = 3
LIST_AGAIN_S = 1.0
"""After so long at least what could not be listed is tried once more."""
_GIVEN_UP = frozenset({TaskState.FAILED, TaskState.CANCELLED})
MESSAGES_AT_A_TIME = 16
"""Of about a thousand entries each: so many wait for the journal at most, and are written together."""


async def _pump(process: MoverProcess, sender: trio.MemorySendChannel[FromMover | MoverError]) -> None:
    """Pass on what a mover says until it has ended; how it failed comes last."""
    async with sender:
        try:
            while (message := await process.receive()) is not None:
                await sender.send(message)
        except MoverError as e:
            await sender.send(e)


def _waiting(receiver: trio.MemoryReceiveChannel[FromMover | MoverError]) -> Iterator[FromMover | MoverError]:
    """Yield what has come meanwhile."""
    with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
        for _ in range(MESSAGES_AT_A_TIME):
            yield receiver.receive_nowait()


def _linked(listing: Listing) -> Iterator[tuple[int, Entry]]:
    """Yield the names of files with several, by position in the listing; those that are left out lead nobody."""
    for position, entry in enumerate(listing.entries):
        if entry.links > 1 and entry.type is EntryType.FILE and position not in listing.outcomes:
            yield position, entry


class Scanner:
    """Brings the journal from the directories that it knows but has not read to the whole tree.

    Args:
        opening: returns the first message for a mover.
        space: is given the mover when it has told everything, to see whether that can fit.
        faults: says what is done about directories that cannot be listed.
    """

    def __init__(
        self, scope: Scope, opening: Callable[[], Awaitable[Open]], space: SpaceWatch, faults: FaultDesk
    ) -> None:
        self._scope = scope
        self._faults = faults
        self._left: dict[int, int] = {}
        """Directories that are to be listed once more, with their devices."""
        self._space = space
        self._opening = opening
        self._matcher = Matcher(scope.plan.selector, scope.wall())

    async def run(self) -> None:
        """Scan until everything is journaled, or the execution ends; then watch the room for it.

        Raises:
            MoverError: scanning movers keep dying.
            PlanInfeasible, NotPermitted: the roots cannot be opened (any more).
        """
        await self._complete()
        await self._space.watch()

    async def _complete(self) -> None:
        scope = self._scope
        deaths = 0
        while await scope.gate.passed():
            await scope.ledger.settled()
            if not await scope.surroundings.journal.unread_directories(scope.key, limit=1):
                self._finished()
                return
            try:
                if await self._scan():
                    if not self._left:
                        self._finished()
                        return
                    await self._until_back()
                    continue
                why = "a mover ended in the middle of it"
            except MoverError as e:
                why = e.message
            if scope.gate.ending:
                return
            deaths += 1
            if deaths >= MAX_DEATHS:
                raise MoverError(f"the scan cannot go on: {why}")
            await trio.sleep(deaths * 0.5)

    async def _until_back(self) -> None:
        """Wait before what is left is listed once more."""
        devices, self._left = set(self._left.values()), {}
        await trio.sleep(LIST_AGAIN_S)
        while self._faults.is_held(devices) and not self._scope.gate.ending:
            with trio.move_on_after(LIST_AGAIN_S):
                await self._scope.progress.wait()

    async def _scan(self) -> bool:
        """Let one mover scan what is unread; True when it has told everything."""
        scope = self._scope
        pool, identity = scope.surroundings.pool, scope.account.execution.identity
        process, _ = await open_mover(pool, SCANNING_SLOT, identity, await self._opening())
        try:
            with scope.crew.enlisted(process):
                await scope.limiter.admit(process)
                scope.share_limits()
                await self._hand_over(process)
                complete = await self._listen(process)
                if complete:
                    await self._space.look(process)
                return complete
        finally:
            await process.end()

    async def _hand_over(self, process: MoverProcess) -> None:
        """Tell the mover which directories are known but unread.

        The one whose listing a crash cut off is where the last task lies (a listing is journaled in one piece before
        anything below it): it goes first, so that it is complete again before anything new is added behind it.
        A directory that failed may have been listed in part as well.
        """
        scope, journal, key = self._scope, self._scope.surroundings.journal, self._scope.key
        last_number = await journal.last_number(key)
        last = (await journal.get_tasks(key, [last_number])).get(last_number)
        cut_off = last.directory if last is not None else 0
        above = (await journal.get_tasks(key, [cut_off])).get(cut_off)
        after, first = 0, True
        while True:
            page = await journal.unread_directories(key, after=after, limit=PAGE_DIRECTORIES)
            if first and above is not None and above.state not in _GIVEN_UP:
                place = (await scope.places.find([cut_off])).get(cut_off)
                if place is not None and await self._is_unread(place):
                    known = tuple(await journal.names_in(key, cut_off))
                    entry = ScanDirectory(place.number, place.root, place.path, known)
                    await process.send(Scan((entry,), last_number + 1, last=False))
            first = False
            for place in page:
                scope.places.add(place)
            broken_off = await journal.faults(key, [d.number for d in page])
            failed = {n for n, t in (await journal.get_tasks(key, list(broken_off))).items() if t.state in _GIVEN_UP}
            batch = tuple(
                [
                    ScanDirectory(
                        d.number,
                        d.root,
                        d.path,
                        tuple(await journal.names_in(key, d.number)) if d.number in broken_off else (),
                    )
                    for d in page
                    if d.number != cut_off and d.number not in failed
                ]
            )
            last_page = len(page) < PAGE_DIRECTORIES
            await process.send(Scan(batch, last_number + 1, last=last_page))
            if last_page:
                return
            after = page[-1].number

    async def _is_unread(self, place: Directory) -> bool:
        found = await self._scope.surroundings.journal.unread_directories(
            self._scope.key, after=place.number - 1, limit=1
        )
        return bool(found) and found[0].number == place.number

    async def _listen(self, process: MoverProcess) -> bool:
        """Journal what it tells; True when the scan is complete.

        A transaction costs a sync, which may take as long as the listing of thousands of entries: what is told
        meanwhile is journaled in the next one, all of it together.
        """
        failure: Exception | None = None
        complete = False
        sender, receiver = trio.open_memory_channel[FromMover | MoverError](MESSAGES_AT_A_TIME)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pump, process, sender)
            try:
                complete = await self._take(receiver)
            except Exception as e:  # raised below, as itself and not in a group
                failure = e
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return complete

    async def _take(self, receiver: trio.MemoryReceiveChannel[FromMover | MoverError]) -> bool:
        async for first in receiver:
            if self._scope.gate.ending:
                return False
            messages = [first, *_waiting(receiver)]
            listings: list[Listing] = []
            for message in messages:
                if isinstance(message, Scanned):
                    listings += message.listings
                    continue
                if listings:
                    await self._journal(listings)
                    listings = []
                match message:
                    case ScanFailed():
                        await self._failed(message.number, message.fault)
                    case ScanFinished():
                        return True
                    case MoverError():
                        raise message
                    case _:
                        raise MoverError(f"a scanning mover said {type(message).__name__}")
            if listings:
                await self._journal(listings)
        return False

    async def _journal(self, listings: Sequence[Listing]) -> None:
        """Journal what was told. A listing's directory is in the journal already, or in an earlier listing of it."""
        scope = self._scope
        judged: list[Listing] = []
        breath = Breath(scope.now)
        for listing in listings:
            place = (await scope.places.find([listing.directory]))[listing.directory]
            judged.append(await self._judge(listing, place, breath))
            await breath.take()
            scope.places.learn(judged[-1])
            if listing.complete:
                self._faults.listed(listing.device)
        judged = await self._with_leaders(judged)
        for listing in judged:
            await breath.take()
            scope.account.plan_entries(listing)  # counted and recorded in one go: a cancel must not come between
            scope.ledger.record([AddListing(scope.key, listing)])
        await scope.ledger.commit([])
        scope.progress.set()

    async def _with_leaders(self, listings: list[Listing]) -> list[Listing]:
        """Say of every further name of a file which task has the first one; later listings than these know it from the
        journal, so that memory holds no inodes (design page HAZARDS row 29)."""
        linked: dict[int, set[int]] = {}
        for listing in listings:
            for _, entry in _linked(listing):
                linked.setdefault(listing.device, set()).add(entry.inode)
        if not linked:
            return listings
        journal, key = self._scope.surroundings.journal, self._scope.key
        known = {device: await journal.leaders(key, device, sorted(inodes)) for device, inodes in linked.items()}
        complete: list[Listing] = []
        for listing in listings:
            leaders: dict[int, int] = {}
            for position, entry in _linked(listing):
                number = listing.first + position
                leader = known[listing.device].setdefault(entry.inode, number)
                if leader != number:
                    leaders[position] = leader
            complete.append(msgspec.structs.replace(listing, leaders=leaders) if leaders else listing)
        return complete

    async def _judge(self, listing: Listing, place: Directory, breath: Breath) -> Listing:
        """Mark the entries that the plan's selector leaves out. Directories are always walked."""
        if self._scope.plan.selector.selects_all:
            return listing
        prefix = place.path + b"/" if place.path else b""
        outcomes = dict(listing.outcomes)
        for position, entry in enumerate(listing.entries):
            if entry.type is EntryType.DIRECTORY or position in outcomes:
                continue
            await breath.take()
            candidate = Candidate(
                prefix + entry.name, entry.type, entry.size, entry.mtime_ns, content=listing.kinds.get(position)
            )
            if not self._matcher.picks(candidate):
                outcomes[position] = Outcome.NOT_SELECTED
        return msgspec.structs.replace(listing, outcomes=outcomes)

    async def _failed(self, number: int, fault: Fault) -> None:
        """A directory cannot be listed: it is listed once more, or its task fails; it stays unread, so a resume tries
        it again."""
        scope = self._scope
        await scope.ledger.settled()
        task: Task | None = (await scope.surroundings.journal.get_tasks(scope.key, [number])).get(number)
        if task is not None and task.state is TaskState.PENDING:
            fault = Fault(Phase.SCAN, fault.kind, fault.errno, fault.message)
            if self._faults.lists_again(task, fault):
                self._left[number] = task.device
            else:
                scope.fail(task, fault)

    def _finished(self) -> None:
        scope = self._scope
        scope.scan_done = True
        if scope.account.execution.stage is Stage.SCAN:
            scope.stage(Stage.COPY)
        if scope.account.totals.growing:
            scope.account.scanned(complete=True)
            scope.ledger.record([])
            planned = scope.account.totals.planned
            known = f"{planned.entries:,} {'entry' if planned.entries == 1 else 'entries'}, {show_size(planned.bytes)}"
            scope.timeline.tell(MilestoneKind.SCANNED, known)
            scope.surroundings.bus.publish(lambda i, at: ScanCompleted(i, at, scope.id, planned.entries, planned.bytes))
        scope.progress.set()
