"""Disks over time: how they answer, and whether one is failing slowly. Pure: times come with the samples."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

import msgspec

from migmond.analytics.fail_slow import Load, SlowDisk
from migmond.domain.analysis import DeviceFinding
from migmond.domain.samples import SampleView

MOST_DISKS = 256
"""A machine with more is looked at in part."""


class _Seen(msgspec.Struct, frozen=True):
    at: float
    bytes: float
    operations: float


class Disks:
    """Takes the system collector's samples as they come."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._models: dict[str, SlowDisk] = {}

    def observe(self, samples: Iterable[SampleView], *, explained: bool) -> None:
        """Take in what was sampled; the same samples again change nothing.

        Args:
            explained: somebody limits what moves: a disk that does little then is not to blame.
        """
        for name, figures in _by_disk(samples).items():
            total, operations = figures.get("bytes"), figures.get("operations")
            if total is None or operations is None:
                continue
            now, before = _Seen(figures["at"], total, operations), self._seen.get(name)
            if before is None or now.at <= before.at:
                if before is None and len(self._seen) < MOST_DISKS:
                    self._seen[name] = now
                continue
            self._seen[name] = now
            done, seconds = now.operations - before.operations, now.at - before.at
            wait_s, queue = figures.get("wait"), figures.get("queue")
            if done <= 0 or wait_s is None or queue is None:
                continue
            moved = max(0.0, now.bytes - before.bytes)
            if name not in self._models:
                self._models[name] = SlowDisk(name)
            load = Load(now.at, wait_s, moved / seconds, queue, moved / done, explained)
            self._models[name].observe(load)

    def findings(self, names: Iterable[str]) -> list[DeviceFinding]:
        """Return what is found of some disks."""
        found = (self._models[name].finding() for name in names if name in self._models)
        return [f for f in found if f is not None]


def _by_disk(samples: Iterable[SampleView]) -> Mapping[str, dict[str, float]]:
    disks: dict[str, dict[str, float]] = {}
    for sample in samples:
        value, name = sample.value, sample.labels.get("device", "")
        if value is None or not name or not sample.metric.startswith("migmond_disk_"):
            continue
        disk = disks.setdefault(name, {"at": 0.0})
        match sample.metric:
            case "migmond_disk_bytes_total":
                disk["bytes"] = disk.get("bytes", 0.0) + value
                disk["at"] = max(disk["at"], datetime.datetime.fromisoformat(sample.at).timestamp())
            case "migmond_disk_operations_total":
                disk["operations"] = disk.get("operations", 0.0) + value
            case "migmond_disk_latency_seconds":
                disk["wait"] = max(disk.get("wait", 0.0), value)
            case "migmond_disk_queue_requests":
                disk["queue"] = value
    return disks
