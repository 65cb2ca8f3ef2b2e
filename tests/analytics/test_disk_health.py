"""Findings about disks, against the published table and against what a person would say of the readings."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.disk_health import Reading, Threshold, findings, rises
from migmond.analytics.smart_table import annual_failure_rate, attributes, nvme_warning_text, plain_raw
from migmond.analytics.temperature import (
    FOR_S,
    HYSTERESIS_C,
    LONGEST_GAP_S,
    Heat,
    Limits,
    Thermometer,
    finding,
    limits,
    step,
)

T0 = 1.7e9


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp() - T0


def kinds(*readings: Reading) -> list[tuple[str, str]]:
    return [(f.kind, f.severity) for f in findings(readings)]


def test_a_healthy_disk_has_no_findings() -> None:
    healthy = {5: 0, 10: 0, 187: 0, 188: 0, 197: 0, 198: 0, 199: 0, 9: 40_000, 194: 36}
    assert kinds(Reading("sda", T0, passed=True, raw=healthy)) == []
    assert (
        kinds(
            Reading("nvme0", T0, passed=True, critical_warning=0, media_errors=0, spare=100, spare_threshold=10, used=3)
        )
        == []
    )
    assert kinds(Reading("sdb", T0)) == []
    assert findings([]) == []


@pytest.mark.parametrize(
    ("raw", "severity", "rate"),
    [
        ({5: 4}, None, None), ({5: 8}, "warning", 0.075), ({5: 60}, "warning", 0.24), ({5: 100}, "critical", 0.36),
        ({187: 1}, "warning", 0.34), ({187: 5}, "critical", 0.5), ({197: 2}, "warning", 0.34),
        ({197: 5}, "critical", 0.68), ({198: 1}, "critical", 0.81), ({5: 10**7}, "critical", None),
        ({188: 0x0001_0001_0003}, None, None), ({188: 0x00C8}, "warning", None), ({199: 500}, None, None),
    ],
)  # fmt: skip
def test_raw_values_mean_what_was_published(raw: dict[int, int], severity: str | None, rate: float | None) -> None:
    found = findings([Reading("sda", T0, raw=raw)])
    if severity is None:
        assert found == []
        return
    (one,) = found
    assert (one.severity, one.annual_failure_rate) == (severity, rate)
    assert one.value >= one.threshold
    assert one.action
    assert str(int(one.value)) in one.evidence


def test_the_table_is_in_order() -> None:
    for attribute in attributes():
        bounds = [row.up_to for row in attribute.rates]
        assert bounds == sorted(set(bounds))
        assert attribute.action
        for value in range(200):
            expected = [row.annual for row in attribute.rates if value <= row.up_to]
            assert annual_failure_rate(attribute, value) == (expected[0] if expected else None)
    assert plain_raw(188, 4295032853) == 21  # 0x1_0001_0015: 21 timeouts, one of them longer than 7.5 s


def test_rates_of_rotating_disks_are_not_told_of_others() -> None:
    (found,) = findings([Reading("sda", T0, raw={5: 8}, rotational=False)])
    assert (found.severity, found.annual_failure_rate) == ("warning", None)
    assert "%" not in found.evidence


def test_a_disks_own_words_count() -> None:
    failing = Reading(
        "sda", T0, passed=False, prefail={5: Threshold("Reallocated_Sector_Ct", 9, 10), 7: Threshold("x", 60, 45)}
    )
    assert kinds(failing) == [("prefail_5", "critical"), ("self_verdict", "critical")]
    nvme = Reading("nvme0", T0, critical_warning=5, media_errors=2, spare=5, spare_threshold=10, used=103)
    assert kinds(nvme) == [
        ("critical_warning", "critical"), ("spare", "critical"), ("media_errors", "warning"), ("worn", "warning"),
    ]  # fmt: skip
    assert "spare" in findings([nvme])[0].title
    assert "reliability" in findings([nvme])[0].title
    assert nvme_warning_text(0x40) == "reserved bits 0x40"
    assert kinds(Reading("sdc", T0, grown_defects=3, uncorrected=1)) == [
        ("grown_defects", "warning"), ("uncorrected", "warning"),
    ]  # fmt: skip


def test_since_is_when_it_began_and_lasted() -> None:
    values = [3, 0, 0, 2, 2, 4]
    readings = [Reading("sda", T0 + 3600 * i, raw={187: v}) for i, v in enumerate(values)]
    (found,) = findings(readings)
    assert at(found.since) == pytest.approx(3 * 3600)


@given(
    st.dictionaries(st.sampled_from([5, 187, 197, 198, 199, 9]), st.integers(0, 5)),
    st.dictionaries(st.sampled_from([5, 187, 197, 198, 199, 9]), st.integers(0, 5)),
    st.none() | st.integers(0, 3), st.none() | st.integers(0, 3),
)  # fmt: skip
def test_any_rise_is_a_warning(
    before: dict[int, int], after: dict[int, int], errors: int | None, errors_after: int | None
) -> None:
    found = rises(
        Reading("sda", T0, raw=before, media_errors=errors),
        Reading("sda", T0 + 60, raw=after, media_errors=errors_after),
    )
    expected = {
        f"smart_{k}_rise": after[k] - before[k] for k in before.keys() & after.keys() - {9} if after[k] > before[k]
    }
    if errors is not None and errors_after is not None and errors_after > errors:
        expected["media_errors_rise"] = errors_after - errors
    assert {f.kind: f.value for f in found} == expected
    for one in found:
        assert one.severity == "warning"
        assert at(one.since) == pytest.approx(0)
        if one.kind != "smart_199_rise":
            assert one.action.startswith("copy the most important data first")


# --- temperature -----------------------------------------------------------------------------------


def test_limits_are_the_disks_own_if_it_tells_them() -> None:
    assert limits("hdd") == Limits(50, 60)
    assert limits("nvme") == Limits(70, 80)
    assert limits("nvme", 75, 81) == Limits(75, 81, own=True)
    assert limits("nvme", 0, 85) == Limits(75, 85, own=True)
    assert limits("hdd", 55) == Limits(55, 65, own=True)


def naive(readings: list[tuple[float, float]], of: Limits) -> list[Heat]:
    """Heat after every reading, from all of them: reached when all of the last two minutes were at the limit, left when
    one is 5 degrees below."""
    told, heat = [], Heat.NORMAL
    for i, (now, celsius) in enumerate(readings):
        while heat and celsius < (of.critical if heat == Heat.CRITICAL else of.warning) - HYSTERESIS_C:
            heat = Heat(heat - 1)
        for level, limit in ((Heat.WARNING, of.warning), (Heat.CRITICAL, of.critical)):
            begun = i + 1
            while begun > 0 and readings[begun - 1][1] >= limit:
                if begun <= i and readings[begun][0] - readings[begun - 1][0] > LONGEST_GAP_S:
                    break
                begun -= 1
            if begun <= i and now - readings[begun][0] >= FOR_S:
                heat = max(heat, level)
        told.append(heat)
    return told


@given(st.lists(st.tuples(st.sampled_from([10.0, 60.0, 120.0, 700.0]), st.integers(40, 66)), max_size=40))
def test_heat_is_what_the_whole_history_says(steps: list[tuple[float, int]]) -> None:
    now = T0
    readings: list[tuple[float, float]] = []
    for elapsed, celsius in steps:
        now += elapsed
        readings.append((now, float(celsius)))
    state, told = Thermometer(), []
    for when, warmth in readings:
        state = step(state, when, warmth, Limits(50, 60))
        told.append(state.heat)
        assert (finding("sda", state, warmth, Limits(50, 60)) is None) == (state.heat is Heat.NORMAL)
    assert told == naive(readings, Limits(50, 60))


def test_a_hot_disk_by_hand() -> None:
    of, state = limits("hdd"), Thermometer()
    for i, celsius in enumerate([48, 51, 52, 61, 58, 47]):
        state = step(state, T0 + 60 * i, celsius, of)
    assert state.heat is Heat.WARNING  # 47 is not five degrees below 50, and 61 was for a moment only
    found = finding("sdd", state, 47, of)
    assert found is not None
    assert (found.value, found.threshold, found.severity) == (47, 50, "warning")
    assert at(found.since) == pytest.approx(60)
    assert "at most 61" in found.evidence
    assert step(state, T0 + 360, 44, of).heat is Heat.NORMAL
