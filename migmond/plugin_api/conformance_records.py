"""Does a storage keep what is on record beside tasks: executions, plans, interventions, calls? See `conformance`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from migmond.domain.alert import Alert, AlertState, Delivery, Severity
from migmond.domain.changes import (
    AddMilestone,
    KeepBreakdown,
    PruneDeliveries,
    PutDelivery,
    PutExecution,
    PutIntervention,
    PutSession,
    ReceiptSeal,
    RemovePlan,
    SavePlan,
    SealReceipt,
)
from migmond.domain.execution import Tally, Totals
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.session import CoursePoint, SessionRecord
from migmond.domain.states import ExecutionState
from migmond.domain.timeline import Milestone, MilestoneKind
from migmond.plugin_api.conformance_samples import PLAN, execution, root
from migmond.ports import Journal


class RecordConformance:
    """Executions, and what is kept of them."""

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
            await journal.apply([PutIntervention(i) for i in done])
            assert await journal.interventions("aa") == done
            assert await journal.interventions("bb") == []
            over = msgspec.structs.replace(done[1], ended_at=6.0, ended_by="ben")
            await journal.apply([PutIntervention(over)])
            assert await journal.interventions("aa") == [done[0], over, done[2]]

    async def test_calls_of_actions_keep_their_order_and_the_oldest_settled_ones_go(self, tmp_path: Path) -> None:
        def call(number: int) -> Delivery:
            told = Alert(
                "a-1", "r-1", "hot", Severity.ERROR, AlertState.FIRING, "60 °C", "aa", "sda", {}, 60.0, 55.0, 1.0, 2.0
            )
            return Delivery(
                f"d{9 - number}", "mail", {"to": ["ops"], "n": number}, told, number % 2 == 0, 5.0, also=("a-8",)
            )

        async with self.open(tmp_path) as journal:
            calls = [call(n) for n in range(6)]
            await journal.apply([PutDelivery(c) for c in calls])
            assert await journal.deliveries() == calls
            calls[1], calls[2], calls[4] = (
                msgspec.structs.replace(calls[1], done_at=7.0, attempts=1),
                msgspec.structs.replace(calls[2], given_up=True, error="refused", attempts=3),
                msgspec.structs.replace(calls[4], done_at=8.0, attempts=2),
            )
            await journal.apply([PutDelivery(calls[n]) for n in (4, 1, 2)])
            assert await journal.deliveries() == calls
            assert await journal.deliveries(settled=False) == [calls[n] for n in (0, 3, 5)]
            assert await journal.deliveries(settled=True) == [calls[n] for n in (1, 2, 4)]
            assert await journal.deliveries(limit=2) == calls[-2:]
            assert await journal.deliveries("a-1", settled=True, limit=2) == [calls[n] for n in (2, 4)]
            assert await journal.deliveries("a-2") == []
            await journal.apply([PruneDeliveries(3)])
            assert await journal.deliveries() == calls
            await journal.apply([PruneDeliveries(1)])
            assert await journal.deliveries() == [calls[n] for n in (0, 3, 4, 5)]
            await journal.apply([PruneDeliveries(0)])
            assert await journal.deliveries() == [calls[n] for n in (0, 3, 5)]
