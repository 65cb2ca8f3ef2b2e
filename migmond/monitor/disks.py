"""Disks over time: how they answer, and whether one is failing slowly. Pure: times come with the samples."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping

import msgspec

from migmond.analytics.fail_slow import Load, SlowDisk
from migmond.domain.analysis import DeviceFinding
from migmond.domain.samples import SampleView

MOST_DISKS = 256
"""A machine with more is looked at in part."""
RATE_S = 30.0
"""What a disk does now is a mean with this time constant: one look at a busy disk is half as much or twice as the next,
and the best of many such would make every other one look bad."""
USUAL_S = 1800.0
"""The same for what is usual: a bad quarter of an hour is to stand out from it."""
SETTLED_S = 120.0
"""Before so much was seen of a disk, nothing is usual."""


class Pace(msgspec.Struct, frozen=True):
    """What a disk does, for everybody, beside what it has done. None is what was not seen long enough.

    Attributes:
        bytes_per_s: now.
        best_bytes_per_s: at its best since this daemon started: in sequence, if it ever was.
        await_s, usual_await_s: mean seconds of a request, lately and else.
    """

    bytes_per_s: float | None = None
    best_bytes_per_s: float | None = None
    await_s: float | None = None
    usual_await_s: float | None = None


class _Seen(msgspec.Struct, frozen=True):
    at: float
    bytes: float
    operations: float


class _Means:
    """Of one disk; memory is constant."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._waited_s = 0.0
        self._rate = 0.0
        self._best = 0.0
        self._lately = self._usual = 0.0

    def moved(self, bytes_per_s: float, seconds: float) -> None:
        self._seconds += seconds
        # As long as less was seen than the time constant, all of it counts the same.
        self._rate += (bytes_per_s - self._rate) * min(1.0, seconds / min(self._seconds, RATE_S))
        if self._seconds >= RATE_S:
            self._best = max(self._best, self._rate)

    def waited(self, await_s: float, seconds: float) -> None:
        self._waited_s += seconds
        # Of logarithms: latency is skewed, and one request that took seconds says little of the others.
        waited = math.log(max(await_s, 1e-6))
        self._lately += (waited - self._lately) * min(1.0, seconds / min(self._waited_s, RATE_S))
        self._usual += (waited - self._usual) * min(1.0, seconds / min(self._waited_s, USUAL_S))

    @property
    def pace(self) -> Pace:
        return Pace(
            self._rate if self._seconds >= RATE_S else None,
            self._best or None,
            math.exp(self._lately) if self._waited_s >= RATE_S else None,
            math.exp(self._usual) if self._waited_s >= SETTLED_S else None,
        )


class Disks:
    """Takes the system collector's samples as they come."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._models: dict[str, SlowDisk] = {}
        self._means: dict[str, _Means] = {}

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
            moved = max(0.0, now.bytes - before.bytes)
            means = self._means.setdefault(name, _Means())
            means.moved(moved / seconds, seconds)
            if done <= 0 or wait_s is None:
                continue
            means.waited(wait_s, seconds)
            if queue is None:
                continue
            if name not in self._models:
                self._models[name] = SlowDisk(name)
            load = Load(now.at, wait_s, moved / seconds, queue, moved / done, explained)
            self._models[name].observe(load)

    def pace(self, name: str) -> Pace:
        """Return what a disk does and has done."""
        return self._means[name].pace if name in self._means else Pace()

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
