"""Does a storage know which names are of one file? See `conformance`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from migmond.domain.changes import BringBack, LeaveOut, Promote, PutExecution, Record
from migmond.domain.entry import EntryType
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import TaskResult
from migmond.plugin_api.conformance_samples import FILE, entry, execution, listing, root
from migmond.ports import Journal


class LinkConformance:
    """Who leads the names of a file."""

    def open(self, directory: Path) -> AbstractAsyncContextManager[Journal]:
        """Open an empty journal with its files, if any, in `directory`. To be overridden."""
        raise TypeError("say how your storage is opened")

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

    async def test_names_that_were_left_out_are_names_of_the_next_leader_when_they_come_back(
        self, tmp_path: Path
    ) -> None:
        async with self.open(tmp_path) as journal:
            links = [entry(b"%d" % i, inode=5, links=4) for i in range(4)]
            followers = {1: 2, 2: 2, 3: 2}
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, *links, leaders=followers)])
            await journal.apply([LeaveOut(1, "i-1", (2, 3))])
            assert await journal.leaders(1, 7, [5]) == {5: 2}  # for names that are found later
            await journal.apply([Promote(1, 2), BringBack(1, (2, 3))])
            assert {t.number: t.leader for t in await journal.tasks(1)} == {1: 0, 2: 4, 3: 4, 4: 0, 5: 4}
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
