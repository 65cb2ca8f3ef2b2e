"""Evaluates selectors over all pending entries of an execution, a page at a time, without keeping the loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

import msgspec
import trio

from migmond.domain.columns import Columns
from migmond.domain.entry import EntryType
from migmond.domain.execution import Tally
from migmond.domain.fault import Fault
from migmond.domain.file_kinds import FileKind, tells_kind
from migmond.domain.journal import FaultRecord
from migmond.domain.selector import Selector
from migmond.domain.states import TaskState
from migmond.engine.places import Places
from migmond.planning.selection import Matcher, takes_long
from migmond.ports import Journal

PAGE = 20_000
"""Entries that are read and matched in one go, 20 to 40 ms of a thread, for which other queries wait."""


class Page(msgspec.Struct, frozen=True):
    """What selectors may ask of some pending entries. See `Matcher.picked`."""

    tasks: Columns
    paths: Mapping[int, bytes]
    faults: Mapping[int, Fault]
    kinds: Mapping[int, FileKind]

    def picked(self, matchers: Sequence[Matcher]) -> list[list[int]]:
        """Return the numbers of those that each of them picks."""
        numbers = self.tasks.numbers
        return [[numbers[i] for i in self.positions(m)] for m in matchers]

    def positions(self, matcher: Matcher, *, doubtful: bool = False) -> list[int]:
        """Return what it picks, or what it may pick: see `Matcher.picked`."""
        return matcher.picked(self.tasks, self.paths, self.faults, TaskState.PENDING, self.kinds, doubtful=doubtful)


class Picks(NamedTuple):
    """What a selector picks of one page, by position. `followers`: they are further names of files."""

    page: Page
    positions: list[int]
    followers: bool


class Counted(msgspec.Struct, frozen=True):
    """What a selector picks. `doubtful`: further entries that it picks if their contents, which nobody has read, are of
    the kinds that it asks for."""

    tally: Tally
    doubtful: int = 0


class Sieve:
    """Args: places: the execution's."""

    def __init__(self, journal: Journal, key: int, places: Places) -> None:
        self._journal = journal
        self._key = key
        self._places = places

    async def read(self, after: int, matchers: Sequence[Matcher], *, followers: bool, limit: int = PAGE) -> Page:
        """Read the next pending entries, none at the end, with what `matchers` ask about them."""
        tasks = await self._journal.pending(self._key, after=after, limit=limit, followers=followers)
        places = await self._places.find(n for n in set(tasks.directories) if n)
        faults: Mapping[int, FaultRecord] = {}
        if any(m.asks_for_errors for m in matchers):
            faults = await self._journal.faults(self._key, tasks.numbers)
        kinds: Mapping[int, FileKind] = {}
        if any(m.asks_for_content for m in matchers):
            # Those whose names tell were not read: most files.
            rows = zip(tasks.numbers, tasks.names, strict=True)
            kinds = await self._journal.kinds(self._key, [n for n, name in rows if not tells_kind(name)])
        return Page(
            tasks,
            {n: place.path for n, place in places.items()},
            {n: record.fault for n, record in faults.items()},
            kinds,
        )

    async def picked(self, matcher: Matcher) -> AsyncGenerator[Picks, None]:
        """Yield what is picked of all pending entries, a page at a time; further names of files come last."""
        for followers in (False, True):
            after = 0
            while True:
                page = await self.read(after, (matcher,), followers=followers)
                if not len(page.tasks):
                    break
                after = page.tasks.numbers[-1]
                yield Picks(page, await trio.to_thread.run_sync(page.positions, matcher), followers)

    async def count(self, selector: Selector, now: float) -> Counted:
        """Return how many pending entries `selector` picks, and their bytes. Directories and what is in hand of movers
        count as what the journal calls them: directories never, what is in hand still.

        Args:
            now: wall clock seconds, against which ages count.
        """
        matcher = await compiled(selector, now)
        entries = size = doubtful = 0
        async with aclosing(self.picked(matcher)) as lots:
            async for page, found, followers in lots:
                if matcher.asks_for_content:
                    doubtful += await trio.to_thread.run_sync(_doubtful, page, matcher)
                entries += len(found)
                if not followers:
                    types, sizes = page.tasks.types, page.tasks.sizes
                    size += sum(sizes[i] for i in found if types[i] == EntryType.FILE)
        return Counted(Tally(entries, size), doubtful)


def _doubtful(page: Page, matcher: Matcher) -> int:
    return len(page.positions(matcher, doubtful=True))


async def compiled(selector: Selector, now: float) -> Matcher:
    """Compile a selector, in a thread if that takes long."""
    if takes_long(selector.include, selector.exclude):
        return await trio.to_thread.run_sync(Matcher, selector, now)
    return Matcher(selector, now)
