"""What strategies of plugins are told of an execution, and what becomes of what they propose."""

from __future__ import annotations

import pytest

from alerts_told import TrioClock
from migmond.domain.activity import Activity, Spent
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.identity import Identity
from migmond.domain.observation import MoverAtWork, Observation
from migmond.domain.plan import Plan, Source
from migmond.domain.states import ExecutionState
from migmond.monitor.proposing import Proposing, snapshot_of, suggestion
from migmond.monitor.session import Session
from migmond.monitor.usage import MachineLoad
from migmond.plugin_api.specs import Proposal, Snapshot

RATE = 1 << 20


def seen(second: int) -> Observation:
    execution = Execution(
        "a" * 12, 1, "it", Plan("it", (Source(b"/s"),), b"/t"), Identity(0, 0, ()), ExecutionState.RUNNING, 0.0,
        totals=Totals(Tally(1000, 1 << 40), Tally(second, second * RATE), growing=False),
    )  # fmt: skip
    movers = tuple(MoverAtWork(slot, 70 + slot, "copying", 3, b"x", 10, 5, 0) for slot in (1, 2))
    reading = Spent(tuple(2 * second * 10**9 if a is Activity.SOURCE_READ else 0 for a in Activity))
    return Observation(
        execution, float(second), Tally(), movers, reading, Spent(), 0, 0, 2, 10.0, most_workers=8
    )  # fmt: skip


def session() -> Session:
    found = Session(seen(0), 0.0, None)
    for second in range(30):
        found.observe(seen(second), float(second), 1e9 + second, {}, MachineLoad(cpu_busy=0.25))
    return found


def test_strategies_are_told_what_is_known() -> None:
    snapshot = snapshot_of(session())
    assert (snapshot.execution, snapshot.workers) == ("a" * 12, 2)
    assert snapshot.bytes_per_s == pytest.approx(RATE)
    assert snapshot.entries_per_s == pytest.approx(1.0)
    metrics = snapshot.metrics
    assert (metrics["cpu_busy"], metrics["most_workers"], metrics["pending"]) == (0.25, 8.0, 971.0)
    assert metrics["share_source_read"] == pytest.approx(1.0)
    assert "source_busy" not in metrics  # nobody has measured it
    before = snapshot_of(Session(seen(0), 0.0, None))
    assert (before.bytes_per_s, before.entries_per_s) == (None, None)


@pytest.mark.parametrize(
    ("action", "value", "text", "command"),
    [
        ("workers", 1.0, "workers 2→1", "workers ID 1"),
        ("batch", 1500, "batches of 1,500 entries", "batch ID 1500"),
        ("batch", 0, "batches as they go well", "batch ID auto"),
        ("io", 1 << 20, "at most 1 MiB/s", "throttle ID --io 1048576B"),
    ],
)
def test_a_proposal_is_told_with_its_command(action: str, value: float, text: str, command: str) -> None:
    told = suggestion("wise", Snapshot("a" * 12, 2, None, None), Proposal(action, value, "it seeks", 0.5))
    assert (told.kind, told.text, told.command, told.because) == ("wise", text, command, "it seeks (strategy wise)")
    assert (told.gain_low, told.gain_high) == (0.25, 0.5)


async def test_what_is_proposed_stands_among_the_suggestions_until_it_is_not_proposed_any_more() -> None:
    live, asked = session(), list[str]()
    answers = {"wise": [Proposal("batch", 9, "small files", 0.1)], "bold": [Proposal("workers", 4, "room", 0.9)]}

    async def propose(strategy: str, snapshot: Snapshot, now: float) -> list[Proposal]:
        asked.append(strategy)
        return answers[strategy]

    proposing = Proposing(("wise", "bold"), propose, lambda: [live], TrioClock())
    await proposing.ask()
    assert asked == ["wise", "bold"]
    assert [s.command for s in live.time().suggestions] == ["workers ID 4", "batch ID 9"]  # most gain first
    assert live.performance(0.0).time.suggestions == live.time().suggestions
    answers["bold"] = []
    await proposing.ask()
    assert [s.kind for s in live.time().suggestions] == ["wise"]


async def test_without_strategies_nobody_looks() -> None:
    def sessions() -> list[Session]:
        raise AssertionError

    async def propose(strategy: str, snapshot: Snapshot, now: float) -> list[Proposal]:
        raise AssertionError

    await Proposing((), propose, sessions, TrioClock()).run()
