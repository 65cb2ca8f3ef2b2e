"""Forecasts of a run: what they rest on, and that nothing else ever depends on them."""

from __future__ import annotations

import time

import msgspec
import pytest
import trio

from migmond.analytics.decay import learnt
from migmond.analytics.measures import Cost, Unknown
from migmond.daemon.watchdog import LoopLag
from migmond.domain.device import Chain, Disk
from migmond.domain.execution import Tally, Totals
from migmond.domain.mount_table import MountLine
from migmond.domain.session import DeviceSide, SessionRecord
from migmond.engine.forecasting import HISTORY_RUNS, KEPT_TICKS, Forecasting, costs_of, side_of

TOTALS = Totals(Tally(1000, 1000 << 20), growing=False)
A, B = DeviceSide(("sda",), "model:1", "hdd"), DeviceSide(("sdb",), "model:2", "ssd")


def disk(name: str, *, rotational: bool | None, transport: str = "sata", serial: str = "") -> Disk:
    return Disk(name, 1, "model", serial, transport, rotational, 1 << 40, ())


@pytest.mark.parametrize(
    ("chain", "side"),
    [
        (Chain(None), DeviceSide()),
        (Chain(None, disks=(disk("sda", rotational=True, serial="7"),)), DeviceSide(("sda",), "model:7", "hdd")),
        (Chain(None, disks=(disk("sdb", rotational=False),)), DeviceSide(("sdb",), "sdb", "ssd")),
        (Chain(None, disks=(disk("sdb", rotational=None),)), DeviceSide(("sdb",), "sdb", "unknown")),
        (
            Chain(None, disks=(disk("nvme0n1", rotational=False, transport="nvme", serial="9"),)),
            DeviceSide(("nvme0n1",), "model:9", "nvme"),
        ),
        (Chain(None, server="host:/x"), DeviceSide((), "host:/x", "network")),
    ],
)
def test_what_an_end_is_on(chain: Chain, side: DeviceSide) -> None:
    assert side_of(chain) == side


def record(key: int, source: DeviceSide = A, target: DeviceSide = B, **fields: object) -> SessionRecord:
    known: dict[str, object] = {"cost_a": 0.001 * key, "cost_b": 1e-8, **fields}
    return SessionRecord(key, f"{key:012x}", 0.0, source=source, target=target, **known)  # type: ignore[arg-type]


def test_only_runs_between_the_same_disks_that_nobody_limited_count() -> None:
    records = [
        record(1), record(2, source=B, target=A), record(3, limited=True), record(4, cost_a=None), record(5),
        record(6, source=DeviceSide()),
    ]  # fmt: skip
    assert [c.a for c in costs_of(records, A, B)] == [0.001, 0.005]
    assert costs_of(records, DeviceSide(), B) == []
    many = [record(n) for n in range(1, 100)]
    assert [c.a for c in costs_of(many, A, B)] == [0.001 * n for n in range(100 - HISTORY_RUNS, 100)]


async def test_a_forecast_is_kept_over_runs_and_its_bands_are_tested() -> None:
    one = Forecasting()
    assert isinstance(one.forecast(), Unknown)
    assert one.snapshot() == b""
    one.begin(TOTALS, A, B, [Cost(0.01, 1e-7)] * 3, 2)
    for second in range(1, 60):
        one.tick(float(second), Tally(8 * second, (8 * second) << 20), TOTALS, 2, None)
    await one.learn()
    outlook = one.outlook(59.0)
    assert outlook.remaining_s is not None
    assert outlook.remaining_s == pytest.approx(66, rel=0.2)
    assert outlook.cost_a is not None
    two = Forecasting()
    two.begin(TOTALS, A, B, [], 2, one.snapshot())
    assert two.forecast() == one.forecast()
    other = Forecasting()
    other.begin(TOTALS, A, B, [], 2, b"of another version")
    assert isinstance(other.forecast(), Unknown)
    for second in range(60, 126):
        one.tick(float(second), Tally(8 * second, (8 * second) << 20), TOTALS, 2, None)
    told, held = one.kept(125.0)
    assert told >= 10
    assert held >= 0.7 * told
    one.tick(126.0, Tally(1000, 1000 << 20), TOTALS, 1, None)  # somebody changed the number of movers in the end
    assert one.kept(126.0)[0] == 0


def test_a_long_run_keeps_a_bounded_number_of_ticks() -> None:
    one = Forecasting()
    one.begin(TOTALS, A, B, [], 1)
    for tick in range(20 * KEPT_TICKS):
        one.tick(tick * 0.25, Tally(tick, tick), TOTALS, 1, None)
    assert len(one._ticks) < KEPT_TICKS
    assert one._ticks[-1].t > 19 * KEPT_TICKS * 0.25


async def test_numbers_beyond_all_reason_end_the_forecast_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Forecasting()
    one.begin(TOTALS, A, B, [], 1)
    assert one._predictor is not None

    def fails(*_: object, **__: object) -> None:
        raise OverflowError("math range error")

    monkeypatch.setattr(one._predictor, "tick", fails)
    one.tick(1.0, Tally(1, 1 << 70), TOTALS, 1, None)
    found = one.forecast()
    assert isinstance(found, Unknown)
    await one.learn()
    assert one.outlook(1.0).remaining_s is None


async def test_learning_what_a_long_run_cost_leaves_the_loop_alone() -> None:
    """By the processor time of the loop's thread, against what the same takes there."""
    one = Forecasting()
    one.begin(TOTALS, A, B, [], 1)
    for tick in range(1, KEPT_TICKS):
        one.tick(tick * 0.25, Tally(tick, tick * (1000 + tick % 7)), TOTALS, 1, None)
    ticks, began = tuple(one._ticks), time.thread_time()
    expected = learnt(ticks)
    took_s, lag = time.thread_time() - began, LoopLag()
    with lag.watching():
        await one.learn()
        await trio.lowlevel.checkpoint()
    assert lag.worked.at(time.monotonic()).seconds < took_s / 2
    outlook = one.outlook(500.0)
    assert expected is not None
    assert (outlook.cost_a, outlook.cost_b) == (expected.a, expected.b)


def test_a_mount_is_known_by_its_point() -> None:
    mount = MountLine(1, 0, 7, b"/", b"/mnt/x", (), "tmpfs", b"tmpfs", ())
    assert side_of(Chain(mount)) == DeviceSide((), "memory", "memory", "/mnt/x", "tmpfs")


def left_after(one: Forecasting, seconds: range, **given_up: Tally) -> float:
    """Let it go on at 4 MiB and four files a second; returns the seconds that it says are left."""
    for second in seconds:
        totals = msgspec.structs.replace(TOTALS, done=Tally(4 * second, 4 * second << 20), **given_up)
        one.tick(float(second), totals.handled, totals, 2, None)
    found = one.forecast()
    assert not isinstance(found, Unknown)
    return found.remaining_s


@pytest.mark.parametrize("how", ["left_out", "failed", "cancelled"])
def test_what_is_given_up_is_no_speed(how: str) -> None:
    """Half of it was skipped: what was left was said to take a moment, also when it was brought back."""
    one, gone = Forecasting(), Tally(420, 420 << 20)
    one.begin(TOTALS, A, B, [Cost(0.0001, 1 / (4 << 20))], 2)
    given_up = {how: gone, "skipped": gone} if how == "left_out" else {how: gone}
    assert left_after(one, range(1, 41)) == pytest.approx(210, rel=0.1)  # 840 MiB
    assert left_after(one, range(41, 51), **given_up) == pytest.approx(95, rel=0.1)  # 1000 - 420 - 200 MiB
    assert left_after(one, range(51, 61)) == pytest.approx(190, rel=0.1)  # 760 MiB
