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

import trio

from migmond.domain.alert import AlertFilter
from migmond.domain.alert_changes import PutAlert, PutRule
from migmond.domain.changes import (
    AddFault,
    AddRoot,
    CloseGroup,
    DirectoriesTouched,
    ForgetExecution,
    ForgetSome,
    OpenGroup,
    PutExecution,
    PutIntervention,
    Record,
    SavePlan,
)
from migmond.domain.entry import Lost
from migmond.domain.fault import Fault, Phase
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import CommitGroup, Directory, Entry, Member, TaskResult
from migmond.plugin_api.alert_conformance import AlertConformance, a_rule, an_alert, resolved
from migmond.plugin_api.conformance_faults import FaultConformance
from migmond.plugin_api.conformance_forgetting import ForgettingConformance
from migmond.plugin_api.conformance_links import LinkConformance
from migmond.plugin_api.conformance_records import RecordConformance
from migmond.plugin_api.conformance_samples import DIRECTORY, FILE, PLAN, entry, execution, listing, root
from migmond.plugin_api.conformance_tasks import TaskConformance
from migmond.ports import Journal

__all__ = [
    "DIRECTORY", "FILE", "PLAN", "DurableJournalConformance", "JournalConformance", "entry", "execution", "listing",
    "root",
]  # fmt: skip


class JournalConformance(
    TaskConformance,
    ForgettingConformance,
    LinkConformance,
    FaultConformance,
    RecordConformance,
    AlertConformance,
):
    """One check per promise. Subclass it, say how to open your storage, and let pytest find the checks."""

    def open(self, directory: Path) -> AbstractAsyncContextManager[Journal]:
        """Open an empty journal with its files, if any, in `directory`. To be overridden."""
        raise TypeError("say how your storage is opened")

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
            await journal.apply([OpenGroup(1, group), AddFault(1, 2, 10.0, fault), PutIntervention(done)])
            await journal.apply([SavePlan(1000, PLAN, 1.0)])
            await journal.apply([PutRule(a_rule()), PutAlert(an_alert(1)), PutAlert(resolved(2, 9.0))])
            alert_id = await journal.next_id("alert", 1)
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
            assert await journal.alert_rules() == [a_rule()]
            assert await journal.open_alerts() == [an_alert(1)]
            assert await journal.past_alerts(AlertFilter(), 9) == [resolved(2, 9.0)]
            assert await journal.next_id("alert", 1) > alert_id

    async def test_what_is_half_forgotten_is_known_after_reopening(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root(), listing(1, 2, entry(b"a"), entry(b"b"))])
            await journal.apply([ForgetExecution(1), ForgetSome(1, 1)])
        async with self.open(tmp_path) as journal:
            assert (await journal.executions(), await journal.forgotten()) == ([], [1])
            await journal.apply([ForgetSome(1, 9)])
            assert (await journal.forgotten(), await journal.tasks(1)) == ([], [])
