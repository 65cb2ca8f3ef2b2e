"""history.db itself: its bytes, damage, a full disk, a killed daemon, and what is removed."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopfs import tmpfs
from migmond.analytics.rollup import Points, of_value, points_of
from migmond.analytics.tiers import KEEP_S
from migmond.domain.errors import HistoryError
from migmond.domain.telemetry import MAX_VALUE, Annotation, series_of
from migmond.plugin_api.history_conformance import CPU, T0, WRITTEN, ask, batch, near
from migmond_sqlite import SqliteHistory, history_series, open_history
from migmond_sqlite.connections import run
from migmond_sqlite.history_codec import decode, encode, is_weighted

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
ROOT = Path(__file__).parents[2]
STATS = st.lists(
    st.tuples(st.integers(0, 5000), st.lists(st.floats(-MAX_VALUE, MAX_VALUE), min_size=1, max_size=4)),
    min_size=1,
    max_size=200,
    unique_by=lambda item: item[0],
)


@given(STATS, st.booleans(), st.integers(0, 10**9), st.floats(0.01, 1e6))
def test_rows_come_back_as_well_as_32_bits_hold_them(
    stats: list[tuple[int, list[float]]], weighted: bool, base: int, seconds: float
) -> None:
    points = points_of((base + i, of_value(v, seconds if weighted else 1.0)) for i, values in stats for v in values)
    data = encode(points, base, weighted=weighted)
    found = decode(data, base)
    assert is_weighted(data) is weighted
    assert (found.index, found.count) == (points.index, points.count)
    assert near(found.low, points.low, 1e-6)
    assert near(found.high, points.high, 1e-6)
    assert near(found.weight, points.weight, 1e-6)
    for i in range(len(points)):
        size = max(abs(points.low[i]), abs(points.high[i])) * points.weight[i]
        assert math.isclose(found.total[i], points.total[i], rel_tol=1e-6, abs_tol=size * 1e-6 + 1e-30)


@given(st.binary(max_size=60), st.integers(0, 60))
def test_rows_that_are_none_are_refused(data: bytes, cut: int) -> None:
    whole = encode(points_of((i, of_value(1.5 * i)) for i in range(30)), 0, weighted=False)
    for wrong in (data, whole[:cut], whole + b"x"):
        try:
            found = decode(wrong, 0)
        except ValueError:
            continue
        assert len(found) == len(found.index) == len(found.weight)  # bytes that happen to be some


def test_a_point_that_was_read_once_takes_few_bytes() -> None:
    five = points_of((i, of_value(math.pi * i)) for i in range(5))
    assert len(encode(five, 0, weighted=False)) == 5 + 5 * 4
    steady = Points(*map(list, ([*range(240)], [0.5] * 240, [0.5] * 240, [15.0] * 240, [30.0] * 240, [30] * 240)))
    assert len(encode(steady, 0, weighted=False)) < 50


# --- damage ----------------------------------------------------------------------------------------


async def filled(directory: Path, count: int = 3000) -> None:
    async with open_history(directory) as history:
        for start in range(0, count, 100):
            readings = range(start, start + 100)
            await history.append([batch(T0 + 2 * i, (CPU, i * 0.37), (WRITTEN, 7.0 * i)) for i in readings])


async def works(history: SqliteHistory, at: float) -> None:
    assert await history.append([batch(at, (CPU, 3.0))], [Annotation(at, "daemon", "", "again")]) == 0
    curve = await ask(history, CPU, at - 10, at + 2)
    assert curve is not None
    assert curve.mean[-1] == 3.0
    assert history.condition().trouble == ""


@pytest.mark.parametrize("what", ["text", "half", "empty", "page1", "other", "missing", "newer"])
async def test_one_that_is_damaged_at_the_start_is_set_aside(tmp_path: Path, what: str) -> None:
    await filled(tmp_path)
    path = tmp_path / "history.db"
    data = path.read_bytes()
    wrong = {
        "text": b"no database\n" * 400,
        "half": data[:50],
        "empty": b"",
        "page1": data[:200] + b"\xff" * 3000 + data[3200:],
        "other": data[:68] + b"abcd" + data[72:],
        "newer": data[:60] + b"\0\0\0\x09" + data[64:],
    }
    if what == "missing":
        path.unlink()
        path.with_name("history.db-wal").write_bytes(b"what is left")
    else:
        path.write_bytes(wrong[what])
    async with open_history(tmp_path) as history:
        lost = history.condition().lost
        assert ("set aside" in lost) is (what != "empty"), lost
        await works(history, T0)
        if what not in ("empty", "missing"):
            assert (tmp_path / "history.db.damaged").read_bytes() == wrong[what]
    async with open_history(tmp_path) as history:  # and the new one is whole
        assert history.condition().lost == ""
        await works(history, T0 + 100)


@pytest.mark.parametrize("by", ["query", "append", "size"])
async def test_damage_met_while_it_runs_begins_afresh(tmp_path: Path, by: str) -> None:
    await filled(tmp_path)
    path = tmp_path / "history.db"

    async def meet(history: SqliteHistory) -> None:
        if by == "query":
            await ask(history, CPU, T0, T0 + 6000)
        elif by == "append":
            await history.append([batch(T0 + 100 + i, (CPU, 1.0)) for i in range(0, 6000, 100)])
        else:
            await history.size()

    async with open_history(tmp_path) as history:
        data = bytearray(path.read_bytes())
        for at in range(100, len(data), 4096):
            data[at] ^= 0xFF
        with path.open("r+b") as file:
            file.write(data)
        with pytest.raises(HistoryError):
            await meet(history)
        assert "damaged" in history.condition().lost
        assert (tmp_path / "history.db.damaged").exists()
        await works(history, T0)
        assert await ask(history, WRITTEN, T0, T0 + 6000) is None


async def test_a_row_that_makes_no_sense_is_damage(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with open_history(tmp_path) as history:
        assert history._files is not None
        run(history._files.writer, "UPDATE tier_10 SET body = x'0102' WHERE key IN (SELECT max(key) FROM tier_10)")
        with pytest.raises(HistoryError, match="damaged"):
            await ask(history, WRITTEN, T0, T0 + 6000, 500)
        await works(history, T0)


async def test_two_daemons_do_not_write_to_one(tmp_path: Path) -> None:
    async with open_history(tmp_path) as first:
        async with open_history(tmp_path) as second:
            assert "another process" in second.condition().trouble
            with pytest.raises(HistoryError, match="another process"):
                await second.append([batch(T0, (CPU, 1.0))])
            with pytest.raises(HistoryError, match="another process"):
                await second.series()
        await works(first, T0)


# --- room ------------------------------------------------------------------------------------------


@needs_root
async def test_a_full_disk_costs_telemetry_and_nothing_else(tmp_path: Path) -> None:
    with tmpfs(tmp_path, "size=1500k") as disk:
        async with open_history(disk) as history:
            filler = disk / "filler"
            many = [series_of("m", {"i": str(i)}) for i in range(100)]
            recorded = 0

            async def record_for_ever() -> None:
                nonlocal recorded
                while True:
                    at = T0 + 2 * recorded
                    await history.append([batch(at, *((s, at * i % 1.7) for i, s in enumerate(many)))])
                    recorded += 1
                    if recorded == 20:
                        filler.write_bytes(bytes(700 << 10))

            with pytest.raises(HistoryError, match="full"):
                await record_for_ever()
            assert "full" in history.condition().trouble
            assert history.condition().lost == ""
            filler.unlink()
            await works(history, T0 + 2 * recorded)
            curve = await ask(history, many[1], T0, T0 + 2 * recorded, 2000)
            assert curve is not None
            assert sum(curve.count) == recorded


@needs_root
async def test_one_that_cannot_be_made_at_the_start_is_made_when_there_is_room(tmp_path: Path) -> None:
    with tmpfs(tmp_path, "size=600k") as disk:
        (disk / "filler").write_bytes(bytes(596 << 10))
        async with open_history(disk) as history:
            assert history.condition().trouble
            with pytest.raises(HistoryError):
                await history.append([batch(T0, (CPU, 1.0))])
            with pytest.raises(HistoryError):
                await history.series()
            (disk / "filler").unlink()
            await works(history, T0)


async def test_with_little_room_nothing_is_recorded_until_there_is_more(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    free_bytes = free.f_bavail * free.f_frsize
    async with open_history(tmp_path, spare_bytes=free_bytes * 2) as history:
        with pytest.raises(HistoryError, match="are free in"):
            await history.append([batch(T0, (CPU, 1.0))])
        assert "are free in" in history.condition().trouble
        assert await history.series() == []  # what was recorded can still be read
        history._spare_bytes = 1
        await works(history, T0)


# --- a crash ---------------------------------------------------------------------------------------

_FEEDER = """
import sys, trio
from pathlib import Path
from migmond.plugin_api.history_conformance import CPU, T0, WRITTEN, batch
from migmond_sqlite import open_history

async def feed():
    async with open_history(Path(sys.argv[1])) as history:
        i = int(sys.argv[2])
        while True:
            await history.append([batch(T0 + 2 * n, (CPU, float(n % 9)), (WRITTEN, 6.0 * n)) for n in range(i, i + 40)])
            i += 40
            print(i, flush=True)

trio.run(feed)
"""


async def test_a_killed_daemon_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """SIGKILL at any moment, in the roll-up as well: what was acknowledged is there once, in every tier."""
    rng, known = random.Random(5), 0
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    for _ in range(6):
        arguments = [sys.executable, "-c", _FEEDER, str(tmp_path), str(known)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            for _ in range(rng.randrange(3, 40)):
                known = int(process.stdout.readline())
            try:
                process.wait(rng.random() * 0.01)
            except subprocess.TimeoutExpired:
                process.kill()
            known = max([known, *(int(line) for line in process.stdout.read().splitlines())])
        async with open_history(tmp_path) as history:
            curve = await ask(history, CPU, T0, T0 + 2 * known + 2000, 2000)
            assert curve is not None
            # A transaction that was not acknowledged may have happened as well.
            found = sum(curve.count)
            assert found in (known, known + 40)
            known = found
            for points in (2, 20, 300, 2000):
                gauge = await ask(history, CPU, T0, T0 + 2 * known, points)
                rates = await ask(history, WRITTEN, T0, T0 + 2 * known, points)
                assert gauge is not None
                assert rates is not None
                assert (sum(gauge.count), sum(rates.count)) == (known, known - 1)
                total = math.fsum(m * n for m, n in zip(gauge.mean, gauge.count, strict=True) if m is not None)
                assert math.isclose(total, sum(n % 9 for n in range(known)), rel_tol=1e-5)
                assert near([v for v in rates.mean if v is not None], [3.0] * sum(v is not None for v in rates.mean))
    assert known > 200


# --- what is removed -------------------------------------------------------------------------------


async def test_what_is_too_old_leaves_the_file(tmp_path: Path) -> None:
    keep = {2: 600.0, 10: 1200.0, 60: 86_400.0, 3600: 10 * 86_400.0}
    async with open_history(tmp_path, keep) as history:
        for i in range(0, 5000, 50):
            await history.append([batch(T0 + 2 * n, (CPU, n * 0.1)) for n in range(i, i + 50)])
        before = (await history.size()).tiers
        await history.prune(T0 + 10_000)
        after = (await history.size()).tiers
        assert after[2] <= 600 / 10 + 1 < before[2]
        assert after[10] <= 1200 / 600 + 1 < before[10]
        assert after[60] == before[60]
        # Far in the future, all of it goes but what was not rolled up: that is never lost.
        await history.prune(T0 + 10 * KEEP_S[-1])
        assert sum((await history.size()).tiers.values()) <= before[2]
        assert await history.series() == []
    async with open_history(tmp_path, keep) as history:
        await works(history, T0 + 20 * 86_400)


async def test_labels_without_bounds_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_series, "MAX_SERIES", 10)
    async with open_history(tmp_path) as history:
        many = [series_of("m", {"path": str(i)}) for i in range(15)]
        assert await history.append([batch(T0, *((s, 1.0) for s in many))]) == 5
        assert await history.append([batch(T0 + 2, *((s, 1.0) for s in many))]) == 5
        assert len(await history.series()) == 10
        # A day later, those that nobody reads any more make room, with all they have; those that are read stay.
        later = T0 + 2 * 86_400
        await history.append([batch(later, *((s, 1.0) for s in many[:9]))])
        await history.prune(later)
        assert [i.series for i in await history.series()] == many[:9]
        assert await history.append([batch(later + 2, (many[9], 2.0))]) == 0
        assert await ask(history, many[9], T0, T0 + 4) is None
