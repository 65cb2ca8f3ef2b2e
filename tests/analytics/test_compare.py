"""Similar executions and comparisons, against naive ways to find the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.compare import Better, Course, Figure, Summary, compare, differences, figures, resample
from migmond.analytics.similar import (
    SAME_CLASS,
    Run,
    amount_similarity,
    device_similarity,
    mix_similarity,
    similar_runs,
    similarity,
)
from migmond.domain.execution import Tally

MIX = st.dictionaries(
    st.sampled_from(["tiny", "small", "medium", "large"]),
    st.builds(Tally, st.integers(0, 10**6), st.integers(0, 10**12)),
)


def run(id_: str, tiny: int = 0, large: int = 0, source: str = "sda", target: str = "sdb") -> Run:
    sizes = {"tiny": Tally(tiny, tiny * 1000), "large": Tally(large, large * 10**9)}
    return Run(id_, sizes, source, target, "hdd", "hdd")


@given(MIX, MIX)
def test_mixes_are_compared_by_what_they_have_in_common(one: dict[str, Tally], other: dict[str, Tally]) -> None:
    found = mix_similarity(one, other)
    assert 0 <= found <= 1
    assert found == pytest.approx(mix_similarity(other, one))
    if any(t.entries for t in one.values()) and any(t.bytes for t in one.values()):
        assert mix_similarity(one, one) == pytest.approx(1)
        doubled = {k: Tally(2 * t.entries, 2 * t.bytes) for k, t in one.items()}
        assert mix_similarity(one, doubled) == pytest.approx(1)


def test_a_mix_by_hand() -> None:
    one = {"tiny": Tally(80, 200), "large": Tally(20, 800)}
    other = {"tiny": Tally(50, 900), "large": Tally(50, 100)}
    assert mix_similarity(one, other) == pytest.approx(((0.5 + 0.2) + (0.2 + 0.1)) / 2)


def test_devices_and_amounts() -> None:
    assert device_similarity(run("a"), run("b")) == 1
    assert device_similarity(run("a"), run("b", target="sdz")) == pytest.approx(SAME_CLASS**0.5)
    assert device_similarity(run("a"), run("b", source="sdb", target="sda")) == pytest.approx(SAME_CLASS)
    assert amount_similarity(10**9, 10**11) == pytest.approx(amount_similarity(10**11, 10**9))
    assert amount_similarity(10**9, 10**11) == pytest.approx(2.718281828**-1)
    assert amount_similarity(0, 0) == 1
    assert amount_similarity(0, 5) == 0


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 50)), max_size=12))
def test_the_most_similar_come_first(others: list[tuple[int, int]]) -> None:
    mine = run("mine", 100, 5)
    candidates = [run(f"r{i}", *mix) for i, mix in enumerate(others)]
    found = similar_runs(mine, [mine, *candidates], at_most=3, least=0.3)
    every = [similarity(mine, c) for c in candidates]
    expected = sorted((s.similarity for s in every if s.similarity >= 0.3), reverse=True)[:3]
    assert [s.similarity for s in found] == expected
    assert all(s.id != "mine" for s in found)


# --- curves ----------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.integers(-3, 20)), min_size=1, max_size=40), st.integers(1, 50)
)  # fmt: skip
def test_a_curve_is_where_the_work_was_first_done(steps: list[tuple[float, int]], n: int) -> None:
    seconds, done, points = 0.0, 0, []
    for elapsed, more in steps:
        seconds, done = seconds + elapsed, max(0, min(400, done + more))
        points.append((seconds, done / 400, done * 1000))
    curve = resample(Course("x", tuple(points)), n)
    most = max(d for _, d, _ in points)
    assert len(curve.points) == sum(step / n <= most + 1e-12 for step in range(n + 1))
    times = [p.active_s for p in curve.points]
    assert times == sorted(times)
    for point in curve.points[1:]:
        wanted = point.percent / 100
        reached_at = next(s for s, d, _ in points if d >= wanted - 1e-9)
        before = [s for s, d, _ in points if s < reached_at]
        assert (before[-1] if before else 0.0) - 1e-9 <= point.active_s <= reached_at + 1e-9


def test_an_even_course_is_a_straight_line() -> None:
    course = Course("x", tuple((t, t / 50, int(t * 1000)) for t in range(51)))
    curve = resample(course, 10)
    assert [p.active_s for p in curve.points] == pytest.approx([5 * i for i in range(11)])
    assert [p.bytes_per_s for p in curve.points[1:]] == pytest.approx([1000] * 10)
    assert curve.points[0].bytes_per_s is None
    half = resample(Course("x", course.points[:26]), 10)
    assert [p.percent for p in half.points] == pytest.approx([0, 10, 20, 30, 40, 50])
    late = resample(Course("x", ((30.0, 0.0, 0), (40.0, 1.0, 1000))), 2)
    assert [p.active_s for p in late.points] == pytest.approx([0, 35, 40])
    assert resample(Course("x", ()), 4).points[0].active_s == 0


def test_differences_know_what_is_better() -> None:
    rate, seconds, files = differences(
        [
            Figure("rate", "bytes/s", (100.0, 150.0, 101.0, None), Better.HIGHER),
            Figure("time", "s", (100.0, 150.0, 50.0, 0.0), Better.LOWER),
            Figure("files", "", (0.0, 5.0, 0.0, None)),
        ],
        [True] * 4,
    )
    assert rate.verdicts == ("", "better", "same", "")
    assert rate.changes[1] == pytest.approx(0.5)
    assert rate.changes[3] is None
    assert seconds.verdicts == ("", "worse", "better", "better")
    assert files.verdicts == ("", "", "same", "")
    assert files.changes == (None, None, None, None)


def test_the_table_has_a_row_for_every_figure_that_is_known() -> None:
    one, other = Summary(active_s=100.0, score=60.0, retries=0.0), Summary(active_s=50.0, retries=4.0)
    rows = {d.name: d for d in differences(figures([one, other]), [True, True])}
    assert list(rows) == ["active_s", "retries", "score"]
    assert rows["active_s"].verdicts == ("", "better")
    assert rows["retries"].verdicts == ("", "worse")
    assert rows["score"].values == (60.0, None)
    assert rows["score"].verdicts == ("", "")
    everything = Summary(*[1.0] * len(Summary.__struct_fields__))
    assert {f.name for f in figures([everything])} == set(Summary.__struct_fields__)


WHOLE = {
    "bytes", "entries", "active_s", "held_s", "peak_bytes_per_s", "failed_entries", "retries", "score", "speed",
    "resources", "success", "cpu_s_per_gb", "energy_j",
}  # fmt: skip
"""Figures that are what a run has come to so far, until it has ended."""


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e12)), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_what_goes_on_is_neither_better_nor_worse_by_what_tells_of_a_whole_run(
    values: list[float | None], ended: list[bool]
) -> None:
    summaries = [Summary(*[value] * len(Summary.__struct_fields__)) for value in values]
    for row, all_ended in zip(
        differences(figures(summaries), ended), differences(figures(summaries), [True] * 4), strict=True
    ):
        assert not any(all_ended.so_far)
        for i, (value, over) in enumerate(zip(values, ended, strict=True)):
            whole = row.name in WHOLE
            assert row.so_far[i] == (whole and not over and value is not None)
            if whole and not (over and ended[0]):
                assert (row.changes[i], row.verdicts[i]) == (None, "")
            else:
                assert (row.changes[i], row.verdicts[i]) == (all_ended.changes[i], all_ended.verdicts[i])


def test_a_comparison_knows_which_of_its_runs_have_ended() -> None:
    points = tuple((float(t), t / 10, t * 100) for t in range(11))
    over, live = Course("over", points), Course("live", points[:4], ended=False)
    rows = figures([Summary(bytes=1000.0, average_bytes_per_s=100.0), Summary(bytes=300.0, average_bytes_per_s=50.0)])
    size, rate = compare([over, live], rows).differences
    assert (size.changes, size.verdicts, size.so_far) == ((None, None), ("", ""), (False, True))
    assert (rate.changes, rate.verdicts, rate.so_far) == ((None, -0.5), ("", "worse"), (False, False))
    assert compare([live, over], rows).differences[0].verdicts == ("", "")


def test_a_comparison_has_two_to_five() -> None:
    rng = random.Random(3)
    courses = [Course(f"r{i}", tuple((float(t), t / 10, t * rng.randrange(1, 9)) for t in range(11))) for i in range(6)]
    view = compare(courses[:2], [Figure("rate", "bytes/s", (1.0, 2.0), Better.HIGHER)], steps=4)
    assert view.ids == ("r0", "r1")
    assert [len(c.points) for c in view.curves] == [5, 5]
    with pytest.raises(ValueError, match="2 to 5"):
        compare(courses, [])
    with pytest.raises(ValueError, match="2 to 5"):
        compare(courses[:1], [])
    with pytest.raises(ValueError, match="a value for each"):
        compare(courses[:2], [Figure("rate", "bytes/s", (1.0,))])
