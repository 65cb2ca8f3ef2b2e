"""Rounds of the alert stage with a journal and a clock of the test's own."""

from __future__ import annotations

import time

import msgspec
import pytest
import trio
from trio.testing import MockClock

from alert_bench import METRIC, Bench, Clock, Steps, rule
from migmond.domain.alert import (
    MAX_HELD_S,
    ActionCall,
    Alert,
    AlertFilter,
    AlertState,
    Condition,
    Operator,
    Severity,
    Silence,
)
from migmond.domain.alert_changes import PutAlert
from migmond.domain.errors import JournalFull
from migmond.domain.events import AlertPending
from migmond.domain.states import ExecutionState
from migmond.domain.telemetry import Batch, Reading, series_of
from migmond.monitor.alerts import KEEP_EVERY_S, PRUNE_EVERY_S


async def test_actions_are_called_once_and_told_of_the_end() -> None:
    bench = Bench("aa", "bb")
    alerts = await bench.begin()
    await alerts.put_rule(rule())
    for _ in range(3):
        await bench.look(("aa", 5.0), ("bb", 5.0))
    assert bench.world.calls == [("a-1", "hook", True)]  # both at once: one notice
    assert [a.quiet for a in alerts.open_alerts()] == ["", "told with a-1"]
    await bench.look(("aa", 50.0), ("bb", 50.0))
    assert bench.world.calls[1:] == [("a-1", "hook", False)]
    assert bench.world.types == ["alert.firing"] * 2 + ["alert.resolved"] * 2
    assert len(bench.world.notes) == 4
    assert {a.state for a in await bench.journal.past_alerts(AlertFilter(), 9)} == {AlertState.RESOLVED}
    await bench.look(("aa", 5.0))
    assert bench.world.calls[2:] == []  # cooling down
    assert [a.quiet for a in alerts.open_alerts()] == ["cooldown"]
    await bench.look(("aa", 5.0), after=301.0)
    assert bench.world.calls[2:] == [("a-3", "hook", True)]  # it fires still: now it is told


async def test_what_another_alert_kept_quiet_is_told_when_it_outlasts_that() -> None:
    bench = Bench("aa")
    alerts = await bench.begin()
    slow = msgspec.structs.replace(rule("r-2").condition, threshold=20.0)
    await alerts.put_rule(rule(inhibits=("r-2",)))
    await alerts.put_rule(rule("r-2", condition=slow, cooldown_s=0.0))
    for values in ((5.0, 15.0, 50.0), (5.0, 15.0)):
        for value in values:
            await bench.look(("aa", value))
    told = [("a-1", "hook", True), ("a-1", "hook", False)]
    assert bench.world.calls == told  # of the other nobody heard, though it ended later; now the first one cools down
    assert [(a.rule, a.quiet[:16]) for a in alerts.open_alerts()] == [("r-2", "inhibited by a-3")]
    await bench.look(("aa", 15.0), after=300.0)
    assert bench.world.calls[2:] == [("a-4", "hook", True)]
    await bench.look(("aa", 50.0))
    await bench.look(("aa", 15.0))  # this one begins when nothing keeps it quiet
    assert bench.world.calls[4:] == [("a-5", "hook", True)]


async def test_what_is_said_of_a_migration_that_is_forgotten_ends() -> None:
    bench = Bench("aa")
    alerts = await bench.begin()
    await alerts.put_rule(rule())
    await bench.look(("aa", 5.0))
    del bench.world.all["aa"]
    await bench.look()
    assert bench.world.calls == [("a-1", "hook", True), ("a-1", "hook", False)]
    assert [a.ending for a in await bench.journal.past_alerts(AlertFilter(), 9)] == ["the migration is no more"]


async def test_a_silence_that_ends_lets_what_still_fires_be_told() -> None:
    bench = Bench("aa")
    alerts = await bench.begin()
    await alerts.put_rule(rule())
    at = bench.clock.wall()
    await alerts.silence(Silence("s-1", "ana", "", at, at + 10))
    await bench.look(("aa", 5.0))
    assert (bench.world.calls, [a.quiet for a in alerts.open_alerts()]) == ([], ["silenced by s-1"])
    await bench.look(("aa", 5.0), after=10.0)
    assert bench.world.calls == [("a-1", "hook", True)]
    assert await bench.journal.silences() == []


async def test_another_daemon_goes_on_and_tells_once() -> None:
    bench = Bench("aa", "bb")
    alerts = await bench.begin()
    await alerts.put_rule(rule(condition=Condition(METRIC, Operator.BELOW, 10.0, for_s=40.0)))
    for _ in range(16):
        await bench.look(("aa", 5.0))
    later = Bench("aa", "bb", journal=bench.journal)
    later.clock.now = bench.clock.now + 500
    alerts = await later.begin()
    (pending,) = alerts.open_alerts()
    assert pending.state is AlertState.PENDING
    assert 26.0 <= pending.met_s <= 30.0
    for _ in range(9):
        await later.look(("aa", 5.0))
    assert [a.state for a in alerts.open_alerts()] == [AlertState.FIRING]
    assert later.world.calls == [(pending.id, "hook", True)]
    (call,) = await bench.journal.deliveries(settled=False)
    assert (call.alert, call.firing) == (pending.id, True)
    last = Bench("aa", journal=bench.journal)
    last.clock.now = later.clock.now
    await last.begin()
    await last.look(("aa", 5.0))
    assert last.world.calls == []  # it is on record: the outbox has it
    await last.look(("aa", 50.0))
    assert last.world.calls == [(pending.id, "hook", False)]


async def test_whoever_was_told_of_the_beginning_is_told_of_the_end_whatever_has_become_of_the_rule() -> None:
    bench = Bench("aa")
    alerts = await bench.begin()
    await alerts.put_rule(rule())
    await bench.look(("aa", 5.0))
    await alerts.put_rule(rule(actions=(ActionCall("mail"),)))
    await bench.look(("aa", 5.0))
    assert bench.world.calls == [("a-1", "hook", True)]
    await bench.look(("aa", 50.0))
    assert bench.world.calls[1:] == [("a-1", "hook", False)]
    await bench.look(("aa", 5.0), after=301.0)
    await alerts.put_rule(rule(condition=Condition(METRIC, Operator.BELOW, 4.0), actions=()))
    assert bench.world.calls[2:] == [("a-2", "mail", True), ("a-2", "mail", False)]


async def test_a_rule_that_gets_its_first_action_while_it_fires_calls_it() -> None:
    bench = Bench("aa")
    alerts = await bench.begin()
    await alerts.put_rule(rule(actions=()))
    await bench.look(("aa", 5.0))
    assert [(a.notified_at, a.quiet) for a in alerts.open_alerts()] == [(None, "")]
    await alerts.put_rule(rule())
    await bench.look(("aa", 5.0))
    await bench.look(("aa", 50.0))
    assert bench.world.calls == [("a-1", "hook", True), ("a-1", "hook", False)]


async def test_what_has_happened_for_good_is_not_told_as_over() -> None:
    bench = Bench("aa")
    alerts = await bench.begin()
    badly = alerts.rules["ended-badly"]
    await alerts.put_rule(msgspec.structs.replace(badly, actions=(ActionCall("hook"),)))
    bench.world.all["aa"] = msgspec.structs.replace(bench.world.all["aa"], state=ExecutionState.FAILED)
    reading = Reading(series_of("migmond_execution_ended_badly", {"execution": "aa"}), 1.0)
    alerts.put(Batch(bench.clock.wall(), 2.0, (reading,)))
    for _ in range(3):
        await bench.look()
    assert bench.world.calls == [("a-1", "hook", True)]
    (past,) = await bench.journal.past_alerts(AlertFilter(), 9)
    assert past.ending == "the migration has ended"


async def test_what_ended_is_closed_and_a_removed_rule_too() -> None:
    bench = Bench("aa", "bb")
    alerts = await bench.begin()
    await alerts.put_rule(rule())
    await bench.look(("aa", 5.0), ("bb", 5.0))
    bench.world.all["aa"] = msgspec.structs.replace(bench.world.all["aa"], state=ExecutionState.COMPLETED)
    await bench.look(("bb", 5.0))
    await alerts.remove_rule(alerts.rules["r-1"])
    past = await bench.journal.past_alerts(AlertFilter(), 9)
    assert [(a.execution, a.ending) for a in past] == [
        ("bb", "the rule was removed"),
        ("aa", "the migration has ended"),
    ]
    assert alerts.open_alerts() == []


async def test_what_begins_is_told_and_that_it_came_to_nothing() -> None:
    bench = Bench("aa")
    alerts = await bench.begin()
    await alerts.put_rule(rule(condition=Condition(METRIC, Operator.BELOW, 10.0, for_s=5.0)))
    for value in (5.0, 5.0, 50.0):
        await bench.look(("aa", value))
    assert bench.world.types == ["alert.pending"] * 2
    first, last = [e.alert for e in bench.world.events if isinstance(e, AlertPending)]
    assert (first.id, first.state, last.id, last.state) == ("a-1", "pending", "a-1", "resolved")
    assert "and never fired" in last.message
    for _ in range(5):
        await bench.look(("aa", 5.0))
    assert bench.world.types[2:] == ["alert.pending", "alert.firing"]
    assert bench.world.notes != []
    assert len(bench.world.notes) == 1  # what begins only has no place on the time axis


async def test_what_is_said_of_a_disk_ends_when_it_is_taken_away() -> None:
    bench = Bench()
    alerts = await bench.begin()
    bench.world.there = frozenset({"sda", "sdb"})
    series = {name: series_of("migmond_disk_failing", {"device": name}) for name in ("sda", "sdb", "bay 7")}

    async def look(*devices: str) -> None:
        bench.clock.now += 2.0
        alerts.put(Batch(bench.clock.wall(), 2.0, tuple(Reading(series[name], 1.0) for name in devices)))
        await alerts.round()

    await look("sda", "sdb", "bay 7")
    assert len(alerts.open_alerts()) == 3
    bench.world.there = frozenset({"sdb"})
    await look("sdb", "bay 7")  # away for a moment only, as far as anybody knows
    assert len(alerts.open_alerts()) == 3
    bench.world.there = None  # nobody can look
    await look("sdb", "bay 7")
    assert len(alerts.open_alerts()) == 3
    bench.world.there = frozenset({"sdb"})
    for _ in range(3):
        await look("sdb", "bay 7")
    assert sorted(a.device for a in alerts.open_alerts()) == ["bay 7", "sdb"]
    (past,) = await bench.journal.past_alerts(AlertFilter(), 9)
    assert (past.device, past.ending) == ("sda", "the device is gone")
    assert "resolved, the device is gone" in past.message
    assert bench.world.types.count("alert.resolved") == 1
    bench.world.there = frozenset({"sda", "sdb"})
    await look("sda", "sdb")  # another one, or the same: it begins anew
    assert sorted(a.device for a in alerts.open_alerts()) == ["bay 7", "sda", "sdb"]


async def test_a_rule_of_ones_own_sees_only_ones_own_migrations() -> None:
    bench = Bench("aa", "bb")
    alerts = await bench.begin()
    await alerts.put_rule(rule(owner=1001, own=True))
    await bench.look(("aa", 5.0), ("bb", 5.0))
    assert [a.execution for a in alerts.open_alerts()] == ["bb"]


async def test_alerts_go_on_while_the_journal_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench("aa")
    alerts = await bench.begin()
    await alerts.put_rule(rule())

    async def full(_: object) -> None:
        raise JournalFull("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(bench.journal, "apply", full)
        for _ in range(3):
            await bench.look(("aa", 5.0))
        assert bench.world.calls == [("a-1", "hook", True)]
        assert bench.logged == ["alerts could not be journaled"]
        await bench.look(("aa", 50.0))
    await bench.look(("aa", 50.0))
    assert [a.id for a in await bench.journal.past_alerts(AlertFilter(), 9)] == ["a-1"]
    await bench.look(("aa", 5.0), after=KEEP_EVERY_S)
    assert [a.id for a in await bench.journal.open_alerts()] == ["a-2"]


async def test_nobody_waits_for_a_disk_that_hangs_to_be_told_of_it(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    bench = Bench("aa")
    alerts = await bench.begin()
    await alerts.put_rule(rule())

    async def hang(_: object) -> None:
        await trio.sleep_forever()

    with monkeypatch.context() as patched:
        patched.setattr(bench.journal, "apply", hang)
        with trio.fail_after(60):
            await bench.look(("aa", 5.0))
        assert bench.world.calls == [("a-1", "hook", True)]
    (alert,) = alerts.open_alerts()
    await alerts.acknowledge(alert, "ana", "")
    await bench.look(("aa", 5.0))  # what could not be journaled then is now, and undoes nothing that came later
    assert [a.acknowledged_by for a in await bench.journal.open_alerts()] == ["ana"]


async def test_the_past_is_pruned_and_what_no_cooldown_asks_for_is_forgotten() -> None:
    bench = Bench("aa")
    alerts = await bench.begin()
    await alerts.put_rule(rule())
    await bench.look(("aa", 5.0))
    await bench.look(("aa", 50.0), after=PRUNE_EVERY_S + 1)
    assert len(alerts._calls._told_at) == 1
    await bench.look(after=MAX_HELD_S)
    assert alerts._calls._told_at == {}
    old = msgspec.structs.replace(
        Alert("a-7", "r-1", "x", Severity.INFO, AlertState.RESOLVED, "", "", "", {}, 1.0, 1.0, 1.0, 1.0),
        resolved_at=5.0,
    )
    await bench.journal.apply([PutAlert(old)])
    await bench.look(after=PRUNE_EVERY_S + 1)
    assert await bench.journal.past_alerts(AlertFilter(), 9) == []


async def test_a_clock_that_is_wrong_for_a_while_takes_no_alerts_of_the_past_away() -> None:
    bench = Bench("aa")
    alerts = await bench.begin()
    await alerts.put_rule(rule())
    for value in (5.0, 50.0):
        await bench.look(("aa", value))
    bench.clock.ahead += 365 * 86_400.0
    await bench.look(after=PRUNE_EVERY_S + 1)
    assert [a.id for a in await bench.journal.past_alerts(AlertFilter(), 9)] == ["a-1"]
    await bench.look(after=301.0)  # it has run evenly since: it is right
    assert await bench.journal.past_alerts(AlertFilter(), 9) == []


class RealClock(Clock):
    """Goes on by itself as well, so that a round sees how long it takes."""

    def monotonic(self) -> float:
        return self.now + time.monotonic()


@pytest.mark.parametrize("value", [20.0, 12.0])
async def test_a_round_of_200_rules_and_100_migrations_lets_others_have_the_loop(value: float) -> None:
    """Of these rules none fires with 20, and 80 with 12, each for all migrations: 8,000 alerts in one round."""
    ids = [f"e{n:03}" for n in range(100)]
    bench = Bench(*ids)
    bench.clock = RealClock()
    alerts = await bench.begin()
    for n in range(189):
        condition = Condition(METRIC, Operator.BELOW, 10.0 + n % 5, window_s=10.0 + n % 10, for_s=3.0)
        await alerts.put_rule(rule(f"r-{n}", condition=condition, actions=()))
    with Steps() as steps:
        for _ in range(3):
            await bench.look(*((id_, value) for id_ in ids))
    fired = sum(a.state is AlertState.FIRING for a in alerts.open_alerts())
    assert fired == (0 if value == 20.0 else 7500)
    assert steps.longest_s < 0.02, (steps.longest_s, steps.total_s)
