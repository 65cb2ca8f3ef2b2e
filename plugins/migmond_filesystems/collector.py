"""All file systems side by side, each asked in a thread of its own, so that a dead one keeps nobody waiting.

A thread that does not come back by the deadline is left behind; there is at most one for each mount, and until it comes
back its mount "does not answer".
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator

import trio

from migmond.domain.mount_table import MountLine, MountTree, parse_mounts
from migmond.domain.names import to_text
from migmond.plugin_api import MetricDesc, NoData, Sample
from migmond_filesystems import metrics as m
from migmond_filesystems.look import Answer, Quota, look_at

MAX_MOUNTS = 500
"""Machines that run containers have thousands of mounts; a series of each metric for every one helps nobody."""
MAX_LEFT_BEHIND = 64
"""Threads that did not come back: each keeps some memory, and a server that is gone may have hundreds of mounts."""

Look = Callable[[bytes, tuple[int, ...]], Answer | NoData]


class FileSystems:
    """Asks every mounted file system that holds files, once however often it is mounted.

    Args:
        answer_s: how long one may take, seconds.
        kinds: types to look at, empty for all.
        leave_out: mount points as text, with all below them.
        quota_uids: whose quotas to ask for.
        table: the kernel's table of mounts.
        look: asks one; it may block.
    """

    def __init__(
        self,
        answer_s: float,
        *,
        kinds: tuple[str, ...] = (),
        leave_out: tuple[str, ...] = (),
        quota_uids: tuple[int, ...] = (),
        table: str = "/proc/self/mountinfo",
        look: Look = look_at,
    ) -> None:
        self._answer_s = answer_s
        self._kinds = frozenset(kinds)
        self._leave_out = tuple(os.fsencode(point).rstrip(b"/") for point in leave_out)
        self._quota_uids = quota_uids
        self._table = table
        self._look = look
        self._limiter = trio.CapacityLimiter(math.inf)
        self._asked: dict[int, float] = {}  # by mount id: monotonic seconds when a thread went that is not back
        self._left_behind = 0

    async def collect(self) -> Iterable[Sample]:
        """Return what every file system said, or that it said nothing."""
        mounts = self._chosen(self._read())
        if not mounts:
            return _samples_without(m.OF_MOUNT, dict.fromkeys(m.SIZE.labels, ""), NoData("nothing is mounted here"))
        self._left_behind = len(self._asked)
        answers: dict[int, Answer | NoData] = {}

        async def ask(mount: MountLine) -> None:
            answers[mount.id] = await self._ask(mount)

        async with trio.open_nursery() as nursery:
            for mount in mounts:
                nursery.start_soon(ask, mount)
        return [sample for mount in mounts for sample in _samples(mount, answers[mount.id])]

    def _read(self) -> tuple[MountLine, ...]:
        # Not in a thread: the kernel makes it from memory.
        with open(self._table, "rb") as file:
            return parse_mounts(file.read())

    def _chosen(self, table: tuple[MountLine, ...]) -> list[MountLine]:
        """Of every file system the mount with the shortest path, unless something is mounted over it."""
        found: dict[int, MountLine] = {}
        for mount in MountTree(table).visible():
            wanted = mount.kind in self._kinds if self._kinds else mount.holds_files
            if not wanted or self._is_left_out(mount.point):
                continue
            other = found.get(mount.device)
            if other is None or len(mount.point) < len(other.point):
                found[mount.device] = mount
        return sorted(found.values(), key=lambda mount: mount.point)[:MAX_MOUNTS]

    def _is_left_out(self, point: bytes) -> bool:
        return any(point == out or point.startswith(out + b"/") for out in self._leave_out)

    async def _ask(self, mount: MountLine) -> Answer | NoData:
        if mount.id in self._asked:
            waits_s = time.monotonic() - self._asked[mount.id]
            return NoData(f"does not answer, for {waits_s:.0f} s now")
        if self._left_behind >= MAX_LEFT_BEHIND:
            return NoData(f"{self._left_behind} others do not answer; no more are asked")
        self._asked[mount.id] = time.monotonic()

        def look() -> Answer | NoData:
            try:
                return self._look(mount.point, self._quota_uids)
            finally:
                self._asked.pop(mount.id, None)

        with trio.move_on_after(self._answer_s):
            return await trio.to_thread.run_sync(look, abandon_on_cancel=True, limiter=self._limiter)
        return NoData(f"does not answer within {self._answer_s:g} s")


def _samples(mount: MountLine, answer: Answer | NoData) -> Iterator[Sample]:
    labels = {"mount": to_text(mount.point), "source": to_text(mount.source)}
    if isinstance(answer, NoData):
        yield from _samples_without(m.OF_MOUNT, labels, answer)
        return
    not_fixed = NoData("the number of files is not fixed there")
    yield Sample(m.SIZE.name, answer.size_bytes, labels)
    yield Sample(m.AVAILABLE.name, answer.available_bytes, labels)
    yield Sample(m.FREE.name, answer.free_bytes, labels)
    yield Sample(m.INODES.name, not_fixed if answer.inodes is None else answer.inodes, labels)
    yield Sample(m.INODES_FREE.name, not_fixed if answer.free_inodes is None else answer.free_inodes, labels)
    yield Sample(m.READ_ONLY.name, float(answer.read_only or mount.read_only), labels)
    yield Sample(m.ANSWER.name, answer.seconds, labels)
    for quota in answer.quotas:
        yield from _quota_samples(quota, {**labels, "uid": str(quota.uid)})


def _quota_samples(quota: Quota, labels: dict[str, str]) -> Iterator[Sample]:
    no_limit = NoData("there is no such limit")
    yield Sample(m.QUOTA_LIMIT.name, no_limit if quota.limit_bytes is None else quota.limit_bytes, labels)
    yield Sample(m.QUOTA_USED.name, quota.used_bytes, labels)
    yield Sample(m.QUOTA_INODES.name, no_limit if quota.limit_inodes is None else quota.limit_inodes, labels)
    yield Sample(m.QUOTA_INODES_USED.name, quota.used_inodes, labels)


def _samples_without(metrics: Iterable[MetricDesc], labels: dict[str, str], why: NoData) -> list[Sample]:
    return [Sample(metric.name, why, labels) for metric in metrics]
