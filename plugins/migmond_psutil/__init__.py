"""The machine itself: processors, pressure, memory, disks, network."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable

import msgspec

from migmond.domain.units import parse_duration
from migmond.plugin_api import CollectorSpec, hookimpl
from migmond_psutil.collector import SystemCollector
from migmond_psutil.metrics import METRICS


class SETTINGS(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What conf.d may set.

    Attributes:
        interval: from one look to the next.
        partitions: whether partitions are told as well as whole disks.
        virtual: whether loop devices and disks in memory are told as well.
    """

    interval: str = "2s"
    partitions: bool = False
    virtual: bool = False


@hookimpl
def migmond_collectors(settings: SETTINGS) -> Iterable[CollectorSpec]:
    """Register the collector `system`."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[SystemCollector]:
        yield SystemCollector(partitions=settings.partitions, virtual=settings.virtual)

    return [CollectorSpec("system", parse_duration(settings.interval), METRICS, opened)]
