"""Mounted file systems: room, inodes, quotas, whether they can be written to, and whether they answer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterable

import msgspec

from migmond.domain.errors import PluginError
from migmond.domain.units import parse_duration
from migmond.plugin_api import CollectorSpec, hookimpl
from migmond_filesystems.collector import FileSystems
from migmond_filesystems.metrics import METRICS

_GRACE_S = 3.0
"""For starting and ending the threads of many mounts, after the deadline that each of them has."""


class SETTINGS(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What conf.d may set.

    Attributes:
        interval: from one look to the next.
        answer_within: a file system that takes longer does not answer.
        kinds: types of file systems to look at, such as ["ext4", "nfs4"]; empty for all that hold files.
        leave_out: mount points to leave out, with everything below them.
        quota_uids: users whose quotas are told; empty for the daemon's own, unless it is root, who has none.
    """

    interval: str = "10s"
    answer_within: str = "2s"
    kinds: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ("/dev", "/proc", "/sys", "/run/user", "/var/lib/containers", "/var/lib/docker")
    quota_uids: tuple[int, ...] = ()


@hookimpl
def migmond_collectors(settings: SETTINGS) -> Iterable[CollectorSpec]:
    """Register the collector `filesystems`."""
    interval_s, answer_s = parse_duration(settings.interval), parse_duration(settings.answer_within)
    if not 0 < answer_s <= 60:
        raise PluginError(f"answer_within is {settings.answer_within}: write 100ms to 60s")
    quota_uids = settings.quota_uids or ((os.geteuid(),) if os.geteuid() else ())

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[FileSystems]:
        yield FileSystems(answer_s, kinds=settings.kinds, leave_out=settings.leave_out, quota_uids=quota_uids)

    return [CollectorSpec("filesystems", interval_s, METRICS, opened, deadline_s=answer_s + _GRACE_S)]
