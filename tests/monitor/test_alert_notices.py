"""Whatever people do to alerts and rules while they fire: each call is made once, in pairs, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from alert_bench import METRIC, Bench, rule
from migmond.domain.alert import ActionCall, AlertFilter, AlertState, Condition, Operator, Silence
from migmond.domain.alert_changes import PutAlert

LOW, HIGH = 5.0, 50.0
NAMES = ("hook", "mail", "pause")
STEP = st.one_of(
    st.tuples(st.just("look"), st.sampled_from([(LOW, LOW), (LOW, HIGH), (HIGH, LOW), (HIGH, HIGH)])),
    st.tuples(st.just("look"), st.sampled_from([(LOW, LOW), (HIGH, HIGH)])),
    st.tuples(st.just("silence"), st.sampled_from([3.0, 100.0])),
    st.tuples(st.just("unsilence"), st.none()),
    st.tuples(st.just("acknowledge"), st.integers(0, 1)),
    st.tuples(st.just("actions"), st.sets(st.sampled_from(NAMES)).map(sorted)),
    st.tuples(st.just("enabled"), st.booleans()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("jump"), st.sampled_from([-5000.0, -10.0, 10.0, 5000.0])),
)


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(STEP, max_size=40))
def test_every_call_is_made_once_and_in_pairs(steps: list[tuple[str, Any]]) -> None:
    trio.run(_people, steps)


async def _people(steps: list[tuple[str, Any]]) -> None:
    bench = Bench("aa", "bb")
    alerts = await bench.begin()
    now = rule(condition=Condition(METRIC, Operator.BELOW, 10.0, for_s=2.0), cooldown_s=20.0)
    await alerts.put_rule(now)
    silences = 0
    for kind, what in steps:
        if kind == "look":
            await bench.look(("aa", what[0]), ("bb", what[1]))
        elif kind == "silence":
            silences, at = silences + 1, bench.clock.wall()
            await alerts.silence(Silence(f"s-{silences}", "ana", "", at, at + what))
        elif kind == "unsilence":
            for silence in alerts.silences:
                await alerts.unsilence(silence)
        elif kind == "acknowledge":
            for alert in alerts.open_alerts()[what : what + 1]:
                await alerts.acknowledge(alert, "ana", "")
        elif kind in ("actions", "enabled"):
            calls = tuple(ActionCall(name) for name in what) if kind == "actions" else now.actions
            now = rule(
                condition=now.condition, cooldown_s=20.0, actions=calls,
                enabled=what if kind == "enabled" else now.enabled,
            )  # fmt: skip
            await alerts.put_rule(now)
        elif kind == "restart":  # one that has nothing left to write
            await bench.journal.apply([PutAlert(alert) for alert in alerts.open_alerts()])
            alerts = await bench.begin()
        else:
            bench.clock.ahead += what
    for silence in alerts.silences:
        await alerts.unsilence(silence)
    for after in (400.0, 2.0, 2.0):
        await bench.look(("aa", LOW), ("bb", LOW), after=after)
    fires = [a for a in alerts.open_alerts() if a.state is AlertState.FIRING]
    assert len(fires) == (2 if now.enabled else 0)
    assert all(a.told or a.acknowledged_at is not None or not now.actions for a in fires)
    told = {a.id: Counter(call.name for call in a.told) for a in fires}
    past = await bench.journal.past_alerts(AlertFilter(), 1000)
    told |= {a.id: Counter(call.name for call in a.told) for a in past}
    assert max((n for names in told.values() for n in names.values()), default=1) == 1
    begun, over = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for id_, name, firing in bench.world.heard:
        assert firing or begun[id_, name] > over[id_, name]
        (begun if firing else over)[id_, name] += 1
    assert begun == Counter((id_, name) for id_, names in told.items() for name in names)
    assert over == Counter((a.id, call.name) for a in past for call in a.told)
