"""What machines use, from recorded trees of /sys/class/powercap: a server, a laptop, and one that tells nothing."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from migmond.plugin_api import NoData
from migmond_psutil.collector import SystemCollector
from migmond_psutil.rapl import Energy

RANGE = 262_143_328_850
SERVER = {
    "intel-rapl:0": ("package-0", 177_412_345_678), "intel-rapl:0:0": ("dram", 52_123_456_789),
    "intel-rapl:1": ("package-1", 12_000_000), "intel-rapl:1:0": ("dram", 7_000_000),
}  # fmt: skip
"""As a machine with two processors (Xeon Silver) shows them."""
LAPTOP = {
    "intel-rapl:0": ("package-0", 8_123_000_000), "intel-rapl:0:0": ("core", 3_000_000_000),
    "intel-rapl:0:1": ("uncore", 100_000_000), "intel-rapl:1": ("psys", 30_000_000_000),
    "intel-rapl-mmio:0": ("package-0", 8_123_000_000),
}  # fmt: skip


def recorded(root: Path, zones: dict[str, tuple[str, int]], range_uj: int = RANGE) -> Path:
    """Lay zones out as the kernel does: links in /sys/class/powercap to a tree in which parts lie below their zones."""
    listed = root / "class/powercap"
    listed.mkdir(parents=True, exist_ok=True)
    for zone, (name, energy) in zones.items():
        control, *numbers = zone.split(":")
        below = "/".join(":".join((control, *numbers[:i])) for i in range(1, len(numbers) + 1))
        directory = root / "devices/virtual/powercap" / control / below
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "name").write_text(f"{name}\n")
        (directory / "energy_uj").write_text(f"{energy}\n")
        (directory / "max_energy_range_uj").write_text(f"{range_uj}\n")
        (directory / "enabled").write_text("0\n")
        if not (listed / zone).exists():
            (listed / zone).symlink_to(os.path.relpath(directory, listed))
        if not (listed / control).exists():
            (listed / control).symlink_to(os.path.relpath(root / "devices/virtual/powercap" / control, listed))
    return listed


def after(zones: dict[str, tuple[str, int]], used_uj: int) -> dict[str, tuple[str, int]]:
    return {zone: (name, (energy + used_uj) % RANGE) for zone, (name, energy) in zones.items()}


def test_a_server(tmp_path: Path) -> None:
    rapl = Energy(str(recorded(tmp_path, SERVER)))
    assert rapl.read() == {"package-0": 0, "package-0/dram": 0, "package-1": 0, "package-1/dram": 0}
    recorded(tmp_path, after(SERVER, 200_000_000_000))  # the first package wraps
    assert rapl.read() == dict.fromkeys(("package-0", "package-0/dram", "package-1", "package-1/dram"), 200_000.0)


def test_a_laptop_shows_its_package_once(tmp_path: Path) -> None:
    rapl = Energy(str(recorded(tmp_path, LAPTOP)))
    rapl.read()
    recorded(tmp_path, after(LAPTOP, 5_000_000))
    assert rapl.read() == dict.fromkeys(("package-0", "package-0/core", "package-0/uncore", "psys"), 5.0)


def test_a_machine_that_tells_nothing_says_so(tmp_path: Path) -> None:
    (tmp_path / "dtpm").mkdir()
    for directory in (tmp_path, tmp_path / "no such"):
        (found,) = Energy(str(directory)).read().items()
        assert found[0] == ""
        assert isinstance(found[1], NoData)
        assert "does not tell what it uses" in found[1].reason


def test_what_cannot_be_read_says_so_and_nothing_is_made_up_when_it_comes_back(tmp_path: Path) -> None:
    directory = recorded(tmp_path, {"intel-rapl:0": ("package-0", 1_000_000)})
    rapl, file = Energy(str(directory)), directory / "intel-rapl:0" / "energy_uj"
    assert rapl.read() == {"package-0": 0.0}
    file.write_text("3000000\n")
    assert rapl.read() == {"package-0": 2.0}
    for broken in ("", "x\n"):
        file.write_text(broken)
        found = rapl.read()["package-0"]
        assert isinstance(found, NoData)
        assert "energy_uj" in found.reason
    file.unlink()
    assert "No such file" in str(rapl.read()["package-0"])
    file.write_text("9000000\n")
    assert rapl.read() == {"package-0": 2.0}
    file.write_text("9500000\n")
    assert rapl.read() == {"package-0": 2.5}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_only_root_may_read_is_told(tmp_path: Path) -> None:
    directory = recorded(tmp_path, {"intel-rapl:0": ("package-0", 1)})
    (directory / "intel-rapl:0" / "energy_uj").chmod(0)
    assert "Permission denied" in str(Energy(str(directory)).read()["package-0"])


@given(st.lists(st.integers(0, 999), min_size=1, max_size=30), st.integers(0, 999))
@hypothesis_settings(max_examples=50, deadline=None)
def test_a_counter_that_wraps_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], start: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("rapl")
    totals = list(itertools.accumulate(steps, initial=start))
    rapl = Energy(str(recorded(tmp_path, {"intel-rapl:0": ("package-0", start)}, 1000)))
    rapl.read()
    for total in totals[1:]:
        recorded(tmp_path, {"intel-rapl:0": ("package-0", total % 1000)}, 1000)
        found = rapl.read()
    assert found["package-0"] == pytest.approx((totals[-1] - start) / 1e6)


async def test_the_collector_tells_it(tmp_path: Path) -> None:
    collector = SystemCollector(powercap=str(recorded(tmp_path, SERVER)))
    samples = list(await collector.collect())
    zones = {s.labels["zone"]: s.value for s in samples if s.metric == "migmond_energy_joules_total"}
    assert zones == {"package-0": 0, "package-0/dram": 0, "package-1": 0, "package-1/dram": 0}
