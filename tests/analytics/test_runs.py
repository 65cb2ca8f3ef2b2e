"""Executions with their records: whose pace counts, what it cost, what disks tell, against naive reckoning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.compare import resample
from migmond.analytics.cost import Prices
from migmond.analytics.disk_health import findings
from migmond.analytics.export import json_lines
from migmond.analytics.exposition import check
from migmond.analytics.period import Judged, cost_sums, kinds_of, mean_score, slower_disks, sums, trends
from migmond.analytics.run_cost import Rating, Terms, cost_of
from migmond.analytics.run_metrics import execution_families, families
from migmond.analytics.runs import (
    MOST_PACES,
    Paces,
    Past,
    average,
    course_of,
    entries_rate,
    scored,
    similar_run,
    summary_of,
    time_of,
)
from migmond.analytics.schemas import Kind, Value, tables
from migmond.analytics.smart_samples import readings
from migmond.client.exports import rows_of
from migmond.domain.errors import ProtocolError
from migmond.domain.execution import Tally, Totals
from migmond.domain.limits import Limits
from migmond.domain.samples import SampleView
from migmond.domain.session import CoursePoint, DeviceSide, MachineUse
from migmond.domain.states import ExecutionState
from migmond.plugin_api import NoData
from migmond_smart.report import Report
from migmond_smart.samples import health_samples
from past_runs import GB, SOURCE, TARGET, ended, record, spent

RECORDED = Path(__file__).parents[1] / "plugins" / "recorded_smart"
SIDES = st.sampled_from([SOURCE, TARGET, DeviceSide(("sdb",), "other", "hdd"), DeviceSide(("sdc",), "")])
RUNS = st.lists(st.tuples(SIDES, SIDES, st.booleans(), st.none() | st.floats(0, 1)), max_size=30)


@given(RUNS, st.randoms())
def test_only_earlier_runs_on_the_same_pair_without_a_limit_count(
    runs: list[tuple[DeviceSide, DeviceSide, bool, float | None]], order: object
) -> None:
    records = [
        record(k, source=a, target=b, limited=limited, cost_a=cost) for k, (a, b, limited, cost) in enumerate(runs, 1)
    ]
    paces = Paces()
    shuffled = list(records)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    for one in shuffled:
        paces.add(one)
    for one in records:
        expected = [
            r.cost_a
            for r in records
            if r.key < one.key
            and (r.source.identity, r.target.identity) == (one.source.identity, one.target.identity)
            and one.source.identity
            and one.target.identity
            and not r.limited
            and r.cost_a is not None
        ]
        assert [p.a for p in paces.earlier(one)] == expected[-MOST_PACES:]


def test_old_paces_are_forgotten() -> None:
    paces = Paces()
    for key in range(1, MOST_PACES + 50):
        paces.add(record(key, cost_a=float(key)))
    found = paces.earlier(record(MOST_PACES + 50))
    assert (len(found), found[0].a, found[-1].a) == (MOST_PACES, 50.0, MOST_PACES + 49.0)


def test_under_a_limit_nobody_is_told_off_for_it() -> None:
    paces = Paces()
    for key in range(1, 6):
        paces.add(record(key))
    slow = record(9, slower=10.0, limited=True)
    free = scored(Past(ended(9), slow), paces)
    limited = scored(Past(ended(9, limits=Limits(io_bytes_per_s=10**7)), slow), paces)
    assert free is not None
    assert limited is not None
    assert free.speed == pytest.approx(10, abs=0.5)
    assert limited.speed == pytest.approx(100, abs=0.5)
    assert scored(Past(ended(9)), paces) is None


def test_what_is_copied_and_not_yet_durable_counts_while_it_is_at_work() -> None:
    one = record(1)  # its course ends with 1,000 entries and 10 GB, in 100 s
    totals = Totals(Tally(1000, 10 * GB), Tally(100, 1 * GB), growing=False)
    live = Past(ended(1, totals=totals, state=ExecutionState.RUNNING), one)
    assert (average(live), entries_rate(live)) == (GB / 10, 10)
    found = scored(live, Paces())
    assert found is not None
    assert found.resources == 100  # of what has been moved, nothing was in vain so far
    assert "in_vain" not in {step.kind for step in found.waterfall}
    over = Past(ended(1, totals=totals, state=ExecutionState.CANCELLED), one)
    assert average(over) == GB / 100
    assert scored(over, Paces()).resources == 10  # type: ignore[union-attr]


def test_what_has_brought_nothing_yet_has_no_rate() -> None:
    nothing = Totals(Tally(1000, 10 * GB))
    scanning = Past(ended(1, totals=nothing, state=ExecutionState.RUNNING), record(1, course=()))
    assert (average(scanning), entries_rate(scanning)) == (None, None)
    found = summary_of(scanning, None, None)
    assert (found.bytes, found.active_s, found.average_bytes_per_s, found.entries_per_s) == (0.0, 100.0, None, None)
    over = Past(ended(1, totals=nothing, state=ExecutionState.CANCELLED), record(1, course=()))
    assert (average(over), entries_rate(over)) == (0.0, 0.0)


def test_a_course_says_whether_more_comes() -> None:
    live = Past(ended(1, state=ExecutionState.RUNNING), record(1))
    assert not course_of(live).ended
    assert course_of(Past(ended(1), record(1))).ended
    assert course_of(Past(ended(1))).ended
    assert not course_of(msgspec.structs.replace(live, record=None)).ended


def test_time_that_was_held_is_shown_but_no_work() -> None:
    one = record(1, copying=spent(source_read=50, held=150), committing=spent())
    shares, bound, _ = time_of(one)
    assert [(s.cause, s.share) for s in shares] == [("held", 0.75), ("source_read", 0.25)]
    assert bound is not None
    found = scored(Past(ended(1), one), Paces())
    assert found is not None
    assert {step.kind for step in found.waterfall} == {"needed", "held"}
    assert time_of(record(1, copying=spent(), committing=spent()))[1:] == (None, "not measured yet")


def test_runs_of_which_no_sizes_are_known_resemble_nothing() -> None:
    assert similar_run(Past(ended(1), record(1, sizes={}))) is None
    assert similar_run(Past(ended(1))) is None


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=12), st.booleans())
def test_a_course_is_of_the_work_that_is_known_now(steps: list[tuple[int, int]], empty: bool) -> None:
    settled, points = Tally(), []
    for i, (entries, size) in enumerate(steps):
        settled = settled.plus(entries, 0 if empty else size)
        points.append(CoursePoint(float(i), settled, Tally(5, 7)))  # the plan has grown since
    whole = settled.plus(10, 0 if empty else 10)
    points.append(CoursePoint(99.0, settled, whole))
    course = course_of(Past(ended(1), record(1, course=tuple(points))))
    share = settled.entries / whole.entries if empty else settled.bytes / whole.bytes
    assert course.points[-1][1] == pytest.approx(share)
    assert resample(course).points[-1].percent <= 100 * share + 1e-6
    assert course_of(Past(ended(1))).points == ()


def test_cost_finds_disks_by_identity_before_their_name() -> None:
    ratings = {"nvme0n1": Rating(rated_bytes=1.0), TARGET.identity: Rating(rated_bytes=1e15, price=100.0)}
    found = cost_of(record(1), Terms(Prices("EUR", ""), ratings))
    assert found.wear[0].share == pytest.approx(1e-5)
    assert found.money is not None
    assert found.money.parts == {"wear of nvme0n1": pytest.approx(1e-3)}
    assert [w.device for w in found.wear] == ["nvme0n1"]  # nothing was written to the source


def test_disks_are_busy_no_longer_than_the_execution() -> None:
    ratings = {"sda": Rating(active_watts=6.0, idle_watts=1.0), "nvme0n1": Rating(active_watts=4.0, idle_watts=1.0)}
    found = cost_of(record(1), Terms(ratings=ratings))
    # Two threads read for 120 s of 100 that it took; 40 s of writing and 10 of making durable.
    assert found.energy.joules == pytest.approx(100 * 5 + 50 * 3)
    same = cost_of(record(1, target=SOURCE), Terms(ratings=ratings))
    assert same.energy.joules == pytest.approx(100 * 5)


def test_energy_is_measured_where_the_machine_tells_it() -> None:
    """The movers had 20 of the 40 busy seconds; above idle are 4,000 - 105 * 20 joules."""
    told = record(1, machine=MachineUse(4000.0, 105.0, 40.0))
    found = cost_of(told, Terms(idle_watts=20.0, watts_per_core=5.0))
    assert found.energy.method == "measured"
    assert found.energy.joules == pytest.approx(950)
    assert cost_of(told, Terms(watts_per_core=5.0)).energy.method == "modelled"
    assert cost_of(record(1), Terms(idle_watts=20.0)).energy.method == "unknown"
    half = cost_of(record(1, machine=MachineUse(2000.0, 52.5, 40.0)), Terms(idle_watts=20.0))
    assert half.energy.joules == pytest.approx((2000 - 1050) * 0.25)
    assert "of 52 of its 105 s" in half.energy.reason


def test_wear_of_several_disks_is_not_guessed() -> None:
    found = cost_of(record(1, target=DeviceSide(("sdb", "sdc"), "raid", "hdd")), Terms(ratings={"sdb": Rating(1e12)}))
    assert found.wear == ()
    assert "wear: how writes were spread over sdb, sdc is not known" in found.missing
    assert "wear: the disk of the target is not known" in cost_of(record(1, target=DeviceSide()), Terms()).missing


RUN = st.builds(
    lambda k, size, failed, measured: Judged(
        Past(
            ended(k, totals=Totals(Tally(9, size), Tally(5, size), Tally(failed, 1), growing=False)),
            record(k, size=size) if measured else None,
        ),
        cost=cost_of(record(k, size=size), Terms(Prices("EUR", "", per_gb=1.0))) if measured else None,
    ),
    st.integers(1, 99), st.integers(1, GB), st.integers(0, 9), st.booleans(),
)  # fmt: skip


@given(st.lists(RUN, max_size=10))
def test_sums_are_the_sums(runs: list[Judged]) -> None:
    found, cost = sums(runs), cost_sums(runs)
    measured = [r.past.record for r in runs if r.past.record is not None]
    assert (found.executions, found.measured) == (len(runs), len(measured))
    assert found.done.bytes == sum(r.past.execution.totals.done.bytes for r in runs)
    assert found.failed.entries == sum(r.past.execution.totals.failed.entries for r in runs)
    assert found.cpu_s == (pytest.approx(20.0 * len(measured)) if measured else None)
    moved = sum(r.moved_bytes for r in measured)
    assert cost.amount == (pytest.approx(moved / 1e9) if measured else None)
    assert sum(w.host_bytes for w in cost.wear) == moved
    assert any("nothing was recorded" in m for m in cost.missing) is (len(measured) < len(runs))
    assert mean_score(runs) is None


def judged(key: int, slower: float, **changes: Any) -> Judged:
    return Judged(Past(ended(key), record(key, slower=slower, **changes)))


def test_a_disk_that_becomes_slower_is_found_once_and_not_under_a_limit() -> None:
    falling = [judged(k, 1.15**k) for k in range(1, 8)]
    found = slower_disks(falling)
    assert {(f.device, f.kind) for f in found} == {("sda", "slower_over_runs"), ("nvme0n1", "slower_over_runs")}
    assert all(f.evidence.endswith(("as the source", "as the target")) for f in found)
    assert slower_disks([judged(k, 1.15**k, limited=True) for k in range(1, 8)]) == []
    assert slower_disks([judged(k, 1.0) for k in range(1, 8)]) == []
    assert [t.direction for t in trends(falling)] == ["unknown", "unknown", "worse"]
    assert [t.name for t in trends([])] == ["score", "success"]
    assert kinds_of([r.past for r in falling]) == {"sda": "hdd", "nvme0n1": "nvme"}


def samples(name: str, device: str) -> list[SampleView]:
    """Return what the collector would have told of a disk whose report was recorded."""
    report = msgspec.json.decode((RECORDED / name).read_bytes(), type=Report)
    return [
        SampleView(
            s.metric, "", dict(s.labels), None if isinstance(s.value, NoData) else s.value, "",
            "2026-11-26T14:00:00+00:00",
        )
        for s in health_samples(device, report)
    ]  # fmt: skip


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda p: p.name)
def test_what_recorded_disks_tell_arrives(path: Path) -> None:
    known = json.loads(path.read_text())
    found = readings(samples(path.name, "sdx"), {"sdx": "hdd"})
    passed = known.get("smart_status", {}).get("passed")
    if not found:
        assert passed is None
        return
    (reading,) = found
    assert (reading.device, reading.passed, reading.rotational) == ("sdx", passed, True)
    table = {a["id"]: a for a in known.get("ata_smart_attributes", {}).get("table", [])}
    assert set(reading.raw) == {5, 187, 188, 197, 198, 199} & set(table)
    kinds = {f.kind for f in findings([reading])}
    assert ("self_verdict" in kinds) is (passed is False)
    nvme = known.get("nvme_smart_health_information_log")
    if nvme:
        assert (reading.used, reading.spare) == (nvme["percentage_used"], nvme["available_spare"])


def test_other_samples_are_no_readings() -> None:
    busy = SampleView("migmond_disk_busy_ratio", "ratio", {"device": "sda"}, 0.5, "", "2026-11-26T14:00:00+00:00")
    assert readings([busy], {}) == []


def test_families_of_executions_follow_the_conventions() -> None:
    for family in families():
        check(family)
    runs = [judged(1, 1.0), Judged(Past(ended(2)))]
    for family, series in execution_families(runs):
        assert len(series) == 2, family.name
        assert all(len(s.labels) == len(family.labels) for s in series)
    values = {f.name: [s.value for s in series] for f, series in execution_families(runs)}
    assert values["migmond_execution_cpu_seconds_total"] == [20.0, None]


VALUES: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.TEXT: st.text(st.characters(codec="utf-8")),
    Kind.PATH: st.binary(max_size=30),
    Kind.INTEGER: st.integers(-(2**63) + 1, 2**63 - 1),
    Kind.NUMBER: st.floats(allow_nan=False, allow_infinity=False),
    Kind.BOOLEAN: st.booleans(),
    Kind.TIME: st.integers(0, 10**12).map(lambda ms: ms / 1000),
}


@given(st.data())
def test_rows_come_back_from_json_lines(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(tables()))
    rows = data.draw(st.lists(st.tuples(*(st.none() | VALUES[c.kind] for c in table.columns)), max_size=4))
    texts = [line.decode() for line in json_lines(table, rows)]
    back = list(rows_of(table, ["".join(texts[:1]), "".join(texts[1:])]))
    assert len(back) == len(rows)
    for row, one in zip(rows, back, strict=True):
        for column, value, again in zip(table.columns, row, one, strict=True):
            assert again == (pytest.approx(value) if column.kind is Kind.TIME and value is not None else value)


@pytest.mark.parametrize("text", ["{}", "[]", "x", '{"device": {}}'])
def test_what_is_no_row_is_refused(text: str) -> None:
    findings_table = next(t for t in tables() if t.name == "findings")
    with pytest.raises(ProtocolError, match="no row of findings"):
        list(rows_of(findings_table, [text + "\n"]))
