"""Does a storage forget executions, and nothing else? See `conformance`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from migmond.domain.alert import AlertFilter
from migmond.domain.alert_changes import PutAlert
from migmond.domain.changes import (
    AddFault,
    AddMilestone,
    DirectoriesTouched,
    ForgetExecution,
    ForgetSome,
    KeepBreakdown,
    KeepCopyTimes,
    KeepKinds,
    LeaveOut,
    OpenGroup,
    PruneSessions,
    PutExecution,
    PutIntervention,
    PutSession,
    ReceiptSeal,
    Record,
    SealReceipt,
    SendTo,
)
from migmond.domain.copy_times import pack_times
from migmond.domain.fault import Fault, Phase
from migmond.domain.file_kinds import FileKind
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.session import SessionRecord
from migmond.domain.states import TaskState
from migmond.domain.task import CommitGroup, TaskResult
from migmond.domain.timeline import Milestone, MilestoneKind
from migmond.plugin_api.alert_conformance import an_alert, resolved
from migmond.plugin_api.conformance_samples import DIRECTORY, FILE, entry, execution, listing, root
from migmond.ports import Journal


class ForgettingConformance:
    """What is forgotten, in parts."""

    def open(self, directory: Path) -> AbstractAsyncContextManager[Journal]:
        """Open an empty journal with its files, if any, in `directory`. To be overridden."""
        raise TypeError("say how your storage is opened")

    async def test_an_execution_is_forgotten_in_parts_and_no_other(self, tmp_path: Path) -> None:
        fault = Fault(Phase.COPY, "EIO", 5, "Input/output error")
        ids = {key: execution(key).id for key in (1, 2)}
        async with self.open(tmp_path) as journal:
            for key in (1, 2):
                entries = [entry(b"%d" % n, DIRECTORY if n == 1 else FILE) for n in range(4)]
                await journal.apply(
                    [PutExecution(execution(key), f"r{key}"), root(key), listing(1, 2, *entries, key=key)]
                )
                done = Intervention(f"i-{key}", ids[key], InterventionKind.PAUSE, "ana", 5.0, "", "running", "paused")
                await journal.apply([PutIntervention(done), AddFault(key, 2, 10.0, fault), LeaveOut(key, "i", (4,))])
                await journal.apply([Record(key, (TaskResult(5, TaskState.DONE, birth_ns=7),))])
                await journal.apply([KeepKinds(key, {2: FileKind.TEXT})])
                await journal.apply([KeepCopyTimes(key, pack_times({4: 70, 5: 71}))])
                await journal.apply(
                    [SendTo(key, 1, (5,)), DirectoriesTouched(key, (3,)), OpenGroup(key, CommitGroup(4, ()))]
                )
                await journal.apply([KeepBreakdown(key, b"x"), SealReceipt(key, ReceiptSeal(b"x" * 32, 1, 5.0, 4.0))])
                await journal.apply([AddMilestone(key, Milestone(5.0, MilestoneKind.STAGE, "copy"))])
                await journal.apply([PutSession(SessionRecord(key, ids[key], 5.0))])
                await journal.apply([
                    PutAlert(an_alert(2 * key, execution=ids[key])),
                    PutAlert(resolved(2 * key + 1, 9.0, execution=ids[key])),
                ])  # fmt: skip
            before = await self._all_of(journal, 1, ids[1])
            await journal.apply([ForgetSome(1, 9), ForgetSome(2, 9), ForgetExecution(3)])
            assert await self._all_of(journal, 1, ids[1]) == before
            assert await journal.forgotten() == []

            await journal.apply([ForgetExecution(2)])
            assert await journal.executions() == [execution(1)]
            assert await journal.find_request("r2", 1000) is None
            assert await journal.forgotten() == [2]
            assert [t.number for t in await journal.tasks(2)] == [1, 2, 3, 4, 5]
            await journal.apply([ForgetSome(2, 2)])
            assert [t.number for t in await journal.tasks(2)] == [1, 2, 3]  # directories after what is in them
            assert (await journal.births(2, [5]), await journal.left_out(2)) == ({}, {})
            assert list(await journal.faults(2, [2])) == [2]
            assert await journal.fault_groups(2) != []
            late = ReceiptSeal(b"y" * 32, 1, 5.0, 4.0)  # somebody was making it
            await journal.apply([ForgetSome(2, 0), SealReceipt(2, late), ForgetSome(2, 99), ForgetSome(2, 1)])
            assert await journal.forgotten() == []
            nothing = [[], [], {}, {}, {}, {}, {}, {}, {}, [], [], [], [], b"", [], [], []]
            assert await self._all_of(journal, 2, ids[2]) == nothing
            assert await journal.session(2) is not None
            assert an_alert(4, execution=ids[2]) in await journal.open_alerts()
            assert await self._all_of(journal, 1, ids[1]) == before
            anew = Intervention("i-2", ids[1], InterventionKind.PAUSE, "ana", 5.0, "", "running", "paused")
            await journal.apply([PutIntervention(anew)])  # nothing is left of the one that had this id
            assert (await journal.interventions(ids[1]))[-1] == anew
            assert await journal.check() == []

    async def test_how_the_oldest_forgotten_executions_went_goes_in_parts(self, tmp_path: Path) -> None:
        async def there() -> list[int]:
            return [s.key for s in await journal.sessions()]

        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution(key)) for key in (2, 5)])
            await journal.apply([PutSession(SessionRecord(key, "a" * 12, 5.0)) for key in range(1, 8)])
            await journal.apply([PruneSessions(7, 9), PruneSessions(100, 9), PruneSessions(0, 0)])
            assert await there() == [1, 2, 3, 4, 5, 6, 7]
            await journal.apply([PruneSessions(2, 2)])
            assert await there() == [2, 4, 5, 6, 7]
            await journal.apply([PruneSessions(2, 2)])
            await journal.apply([PruneSessions(2, 2)])
            assert await there() == [2, 5, 6, 7]
            await journal.apply([PruneSessions(0, 9)])
            assert await there() == [2, 5]

    async def _all_of(self, journal: Journal, key: int, id_: str) -> list[Any]:
        numbers = range(1, 6)
        return [
            await journal.tasks(key), await journal.unread_directories(key), await journal.places(key, numbers),
            await journal.faults(key, numbers), await journal.births(key, numbers), await journal.left_out(key),
            await journal.kinds(key, numbers), await journal.copy_times(key, numbers),
            await journal.sent_to(key, numbers), await journal.sent_directories(key),
            await journal.touched_directories(key), await journal.open_groups(key), await journal.seals(key),
            await journal.breakdown(key), await journal.milestones(key), await journal.interventions(id_),
            await journal.past_alerts(AlertFilter(execution=id_), 9),
        ]  # fmt: skip
