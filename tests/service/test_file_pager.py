"""Pages of entries: all that is picked and nothing twice, however little time a page has."""

from __future__ import annotations

import os
import random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.daemon.file_pager import FilePager
from migmond.domain import api
from migmond.domain.changes import (
    AddFault,
    PutExecution,
    Record,
)
from migmond.domain.entry import EntryType
from migmond.domain.errors import InvalidInput
from migmond.domain.fault import Fault, Phase
from migmond.domain.names import to_text
from migmond.domain.states import TaskState
from migmond.domain.task import TaskResult
from migmond.planning.selection import Candidate, matcher_of
from migmond.plugin_api.conformance import entry, execution, listing, root
from migmond.plugin_api.memory import MemoryJournal

NAMES = (b"a.mp4", b"b.txt", b"c", b"d.jpg")
EXECUTION = execution()


class ManyStates:
    """A journal of some hundred entries in a few directories."""

    def __init__(self, rng: random.Random, count: int) -> None:
        self.journal = MemoryJournal()
        self.numbers = range(1, count + 2)
        self._rng, self._count = rng, count

    async def fill(self) -> None:
        kinds = (EntryType.FILE, EntryType.FILE, EntryType.DIRECTORY, EntryType.SYMLINK)
        entries = [
            entry(b"%d-" % n + self._rng.choice(NAMES), self._rng.choice(kinds), size=self._rng.randrange(20))
            for n in range(self._count)
        ]
        await self.journal.apply([PutExecution(EXECUTION), root(), listing(1, 2, *entries)])
        settled = [n for n in self.numbers[1:] if self._rng.random() < 0.5]
        states = (TaskState.DONE, TaskState.FAILED, TaskState.SKIPPED, TaskState.DURABLE)
        await self.journal.apply([Record(1, tuple(TaskResult(n, self._rng.choice(states)) for n in settled))])
        kind = (Fault(Phase.COPY, "EIO", 5, "io"), Fault(Phase.COPY, "EPERM", 1, "no"))
        await self.journal.apply([AddFault(1, n, 1.0, self._rng.choice(kind)) for n in settled[::3]])

    async def picked(self, selector: api.SelectorSpec, running: frozenset[int], after: int) -> list[str]:
        """What a look at every entry finds."""
        matcher = matcher_of(selector, 0.0)
        faults = await self.journal.faults(1, self.numbers)
        found = []
        for task in await self.journal.tasks(1, limit=10_000):
            state = TaskState.RUNNING if task.number in running else task.state
            kind = faults[task.number].fault.kind if task.number in faults else ""
            place = (await self.journal.places(1, [task.directory])).get(task.directory)
            path = os.path.join(place.path, task.name) if place is not None else task.name
            if task.number > after and matcher.picks(Candidate(path, task.type, task.size, 0, state, kind)):
                found.append(to_text(path) or ".")
        return found


class Hurried:
    """A clock on which every look takes as long as the next of `steps` seconds."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._now = rng, 0.0

    def monotonic(self) -> float:
        self._now += self._rng.choice((0.0, 0.0001, 1.0))
        return self._now

    def wall(self) -> float:
        return 0.0


selectors = st.builds(
    api.SelectorSpec,
    include=st.sampled_from([(), (), ("*.mp4",), ("*{1,2}-*",)]),
    types=st.lists(st.sampled_from(["file", "directory", "symlink", "video", "image"]), max_size=2).map(tuple),
    states=st.lists(st.sampled_from(["pending", "running", "done", "failed", "skipped"]), max_size=2).map(tuple),
    errors=st.sampled_from([(), (), ("EIO",)]),
    larger_than=st.sampled_from([None, None, 3, 10]),
    smaller_than=st.sampled_from([None, None, 12]),
)


@given(selectors, st.integers(0, 1 << 32), st.integers(1, 300), st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_pages_bring_what_is_picked(spec: api.SelectorSpec, seed: int, limit: int, after: int) -> None:
    rng = random.Random(seed)

    async def run() -> None:
        there = ManyStates(rng, 700)
        await there.fill()
        pending = await there.journal.tasks(1, states=(TaskState.PENDING,))
        running = frozenset(t.number for t in pending if rng.random() < 0.3)
        found, at = list[str](), after
        while True:
            pager = FilePager(there.journal, Hurried(rng), EXECUTION, running)
            page = await pager.page(api.FilesParams("x", spec, after=at, limit=limit))
            found += [task.path for task in page.tasks]
            assert len(page.tasks) <= limit
            if page.next is None:
                break
            assert page.next > at
            at = page.next
        assert found == await there.picked(spec, running, after)

    trio.run(run)


class Late(Hurried):
    """A clock on which everything is too late."""

    def monotonic(self) -> float:
        self._now += 1.0
        return self._now


async def test_a_page_without_a_selector_is_full_however_late_it_is() -> None:
    there = ManyStates(random.Random(1), 700)
    await there.fill()
    page = await FilePager(there.journal, Late(random.Random(1)), EXECUTION, ()).page(api.FilesParams("x", limit=600))
    assert (len(page.tasks), page.next) == (600, 600)


async def test_who_finds_nothing_is_told_so_in_time() -> None:
    there = ManyStates(random.Random(1), 700)
    await there.fill()
    nothing = api.SelectorSpec(include=("*.nothing",))
    pager = FilePager(there.journal, Late(random.Random(1)), EXECUTION, ())
    assert await pager.page(api.FilesParams("x", nothing, limit=100)) == api.TaskPage((), 200)


async def test_many_patterns_do_not_keep_the_loop() -> None:
    """They are compiled in a thread: the loop turns meanwhile. So are bad ones."""
    there = ManyStates(random.Random(1), 10)
    await there.fill()
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.sleep(0.001)

    many = api.SelectorSpec(include=tuple(f"*x{n}*-{n}*" for n in range(1000)))
    pager = FilePager(there.journal, Late(random.Random(1)), EXECUTION, ())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn)
        assert await pager.page(api.FilesParams("x", many)) == api.TaskPage((), None)
        assert turns >= 3
        with pytest.raises(InvalidInput):
            await pager.page(api.FilesParams("x", api.SelectorSpec(include=("{{(}}",))))
        nursery.cancel_scope.cancel()
