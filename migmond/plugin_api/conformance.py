"""Does a storage keep the promises of `migmond.ports.Journal`? For authors of storages, to be run in their tests:

    class TestMine(JournalConformance):
        def open(self, directory):
            return open_my_journal(directory)

A storage that keeps anything after it is closed subclasses `DurableJournalConformance` instead.
Run by pytest with pytest-trio; nothing of pytest is imported here.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import trio

from migmond.domain.changes import (
    AddFault,
    AddIntervention,
    AddListing,
    AddMilestone,
    AddRoot,
    CancelPending,
    CancelSome,
    CloseGroup,
    DirectoriesTouched,
    KeepBreakdown,
    OpenGroup,
    Promote,
    PutExecution,
    PutSession,
    ReceiptSeal,
    Record,
    Refresh,
    RemovePlan,
    Retry,
    SavePlan,
    SealReceipt,
)
from migmond.domain.entry import EntryType, Lost
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.fault import Fault, Phase
from migmond.domain.identity import Identity
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.plan import Plan, Source
from migmond.domain.session import CoursePoint, SessionRecord
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.task import CommitGroup, Directory, Entry, Listing, Member, Task, TaskResult
from migmond.domain.timeline import Milestone, MilestoneKind
from migmond.ports import (
    Journal,
    Sift,
)

PLAN = Plan("photos", (Source(b"/src/\xff"),), b"/dst")
FILE, DIRECTORY = EntryType.FILE, EntryType.DIRECTORY


def execution(key: int = 1, **fields: Any) -> Execution:
    """Return an execution to put into a journal."""
    made = Execution(f"{key:012x}", key, "photos", PLAN, Identity(1000, 100, (1, 2)), ExecutionState.CREATED, 5.0)
    return msgspec.structs.replace(made, **fields)


def root(key: int = 1) -> AddRoot:
    """Return the root of an execution's only source, a directory."""
    return AddRoot(key, 0, Task(1, 0, b"", DIRECTORY, 0, 1, 1, 99, 7, 2))


def entry(name: bytes, kind: EntryType = FILE, inode: int = 1, links: int = 1, size: int = 10) -> Entry:
    return Entry(name, kind, size, 1_000_000_001, 2_000_000_002, inode, links)


def listing(
    directory: int,
    first: int,
    *entries: Entry,
    outcomes: dict[int, Outcome] | None = None,
    complete: bool = True,
    key: int = 1,
    leaders: dict[int, int] | None = None,
) -> AddListing:
    """Return a listing on device 7."""
    return AddListing(key, Listing(directory, 7, first, entries, outcomes or {}, complete, leaders or {}))


class JournalConformance:
    """One check per promise. Subclass it, say how to open your storage, and let pytest find the checks."""

    def open(self, directory: Path) -> AbstractAsyncContextManager[Journal]:
        """Open an empty journal with its files, if any, in `directory`. To be overridden."""
        raise TypeError("say how your storage is opened")

    async def test_executions_come_back_whole_and_in_order(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            assert await journal.executions() == []
            two, one = execution(2), execution(1)
            await journal.apply([PutExecution(two, "request"), PutExecution(one)])
            changed = msgspec.structs.replace(
                two, state=ExecutionState.RUNNING, totals=Totals(Tally(5, 6), growing=False), reason="ü"
            )
            await journal.apply([PutExecution(changed)])
            assert await journal.executions() == [one, changed]
            assert await journal.find_request("request", 1000) == two.id
            assert await journal.find_request("request", 0) is None
            assert await journal.find_request("", 1000) is None

    async def test_keys_and_event_ids_never_repeat(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            keys = [await journal.next_key() for _ in range(5)]
            assert keys == sorted(set(keys))
            first = await journal.next_event(1000)
            assert await journal.next_event(1) >= first + 1000

    async def test_a_listing_becomes_tasks_and_places(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root()])
            assert await journal.unread_directories(1) == [Directory(1, 0, b"")]
            names = (entry(b"a\n\xff", size=2**40), entry(b"sub", DIRECTORY), entry(b"skipped"))
            await journal.apply([listing(1, 2, *names, outcomes={2: Outcome.NOT_SELECTED})])
            await journal.apply([listing(3, 5, entry(b"deep", DIRECTORY), complete=False)])
            tasks = await journal.tasks(1)
            assert [(t.number, t.directory, t.name, t.state) for t in tasks] == [
                (1, 0, b"", TaskState.PENDING),
                (2, 1, b"a\n\xff", TaskState.PENDING),
                (3, 1, b"sub", TaskState.PENDING),
                (4, 1, b"skipped", TaskState.SKIPPED),
                (5, 3, b"deep", TaskState.PENDING),
            ]
            assert (tasks[1].size, tasks[1].mtime_ns, tasks[1].device) == (2**40, 1_000_000_001, 7)
            assert tasks[3].outcome is Outcome.NOT_SELECTED
            assert await journal.unread_directories(1) == [Directory(3, 0, b"sub"), Directory(5, 0, b"sub/deep")]
            assert await journal.places(1, [1, 3, 99]) == {1: Directory(1, 0, b""), 3: Directory(3, 0, b"sub")}
            assert await journal.names_in(1, 1) == [b"a\n\xff", b"sub", b"skipped"]
            assert await journal.last_number(1) == 5
            assert await journal.last_number(2) == 0

    async def test_tasks_are_paged_and_filtered(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            entries = [entry(b"%d" % i, inode=i, links=1 + (i < 3)) for i in range(10)]
            same = [entry(b"again", inode=1, links=2), entry(b"dir", DIRECTORY)]
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *entries, *same, leaders={10: 3})])
            assert [t.number for t in await journal.tasks(1, after=3, limit=4)] == [4, 5, 6, 7]
            assert [t.number for t in await journal.tasks(1, followers=True)] == [12]
            assert [t.number for t in await journal.tasks(1, directories=True)] == [1, 13]
            only = await journal.tasks(1, states=(TaskState.PENDING,), followers=False, directories=False)
            assert [t.number for t in only] == list(range(2, 12))
            assert await journal.tasks(1, states=(TaskState.DURABLE, TaskState.FAILED)) == []
            assert [t.number for t in await journal.directories_backwards(1, before=13, limit=5)] == [1]
            assert [t.number for t in await journal.directories_backwards(1, before=1 << 62, limit=5)] == [13, 1]

    async def test_hard_links_have_one_leader(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), PutExecution(execution(2)), root(), root(2)])
            one = [entry(b"a", inode=5, links=3), entry(b"b", inode=5, links=3), entry(b"c", inode=6, links=2)]
            await journal.apply([listing(1, 2, *one, complete=False, leaders={1: 2})])
            assert await journal.leaders(1, 7, [4, 5, 6]) == {5: 2, 6: 4}
            assert (await journal.leaders(1, 8, [5]), await journal.leaders(2, 7, [5])) == ({}, {})
            two = [entry(b"d", inode=5, links=3), entry(b"e", inode=6, links=2)]
            await journal.apply([listing(1, 5, *two, leaders={0: 2, 1: 4})])
            await journal.apply([listing(1, 2, entry(b"other execution", inode=5, links=3), key=2)])
            leaders = {t.name: t.leader for t in await journal.tasks(1) if t.type is FILE}
            assert leaders == {b"a": 0, b"b": 2, b"c": 0, b"d": 2, b"e": 4}
            assert [t.leader for t in await journal.tasks(2)] == [0, 0]
            await journal.apply([Promote(1, 2)])
            leaders = {t.name: t.leader for t in await journal.tasks(1) if t.type is FILE}
            assert leaders == {b"a": 0, b"b": 0, b"c": 0, b"d": 3, b"e": 4}
            await journal.apply([Record(1, (TaskResult(3, TaskState.FAILED),)), Promote(1, 3)])
            leaders = {t.name: t.leader for t in await journal.tasks(1) if t.type is FILE}
            assert leaders == {b"a": 0, b"b": 5, b"c": 0, b"d": 0, b"e": 4}

    async def test_all_names_that_failed_follow_the_next_leader(self, tmp_path: Path) -> None:
        """Also one that led before the last one: else it became a file of its own when it was tried again."""
        async with self.open(tmp_path) as journal:
            links = [entry(b"%d" % i, inode=5, links=3) for i in range(3)]
            followers = {1: 2, 2: 2}
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *links, leaders=followers)])
            for leader in (2, 3):
                await journal.apply([Record(1, (TaskResult(leader, TaskState.FAILED),)), Promote(1, leader)])
            assert {t.number: t.leader for t in await journal.tasks(1)} == {1: 0, 2: 4, 3: 4, 4: 0}
            assert await journal.leaders(1, 7, [5]) == {5: 4}

    async def test_only_files_with_several_names_lead_and_none_that_is_skipped(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            entries = [entry(b"%d" % i, inode=5, links=3) for i in range(3)]
            others = [entry(b"alone", inode=6), entry(b"fifo", EntryType.FIFO, inode=7, links=2)]
            skipped = {0: Outcome.NOT_SELECTED}
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *entries, *others, outcomes=skipped)])
            assert await journal.leaders(1, 7, [5, 6, 7]) == {5: 3}
            await journal.apply([Record(1, (TaskResult(3, TaskState.SKIPPED, Outcome.EXISTS),))])
            assert await journal.leaders(1, 7, [5, 6, 7]) == {5: 4}

    async def test_times_and_inodes_of_any_size(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            times = (-(1 << 63), -1, 0, (1 << 63) - 1, 1 << 63, 13_569_465_600_000_000_000)  # the last: year 2400
            inodes = (1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 2, (1 << 64) - 1)
            entries = [Entry(b"%d" % t, FILE, 1, t, t + 1, i, 2) for t, i in zip(times, inodes, strict=True)]
            again = entry(b"again", inode=inodes[-1], links=2)
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *entries, again, leaders={6: 7})])
            assert await journal.leaders(1, 7, inodes) == {i: n for n, i in enumerate(inodes, start=2)}
            tasks = (await journal.tasks(1))[1:]
            assert [(t.mtime_ns, t.ctime_ns, t.inode, t.leader) for t in tasks[:-1]] == [
                (t, t + 1, i, 0) for t, i in zip(times, inodes, strict=True)
            ]
            assert tasks[-1].leader == 7
            done = TaskResult(2, TaskState.DONE, target_inode=inodes[-1])
            await journal.apply([Record(1, (done,)), Refresh(1, 3, 1, times[-1], times[0], inodes[2], 1)])
            found = await journal.get_tasks(1, [2, 3])
            assert found[2].target_inode == inodes[-1]
            assert (found[3].mtime_ns, found[3].ctime_ns, found[3].inode) == (times[-1], times[0], inodes[2])

    async def test_how_executions_went_is_kept(self, tmp_path: Path) -> None:
        point = CoursePoint(1.5, Tally(1, 2), Tally(3, 4))
        first = SessionRecord(1, "a" * 12, 5.0, course=(point,), sizes={"tiny": Tally(1, 2)}, cpu_s=0.25)
        async with self.open(tmp_path) as journal:
            assert (await journal.session(1), await journal.sessions()) == (None, [])
            await journal.apply([PutSession(first), PutSession(SessionRecord(2, "b" * 12, 6.0))])
            await journal.apply([PutSession(SessionRecord(2, "b" * 12, 7.0))])
            assert await journal.session(1) == first
            assert [s.at for s in await journal.sessions()] == [5.0, 7.0]
            assert [s.key for s in await journal.sessions(after=1)] == [2]
            assert [s.key for s in await journal.sessions(limit=1)] == [1]

    async def test_seals_of_receipts_stay_as_they_were(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root()])
            assert await journal.seals(1) == []
            first, other = ReceiptSeal(b"b" * 32, 2, 5.0, 4.5), ReceiptSeal(b"a" * 32, 2, 6.0, None)
            await journal.apply([SealReceipt(1, first)])
            await journal.apply([SealReceipt(1, other), SealReceipt(1, ReceiptSeal(b"b" * 32, 2, 7.0, 6.5))])
            assert (await journal.seals(1), await journal.seals(2)) == ([first, other], [])

    async def test_directories_are_paged(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            directories = [entry(b"%d" % i, DIRECTORY) for i in range(5)]
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *directories)])
            await journal.apply([DirectoriesTouched(1, (2, 4, 6))])
            assert [d.number for d in await journal.unread_directories(1, after=2, limit=3)] == [3, 4, 5]
            assert [d.number for d in await journal.touched_directories(1, after=2, limit=1)] == [4]
            assert [t.number for t in await journal.directories_backwards(1, before=5, limit=2)] == [4, 3]
            await journal.apply([listing(4, 7)])
            assert [d.number for d in await journal.unread_directories(1)] == [2, 3, 5, 6]

    async def test_many_callers_at_once(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *[entry(b"x")] * 20)])

            async def settle(number: int) -> None:
                await journal.apply([Record(1, (TaskResult(number, TaskState.DONE),))])
                assert (await journal.get_tasks(1, [number]))[number].state is TaskState.DONE

            async with trio.open_nursery() as nursery:
                for number in range(2, 22):
                    nursery.start_soon(settle, number)
            assert [t.number for t in await journal.tasks(1, states=(TaskState.PENDING,))] == [1]

    async def test_a_cancelled_transaction_happens_whole_or_not_at_all(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root()])
            number = 2
            for steps in range(6):
                entries = [entry(b"%d" % i) for i in range(200)]
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(journal.apply, [listing(1, number, *entries, complete=False)])
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    nursery.cancel_scope.cancel()
                last = await journal.last_number(1)
                assert last in (number - 1, number + 199)
                number = last + 1
            await journal.apply([listing(1, number, entry(b"afterwards"))])
            assert await journal.last_number(1) == number

    async def test_results_are_recorded(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, entry(b"a"), entry(b"b"))])
            result = TaskResult(2, TaskState.DONE, Outcome.COPIED, Lost.OWNER | Lost.ACL, b"d" * 16, b"a (1)", 77)
            await journal.apply([Record(1, (result,)), Refresh(1, 3, 11, 12, 13, 14, 2)])
            tasks = await journal.get_tasks(1, [2, 3, 50])
            done, other = tasks[2], tasks[3]
            assert set(tasks) == {2, 3}
            assert (done.state, done.outcome, done.lost) == (TaskState.DONE, Outcome.COPIED, Lost.OWNER | Lost.ACL)
            assert (done.digest, done.target_name, done.target_inode) == (b"d" * 16, b"a (1)", 77)
            assert (other.size, other.mtime_ns, other.ctime_ns, other.inode, other.links) == (11, 12, 13, 14, 2)

    async def test_birth_times_stay_on_record(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, entry(b"a"), entry(b"b"))])
            ancient = -(1 << 63)
            told = [TaskResult(n, TaskState.DURABLE, birth_ns=at) for n, at in ((2, 5), (3, ancient))]
            await journal.apply([Record(1, tuple(told))])
            await journal.apply([Record(1, (TaskResult(2, TaskState.DONE), TaskResult(3, TaskState.DONE, birth_ns=9)))])
            assert await journal.births(1, [1, 2, 3, 50]) == {2: 5, 3: 9}
            assert await journal.births(2, [2]) == {}

    async def test_groups_stay_open_until_they_are_closed(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root()])
            members = (
                Member(2, 77, Outcome.COPIED, Lost.NOTHING, b"x" * 16, 10),
                Member(3, 78, Outcome.LINKED, Lost.MODE, None, 0),
            )
            groups = [CommitGroup(4, members), CommitGroup(9, ())]
            await journal.apply([OpenGroup(1, g) for g in groups])
            assert await journal.open_groups(1) == groups
            assert await journal.open_groups(2) == []
            await journal.apply([CloseGroup(1, 4), CloseGroup(1, 5)])
            assert await journal.open_groups(1) == groups[1:]

    async def test_touched_directories(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, entry(b"s", DIRECTORY))])
            await journal.apply([DirectoriesTouched(1, (2,)), DirectoriesTouched(1, (2, 1))])
            assert [d.number for d in await journal.touched_directories(1)] == [1, 2]
            assert [d.path for d in await journal.touched_directories(1, after=1)] == [b"s"]

    async def test_faults_are_grouped_while_their_tasks_are_failed(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            entries = [entry(b"%d" % i) for i in range(5)]
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *entries)])
            io = Fault(Phase.COPY, "EIO", 5, "Input/output error")
            exists = Fault(Phase.PUBLISH, "exists", 0, "taken")
            await journal.apply([AddFault(1, 2, 10.0, exists), AddFault(1, 2, 11.0, io), AddFault(1, 3, 12.0, io)])
            await journal.apply([AddFault(1, 4, 13.0, exists), AddFault(1, 5, 14.0, io)])
            await journal.apply([Record(1, tuple(TaskResult(n, TaskState.FAILED) for n in (2, 3, 4)))])
            groups = await journal.fault_groups(1)
            assert [(g.fault, g.count, g.first_at, g.last_at, g.examples) for g in groups] == [
                (io, 2, 10.0, 12.0, (3, 2)),
                (exists, 1, 13.0, 13.0, (4,)),
            ]
            assert {n: r.fault.kind for n, r in (await journal.faults(1, [2, 5, 6])).items()} == {2: "EIO", 5: "EIO"}
            assert (await journal.get_tasks(1, [2]))[2].attempts == 2
            await journal.apply([Retry(1)])
            assert await journal.fault_groups(1) == []
            states = {t.number: t.state for t in await journal.tasks(1)}
            assert set(states.values()) == {TaskState.PENDING}
            assert (await journal.get_tasks(1, [2]))[2].attempts == 0

    async def test_cancelling_spares_what_is_done(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            entries = [entry(b"%d" % i) for i in range(5)]
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *entries)])
            states = (TaskState.DONE, TaskState.SKIPPED, TaskState.FAILED, TaskState.DURABLE)
            await journal.apply([Record(1, tuple(TaskResult(n + 2, s) for n, s in enumerate(states)))])
            await journal.apply([CancelPending(1)])
            assert [t.state.name for t in await journal.tasks(1)] == [
                "CANCELLED", "DONE", "SKIPPED", "CANCELLED", "CANCELLED", "CANCELLED",
            ]  # fmt: skip

    async def test_breakdowns_and_milestones(self, tmp_path: Path) -> None:
        first = Milestone(5.0, MilestoneKind.STAGE, "copy")
        second = Milestone(4.0, MilestoneKind.PERCENT, "10 %")  # the clock was set back: the order is what counts
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), PutExecution(execution(2))])
            assert (await journal.breakdown(1), await journal.milestones(1)) == (b"", [])
            await journal.apply([KeepBreakdown(1, b"one"), AddMilestone(1, first)])
            await journal.apply([KeepBreakdown(1, b"two"), KeepBreakdown(2, b"other"), AddMilestone(1, second)])
            assert await journal.breakdown(1) == b"two"
            assert (await journal.milestones(1), await journal.milestones(2)) == ([first, second], [])
            await journal.apply([KeepBreakdown(1, b"")])
            assert (await journal.breakdown(1), await journal.breakdown(2)) == (b"", b"other")

    async def test_cancelling_a_part(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            entries = [entry(b"%d" % i) for i in range(5)]
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *entries)])
            await journal.apply([Record(1, (TaskResult(3, TaskState.DONE), TaskResult(4, TaskState.FAILED)))])
            await journal.apply([CancelSome(1, 1, 5), CancelSome(2, 0, 9)])
            assert [t.state.name for t in await journal.tasks(1)] == [
                "PENDING", "CANCELLED", "DONE", "FAILED", "CANCELLED", "PENDING",
            ]  # fmt: skip

    async def test_sifting(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            entries = [entry(b"%d" % n, DIRECTORY if n == 3 else FILE, size=n) for n in range(6)]
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *entries)])
            sifts = {
                Sift(4): [1, 2, 3, 4],
                Sift(9, (DIRECTORY,)): [1, 5],
                Sift(9, (FILE,), larger_than=1): [4, 6, 7],
                Sift(6, (FILE,), larger_than=1, smaller_than=9): [4, 6],
                Sift(9, directory=1): [2, 3, 4, 5, 6, 7],
                Sift(6, (FILE,), larger_than=1, directory=1): [4, 6],
                Sift(9, directory=2): [],
                Sift(9, directory=1, name=b"4"): [6],
                Sift(9, name=b""): [1],
                Sift(5, name=b"4"): [],
            }
            for sift, numbers in sifts.items():
                assert [t.number for t in await journal.tasks(1, sift=sift)] == numbers
                assert [t.number for t in await journal.tasks(1, after=1, sift=sift, limit=1)] == [
                    n for n in numbers if n > 1
                ][:1]

    async def test_plans_and_interventions(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            other = msgspec.structs.replace(PLAN, name="albums")
            await journal.apply([SavePlan(1000, PLAN, 1.0), SavePlan(1000, other, 2.0), SavePlan(1, PLAN, 3.0)])
            assert await journal.plans(1000) == [(other, 2.0), (PLAN, 1.0)]
            await journal.apply([SavePlan(1000, PLAN, 4.0), RemovePlan(1000, "albums"), RemovePlan(1000, "no")])
            assert await journal.plans(1000) == [(PLAN, 4.0)]
            done = [
                Intervention(f"i-{n}", "aa", InterventionKind.PAUSE, "ana", 5.0, "why", "running", "paused", "undo")
                for n in range(3)
            ]
            await journal.apply([AddIntervention(i) for i in done])
            assert await journal.interventions("aa") == done
            assert await journal.interventions("bb") == []

    async def test_a_transaction_happens_whole_or_not_at_all(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root()])
            broken: Any = listing(1, 2, entry(b"a"), Entry(b"b", FILE, "no size", 0, 0, 0, 1))  # type: ignore[arg-type]
            try:
                await journal.apply([listing(1, 2, entry(b"first")), AddRoot(1, 0, None), broken])  # type: ignore[arg-type]
            except Exception:  # whatever it raises: nothing of it may be there
                refused = True
            else:
                refused = False
            assert refused
            assert [t.number for t in await journal.tasks(1)] == [1]
            assert await journal.unread_directories(1) == [Directory(1, 0, b"")]

    async def test_a_healthy_journal_has_nothing_to_report(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root()])
            assert await journal.check() == []
            assert (journal.condition().damage, journal.condition().short, await journal.room()) == ("", "", "")


class DurableJournalConformance(JournalConformance):
    """Further promises of a storage that is to be trusted with people's files."""

    async def test_everything_is_there_after_reopening(self, tmp_path: Path) -> None:
        group = CommitGroup(4, (Member(2, 77, Outcome.COPIED, Lost.NOTHING, b"x" * 16, 10),))
        fault = Fault(Phase.COPY, "EIO", 5, "Input/output error")
        done = Intervention("i-1", "aa", InterventionKind.PAUSE, "ana", 5.0, "", "running", "paused")
        async with self.open(tmp_path) as journal:
            key, event = await journal.next_key(), await journal.next_event(1000)
            await journal.apply([PutExecution(execution(), "request"), root()])
            await journal.apply([listing(1, 2, entry(b"a"), entry(b"s", DIRECTORY)), DirectoriesTouched(1, (3,))])
            await journal.apply([OpenGroup(1, group), AddFault(1, 2, 10.0, fault), AddIntervention(done)])
            await journal.apply([SavePlan(1000, PLAN, 1.0)])
            tasks = await journal.tasks(1)
        async with self.open(tmp_path) as journal:
            assert await journal.executions() == [execution()]
            assert await journal.find_request("request", 1000) == execution().id
            assert await journal.tasks(1) == tasks
            assert await journal.unread_directories(1) == [Directory(3, 0, b"s")]
            assert await journal.touched_directories(1) == [Directory(3, 0, b"s")]
            assert await journal.open_groups(1) == [group]
            assert (await journal.faults(1, [2]))[2].fault == fault
            assert await journal.interventions("aa") == [done]
            assert await journal.plans(1000) == [(PLAN, 1.0)]
            assert await journal.next_key() > key
            assert await journal.next_event(1) >= event + 1000
