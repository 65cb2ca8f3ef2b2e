"""What was on record around errors, against a list of readings of which each is looked at."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from migmond.daemon.evidence import past_facts
from migmond.domain.fault import Fault, Phase
from migmond.domain.telemetry import Chart, Curve, MetricKind, Selection, series_of
from migmond.recovery.correlation import FactKind, Where, correlate
from migmond.recovery.figures import AROUND_S, FINEST_S, concerning, figures, has_risen, selections, span

STEP, FIRST = 10.0, 1_000_000.0
HOT, ROOM = "migmond_disk_temperature_celsius", "migmond_filesystem_available_bytes"
PENDING, LINK = "migmond_disk_pending_sectors", "migmond_disk_link_errors_total"


def chart(metric: str, values: list[float | None], label: str = "device", subject: str = "sda", **fields: str) -> Chart:
    kind = MetricKind.COUNTER if metric.endswith("_total") else MetricKind.GAUGE
    series = series_of(metric, {label: subject}, kind, fields.get("unit", ""))
    told = tuple(values)
    curve = Curve(series, told, told, told, tuple(int(v is not None) for v in told))
    return Chart(FIRST, STEP, STEP, len(told), (curve,))


VALUES = st.lists(st.none() | st.integers(0, 100).map(float), min_size=1, max_size=12)


@example([50.0, None, None, None], -30.0, 0.0, HOT)
@given(VALUES, st.floats(-30, 150), st.floats(0, 80), st.sampled_from([HOT, ROOM]))
def test_each_reading_is_before_meanwhile_or_after(
    values: list[float | None], begin: float, lasts: float, metric: str
) -> None:
    first_at, last_at = FIRST + begin, FIRST + begin + lasts
    label = "mount" if metric == ROOM else "device"
    found = figures(chart(metric, values, label), first_at, last_at)
    before: list[float] = []
    within: list[float] = []
    after: list[float] = []
    for i, value in enumerate(values):
        start, end = FIRST + i * STEP, FIRST + (i + 1) * STEP
        if value is not None:
            (before if end <= first_at else after if start > last_at else within).append(value)
    if not (before or within or after):
        assert found == []
        return
    (figure,) = found
    worst = min if metric == ROOM else max
    assert figure.before == (before[-1] if before else None)
    assert figure.worst == (worst(within) if within else None)
    assert figure.after == (after[0] if after else None)
    if within:
        assert first_at - STEP < figure.worst_at <= last_at


def test_what_was_hot_then_is_a_fact_though_it_is_cool_now() -> None:
    told = figures(chart(HOT, [40, 41, 66, 67, 44, 41], unit="celsius"), FIRST + 25, FIRST + 35)
    assert [f.text for f in told] == ["temperature of sda: 41 °C before, 67 °C at worst while it failed, 44 °C after"]
    (fact,) = past_facts(told)
    assert (fact.kind, fact.at, fact.subject) == (FactKind.HOT, FIRST + 30, "sda")
    found = correlate(Fault(Phase.READ, "EIO", 5, "x"), FIRST + 25, FIRST + 35, Where(("sda",)), [fact])
    hot = next(f for f in found if f.cause.name == "hot")
    assert hot.evidence == (told[0].text,)
    assert concerning(hot, told) == tuple(told)
    assert concerning(found[0], told) == (tuple(told) if found[0] is hot else ())


def test_a_target_that_was_full_then_is_a_fact_though_somebody_made_room() -> None:
    told = figures(chart(ROOM, [3 << 30, 5 << 20, 9 << 30], "mount", "/mnt", unit="bytes"), FIRST + 12, FIRST + 18)
    assert told[0].text == "free room of /mnt: 3 GiB before, 5 MiB at worst while it failed, 9 GiB after"
    assert [f.kind for f in past_facts(told)] == [FactKind.NO_SPACE]
    roomy = figures(chart(ROOM, [3 << 30] * 3, "mount", "/mnt"), FIRST + 12, FIRST + 18)
    assert past_facts(roomy) == []


@pytest.mark.parametrize(
    ("metric", "values", "risen"),
    [
        (PENDING, [0, 0, 8, 8], True),
        (PENDING, [8, 8, 8, 8], False),
        (PENDING, [0, 0, 0, 3], True),
        (PENDING, [None, None, 8, 8], False),
        (LINK, [0, 0.2, 0.1, 0], True),
        (LINK, [0.5, 0, 0, 0.5], False),
        (HOT, [10, 10, 99, 10], False),
    ],
)
def test_counts_of_errors_that_rise_meanwhile_are_facts(metric: str, values: list[float | None], risen: bool) -> None:
    (figure,) = figures(chart(metric, values), FIRST + 12, FIRST + 28)
    assert has_risen(figure) is risen


def test_what_is_looked_up_is_what_the_errors_are_on() -> None:
    assert selections(Where()) == []
    wanted = selections(Where(("sda", "sdb"), "/mnt", "ext4"))
    assert {s.labels for s in wanted} == {(("device", "sda"),), (("device", "sdb"),), (("mount", "/mnt"),)}
    assert Selection(ROOM, (("mount", "/mnt"),)) in wanted
    assert span(5000.0, 5010.0, 5020.0) == (5000.0 - AROUND_S, 5020.0, FINEST_S)
    start, end, step = span(1e6, 2e6, 3e6)
    assert (start, end) == (1e6 - AROUND_S, 2e6 + AROUND_S)
    assert 1000 < step < 2000
