"""All disks side by side, each asked in a thread of its own, at most one at a time for each."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
import trio

from migmond.plugin_api import NoData, Sample
from migmond_smart.asking import Asker
from migmond_smart.disks import disks, kernel_limits
from migmond_smart.metrics import HEALTHY, TEMPERATURE
from migmond_smart.report import NvmeLimits, Report

_NO_DISKS = NoData("there is no disk here")


class Disks:
    """Asks every disk for one thing.

    Args:
        options: what to ask for, as smartctl takes it.
        samples: makes samples of a report.
        devices: device files; empty for all disks there are.
        block: the directory of disks.
    """

    def __init__(
        self,
        asker: Asker,
        options: Sequence[str],
        samples: Callable[[str, Report], Iterable[Sample]],
        devices: tuple[str, ...] = (),
        block: str = "/sys/block",
    ) -> None:
        self._asker = asker
        self._options = options
        self._samples = samples
        self._devices = devices
        self._block = block
        self._limiter = trio.CapacityLimiter(math.inf)
        self._asked: dict[str, float] = {}  # by name: monotonic seconds when a thread went that is not back
        self._series: dict[str, tuple[Sample, ...]] = {}  # by name: what it told the last time

    async def collect(self) -> Iterable[Sample]:
        """Return what each disk told; of one that does not tell now, that there is no data for what it told before."""
        wanted: dict[str, NoData | None] = (
            {os.path.basename(d): None for d in self._devices} if self._devices else disks(self._block)
        )
        if not wanted:
            return self._without("", _NO_DISKS)
        files = {os.path.basename(d): d for d in self._devices}
        answers: dict[str, Report | NoData] = {}

        async def ask(name: str) -> None:
            answers[name] = await self._ask(name, files.get(name, f"/dev/{name}"))

        async with trio.open_nursery() as nursery:
            for name, reason in wanted.items():
                if reason is None:
                    nursery.start_soon(ask, name)
                else:
                    answers[name] = reason
        found: list[Sample] = []
        for name in wanted:
            found += self._told(name, answers[name])
        self._series = {name: series for name, series in self._series.items() if name in wanted}
        return found

    def _told(self, name: str, answer: Report | NoData) -> tuple[Sample, ...]:
        if isinstance(answer, NoData):
            return self._without(name, answer)
        if answer.nvme_composite_temperature_threshold == NvmeLimits():
            limits = NvmeLimits(*kernel_limits(name, self._block))
            answer = msgspec.structs.replace(answer, nvme_composite_temperature_threshold=limits)
        self._series[name] = tuple(self._samples(name, answer))
        return self._series[name]

    def _without(self, name: str, why: NoData) -> tuple[Sample, ...]:
        before = self._series.get(name) or tuple(self._samples(name, Report()))
        told = tuple(msgspec.structs.replace(sample, value=why) for sample in before)
        if name in self._series:
            return told
        # Of a disk that never told anything it is not known what it would tell: its main figure is enough.
        return tuple(s for s in told if s.metric in (HEALTHY.name, TEMPERATURE.name))

    async def _ask(self, name: str, device: str) -> Report | NoData:
        if name in self._asked:
            return NoData(f"does not answer, for {time.monotonic() - self._asked[name]:.0f} s now")
        self._asked[name] = time.monotonic()

        def ask() -> Report | NoData:
            try:
                return self._asker.ask(device, self._options)
            finally:
                self._asked.pop(name, None)

        with trio.move_on_after(self._asker.answer_s + 1):
            return await trio.to_thread.run_sync(ask, abandon_on_cancel=True, limiter=self._limiter)
        return NoData(f"does not answer within {self._asker.answer_s:g} s, and its smartctl cannot be killed")
