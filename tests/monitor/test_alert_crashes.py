"""Alerts and their calls when the daemon is killed between any two steps: whoever was told that something fires is told
that it is over, and nobody is told of an end without a beginning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from alert_bench import METRIC, Clock, World
from migmond.alerting.metrics import known
from migmond.domain.alert import ActionCall, AlertFilter, AlertRule, AlertState, Condition, Delivery, Operator, Severity
from migmond.domain.changes import Change, PutDelivery
from migmond.domain.telemetry import Batch, Reading, series_of
from migmond.monitor.alerts import Alerts
from migmond.plugin_api.memory import MemoryJournal

LOW, HIGH = 5.0, 50.0


class Killed(BaseException):
    pass


class Journal(MemoryJournal):
    """One whose daemon is killed at its `kill_in`th transaction from now: before or after that is durable."""

    kill_in = 0
    before = False

    async def apply(self, changes: Sequence[Change]) -> None:
        self.kill_in -= 1
        if self.kill_in == 0 and self.before:
            raise Killed
        await super().apply(changes)
        if self.kill_in == 0:
            raise Killed


class Machine(World):
    """Receivers get what is sent, and after a restart what is on record as not delivered, as the outbox has it."""

    def __init__(self, journal: Journal) -> None:
        super().__init__("aa", "bb")
        self.journal = journal
        self.sent: list[Delivery] = []
        self.got: list[Delivery] = []

    def send(self, calls: Iterable[Delivery]) -> None:
        self.sent += calls

    async def deliver(self) -> None:
        """What was sent reaches its receivers, which is on record then."""
        self.got += self.sent
        settled = [PutDelivery(msgspec.structs.replace(d, done_at=1.0)) for d in self.sent]
        self.sent = []
        await MemoryJournal.apply(self.journal, settled)

    async def restarted(self) -> None:
        self.sent = await self.journal.deliveries(settled=False)
        await self.deliver()


def rule() -> AlertRule:
    condition = Condition(METRIC, Operator.BELOW, 10.0)
    return AlertRule("r-1", "rule r-1", "It is slow", condition, Severity.ERROR, (ActionCall("hook"),), cooldown_s=0.0)


STEP = st.tuples(
    st.sampled_from([LOW, HIGH]), st.sampled_from([LOW, HIGH]), st.sampled_from([0, 0, 0, 1, 2]), st.booleans()
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=20))
def test_beginnings_and_ends_are_told_in_pairs(steps: list[tuple[float, float, int, bool]]) -> None:
    trio.run(_killed_again_and_again, steps)


async def _killed_again_and_again(steps: list[tuple[float, float, int, bool]]) -> None:
    journal, clock = Journal(), Clock()
    machine = Machine(journal)

    async def begin() -> Alerts:
        await machine.restarted()
        alerts = Alerts(journal, clock, machine, machine, known(()), lambda *_, **__: None, 2.0)
        await alerts.start()
        return alerts

    alerts = await begin()
    await alerts.put_rule(rule())
    for first, second, kill_in, before in [*steps, (HIGH, HIGH, 0, False), (HIGH, HIGH, 0, False)]:
        journal.kill_in, journal.before = kill_in, before
        clock.now += 2.0
        try:
            for id_, value in (("aa", first), ("bb", second)):
                reading = Reading(series_of(METRIC, {"execution": id_}), value)
                alerts.put(Batch(clock.wall(), 2.0, (reading,)))
            await alerts.round()
        except Killed:
            machine.sent = []
            alerts = await begin()
        else:
            await machine.deliver()
    assert alerts.open_alerts() == []
    begun: set[str] = set()
    over: set[str] = set()
    for call in machine.got:
        if call.firing:
            assert over.isdisjoint(call.alerts)
            begun.update(call.alerts)
        else:
            assert begun.issuperset(call.alerts)
            over.update(call.alerts)
    past = await journal.past_alerts(AlertFilter(), 1000)
    assert begun == over == {a.id for a in past if a.state is AlertState.RESOLVED}
    assert len({d.id for d in machine.got}) == len(machine.got)  # and each once, as nothing hung between
