"""The machine's figures: against plain arithmetic on random counters, and against the machine itself."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from migmond.plugin_api import NoData, Sample
from migmond_psutil.collector import SystemCollector
from migmond_psutil.sources import Pressure, parse_meminfo, parse_pressure


class DiskTimes(NamedTuple):
    """What psutil tells of a disk on Linux."""

    read_count: int
    write_count: int
    read_bytes: int
    write_bytes: int
    read_time: int
    write_time: int
    read_merged_count: int
    write_merged_count: int
    busy_time: int


Series = dict[tuple[str, ...], float | NoData]


def series(samples: Iterable[Any]) -> Series:
    found: Series = {}
    for sample in samples:
        assert isinstance(sample, Sample)
        key = (sample.metric.removeprefix("migmond_"), *sample.labels.values())
        assert key not in found, f"{key} twice"
        found[key] = sample.value
    return found


class Machine:
    """What psutil says of disks, as it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.disks: Mapping[str, Any] = {}
        self.now = 100.0
        monkeypatch.setattr(psutil, "disk_io_counters", lambda perdisk, nowrap: self.disks)


@pytest.fixture
def block(tmp_path: Path) -> Path:
    for name in ("sda", "cciss!c0d0", "loop0", "md0"):
        (tmp_path / "block" / name).mkdir(parents=True)
    return tmp_path / "block"


def disk(reads: int = 0, writes: int = 0, read_ms: int = 0, write_ms: int = 0, busy_ms: int = 0) -> Any:
    return DiskTimes(reads, writes, reads * 4096, writes * 4096, read_ms, write_ms, 0, 0, busy_ms)


async def test_which_disks_are_told(block: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.disks = {name: disk() for name in ("sda", "sda1", "cciss/c0d0", "loop0", "md0")}

    async def devices(**options: Any) -> list[str]:
        found = series(await SystemCollector(block=str(block), **options).collect())
        return [key[1] for key in found if key[0] == "disk_busy_ratio"]

    assert await devices() == ["cciss/c0d0", "md0", "sda"]
    assert await devices(partitions=True) == ["cciss/c0d0", "md0", "sda", "sda1"]
    assert await devices(virtual=True) == ["cciss/c0d0", "loop0", "md0", "sda"]
    machine.disks = {}
    found = series(await SystemCollector(block=str(block)).collect())
    assert found["disk_busy_ratio", ""] == NoData("there is no disk here")


async def test_a_machine_that_shows_no_disks_at_all_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As containers do without /proc/diskstats and /sys/block: psutil calls that not implemented, by itself."""
    exists, hidden = os.path.exists, ("/proc/diskstats", "/sys/block")
    monkeypatch.setattr(os.path, "exists", lambda path: path not in hidden and exists(path))
    with pytest.raises(NotImplementedError):
        psutil.disk_io_counters(perdisk=True, nowrap=False)
    found = series(await SystemCollector().collect())
    told = found["disk_busy_ratio", ""]
    assert isinstance(told, NoData)
    assert told.reason.startswith("disks cannot be read: ")
    assert any(key[0] == "memory_used_bytes" and not isinstance(value, NoData) for key, value in found.items())


async def test_a_disk_that_comes_later_is_seen_and_one_that_is_replaced_starts_anew(
    block: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch)
    collector = SystemCollector(block=str(block), now=lambda: machine.now)
    machine.disks = {"sda": disk(5)}
    first = series(await collector.collect())
    assert first["disk_busy_ratio", "sda"] == NoData("it takes two looks to tell")
    assert first["disk_operations_total", "sda", "read"] == 5
    machine.now += 2
    (block / "sdb").mkdir()
    machine.disks = {"sda": disk(10, busy_ms=1000, read_ms=20), "sdb": disk(7)}
    second = series(await collector.collect())
    assert second["disk_busy_ratio", "sda"] == 0.5
    assert second["disk_latency_seconds", "sda", "read"] == pytest.approx(0.004)
    assert second["disk_latency_seconds", "sda", "write"] == NoData("no request ended since the last look")
    assert isinstance(second["disk_busy_ratio", "sdb"], NoData)
    machine.now += 2
    machine.disks = {"sda": disk(3, busy_ms=2000), "sdb": disk(9)}
    third = series(await collector.collect())
    assert isinstance(third["disk_busy_ratio", "sda"], NoData)
    assert third["disk_bytes_total", "sda", "read"] == 3 * 4096


counters = st.tuples(*[st.integers(0, 10_000)] * 5)


@given(start=counters, steps=st.lists(st.tuples(counters, st.floats(0.1, 100)), min_size=1, max_size=5))
def test_random_disks_against_plain_arithmetic(
    start: tuple[int, ...], steps: list[tuple[tuple[int, ...], float]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(patch)
        collector = SystemCollector(block="/nonexistent", now=lambda: machine.now)
        machine.disks, at = {"sda": disk(*start)}, start
        trio.run(collector.collect)
        for step, passed_s in steps:
            at, machine.now = tuple(a + s for a, s in zip(at, step, strict=True)), machine.now + passed_s
            machine.disks = {"sda": disk(*at)}
            found = series(trio.run(collector.collect))
            reads, writes, read_ms, write_ms, busy_ms = step
            assert found["disk_busy_ratio", "sda"] == pytest.approx(min(1, busy_ms / 1e3 / passed_s))
            assert found["disk_queue_requests", "sda"] == pytest.approx((read_ms + write_ms) / 1e3 / passed_s)
            for way, number, ms in (("read", reads, read_ms), ("write", writes, write_ms)):
                value = found["disk_latency_seconds", "sda", way]
                if number:
                    assert value == pytest.approx(ms / 1e3 / number)
                else:
                    assert isinstance(value, NoData)


async def test_this_machine_while_one_thread_of_it_computes() -> None:
    collector = SystemCollector()
    first = series(await collector.collect())
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    found = series(await collector.collect())
    cpus = [key for key in found if key[0] == "cpu_busy_ratio"]
    assert len(cpus) == psutil.cpu_count()
    shares = [v for k, v in found.items() if k[0] == "cpu_mode_ratio" and isinstance(v, float)]
    assert sum(shares) == pytest.approx(1.0)
    assert max(v for k, v in found.items() if k in cpus and isinstance(v, float)) > 0.1
    before, after = first["cpu_seconds_total", "user"], found["cpu_seconds_total", "user"]
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert after > before
    memory = psutil.virtual_memory()
    assert found["memory_size_bytes",] == memory.total
    available = found["memory_available_bytes",]
    assert isinstance(available, float)
    assert abs(available - memory.available) < 0.2 * memory.total
    assert not any(k[0].startswith("network") and k[1] == "lo" for k in found)


class CpuTimes(NamedTuple):
    """What psutil tells of a processor."""

    user: float
    idle: float
    iowait: float
    guest: float = 0.0


cpu_steps = st.lists(st.tuples(*[st.floats(0, 100)] * 2, st.floats(-5, 100)), min_size=1, max_size=6)


@given(steps=cpu_steps)
def test_random_processors_against_plain_arithmetic(steps: list[tuple[float, float, float]]) -> None:
    """Whatever iowait does, shares are those of what has passed, and no counter falls."""
    told = {"user": 10.0, "idle": 10.0, "iowait": 10.0}
    now = [CpuTimes(10.0, 10.0, 10.0)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psutil, "cpu_times", lambda percpu: list(now))
        collector = SystemCollector(block="/nonexistent")
        trio.run(collector.collect)
        for step in steps:
            old = now[0]
            now = [CpuTimes(*(max(0.0, had + more) for had, more in zip(old[:3], step, strict=True)))]
            passed = {mode: max(0.0, getattr(now[0], mode) - getattr(old, mode)) for mode in told}
            total = sum(passed.values())
            found = series(trio.run(collector.collect))
            for mode in told:
                seconds, share = found["cpu_seconds_total", mode], found["cpu_mode_ratio", mode]
                assert isinstance(seconds, float)
                assert seconds == max(told[mode], getattr(now[0], mode))
                told[mode] = seconds
                assert share == (pytest.approx(passed[mode] / total) if total else NoData("it takes two looks to tell"))
            assert found["cpu_busy_ratio", "0"] == found["cpu_mode_ratio", "user"]


async def test_without_a_network_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    only_loopback = {"lo": psutil.net_io_counters()}
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic, nowrap: dict(only_loopback))
    found = series(await SystemCollector().collect())
    network = {k: v for k, v in found.items() if k[0].startswith("network")}
    assert len(network) == 3
    assert set(network.values()) == {NoData("no network is seen here (PrivateNetwork=yes hides it)")}


async def test_a_tick_takes_less_than_a_millisecond_of_processor_time() -> None:
    collector, rounds = SystemCollector(), 100
    await collector.collect()
    started = time.thread_time()
    for _ in range(rounds):
        await collector.collect()
    assert (time.thread_time() - started) / rounds < 1e-3 * max(1, len(os.listdir("/sys/block")) / 20)


def test_pressure_text() -> None:
    text = b"some avg10=12.50 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
    assert parse_pressure(text) == {"some": (0.125, 2.5), "full": (0.0, 7e-6)}
    assert parse_pressure(text.splitlines()[0]) == {"some": (0.125, 2.5)}  # cpu before Linux 5.13 has no full
    assert parse_pressure(b"something new\n") == {}


async def test_a_machine_without_pressure_or_memory_figures_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = series(await SystemCollector(proc=str(tmp_path)).collect())
    pressure = found["pressure_ratio", "io", "some"]
    assert isinstance(pressure, NoData)
    assert "psi=1" in pressure.reason
    memory = found["memory_dirty_bytes",]
    assert isinstance(memory, NoData)
    assert "No such file" in memory.reason

    def refused(*arguments: Any, **options: Any) -> Any:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("builtins.open", refused)
    assert Pressure().read("cpu") == NoData("/proc/pressure/cpu: Operation not supported")


def test_meminfo_text() -> None:
    assert parse_meminfo(b"MemTotal:  16 kB\nHugePages_Total:       3\nDirty: 2 kB\n") == {
        "MemTotal": 16384.0,
        "Dirty": 2048.0,
    }
