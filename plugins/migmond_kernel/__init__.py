"""What the kernel says of disks and file systems: errors, resets, timeouts, and what it made read-only."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable

import msgspec

from migmond.domain.units import parse_duration
from migmond.plugin_api import CollectorSpec, hookimpl
from migmond_kernel.collector import LOST, MESSAGES, KernelLog
from migmond_kernel.messages import KINDS


class SETTINGS(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What conf.d may set.

    Attributes:
        interval: from one look at the kernel's log to the next.
    """

    interval: str = "2s"


@hookimpl
def migmond_collectors(settings: SETTINGS) -> Iterable[CollectorSpec]:
    """Register the collector `kernel`."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[KernelLog]:
        with contextlib.closing(KernelLog()) as log:
            yield log

    return [CollectorSpec("kernel", parse_duration(settings.interval), (MESSAGES, LOST), opened, note_kinds=KINDS)]
