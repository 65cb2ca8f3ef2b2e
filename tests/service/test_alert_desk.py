"""What clients ask about alerts: whose share it is, what is looked at, and how much is read for it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from alert_bench import METRIC, Bench, Steps
from migmond.alerting.metrics import known
from migmond.daemon.alerts import AlertDesk
from migmond.domain import alert_api as a
from migmond.domain.alert import (
    MOST_OWN,
    ActionCall,
    Alert,
    AlertFilter,
    AlertState,
    Condition,
    Missing,
    Operator,
    Severity,
)
from migmond.domain.alert_changes import PutAlert
from migmond.domain.errors import InvalidInput, LimitExceeded
from migmond.domain.execution import Execution
from migmond.domain.identity import Identity, Peer, Role
from migmond.domain.telemetry import Batch, Chart, Curve, Reading, Selection, series_of
from migmond.plugin_api.memory_history import MemoryHistory

ADMIN, ANA, BEN = (
    Peer(Identity(uid, uid, ()), role) for uid, role in ((0, Role.ADMIN), (1000, Role.OPERATOR), (1001, Role.OPERATOR))
)
SLOW = Condition(METRIC, Operator.BELOW, 10.0)


class Desk(Bench):
    """Of alerts of a bench, with a history in memory."""

    async def opened(self) -> AlertDesk:
        alerts = await self.begin()
        self.history = MemoryHistory({})

        def find(name: str, fits: Callable[[Execution], bool] = lambda _: True) -> Execution:
            return self.world.all[name]

        async def replayed(
            selection: Selection, start: float, end: float, step_s: float, most: int, executions: Any
        ) -> Chart:
            points = math.ceil((end - start) / step_s) + 2
            return await self.history.query([selection], start, end, points, most_series=most, executions=executions)

        engine: Any = SimpleNamespace(all=self.world.executions, find=find)
        surroundings: Any = SimpleNamespace(journal=self.journal, clock=self.clock)
        telemetry: Any = SimpleNamespace(replayed=replayed)
        return AlertDesk(alerts, engine, surroundings, telemetry, lambda call, peer: None)

    async def measured(self, value: float, looks: int = 100) -> None:
        """That was the speed of all of them, for so many looks until now."""
        for i in range(looks):
            at = self.clock.wall() - 2.0 * (looks - i)
            readings = tuple(Reading(series_of(METRIC, {"execution": id_}), value) for id_ in self.world.all)
            await self.history.append([Batch(at, 2.0, readings)])


def put(name: str, condition: Condition = SLOW, **fields: Any) -> a.RulePutParams:
    return a.RulePutParams(a.RuleSpec(name, condition, **fields))


async def test_one_operator_leaves_room_for_others() -> None:
    desk = await Desk("aa", "bb").opened()
    for n in range(MOST_OWN):
        await desk.put_rule(ANA, put(f"rule-{n}"))
        await desk.silence(ANA, a.SilenceParams(60.0))
    for call in (desk.put_rule(ANA, put("one-more")), desk.silence(ANA, a.SilenceParams(60.0))):
        with pytest.raises(LimitExceeded, match=f"you have {MOST_OWN}"):
            await call
    for peer in (BEN, ADMIN):
        await desk.put_rule(peer, put(f"of-{peer.identity.uid}"))
        await desk.silence(peer, a.SilenceParams(60.0))


async def test_a_rule_of_ones_own_is_tried_on_what_it_looks_at_whoever_tries_it() -> None:
    bench = Desk("aa", "bb")
    desk = await bench.opened()
    await desk.put_rule(ANA, put("anas"))
    await bench.measured(5.0)
    for peer in (ANA, ADMIN):
        found = await desk.test_rule(peer, a.RuleTestParams("anas", span_s=300.0))
        assert [e.labels for e in found.episodes] == [{"execution": "aa"}], peer
    spec = a.RuleSpec("any", SLOW)
    assert (await desk.test_rule(ADMIN, a.RuleTestParams(spec=spec, span_s=300.0))).times == 2


async def test_what_must_be_there_is_not_missing_while_nobody_looks() -> None:
    bench = Desk("aa")
    desk = await bench.opened()
    missing = msgspec.structs.replace(SLOW, missing=Missing.FIRE, for_s=60.0)
    spec = a.RuleTestParams(spec=a.RuleSpec("any", missing), span_s=7200.0)
    assert (await desk.test_rule(ADMIN, spec)).times == 1  # nothing tells when the daemon ran
    bench.alerts.metrics = known([("migmond_memory_size_bytes", "bytes", "gauge", ())])
    assert (await desk.test_rule(ADMIN, spec)).times == 0
    size, speed, now = (
        series_of("migmond_memory_size_bytes"),
        series_of(METRIC, {"execution": "aa"}),
        bench.clock.wall(),
    )
    for i in range(300):  # it ran for ten minutes, and in the last five of them nothing was told
        readings = [Reading(size, 1.0), *([Reading(speed, 50.0)] if i < 150 else [])]
        await bench.history.append([Batch(now - 3600.0 + 2.0 * i, 2.0, tuple(readings))])
    found = await desk.test_rule(ADMIN, spec)
    ((began, seconds),) = [(e.fired_at, e.seconds) for e in found.episodes]
    assert datetime.datetime.fromisoformat(began).timestamp() == pytest.approx(now - 3600.0 + 420.0, abs=20.0)
    assert seconds > 3000.0  # nobody has seen it end


async def test_a_rule_is_tried_on_any_number_of_migrations() -> None:
    bench = Desk(*(f"e{n:03}" for n in range(300)))
    desk = await bench.opened()
    await bench.measured(5.0, looks=40)
    found = await desk.test_rule(ADMIN, a.RuleTestParams(spec=a.RuleSpec("any", SLOW), span_s=3600.0))
    assert (found.times, found.series) == (300, 300)


async def test_nobody_else_waits_for_a_rule_that_is_tried() -> None:
    bench = Desk(*(f"e{n:02}" for n in range(50)))
    desk = await bench.opened()

    async def replayed(selection: Selection, start: float, end: float, step_s: float, most: int, who: Any) -> Chart:
        means = tuple(5.0 + i % 7 for i in range(math.ceil((end - start) / step_s)))
        series = [series_of(METRIC, {"execution": id_}) for id_ in bench.world.all]
        curves = (Curve(one, means, means, means, (1,) * len(means)) for one in series)
        return Chart(start, step_s, 2.0, len(means), tuple(curves))

    desk._telemetry = SimpleNamespace(replayed=replayed)  # type: ignore[assignment]
    with Steps() as steps:
        found = await desk.test_rule(ADMIN, a.RuleTestParams(spec=a.RuleSpec("any", SLOW), span_s=7200.0))
    assert found.times > 10_000
    assert len(found.episodes) == 200
    assert steps.longest_s < 0.05, (steps.longest_s, steps.total_s)


async def test_whoever_may_see_little_of_the_past_asks_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Desk("aa", "bb")
    desk = await bench.opened()
    past = Alert("a-1", "r-1", "x", Severity.INFO, AlertState.RESOLVED, "", "aa", "", {}, 1.0, 1.0, 1.0, 1.0)
    made = [msgspec.structs.replace(past, id=f"a-{n}", resolved_at=5.0) for n in range(1, 451)]
    made[0] = msgspec.structs.replace(made[0], execution="bb")
    await bench.journal.apply([PutAlert(alert) for alert in made])
    asked, ask = list[AlertFilter](), bench.journal.past_alerts

    async def counted(which: AlertFilter, limit: int) -> list[Alert]:
        asked.append(which)
        return await ask(which, limit)

    monkeypatch.setattr(bench.journal, "past_alerts", counted)
    page = await desk.list_alerts(BEN, a.AlertsParams("history", limit=1))
    assert [x.id for x in page.alerts] == ["a-1"]
    assert len(asked) == 5
    page = await desk.list_alerts(ANA, a.AlertsParams("history", limit=2))
    assert ([x.id for x in page.alerts], page.next) == (["a-450", "a-449"], 449)
    page = await desk.list_alerts(ANA, a.AlertsParams("history", limit=2, before=page.next))
    assert [x.id for x in page.alerts] == ["a-448", "a-447"]


async def test_rules_that_would_keep_one_another_quiet_are_refused() -> None:
    desk = await Desk().opened()
    await desk.put_rule(ADMIN, put("b", inhibits=("c",)))
    await desk.put_rule(ADMIN, put("c", inhibits=("stalled", "nobody")))
    for name, inhibits, path in (("a", ("a",), "a → a"), ("slow", ("b",), "slow → b → c → stalled → slow")):
        replace = "slow" if name == "slow" else ""
        with pytest.raises(InvalidInput, match=path):
            await desk.put_rule(ADMIN, msgspec.structs.replace(put(name, inhibits=inhibits), replace=replace))
    stalled = put("stalled", inhibits=())
    await desk.put_rule(ADMIN, msgspec.structs.replace(stalled, replace="stalled"))
    await desk.put_rule(ADMIN, msgspec.structs.replace(put("slow", inhibits=("b",)), replace="slow"))


async def test_parameters_of_actions_have_a_bound() -> None:
    desk = await Desk().opened()
    long = ActionCall("hook", {"x": "y" * 70_000})
    with pytest.raises(InvalidInput, match="too long parameters"):
        await desk.put_rule(ADMIN, put("long", actions=(long,)))
