"""One look at the machine: 0.4 ms (2 processors, 1 disk, 3 interfaces).

It needs no thread: all of it is text that the kernel makes on the spot, and nothing of that waits for a device.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import psutil

from migmond.plugin_api import MetricDesc, NoData, Sample
from migmond_psutil import metrics as m
from migmond_psutil.rapl import Energy
from migmond_psutil.sources import EXTENTS, RESOURCES, Pressure, parse_meminfo

_FIRST = NoData("it takes two looks to tell")
_NO_REQUESTS = NoData("no request ended since the last look")
_VIRTUAL = ("loop", "ram", "zram")
_MEMORY = {
    "MemTotal": m.MEMORY_TOTAL,
    "MemAvailable": m.MEMORY_AVAILABLE,
    "Dirty": m.MEMORY_DIRTY,
    "Writeback": m.MEMORY_WRITEBACK,
    "SwapTotal": m.SWAP_TOTAL,
}
_ALREADY_IN_OTHERS = frozenset({"guest", "guest_nice"})
"""The kernel counts guest time as user time as well."""
_NOT_BUSY = frozenset({"idle", "iowait"}) | _ALREADY_IN_OTHERS
_LISTED_AGAIN_S = 60.0
"""Whole disks are told from partitions by /sys/block, which is listed when a new name appears, or after so long: a
name may come back as something else."""


class SystemCollector:
    """Keeps the last look, to tell what has happened since.

    Args:
        now: monotonic seconds.
        proc: where /proc is.
        block: the directory of whole disks.
        powercap: the directory of zones of RAPL.
    """

    def __init__(
        self,
        *,
        partitions: bool = False,
        virtual: bool = False,
        now: Callable[[], float] = time.monotonic,
        proc: str = "/proc",
        block: str = "/sys/block",
        powercap: str = "/sys/class/powercap",
    ) -> None:
        self._partitions = partitions
        self._virtual = virtual
        self._now = now
        self._proc = proc
        self._block = block
        self._pressure = Pressure(f"{proc}/pressure")
        self._energy = Energy(powercap)
        self._at: float | None = None
        self._cpus: list[Any] = []
        self._told_s: dict[str, float] = {}
        self._disks: Mapping[str, Any] = {}
        self._whole: frozenset[str] = frozenset()
        self._known: frozenset[str] = frozenset()
        self._listed_at = float("-inf")

    async def collect(self) -> Iterable[Sample]:
        """Return one sample of each series."""
        now = self._now()
        passed_s = None if self._at is None else now - self._at
        self._at = now
        energy = (Sample(m.ENERGY.name, used, {"zone": zone}) for zone, used in self._energy.read().items())
        return [
            *self._cpu(), *self._pressures(), *self._memory(), *self._disk(now, passed_s), *self._network(), *energy
        ]  # fmt: skip

    def _cpu(self) -> Iterator[Sample]:
        before, self._cpus = self._cpus, psutil.cpu_times(percpu=True)
        if len(before) != len(self._cpus):  # the first look, or a processor came or went
            before = []
        total: dict[str, float] = {}
        past: dict[str, float] = {}
        for number, cpu in enumerate(self._cpus):
            times = cpu._asdict()
            _add(total, times)
            labels = {"cpu": str(number)}
            if before:
                earlier = before[number]._asdict()
                _add(past, earlier)
                shares = _shares(earlier, times)
                busy = sum(share for mode, share in shares.items() if mode not in _NOT_BUSY)
                yield Sample(m.CPU_BUSY.name, min(1.0, busy) if shares else _FIRST, labels)
            else:
                yield Sample(m.CPU_BUSY.name, _FIRST, labels)
        shares = _shares(past, total) if before else {}
        for mode, seconds in total.items():
            if mode not in _ALREADY_IN_OTHERS:
                # iowait may fall a little (proc_stat(5)), and a processor that goes takes its time with it.
                self._told_s[mode] = max(seconds, self._told_s.get(mode, 0.0))
                yield Sample(m.CPU_SECONDS.name, self._told_s[mode], {"mode": mode})
                yield Sample(m.CPU_MODE.name, shares.get(mode, _FIRST), {"mode": mode})

    def _pressures(self) -> Iterator[Sample]:
        for resource in RESOURCES:
            found = self._pressure.read(resource)
            if isinstance(found, NoData):
                yield Sample(m.PRESSURE.name, found, {"resource": resource, "extent": "some"})
                yield Sample(m.PRESSURE_SECONDS.name, found, {"resource": resource, "extent": "some"})
                continue
            for extent in EXTENTS:
                if extent in found:
                    ratio, seconds = found[extent]
                    labels = {"resource": resource, "extent": extent}
                    yield Sample(m.PRESSURE.name, ratio, labels)
                    yield Sample(m.PRESSURE_SECONDS.name, seconds, labels)

    def _memory(self) -> Iterator[Sample]:
        # Not psutil.virtual_memory() and swap_memory(): they read the same file twice, and vmstat, and tell less.
        try:
            with open(f"{self._proc}/meminfo", "rb", buffering=0) as file:
                found = parse_meminfo(file.read(16384))
        except OSError as e:
            found, why = {}, NoData(f"{self._proc}/meminfo: {e.strerror}")
        else:
            why = NoData("the kernel does not tell")
        for name, metric in _MEMORY.items():
            yield Sample(metric.name, found.get(name, why))
        yield Sample(m.MEMORY_USED.name, _less(found, "MemTotal", "MemAvailable", why))
        yield Sample(m.SWAP_USED.name, _less(found, "SwapTotal", "SwapFree", why))

    def _disk(self, now: float, passed_s: float | None) -> Iterator[Sample]:
        try:
            # Not nowrap: the kernel's counters are 64 bits wide, and psutil would compare them all at each look.
            found = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
        except (OSError, NotImplementedError) as e:  # psutil raises the second where it finds no source at all
            yield from _nothing(_DISK_METRICS, NoData(f"disks cannot be read: {e}"))
            return
        before, self._disks = self._disks, found
        chosen = self._chosen(frozenset(found), now)
        if not chosen:
            yield from _nothing(_DISK_METRICS, NoData("there is no disk here"))
        for name in chosen:
            yield from _disk_samples(name, before.get(name), found[name], passed_s)

    def _chosen(self, names: frozenset[str], now: float) -> list[str]:
        if names != self._known or now - self._listed_at > _LISTED_AGAIN_S:
            self._known, self._listed_at = names, now
            try:
                self._whole = frozenset(name.replace("!", "/") for name in os.listdir(self._block))
            except OSError:  # a container may hide /sys: then a partition looks like a disk
                self._whole = names
        return [
            name
            for name in sorted(names)
            if (self._partitions or name in self._whole) and (self._virtual or not name.startswith(_VIRTUAL))
        ]

    def _network(self) -> Iterator[Sample]:
        found = psutil.net_io_counters(pernic=True, nowrap=False) or {}
        found.pop("lo", None)  # what a machine sends itself takes no network
        if not found:
            yield from _nothing(_NETWORK_METRICS, NoData("no network is seen here (PrivateNetwork=yes hides it)"))
        for name, counters in found.items():
            received, sent = {"interface": name, "direction": "receive"}, {"interface": name, "direction": "send"}
            yield Sample(m.NETWORK_BYTES.name, counters.bytes_recv, received)
            yield Sample(m.NETWORK_BYTES.name, counters.bytes_sent, sent)
            yield Sample(m.NETWORK_ERRORS.name, counters.errin, received)
            yield Sample(m.NETWORK_ERRORS.name, counters.errout, sent)
            yield Sample(m.NETWORK_DROPS.name, counters.dropin, received)
            yield Sample(m.NETWORK_DROPS.name, counters.dropout, sent)


_DISK_METRICS = (m.DISK_BYTES, m.DISK_OPERATIONS, m.DISK_BUSY, m.DISK_LATENCY, m.DISK_QUEUE)
_NETWORK_METRICS = (m.NETWORK_BYTES, m.NETWORK_ERRORS, m.NETWORK_DROPS)


def _disk_samples(name: str, before: Any, now: Any, passed_s: float | None) -> Iterator[Sample]:
    """Times are milliseconds of /proc/diskstats (Documentation/admin-guide/iostats.rst)."""
    read, write = {"device": name, "direction": "read"}, {"device": name, "direction": "write"}
    yield Sample(m.DISK_BYTES.name, now.read_bytes, read)
    yield Sample(m.DISK_BYTES.name, now.write_bytes, write)
    yield Sample(m.DISK_OPERATIONS.name, now.read_count, read)
    yield Sample(m.DISK_OPERATIONS.name, now.write_count, write)
    disk = {"device": name}
    fell = before is not None and any(new < old for old, new in zip(before, now, strict=True))
    if before is None or not passed_s or fell:  # fell: it was unplugged, and another one has its name
        yield Sample(m.DISK_BUSY.name, _FIRST, disk)
        yield Sample(m.DISK_QUEUE.name, _FIRST, disk)
        yield Sample(m.DISK_LATENCY.name, _FIRST, read)
        yield Sample(m.DISK_LATENCY.name, _FIRST, write)
        return
    read_ms, write_ms = now.read_time - before.read_time, now.write_time - before.write_time
    # The kernel rounds to its tick, so that a full disk may seem to be a little more than that.
    yield Sample(m.DISK_BUSY.name, min(1.0, (now.busy_time - before.busy_time) / 1000 / passed_s), disk)
    # Little's law: requests times their time is what they spent in the queue and in the disk together.
    yield Sample(m.DISK_QUEUE.name, (read_ms + write_ms) / 1000 / passed_s, disk)
    yield Sample(m.DISK_LATENCY.name, _each(read_ms, now.read_count - before.read_count), read)
    yield Sample(m.DISK_LATENCY.name, _each(write_ms, now.write_count - before.write_count), write)


def _each(milliseconds: float, requests: int) -> float | NoData:
    return milliseconds / 1000 / requests if requests else _NO_REQUESTS


def _shares(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each mode in the time that has passed; empty when none has.

    iowait may go backwards (proc_stat(5)): that counts as nothing.
    """
    passed = {mode: max(0.0, seconds - before.get(mode, 0.0)) for mode, seconds in now.items()}
    total = sum(seconds for mode, seconds in passed.items() if mode not in _ALREADY_IN_OTHERS)
    return {mode: seconds / total for mode, seconds in passed.items()} if total else {}


def _add(total: dict[str, float], times: Mapping[str, float]) -> None:
    for mode, seconds in times.items():
        total[mode] = total.get(mode, 0.0) + seconds


def _less(found: Mapping[str, float], one: str, other: str, why: NoData) -> float | NoData:
    return found[one] - found[other] if one in found and other in found else why


def _nothing(metrics: Iterable[MetricDesc], why: NoData) -> Iterator[Sample]:
    """No series: each metric once, with empty labels."""
    for metric in metrics:
        yield Sample(metric.name, why, dict.fromkeys(metric.labels, ""))
