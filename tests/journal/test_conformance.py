"""Both storages keep every promise, and give the same answers to the same history."""

from __future__ import annotations

import itertools
import tempfile
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.domain.changes import (
    AddFault,
    AddListing,
    AddMilestone,
    CancelPending,
    CancelSome,
    Change,
    CloseGroup,
    DirectoriesTouched,
    ForgetExecution,
    ForgetSome,
    KeepBreakdown,
    OpenGroup,
    Promote,
    PutExecution,
    PutIntervention,
    Record,
    Refresh,
    RemovePlan,
    Retry,
    RetrySome,
    SavePlan,
)
from migmond.domain.entry import EntryType, Lost
from migmond.domain.fault import Fault, Phase
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.journal import Sift
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.task import CommitGroup, Entry, Member, TaskResult
from migmond.domain.timeline import Milestone, MilestoneKind
from migmond.plugin_api.conformance import (
    PLAN,
    DurableJournalConformance,
    JournalConformance,
    entry,
    execution,
    listing,
    root,
)
from migmond.plugin_api.memory import open_memory_journal
from migmond.ports import Journal
from migmond_sqlite import open_journal


class TestSqlite(DurableJournalConformance):
    def open(self, directory: Path) -> AbstractAsyncContextManager[Journal]:
        return open_journal(directory)


class TestMemory(JournalConformance):
    def open(self, directory: Path) -> AbstractAsyncContextManager[Journal]:
        return open_memory_journal()


NUMBERS = st.integers(1, 20)
KEYS = st.sampled_from([1, 1, 1, 2])
FAULTS = [Fault(Phase.COPY, "EIO", 5, "io"), Fault(Phase.COPY, "EIO", 5, "jo"), Fault(Phase.PUBLISH, "exists", 0, "x")]
TIMES = st.sampled_from([-(1 << 63), -5, 0, 7, (1 << 63) - 1, 1 << 63])
INODES = st.sampled_from([1, 2, 3, 1 << 63, (1 << 64) - 1])


class Scanned(msgspec.Struct, frozen=True):
    """A listing to come: which of the directories known by then, and what is in it."""

    key: int
    directory: int
    entries: tuple[Entry, ...]
    skipped: frozenset[int]
    complete: bool


Step: TypeAlias = Change | Scanned


def steps() -> st.SearchStrategy[Step]:
    results = st.builds(
        TaskResult,
        NUMBERS,
        st.sampled_from([s for s in TaskState if s is not TaskState.RUNNING]),
        st.sampled_from(list(Outcome)),
        st.sampled_from([Lost.NOTHING, Lost.OWNER]),
        st.none() | st.binary(min_size=16, max_size=16),
        st.none() | st.just(b"name"),
        INODES,
    )
    members = st.builds(Member, NUMBERS, INODES, st.just(Outcome.COPIED), st.just(Lost.NOTHING), st.none(), NUMBERS)
    group = st.builds(CommitGroup, st.integers(1, 3), st.lists(members, max_size=3).map(tuple))
    kinds = st.sampled_from([EntryType.FILE, EntryType.FILE, EntryType.DIRECTORY, EntryType.SYMLINK])
    entries = st.builds(
        Entry, st.binary(min_size=1, max_size=3), kinds, NUMBERS, TIMES, TIMES, INODES, st.integers(1, 2)
    )
    done = st.builds(
        lambda n, e: Intervention(f"i-{n}", e, InterventionKind.PAUSE, "ana", 5.0, "", "", ""), NUMBERS, st.just("aa")
    )
    plan = st.sampled_from(["a", "b"]).map(lambda name: msgspec.structs.replace(PLAN, name=name))
    states = st.sampled_from(list(ExecutionState))
    return st.one_of(
        st.builds(
            Scanned,
            KEYS,
            st.integers(0, 99),
            st.lists(entries, max_size=5).map(tuple),
            st.frozensets(st.integers(0, 4), max_size=2),
            st.booleans(),
        ),
        st.builds(lambda k, r: Record(k, tuple(r)), KEYS, st.lists(results, max_size=4)),
        st.builds(lambda k, n, f, at: AddFault(k, n, float(at), f), KEYS, NUMBERS, st.sampled_from(FAULTS), NUMBERS),
        st.builds(lambda k, n: DirectoriesTouched(k, (n,)), KEYS, st.just(1)),
        st.builds(OpenGroup, KEYS, group),
        st.builds(CloseGroup, KEYS, st.integers(1, 3)),
        st.builds(Promote, KEYS, NUMBERS),
        st.builds(Refresh, KEYS, NUMBERS, NUMBERS, TIMES, TIMES, INODES, st.integers(1, 2)),
        st.builds(Retry, KEYS),
        st.builds(RetrySome, KEYS, st.lists(NUMBERS, max_size=4).map(tuple)),
        st.builds(CancelPending, KEYS),
        st.builds(CancelSome, KEYS, NUMBERS, NUMBERS),
        st.builds(PutIntervention, done),
        st.builds(KeepBreakdown, KEYS, st.sampled_from([b"", b"one", b"two"])),
        st.builds(
            AddMilestone, KEYS, st.builds(Milestone, NUMBERS.map(float), st.sampled_from(MilestoneKind), st.just("x"))
        ),
        st.builds(SavePlan, st.integers(0, 1), plan, NUMBERS.map(float)),
        st.builds(RemovePlan, st.integers(0, 1), st.sampled_from(["a", "b"])),
        st.builds(lambda k, s, r: PutExecution(execution(k, state=s), r), KEYS, states, st.sampled_from(["", "later"])),
    )


class Numbering:
    """Makes listings out of `Scanned`, as a scan does: numbers without gaps, directories that are there."""

    def __init__(self) -> None:
        self._last = {1: 1, 2: 1}
        self._directories = {1: [1], 2: [1]}
        self._linked: dict[tuple[int, int], int] = {}

    def change(self, step: Step) -> Change:
        if not isinstance(step, Scanned):
            return step
        first, known = self._last[step.key] + 1, self._directories[step.key]
        skipped = {i: Outcome.NOT_SELECTED for i in step.skipped if i < len(step.entries)}
        directory = known[step.directory % len(known)]
        leaders: dict[int, int] = {}
        for position, e in enumerate(step.entries):
            if e.type is EntryType.DIRECTORY and position not in skipped:
                known.append(first + position)
            if e.type is EntryType.FILE and e.links > 1 and position not in skipped:
                leader = self._linked.setdefault((step.key, e.inode), first + position)
                if leader != first + position:
                    leaders[position] = leader
        self._last[step.key] += len(step.entries)
        made: AddListing = listing(
            directory, first, *step.entries, outcomes=skipped, complete=step.complete, key=step.key, leaders=leaders
        )
        return made


async def answers(journal: Journal) -> list[Any]:
    """Everything that can be asked."""
    found: list[Any] = [await journal.executions()]
    for uid in (0, 1, 1000):
        found += [await journal.plans(uid), await journal.find_request("later", uid)]
    found.append(await journal.find_request("at first", 1000))
    for execution_id in ("aa", "bb"):
        found.append(await journal.interventions(execution_id))
    for key in (1, 2, 3):
        found += [await journal.tasks(key), await journal.open_groups(key), await journal.fault_groups(key)]
        for state in TaskState:
            for flag in (None, True, False):
                found.append(await journal.tasks(key, states=(state,), followers=flag, limit=3))
                found.append(await journal.tasks(key, states=(state,), followers=flag, directories=False, after=3))
                found.append(await journal.tasks(key, states=(state, TaskState.DONE), directories=flag, after=2))
                found.append(await journal.tasks(key, states=(state, TaskState.FAILED), directories=flag))
        found += [await journal.breakdown(key), await journal.milestones(key)]
        kinds = (), (EntryType.FILE,), (EntryType.DIRECTORY, EntryType.SYMLINK)
        for last, types, larger, smaller in itertools.product((0, 4, 1 << 62), kinds, (None, 9, 10), (None, 10, 11)):
            found.append(await journal.tasks(key, after=1, sift=Sift(last, types, larger, smaller)))
            found.append(await journal.tasks(key, states=(TaskState.PENDING,), sift=Sift(last, types, larger), limit=2))
        found += [await journal.faults(key, range(25)), await journal.touched_directories(key)]
        found += [await journal.unread_directories(key, after=1), await journal.unread_directories(key, limit=2)]
        found += [await journal.directories_backwards(key, before=9, limit=4), await journal.last_number(key)]
        found += [await journal.get_tasks(key, range(9)), await journal.places(key, range(25))]
        found += [await journal.leaders(key, 7, [0, 1, 2, 3, 1 << 63, (1 << 64) - 1])]
        found += [await journal.names_in(key, number) for number in range(1, 6)]
    return found


@given(st.lists(st.lists(steps(), max_size=4), max_size=8))
@settings(max_examples=60, deadline=None)
def test_sqlite_answers_as_the_reference_does(history: list[list[Step]]) -> None:
    numbering = Numbering()
    links = [entry(b"%d" % i, inode=i % 3, links=2) for i in range(8)]
    opening: list[Step] = [
        PutExecution(execution(), "at first"),
        PutExecution(execution(2)),
        root(),
        root(2),
        Scanned(1, 0, (entry(b"a", inode=1, links=3), entry(b"d", EntryType.DIRECTORY)), frozenset(), complete=True),
        Scanned(1, 1, tuple(links), frozenset({2}), complete=False),
    ]

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with open_journal(Path(directory)) as real, open_memory_journal() as reference:
                for batch in [opening, *history]:
                    changes = [numbering.change(step) for step in batch]
                    await real.apply(changes)
                    await reference.apply(changes)
                assert await answers(real) == await answers(reference)

    trio.run(run)


@given(st.lists(steps(), max_size=12), st.lists(st.integers(0, 7), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_sqlite_forgets_as_the_reference_does(history: list[Step], pieces: list[int]) -> None:
    numbering = Numbering()
    links = tuple(entry(b"%d" % i, inode=i % 3, links=2) for i in range(8))
    opening: list[Step] = [
        PutExecution(execution(), "at first"), PutExecution(execution(2)), root(), root(2),
        Scanned(1, 0, links, frozenset({2}), complete=False), Scanned(2, 0, links, frozenset(), complete=True),
    ]  # fmt: skip

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with open_journal(Path(directory)) as real, open_memory_journal() as reference:
                changes = [numbering.change(step) for step in [*opening, *history]]
                transactions: list[list[Change]] = [[*changes, ForgetExecution(1)]]
                transactions += [[ForgetSome(1, n)] for n in [*pieces, 1000]]
                for transaction in transactions:
                    await real.apply(transaction)
                    await reference.apply(transaction)
                    assert await answers(real) == await answers(reference)
                    assert await real.forgotten() == await reference.forgotten()
                    there = {t.number for t in await real.tasks(1)}
                    assert {t.directory for t in await real.tasks(1)} <= there | {0}
                assert await real.forgotten() == []
                assert await real.tasks(2) != []

    trio.run(run)
