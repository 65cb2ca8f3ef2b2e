"""Costs, against sums by hand; what is not configured is never in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.cost import DiskUse, Prices, Usage, cost, energy, is_summed, wear


def usage(**more: object) -> Usage:
    return Usage(**{"wall_s": 1000.0, "active_s": 900.0, "moved_bytes": 10**12, **more})  # type: ignore[arg-type]


def test_measured_energy_is_what_is_above_idle() -> None:
    machine = {"machine_joules": 40_000.0, "machine_s": 1000.0}
    found = energy(usage(**machine, idle_watts=15.0, cpu_share=0.5, watts_per_core=10.0, cpu_s=100.0))
    assert found.method == "measured"
    assert found.joules == pytest.approx((40_000 - 15_000) * 0.5)
    assert "no disks" in found.reason
    whole = energy(usage(**machine, idle_watts=15.0))
    assert whole.joules == pytest.approx(25_000)
    assert "everything" in whole.reason
    assert energy(usage(**machine, idle_watts=1000.0)).joules == 0
    part = energy(usage(machine_joules=4_000.0, machine_s=100.0, idle_watts=15.0, cpu_share=1.0))
    assert part.joules == pytest.approx(2_500)
    assert part.reason.endswith("of 100 of its 1000 s")


def test_modelled_energy_is_marked_and_says_what_it_leaves_out() -> None:
    disk = DiskUse("sdb", busy_s=600.0, active_watts=7.0, idle_watts=4.0)
    found = energy(usage(disks=(disk, DiskUse("sda")), cpu_s=200.0))
    assert found.method == "modelled"
    assert found.joules == pytest.approx(1800)
    assert found.reason.endswith("not in it: sda, processor")
    both = energy(usage(disks=(disk,), cpu_s=200.0, watts_per_core=6.0))
    assert both.joules == pytest.approx(1800 + 1200)
    measured = energy(usage(machine_joules=10.0, machine_s=1000.0))
    assert measured.method == "unknown"  # without the idle power it says nothing of this execution
    assert "prices.idle_watts" in measured.reason
    assert "no RAPL here" in energy(usage()).reason


@pytest.mark.parametrize(
    ("zone", "counts"),
    [
        ("package-0", True), ("package-1-die-0", True), ("package-0/dram", True), ("package-0/core", False),
        ("package-0/uncore", False), ("psys", False), ("psys/dram", False), ("", False),
    ],
)  # fmt: skip
def test_nothing_counts_twice(zone: str, *, counts: bool) -> None:
    assert is_summed(zone) is counts


def test_wear_by_hand() -> None:
    rated = DiskUse("nvme0", written_bytes=6 * 10**11, rated_bytes=600e12, write_amplification=2.0)
    found = wear(rated)
    assert (found.media_bytes, found.reason) == (1.2e12, "")
    assert found.share == pytest.approx(0.002)
    plain = wear(DiskUse("nvme0", written_bytes=6 * 10**11, rated_bytes=600e12))
    assert plain.share == pytest.approx(0.001)
    assert "no write amplification" in plain.reason
    assert wear(DiskUse("nvme0", written_bytes=5)).share is None


def test_money_by_hand() -> None:
    disk = DiskUse("sdb", 600.0, 10**12, 7.0, 4.0, rated_bytes=500e12, write_amplification=1.0, price=250.0)
    found = cost(usage(disks=(disk,), cpu_s=200.0), Prices("EUR", "2026-11-01", per_kwh=0.36, per_gb=0.02))
    assert found.money is not None
    assert found.money.parts == pytest.approx({"energy": 1800 / 3.6e6 * 0.36, "transfer": 20.0, "wear of sdb": 0.5})
    assert found.money.amount == pytest.approx(20.5 + 1.8e-4)
    assert found.missing == ()


def test_unknown_is_told_and_not_paid_for() -> None:
    nothing = cost(usage(disks=(DiskUse("sda"), DiskUse("sdb", written_bytes=1))), None)  # sda was only read
    assert nothing.money is None
    assert nothing.energy.joules is None
    assert [m.split(":")[0] for m in nothing.missing] == ["energy", "wear of sdb", "money"]
    assert [w.device for w in nothing.wear] == ["sdb"]
    assert cost(usage(), Prices("EUR", "2026-11-01")).money is None


@given(
    st.none() | st.floats(0, 1e4), st.none() | st.floats(0, 20), st.none() | st.floats(0, 1e15),
    st.none() | st.floats(1, 9), st.none() | st.floats(0, 1e3), st.none() | st.floats(0, 1),
    st.none() | st.floats(0, 1),
)  # fmt: skip
def test_money_is_the_sum_of_its_parts_and_has_none_without_a_price(
    busy: float | None, watts: float | None, rated: float | None, waf: float | None, price: float | None,
    per_kwh: float | None, per_gb: float | None,
) -> None:  # fmt: skip
    disk = DiskUse("sdb", busy, 10**9, watts, 0.0 if watts is not None else None, rated, waf, price)
    found = cost(usage(disks=(disk,)), Prices("EUR", "2026-11-01", per_kwh, per_gb))
    parts = {} if found.money is None else found.money.parts
    assert ("energy" in parts) == (per_kwh is not None and busy is not None and watts is not None)
    assert ("transfer" in parts) == (per_gb is not None)
    assert ("wear of sdb" in parts) == (price is not None and rated is not None and rated >= 1)
    if found.money is not None:
        assert found.money.amount == pytest.approx(sum(parts.values()))
    assert all(v >= 0 for v in parts.values())
