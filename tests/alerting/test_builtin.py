"""Every rule that is there by itself makes sense, and every metric that rules may name is documented and made."""

from __future__ import annotations

import math

import msgspec
import pytest

from migmond.alerting.builtin import builtin_rules
from migmond.alerting.checking import check_rule
from migmond.alerting.figures import Figures
from migmond.alerting.metrics import METRICS, NEVER_S, known
from migmond.alerting.reference import markdown
from migmond.domain.activity import Spent
from migmond.domain.alert import AlertRule
from migmond.domain.alert_expression import parse_condition, show_condition
from migmond.domain.execution import Execution, Stage, Tally, Totals
from migmond.domain.identity import Identity
from migmond.domain.limits import Limits
from migmond.domain.observation import MoverAtWork, Observation, Outlook
from migmond.domain.plan import Plan, Source
from migmond.domain.samples import SampleView
from migmond.domain.states import ExecutionState
from migmond.monitor.rule_figures import with_derived


@pytest.mark.parametrize("rule", builtin_rules(), ids=lambda rule: rule.id)
def test_built_in_rules_make_sense_and_say_why(rule: AlertRule) -> None:
    check_rule(rule, known(()))
    assert rule.builtin
    assert rule.description
    assert set(rule.inhibits) <= {r.id for r in builtin_rules()} - {rule.id}
    assert parse_condition(show_condition(rule.condition)) == rule.condition
    assert any(f"`{rule.id}`" in line for line in markdown())


def test_every_metric_is_on_the_page() -> None:
    page = "\n".join(markdown())
    assert all(f"`{m.name}`" in page and m.help.endswith(".") for m in METRICS)
    assert "pending --> firing" in page


def observed(
    done: int = 0,
    failed: int = 0,
    active_s: float = 0.0,
    state: ExecutionState = ExecutionState.RUNNING,
    **fields: object,
) -> Observation:
    plan = Plan("it", (Source(b"/a"),), b"/b")
    totals = Totals(Tally(10_000, 10_000_000), Tally(done - failed, 1000 * done), Tally(failed, 0), growing=False)
    execution = Execution("aa", 1, "it", plan, Identity(0, 0), state, 0.0, stage=Stage.COPY, totals=totals)
    seen = Observation(
        execution, active_s, Tally(0, 0), (), Spent(), Spent(), 0, 0, 1, 1.0,
        outlook=Outlook(1000.0, file_s=0.1, byte_s=0.0),
    )  # fmt: skip
    return msgspec.structs.replace(seen, **fields)


def test_a_held_migration_does_not_stall() -> None:
    figures = Figures()
    for now in range(0, 100, 2):
        known_now = figures.observe(observed(10, active_s=float(now)), float(now), None)
    assert known_now["stalled_seconds"] == 98.0
    paused = figures.observe(observed(10, active_s=98.0, state=ExecutionState.PAUSED), 100.0, None)
    assert paused == {"stalled_seconds": 0.0, "hung_seconds": 0.0}
    assert figures.observe(observed(11, active_s=100.0), 102.0, None)["stalled_seconds"] == 0.0


def test_the_end_is_told_and_how_it_was() -> None:
    ended = {
        state: Figures().observe(observed(state=state), 0.0, None)
        for state in (ExecutionState.COMPLETED, ExecutionState.FAILED, ExecutionState.COMPLETED_WITH_ERRORS)
    }
    assert [(k["finished"], k["ended_badly"]) for k in ended.values()] == [(1, 0), (1, 1), (1, 1)]
    assert "finished" not in Figures().observe(observed(state=ExecutionState.DRAINED), 0.0, None)


def test_errors_are_a_share_of_what_was_settled_lately() -> None:
    figures = Figures()
    for i in range(200):  # ten entries each look; none fails, then every second one
        failed = max(0, i - 100) * 5
        now = 2.0 * i
        share = figures.observe(observed(10 * i, failed, now), now, None)["error_ratio"]
        if i == 100:
            assert share == 0.0
    assert share == pytest.approx(0.33, abs=0.02)  # a hundred looks of the last 150 were bad
    assert Figures().observe(observed(19, 19), 0.0, None)["error_ratio"] == 0.0  # too few to say


def test_speed_is_told_against_the_forecast_and_begins_anew_with_another_limit() -> None:
    figures, done = Figures(), 0
    for i in range(100):
        done += 20  # of 0.1 s each, in 2 s: as was promised
        found = figures.observe(observed(done, active_s=2.0 * i), 2.0 * i, None)
    assert found["forecast_ratio"] == pytest.approx(1.0, abs=0.02)
    for i in range(100, 200):
        done += 5
        found = figures.observe(observed(done, active_s=2.0 * i), 2.0 * i, None)
    assert found["forecast_ratio"] == pytest.approx(0.25, abs=0.02)
    seen = observed(done, active_s=400.0)
    limited = msgspec.structs.replace(seen.execution, limits=Limits(io_bytes_per_s=1))
    assert "forecast_ratio" not in figures.observe(msgspec.structs.replace(seen, execution=limited), 400.0, None)


def test_the_end_that_moves_away_and_holds_that_do_not() -> None:
    figures = Figures()
    for i in range(50):
        look = observed(i, active_s=2.0 * i, outlook=Outlook(2000.0 - 2.0 * i))
        assert figures.observe(look, 2.0 * i, None).get("eta_slip_ratio", 0.0) == pytest.approx(0.0, abs=1e-9)
    late = observed(60, active_s=100.0, outlook=Outlook(2900.0))
    assert figures.observe(late, 9000.0, None)["eta_slip_ratio"] == pytest.approx(0.5)  # held for hours: no matter


def test_a_target_that_does_not_fill_up_is_known_not_to() -> None:
    assert Figures().observe(observed(), 0.0, math.inf)["target_full_seconds"] == NEVER_S
    assert Figures().observe(observed(), 0.0, 60.0)["target_full_seconds"] == 60.0
    assert "target_full_seconds" not in Figures().observe(observed(), 0.0, None)


def test_only_calls_of_the_file_system_hang() -> None:
    movers = tuple(
        MoverAtWork(i, i, doing, 1, None, 0, 0, busy)
        for i, (doing, busy) in enumerate([("idle", 10**12), ("paused", 10**12), ("syncing", 3 * 10**9)])
    )
    assert Figures().observe(observed(movers=movers), 0.0, None)["hung_seconds"] == 3.0


def sample(metric: str, value: float | None, **labels: str) -> SampleView:
    return SampleView(metric, "", {"device": "sda", **labels}, value, "", "2026-01-01T00:00:00Z")


def derived(*samples: SampleView) -> dict[str, float | None]:
    return {s.metric: s.value for s in with_derived(samples)[len(samples) :]}


def test_disks_by_what_they_tell() -> None:
    assert derived(sample("migmond_disk_healthy", 1.0), sample("migmond_disk_pending_sectors", 0.0)) == {
        "migmond_disk_failing": 0.0
    }
    assert derived(sample("migmond_disk_healthy", 0.0), sample("migmond_disk_pending_sectors", 8.0)) == {
        "migmond_disk_failing": 2.0
    }
    assert derived(sample("migmond_disk_critical_warning", 2.0)) == {"migmond_disk_failing": 0.0}  # only hot
    assert derived(sample("migmond_disk_critical_warning", 6.0)) == {"migmond_disk_failing": 1.0}
    assert derived(sample("migmond_disk_healthy", None)) == {}
    hot = sample("migmond_disk_temperature_celsius", 58.0)
    assert derived(hot) == {"migmond_disk_heat_margin_celsius": -8.0}
    nvme = sample("migmond_disk_temperature_celsius", 58.0, device="nvme0n1")
    assert derived(nvme) == {"migmond_disk_heat_margin_celsius": 12.0}
    own = sample("migmond_disk_temperature_limit_celsius", 70.0, limit="warning")
    assert derived(hot, own) == {"migmond_disk_heat_margin_celsius": 12.0}
