"""Both storages keep every promise, and give the same answers to the same history."""

from __future__ import annotations

import tempfile
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.domain.entry import EntryType, Lost
from migmond.domain.fault import Fault, Phase
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import CommitGroup, Member, TaskResult
from migmond.plugin_api.conformance import JournalConformance, entry, execution, listing, root
from migmond.plugin_api.memory import open_memory_journal
from migmond.ports import (
    AddFault,
    CancelPending,
    Change,
    CloseGroup,
    DirectoriesTouched,
    Journal,
    OpenGroup,
    Promote,
    PutExecution,
    Record,
    Refresh,
    Retry,
)
from migmond_sqlite import open_journal


class TestSqlite(JournalConformance):
    def open(self, directory: Path) -> AbstractAsyncContextManager[Journal]:
        return open_journal(directory)


class TestMemory(JournalConformance):
    def open(self, directory: Path) -> AbstractAsyncContextManager[Journal]:
        return open_memory_journal()


NUMBERS = st.integers(1, 12)


def changes() -> st.SearchStrategy[Change]:
    faults = st.sampled_from([Fault(Phase.COPY, "EIO", 5, "io"), Fault(Phase.PUBLISH, "exists", 0, "taken")])
    results = st.builds(
        TaskResult,
        NUMBERS,
        st.sampled_from([s for s in TaskState if s is not TaskState.RUNNING]),
        st.sampled_from(list(Outcome)),
        st.sampled_from([Lost.NOTHING, Lost.OWNER]),
        st.none() | st.binary(min_size=16, max_size=16),
        st.none() | st.just(b"name"),
        st.integers(0, 9),
    )
    group = st.builds(
        CommitGroup,
        st.integers(1, 3),
        st.lists(
            st.builds(Member, NUMBERS, NUMBERS, st.just(Outcome.COPIED), st.just(Lost.NOTHING), st.none(), NUMBERS)
        ).map(tuple),
    )
    return st.one_of(
        st.builds(lambda r: Record(1, (r,)), results),
        st.builds(lambda n, f, at: AddFault(1, n, float(at), f), NUMBERS, faults, st.integers(0, 99)),
        st.builds(lambda n: DirectoriesTouched(1, (n,)), st.sampled_from([1, 4])),
        st.builds(lambda g: OpenGroup(1, g), group),
        st.builds(lambda n: CloseGroup(1, n), st.integers(1, 3)),
        st.builds(lambda n: Promote(1, n), NUMBERS),
        st.builds(lambda n, s: Refresh(1, n, s, 1, 2, 3, 1), NUMBERS, st.integers(0, 5)),
        st.just(Retry(1)),
        st.just(CancelPending(1)),
    )


async def answers(journal: Journal) -> list[Any]:
    """Everything that can be asked."""
    found: list[Any] = [await journal.tasks(1), await journal.open_groups(1), await journal.fault_groups(1)]
    for state in TaskState:
        for flag in (None, True, False):
            found.append(await journal.tasks(1, states=(state,), followers=flag, limit=3))
            found.append(await journal.tasks(1, states=(state, TaskState.DONE), directories=flag, after=2))
    found += [await journal.faults(1, range(15)), await journal.touched_directories(1)]
    found += [await journal.unread_directories(1), await journal.directories_backwards(1, before=9, limit=4)]
    return found


@given(st.lists(st.lists(changes(), max_size=4), max_size=8))
@settings(max_examples=40, deadline=None)
def test_sqlite_answers_as_the_reference_does(history: list[list[Change]]) -> None:
    first: list[Change] = [
        PutExecution(execution()),
        root(),
        listing(1, 2, entry(b"a", inode=1, links=3), entry(b"b", inode=1, links=3), entry(b"c", EntryType.DIRECTORY)),
        listing(4, 5, *[entry(b"%d" % i, inode=i % 3, links=2) for i in range(8)]),
    ]

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with open_journal(Path(directory)) as real, open_memory_journal() as reference:
                for batch in [first, *history]:
                    await real.apply(batch)
                    await reference.apply(batch)
                assert await answers(real) == await answers(reference)

    trio.run(run)
