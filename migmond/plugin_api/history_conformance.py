"""Does a storage keep the promises of `migmond.ports.History`? For authors of storages, to be run in their tests:

    class TestMine(HistoryConformance):
        def open(self, directory):
            return open_my_history(directory)

A storage that keeps anything after it is closed subclasses `DurableHistoryConformance` instead. Retention is to be the
default (`migmond.analytics.tiers.KEEP_S`). Run by pytest with pytest-trio; nothing of pytest is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from migmond.analytics.tiers import KEEP_S, WIDTHS_S
from migmond.domain.errors import LimitExceeded
from migmond.domain.telemetry import (
    MAX_TEXT,
    Annotation,
    Batch,
    Chart,
    Curve,
    MetricKind,
    Reading,
    Selection,
    Series,
    series_of,
)
from migmond.ports import (
    History,
)

T0 = 1_789_999_200.0
"""A full hour of September 2026: a multiple of the widths of all tiers."""
CPU = series_of("cpu_ratio", {"host": "a"}, unit="ratio")
WRITTEN = series_of("written_bytes", {"disk": "sda"}, MetricKind.COUNTER, "bytes")


def batch(at: float, *values: tuple[Series, float], every_s: float = 2.0) -> Batch:
    """Return what was read at `at`."""
    return Batch(at, every_s, tuple(Reading(series, value) for series, value in values))


async def ask(history: History, series: Series, start: float, end: float, points: int = 600) -> Curve | None:
    """Return the curve of one series, None when it has nothing in the range."""
    chart = await history.query([Selection(series.metric, series.labels)], start, end, points, most_series=10)
    assert all(len(c.mean) == len(c.low) == len(c.high) == len(c.count) == chart.buckets for c in chart.curves)
    assert chart.buckets <= points
    found = [c for c in chart.curves if c.series.labels == series.labels and c.series.kind == series.kind]
    return found[0] if found else None


def near(found: Sequence[float | None], wanted: Sequence[float | None], relative: float = 1e-5) -> bool:
    """Whether values agree as well as 32-bit floats do, and gaps exactly."""
    return len(found) == len(wanted) and all(
        (f is None) is (w is None) and (f is None or w is None or math.isclose(f, w, rel_tol=relative, abs_tol=1e-30))
        for f, w in zip(found, wanted, strict=True)
    )


class HistoryConformance:
    """One check per promise. Subclass it, say how to open your storage, and let pytest find the checks."""

    def open(self, directory: Path) -> AbstractAsyncContextManager[History]:
        """Open an empty history with its files, if any, in `directory`. To be overridden."""
        raise TypeError("say how your storage is opened")

    async def test_what_is_recorded_comes_back_in_its_buckets(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            assert await ask(history, CPU, T0, T0 + 10) is None
            batches = [
                batch(T0 + s, (CPU, v), every_s=0.5) for s, v in ((0.0, 1.0), (0.5, 4.0), (1.9, 1.0), (4.5, 7.5))
            ]
            assert await history.append(batches) == 0
            chart = await history.query([Selection("cpu_ratio")], T0, T0 + 6, 5, most_series=1)
            assert (chart.first_at, chart.step_s, chart.tier_s, chart.buckets) == (T0, 2.0, 2.0, 3)
            (curve,) = chart.curves
            assert curve.series == CPU
            assert near(curve.low, [1.0, None, 7.5])
            assert near(curve.mean, [2.0, None, 7.5])
            assert near(curve.high, [4.0, None, 7.5])
            assert curve.count == (3, 0, 1)

    async def test_a_range_is_shown_with_at_most_so_many_points(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            await history.append([batch(T0 + 2 * i, (CPU, float(i % 7))) for i in range(4000)])
            for seconds in (1.0, 7.0, 60.0, 1999.0, 8000.0):
                for points in (2, 3, 10, 600):
                    chart = await history.query(
                        [Selection("cpu_ratio")], T0 + 3, T0 + 3 + seconds, points, most_series=1
                    )
                    (curve,) = chart.curves
                    assert len(curve.mean) == chart.buckets <= points
                    assert chart.first_at <= T0 + 3
                    assert chart.first_at > T0 + 3 - chart.step_s
                    assert chart.first_at + chart.buckets * chart.step_s >= T0 + 3 + seconds
                    assert None not in curve.mean[: int((8000 + T0 - chart.first_at) // chart.step_s)]

    async def test_downtime_is_a_gap_and_a_late_reading_is_none(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            times = [0.0, 1.99, 4.01, 6.0, 60.0, 62.0]  # nothing falls into the bucket from 2 to 4
            await history.append([batch(T0 + t, (CPU, t)) for t in times])
            curve = await ask(history, CPU, T0, T0 + 64)
            assert curve is not None
            assert near(curve.mean[:4], [0.995, 0.995, 4.01, 6.0])
            assert curve.count[:4] == (2, 0, 1, 1)
            assert set(curve.mean[4:30]) == {None}
            assert near(curve.mean[30:], [60.0, 62.0])

    async def test_what_is_read_seldom_has_no_gaps(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            disk = series_of("temperature", unit="celsius")
            readings = [batch(T0 + t, (disk, 30.0 + t), every_s=600.0) for t in (0, 600, 1200)]
            await history.append([*readings, batch(T0 + 1299, (CPU, 1.0))])
            curve = await ask(history, disk, T0 + 300, T0 + 1300, 500)
            assert curve is not None
            assert near(curve.mean, [30.0] * 150 + [630.0] * 300 + [1230.0] * 50)
            assert sum(curve.count) == 2
            # Nothing is said of the time after the newest reading of all, nor of a disk that is silent for long.
            curve = await ask(history, disk, T0 + 1190, T0 + 1310, 60)
            assert curve is not None
            assert near(curve.mean, [630.0] * 5 + [1230.0] * 50 + [None] * 5)
            await history.append([batch(T0 + 4000, (CPU, 1.0))])
            curve = await ask(history, disk, T0 + 1190, T0 + 4000, 1500)
            assert curve is not None
            assert near(curve.mean, [630.0] * 5 + [1230.0] + [None] * 1399)

    async def test_counters_become_rates(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            totals = [1000.0, 1200.0, 1800.0, 1800.0]
            await history.append([batch(T0 + 2 * i, (WRITTEN, v)) for i, v in enumerate(totals)])
            curve = await ask(history, WRITTEN, T0, T0 + 8)
            assert curve is not None
            assert near(curve.mean, [None, 100.0, 300.0, 0.0])
            whole = await ask(history, WRITTEN, T0, T0 + 20, 2)
            assert whole is not None
            assert near(whole.mean[:1], [800.0 / 6])
            assert near(whole.low[:1] + whole.high[:1], [0.0, 300.0])

    async def test_a_counter_that_begins_again_loses_nothing(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            totals = [1e12, 1e12 + 500, 300.0, 700.0]
            await history.append([batch(T0 + 2 * i, (WRITTEN, v)) for i, v in enumerate(totals)])
            curve = await ask(history, WRITTEN, T0, T0 + 8)
            assert curve is not None
            assert near(curve.mean, [None, 250.0, 150.0, 200.0])

    async def test_after_a_downtime_a_counter_has_what_was_counted_meanwhile(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            times, totals = (0, 2, 102, 104), (0.0, 20.0, 1020.0, 1030.0)
            await history.append([batch(T0 + t, (WRITTEN, v)) for t, v in zip(times, totals, strict=True)])
            curve = await ask(history, WRITTEN, T0, T0 + 106)
            assert curve is not None
            assert near([curve.mean[1], curve.mean[51], curve.mean[52]], [10.0, 10.0, 5.0])
            assert set(curve.mean[2:51]) == {None}
            whole = await ask(history, WRITTEN, T0, T0 + 120, 2)
            assert whole is not None
            assert near(whole.mean, [10.0, 1010.0 / 102])

    async def test_labels_select_and_others_stay_out(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            many = [series_of("rate", {"execution": e, "side": s}) for e in ("aa", "bb") for s in ("read", "write")]
            await history.append([batch(T0, *((s, float(i)) for i, s in enumerate([*many, CPU])))])

            async def found(*selections: Selection, executions: set[str] | None = None) -> list[Series]:
                chart: Chart = await history.query(selections, T0, T0 + 2, 2, most_series=4, executions=executions)
                return [c.series for c in chart.curves]

            assert await found(Selection("rate")) == many
            assert await found(Selection("rate", (("side", "read"),))) == [many[0], many[2]]
            assert (
                await found(
                    Selection("rate", (("execution", "bb"), ("side", "read"))),
                    Selection("rate", (("execution", "bb"),)),
                )
                == many[2:]
            )
            assert await found(Selection("rate", (("side", "no"),)), Selection("nothing")) == []
            assert await found(Selection("rate"), Selection("cpu_ratio"), executions={"bb"}) == [CPU, *many[2:]]
            try:
                await history.query([Selection("rate")], T0, T0 + 2, 2, most_series=3)
            except LimitExceeded:
                refused = True
            else:
                refused = False
            assert refused

    async def test_series_are_paged(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            all_of_them = [series_of("m", {"execution": str(i % 2), "i": str(i)}, unit="bytes") for i in range(7)]
            for i, one in enumerate(all_of_them):
                await history.append([batch(T0 + i, (one, 1.0), every_s=5.0), batch(T0, (CPU, 1.0))])
            pages, after = [], 0
            while page := await history.series(after=after, limit=3):
                pages.append(page)
                after = page[-1].number
            listed = [info for page in pages for info in page]
            assert [len(p) for p in pages] == [3, 3, 2]
            assert [i.number for i in listed] == sorted({i.number for i in listed})
            assert {i.series for i in listed} == {*all_of_them, CPU}
            first = next(i for i in listed if i.series == all_of_them[0])
            assert (first.every_s, first.first_at) == (5.0, T0)
            assert [i.series for i in await history.series(metric="m", execution="1")] == all_of_them[1::2]
            shown = await history.series(metric="m", executions={"0"})
            assert [i.series for i in shown] == all_of_them[::2]

    async def test_what_cannot_be_kept_is_left_out_and_counted(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            bad = [
                batch(T0, (CPU, math.nan), (CPU, math.inf), (CPU, 1e39), (CPU, 5.0)),
                batch(math.nan, (CPU, 1.0)),
                batch(-5.0, (CPU, 1.0)),
                batch(1e300, (CPU, 1.0)),
                batch(T0, (CPU, 1.0), every_s=0.0),
                batch(
                    T0,
                    (Series("x" * (MAX_TEXT + 1)), 1.0),
                    (Series(""), 1.0),
                    (Series("x", (("b", ""), ("a", ""))), 1.0),
                ),
                batch(T0, (Series("x", (("a", "\udcff"),)), 1.0)),
            ]
            assert await history.append(bad, [Annotation(math.nan, "phase", "", "")]) == 12
            curve = await ask(history, CPU, T0, T0 + 2)
            assert curve is not None
            assert near(curve.mean[:1], [5.0])
            assert len(await history.series()) == 1

    async def test_a_clock_that_is_set_back_changes_nothing_earlier(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            for i in range(400):
                await history.append([batch(T0 + 20 * i, (CPU, 10.0), (WRITTEN, 40.0 * i), every_s=20.0)])
            for i in range(10):  # an hour and more back
                at = T0 + 3000 + 20 * i + 5
                await history.append([batch(at, (CPU, 20.0), (WRITTEN, 16_000.0 + 40 * i), every_s=20.0)])
            for points in (2, 40, 400, 2000):
                curve = await ask(history, CPU, T0, T0 + 8000, points)
                assert curve is not None
                assert sum(curve.count) == 410
                assert near(
                    [math.fsum(m * n for m, n in zip(curve.mean, curve.count, strict=True) if m is not None)], [4200.0]
                )
                rates = await ask(history, WRITTEN, T0, T0 + 8000, points)
                assert rates is not None
                assert near([v for v in rates.high if v is not None], [2.0] * sum(v is not None for v in rates.high))

    async def test_old_tiers_answer_for_what_finer_ones_have_no_more(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            ago = T0 - 2 * KEEP_S[0]
            await history.append([batch(ago + 2 * i, (CPU, float(i % 5))) for i in range(1800)])
            await history.append([batch(T0, (CPU, 1.0))])
            await history.prune(T0)
            chart = await history.query([Selection("cpu_ratio")], ago, ago + 3600, 1800, most_series=1)
            assert chart.tier_s == 10.0
            assert near([math.fsum(m or 0.0 for m in chart.curves[0].mean)], [2.0 * 360])
            assert sum(chart.curves[0].count) == 1800
            await history.prune(T0 + KEEP_S[-1] + 40 * 86_400)
            assert await ask(history, CPU, ago, ago + 3600) is None
            assert await history.series() == []

    async def test_annotations(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            notes = [Annotation(T0 + i, "phase", ("aa", "bb", "")[i % 3], f"ü {i}") for i in range(9)]
            assert await history.append([], notes[::-1]) == 0
            assert await history.annotations(T0, T0 + 9, limit=100) == notes
            assert await history.annotations(T0 + 1, T0 + 8, limit=100) == notes[1:8]
            assert await history.annotations(T0, T0 + 9, limit=2) == notes[-2:]
            assert await history.annotations(T0, T0 + 5, limit=9, executions={"bb"}) == [notes[i] for i in (1, 2, 4)]
            await history.append([], [Annotation(T0 + 20, "alert", "", "x" * (MAX_TEXT + 5))])
            assert [len(a.text) for a in await history.annotations(T0 + 20, T0 + 21, limit=1)] == [MAX_TEXT]

    async def test_forgetting_an_execution(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            a, b = (series_of("rate", {"execution": e}, MetricKind.COUNTER) for e in ("aa", "bb"))
            notes = [Annotation(T0, "phase", e, "") for e in ("aa", "bb")]
            await history.append([batch(T0 + 2 * i, (a, 5.0 * i), (b, 5.0 * i), (CPU, 1.0)) for i in range(700)], notes)
            await history.forget("aa")
            await history.forget("nobody")
            assert [i.series for i in await history.series()] == [b, CPU]
            assert await history.annotations(T0, T0 + 1, limit=5) == notes[1:]
            for points in (10, 2000):
                chart = await history.query([Selection("rate")], T0, T0 + 1400, points, most_series=1)
                assert [c.series for c in chart.curves] == [b]
            await history.append([batch(T0 + 1400, (a, 1e9)), batch(T0 + 1402, (a, 1e9 + 8))])
            curve = await ask(history, a, T0, T0 + 1404, 1000)
            assert curve is not None
            assert near([v for v in curve.mean if v is not None], [4.0])

    async def test_size_and_condition(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            await history.append([batch(T0, (CPU, 1.0))])
            size = await history.size()
            assert size.series == 1
            assert set(size.tiers) == set(WIDTHS_S)
            condition = history.condition()
            assert (condition.trouble, condition.lost) == ("", "")

    async def test_many_callers_at_once(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:

            async def one(i: int) -> None:
                mine = series_of("m", {"i": str(i)})
                await history.append([batch(T0 + i, (mine, float(i)))])
                curve = await ask(history, mine, T0, T0 + 30)
                assert curve is not None
                assert near([v for v, n in zip(curve.mean, curve.count, strict=True) if n], [float(i)])

            async with trio.open_nursery() as nursery:
                for i in range(20):
                    nursery.start_soon(one, i)
            assert len(await history.series()) == 20

    async def test_a_cancelled_append_happens_whole_or_not_at_all(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as history:
            before = 0
            for steps in range(6):
                async with trio.open_nursery() as nursery:
                    many = [batch(T0 + 2 * i, (CPU, 1.0)) for i in range(50)]
                    nursery.start_soon(history.append, many)
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    nursery.cancel_scope.cancel()
                curve = await ask(history, CPU, T0, T0 + 100)
                now = 0 if curve is None else sum(curve.count)
                assert now in (before, before + 50)
                before = now


class DurableHistoryConformance(HistoryConformance):
    """Further promises of a storage that outlives its process."""

    async def test_everything_is_there_after_reopening(self, tmp_path: Path) -> None:
        note = Annotation(T0, "phase", "aa", "copying")
        async with self.open(tmp_path) as history:
            await history.append([batch(T0 + 2 * i, (CPU, float(i)), (WRITTEN, 6.0 * i)) for i in range(500)], [note])
            before = [await ask(history, s, T0, T0 + 1000, p) for s in (CPU, WRITTEN) for p in (30, 600)]
            listed = await history.series()
        async with self.open(tmp_path) as history:
            assert [await ask(history, s, T0, T0 + 1000, p) for s in (CPU, WRITTEN) for p in (30, 600)] == before
            assert await history.series() == listed
            assert await history.annotations(T0, T0 + 1, limit=5) == [note]

    async def test_a_restart_leaves_no_hole_but_the_downtime(self, tmp_path: Path) -> None:
        step = 7
        for part in range(step):
            async with self.open(tmp_path) as history:
                readings = range(part * 100, part * 100 + 90)
                await history.append([batch(T0 + 2 * i, (CPU, 1.0), (WRITTEN, 6.0 * i)) for i in readings])
        async with self.open(tmp_path) as history:
            for points in (2, 90, 700):
                gauge = await ask(history, CPU, T0, T0 + 200 * step, points)
                rates = await ask(history, WRITTEN, T0, T0 + 200 * step, points)
                assert gauge is not None
                assert rates is not None
                assert sum(gauge.count) == 90 * step
                assert sum(rates.count) == 90 * step - 1
                assert near([v for v in rates.mean if v is not None], [3.0] * sum(v is not None for v in rates.mean))
                gaps = [i for i, v in enumerate(gauge.mean) if v is None]
                assert points < 700 or gaps == [i for i in range(100 * step) if i % 100 >= 90]
