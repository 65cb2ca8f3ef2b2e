"""Does a storage keep what failed, and group it? See `conformance`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from migmond.domain.changes import AddFault, PutExecution, Record, Retry, RetrySome
from migmond.domain.fault import Fault, Phase
from migmond.domain.states import TaskState
from migmond.domain.task import TaskResult
from migmond.plugin_api.conformance_samples import DIRECTORY, entry, execution, listing, root
from migmond.ports import Journal


class FaultConformance:
    """What failed, and groups of that."""

    def open(self, directory: Path) -> AbstractAsyncContextManager[Journal]:
        """Open an empty journal with its files, if any, in `directory`. To be overridden."""
        raise TypeError("say how your storage is opened")

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
                (io, 3, 10.0, 14.0, (5, 3, 2)),
                (exists, 1, 13.0, 13.0, (4,)),
            ]
            assert [g.waiting for g in groups] == [1, 0]
            assert {n: r.fault.kind for n, r in (await journal.faults(1, [2, 5, 6])).items()} == {2: "EIO", 5: "EIO"}
            assert (await journal.get_tasks(1, [2]))[2].attempts == 2
            await journal.apply([RetrySome(1, (3, 5, 99))])
            again = await journal.get_tasks(1, [2, 3, 4])
            assert [t.state for t in again.values()] == [TaskState.FAILED, TaskState.PENDING, TaskState.FAILED]
            assert again[3].attempts == 0
            await journal.apply([Retry(1)])
            (left,) = await journal.fault_groups(1)  # 5 had not failed, and waits for its next attempt
            assert (left.count, left.waiting, left.examples) == (1, 1, (5,))
            await journal.apply([Record(1, (TaskResult(5, TaskState.DONE),))])
            assert await journal.fault_groups(1) == []
            await journal.apply([Record(1, (TaskResult(5, TaskState.PENDING),))])
            states = {t.number: t.state for t in await journal.tasks(1)}
            assert set(states.values()) == {TaskState.PENDING}
            assert (await journal.get_tasks(1, [2]))[2].attempts == 0

    async def test_groups_of_faults_say_where(self, tmp_path: Path) -> None:
        """Those of the source are told apart by its device; the deepest directory that all lie in is theirs."""
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, entry(b"ab", DIRECTORY))])
            await journal.apply([listing(2, 3, entry(b"c", DIRECTORY), entry(b"cd", DIRECTORY), entry(b"x"))])
            await journal.apply([listing(3, 6, entry(b"1"), entry(b"2")), listing(4, 8, entry(b"3"))])
            read = Fault(Phase.READ, "EIO", 5, "Input/output error")
            full = Fault(Phase.COPY, "ENOSPC", 28, "No space left on device")
            await journal.apply([AddFault(1, 6, 10.0, read), AddFault(1, 7, 10.0, read)])
            (group,) = await journal.fault_groups(1)
            assert (group.count, group.waiting, group.root, group.under) == (2, 2, 0, b"ab/c")
            device = (await journal.get_tasks(1, [6]))[6].device
            assert group.device == device
            await journal.apply([AddFault(1, 8, 11.0, read), AddFault(1, 5, 12.0, full)])
            groups = await journal.fault_groups(1)
            assert [(g.fault.kind, g.count, g.root, g.under, g.device) for g in groups] == [
                ("EIO", 3, 0, b"ab", device),
                ("ENOSPC", 1, 0, b"ab", 0),
            ]
            await journal.apply([AddFault(1, 1, 13.0, read)])
            (group,) = (g for g in await journal.fault_groups(1) if g.fault == read)
            assert (group.count, group.root, group.under) == (4, -1, b"")
