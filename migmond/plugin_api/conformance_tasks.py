"""Does a storage keep tasks as `migmond.ports.Journal` promises? See `conformance`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from migmond.domain.changes import (
    AddTasks,
    BringBack,
    CancelPending,
    CancelSome,
    DirectoriesTouched,
    ForgetExecution,
    ForgetSome,
    KeepCopyTimes,
    KeepKinds,
    LeaveOut,
    PutExecution,
    Record,
    Refresh,
    Retry,
    SendTo,
)
from migmond.domain.copy_times import SPAN, pack_times
from migmond.domain.entry import EntryType, Lost
from migmond.domain.file_kinds import FileKind
from migmond.domain.journal import Sift
from migmond.domain.states import Outcome, TaskState
from migmond.domain.steering import Order
from migmond.domain.task import Directory, Entry, Task, TaskResult
from migmond.plugin_api.conformance_samples import DIRECTORY, FILE, entry, execution, listing, root
from migmond.ports import Journal


class TaskConformance:
    """What is on record of entries and directories."""

    def open(self, directory: Path) -> AbstractAsyncContextManager[Journal]:
        """Open an empty journal with its files, if any, in `directory`. To be overridden."""
        raise TypeError("say how your storage is opened")

    async def test_tasks_are_added_as_they_are_with_gaps_between_their_numbers(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root()])
            sub = Task(5, 1, b"sub", DIRECTORY, 0, 1, 2, 3, 7, 2, TaskState.DONE, Outcome.CREATED)
            gone = Task(8, 1, b"gone", DIRECTORY, 0, 1, 2, 0, 7, 2, TaskState.SKIPPED, Outcome.TARGET_GONE)
            file = Task(
                9, 5, b"a (1)", EntryType.FILE, 2**40, -1, -2, 2**63 + 1, 7, 2, TaskState.DURABLE, Outcome.COPIED,
                digest=b"d" * 16, target_name=b"a", target_inode=2**63 + 2,
            )  # fmt: skip
            places = (Directory(5, 0, b"sub"), Directory(8, 0, b"gone"))
            await journal.apply([AddTasks(1, (sub, gone, file), places)])
            assert (await journal.tasks(1))[1:] == [sub, gone, file]
            assert await journal.places(1, [5, 8]) == {5: places[0], 8: places[1]}
            assert await journal.unread_directories(1) == [Directory(1, 0, b"")]
            assert await journal.leaders(1, 7, [2**63 + 1]) == {2**63 + 1: 9}
            assert [t.number for t in await journal.directories_backwards(1, before=99, limit=9)] == [8, 5, 1]
            assert await journal.last_number(1) == 9

    async def test_what_failed_after_it_was_durable_may_be_so_again(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, entry(b"a"), entry(b"b"))])
            await journal.apply([Record(1, (TaskResult(2, TaskState.FAILED, target_inode=4),))])
            await journal.apply([Retry(1, durable=True)])
            states = {t.number: t.state for t in await journal.tasks(1)}
            assert states == {1: TaskState.PENDING, 2: TaskState.DURABLE, 3: TaskState.PENDING}

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

    async def test_pending_entries_come_as_columns(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            entries = [entry(b"a\xff", size=7), entry(b"dir", DIRECTORY), entry(b"b", inode=5, links=2)]
            late_ns = (1 << 70) + 0xFF  # bytes that are no text
            far = Entry(b"far", FILE, 1, late_ns, 1, 3, 1)
            again = entry(b"again", inode=5, links=2)
            listed = listing(1, 2, *entries, again, far, entry(b"left"), leaders={3: 4}, outcomes={5: Outcome.EXISTS})
            await journal.apply([PutExecution(execution()), root(), listed])
            await journal.apply([PutExecution(execution(2)), root(2), listing(1, 2, entry(b"other"), key=2)])
            found = await journal.pending(1)
            assert (found.numbers, found.names) == ([2, 4, 6], [b"a\xff", b"b", b"far"])
            assert (found.directories, found.types) == ([1, 1, 1], [FILE, FILE, FILE])
            assert (found.sizes, found.mtimes_ns) == ([7, 10, 1], [1_000_000_001, 1_000_000_001, late_ns])
            assert (await journal.pending(1, after=2, limit=1)).numbers == [4]
            assert (await journal.pending(1, followers=True)).numbers == [5]
            await journal.apply([Record(1, (TaskResult(4, TaskState.DONE),))])
            assert (await journal.pending(1)).numbers == [2, 6]
            assert len(await journal.pending(1, after=6)) == 0

    async def test_pending_entries_line_up(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            sizes = {2: 10, 3: 0, 4: 1 << 50, 5: 10, 6: 1}
            inodes = {2: 1 << 63, 3: 5, 4: 9, 5: (1 << 64) - 1, 6: 7}
            entries = [entry(b"%d" % n, size=sizes[n], inode=inodes[n]) for n in sizes]
            more = [entry(b"dir", DIRECTORY), entry(b"link", inode=7, links=2)]
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *entries, *more, leaders={6: 6})])
            assert list(await journal.line_up(1, Order.SMALL_FIRST)) == [3, 6, 2, 5, 4]
            assert list(await journal.line_up(1, Order.LARGE_FIRST)) == [4, 2, 5, 6, 3]
            assert list(await journal.line_up(1, Order.INODE)) == [3, 6, 4, 2, 5]
            await journal.apply([Record(1, (TaskResult(6, TaskState.DONE),))])
            assert list(await journal.line_up(1, Order.INODE)) == [3, 4, 2, 5]
            assert list(await journal.line_up(2, Order.INODE)) == []

    async def test_what_is_left_out_comes_back_exactly(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            names = [entry(b"%d" % i, inode=i + 1) for i in range(6)]
            skipped = {5: Outcome.EXISTS}
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *names, outcomes=skipped)])
            await journal.apply([PutExecution(execution(2)), root(2), listing(1, 2, entry(b"other"), key=2)])
            await journal.apply([Record(1, (TaskResult(3, TaskState.DONE, Outcome.COPIED),)), LeaveOut(2, "i-1", (2,))])
            await journal.apply(
                [LeaveOut(1, "i-1", (2, 3, 4)), LeaveOut(1, "i-2", (4, 5, 7)), LeaveOut(1, "i-3", (99,))]
            )
            assert await journal.left_out(1) == {"i-1": 2, "i-2": 1}
            assert [t.number for t in await journal.left_out_by(1, "i-1")] == [2, 4]
            assert [t.number for t in await journal.left_out_by(1, "i-1", after=2, limit=5)] == [4]
            assert [t.number for t in await journal.left_out_by(1, "i-1", limit=1)] == [2]
            by_number = await journal.get_tasks(1, range(2, 8))
            assert {n: (t.state, t.outcome) for n, t in by_number.items()} == {
                2: (TaskState.SKIPPED, Outcome.LEFT_OUT),
                3: (TaskState.DONE, Outcome.COPIED),
                4: (TaskState.SKIPPED, Outcome.LEFT_OUT),
                5: (TaskState.SKIPPED, Outcome.LEFT_OUT),
                6: (TaskState.PENDING, Outcome.NONE),
                7: (TaskState.SKIPPED, Outcome.EXISTS),
            }
            await journal.apply([BringBack(1, (3, 4, 7))])
            assert await journal.left_out(1) == {"i-1": 1, "i-2": 1}
            assert (await journal.pending(1)).numbers == [4, 6]
            assert (await journal.get_tasks(1, [3]))[3].state is TaskState.DONE
            assert await journal.left_out(2) == {"i-1": 1}

    async def test_what_is_sent_elsewhere_is_known_with_its_directories(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            names = [entry(b"sub", DIRECTORY), *(entry(b"%d" % i, inode=i + 2) for i in range(3))]
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *names)])
            await journal.apply([listing(2, 6, entry(b"below", inode=9))])
            await journal.apply([PutExecution(execution(2)), root(2), listing(1, 2, entry(b"other"), key=2)])
            assert await journal.sent_to(1, [1, 2, 3, 4, 5, 6]) == {}
            await journal.apply([SendTo(1, 1, (3, 6)), SendTo(1, 2, (4,)), SendTo(2, 1, (2, 99))])
            assert await journal.sent_to(1, range(1, 9)) == {3: 1, 4: 2, 6: 1}
            assert await journal.sent_directories(1) == [(1, 1), (1, 2), (2, 1)]
            await journal.apply([SendTo(1, 2, (3,)), SendTo(1, 0, (6, 5)), SendTo(1, 1, (1,))])
            assert await journal.sent_to(1, [1, 3, 4, 6]) == {1: 1, 3: 2, 4: 2}
            assert await journal.sent_directories(1) == [(1, 1), (1, 2), (2, 1)]  # what is there may lie there still
            assert await journal.sent_directories(1, after=(1, 1), limit=1) == [(1, 2)]
            assert await journal.sent_directories(1, after=(1, 2)) == [(2, 1)]
            assert (await journal.sent_to(2, [2]), await journal.sent_directories(2)) == ({2: 1}, [(1, 1)])
            assert await journal.sent_unfinished(1, 1) == [(1, 0), (2, 0)]
            assert await journal.sent_unfinished(1, 2) == [(1, 0)]  # of 1, 3 and 4 the second execution has the first
            await journal.apply([Record(1, tuple(TaskResult(n, TaskState.DONE) for n in (1, 3)))])
            assert await journal.sent_unfinished(1, 1) == [(2, 0)]
            await journal.apply([Record(1, (TaskResult(4, TaskState.DURABLE),))])
            assert await journal.sent_unfinished(1, 1) == [(2, 0)]
            await journal.apply([Record(1, (TaskResult(4, TaskState.SKIPPED, Outcome.SOURCE_GONE),))])
            assert await journal.sent_unfinished(1, 1) == []

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

    async def test_kinds_of_files_stay_on_record(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root()])
            names = [entry(b"%d" % i) for i in range(4)]
            await journal.apply([listing(1, 2, *names, kinds={0: FileKind.VIDEO, 2: FileKind.OTHER})])
            assert await journal.kinds(1, [1, 2, 3, 4, 5, 50]) == {2: FileKind.VIDEO, 4: FileKind.OTHER}
            await journal.apply(
                [KeepKinds(1, {2: FileKind.TEXT, 5: FileKind.DATABASE}), KeepKinds(2, {3: FileKind(1)})]
            )
            assert await journal.kinds(1, [2, 3, 4]) == {2: FileKind.TEXT, 4: FileKind.OTHER}
            assert await journal.kinds(1, [5]) == {5: FileKind.DATABASE}
            assert await journal.kinds(2, [2, 3]) == {3: FileKind.VIDEO}

    async def test_what_is_kept_of_many_entries_goes_with_each(self, tmp_path: Path) -> None:
        """More of them than fit side by side, in one go and one by one."""
        births = {n: n * 10**9 + (-1) ** n for n in range(2, 1502)}
        kinds = {n: FileKind(n % len(FileKind)) for n in range(2, 1502, 3)}
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root()])
            await journal.apply([listing(1, 2, *[entry(b"%d" % n) for n in births])])
            told = [TaskResult(n, TaskState.DONE, birth_ns=at) for n, at in births.items()]
            await journal.apply([Record(1, tuple(told[:700])), *(Record(1, (r,)) for r in told[700:720])])
            await journal.apply([Record(1, tuple(reversed(told[720:]))), KeepKinds(1, kinds)])
            assert await journal.births(1, range(1, 1600)) == births
            assert await journal.kinds(1, range(1, 1600)) == kinds
            for left in (1401, 1025, 1024, 1023, 300, 256, 1):
                many = len(await journal.tasks(1, limit=2000)) - left
                await journal.apply([ForgetExecution(1), ForgetSome(1, many)])
                assert await journal.births(1, range(1, 1600)) == {n: at for n, at in births.items() if n <= left}
                assert await journal.kinds(1, range(1, 1600)) == {n: kind for n, kind in kinds.items() if n <= left}

    async def test_times_of_copies_stay_on_record(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root()])
            at, far = 1_790_000_000_000_000_001, 5 + 9 * SPAN
            times = {n: at + n for n in (3, 4, 5, 9, SPAN, SPAN + 2, SPAN + 3, far)} | {6: at + (1 << 40)}
            await journal.apply([KeepCopyTimes(1, pack_times(times)), KeepCopyTimes(2, pack_times({4: at}))])
            assert await journal.copy_times(1, [1, 3, 4, 5, 6, 7, 9, 50]) == {n: times[n] for n in (3, 4, 5, 6, 9)}
            for number in times:
                assert await journal.copy_times(1, [number]) == {number: times[number]}
            assert await journal.copy_times(1, [SPAN + 3, 2, SPAN + 1]) == {SPAN + 3: times[SPAN + 3]}
            assert (await journal.copy_times(1, []), await journal.copy_times(3, [4])) == ({}, {})
            # Copied once more, alone and with others; the later time counts, in whatever order they come.
            again = {3: at + 77, 4: at + 78, 8: at + 79}
            await journal.apply([KeepCopyTimes(1, pack_times(again)), KeepCopyTimes(1, pack_times({9: at + 8}))])
            assert await journal.copy_times(1, [3, 4, 5, 8, 9]) == again | {5: times[5], 9: times[9]}
            assert await journal.copy_times(2, [3, 4]) == {4: at}

    async def test_touched_directories(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, entry(b"s", DIRECTORY))])
            await journal.apply([DirectoriesTouched(1, (2,)), DirectoriesTouched(1, (2, 1))])
            assert [d.number for d in await journal.touched_directories(1)] == [1, 2]
            assert [d.path for d in await journal.touched_directories(1, after=1)] == [b"s"]

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
