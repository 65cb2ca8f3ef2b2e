"""A complete plugin that runs: one of everything but storage. Copy it, and name your module in an entry point:

    [project.entry-points.migmond]
    example = "my_package.my_plugin"

Settings come from conf.d:

    [plugins.example]
    enabled = true
    directory = "/srv"
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec
import trio

from migmond.plugin_api import (
    AlertActionSpec,
    AlertNotice,
    CollectorSpec,
    MetricDesc,
    MetricKind,
    NoData,
    Proposal,
    Sample,
    Snapshot,
    StrategySpec,
    hookimpl,
)


class SETTINGS(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What conf.d may set."""

    directory: str = "/"


FREE = MetricDesc("example_free_bytes", "bytes", MetricKind.GAUGE, "Room for unprivileged users.", ("directory",))


class FreeSpace:
    """A collector: how much room there is. statvfs may hang on a dead network mount, so it runs in a thread that the
    host's deadline can leave behind."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    async def collect(self) -> Iterable[Sample]:
        """Return the one series, or why there is none."""
        labels = {"directory": self._directory}
        try:
            st = await trio.to_thread.run_sync(os.statvfs, self._directory, abandon_on_cancel=True)
        except OSError as e:
            return [Sample(FREE.name, NoData(e.strerror or str(e)), labels)]
        return [Sample(FREE.name, float(st.f_bavail * st.f_frsize), labels)]


class NoteParameters(msgspec.Struct, frozen=True):
    """Parameters of the action `note`: the file to append to."""

    path: str


async def note(notice: AlertNotice, parameters: NoteParameters) -> None:
    """An alert action: append one line to a file."""
    async with await trio.open_file(parameters.path, "a") as file:
        await file.write(f"{notice.at} {notice.severity} {notice.rule}: {notice.message}\n")


def fewer_workers(snapshot: Snapshot, now: float) -> Sequence[Proposal]:
    """A strategy: when next to nothing moves, one worker is enough."""
    slow = snapshot.bytes_per_s is not None and snapshot.bytes_per_s < 1e6
    return [Proposal("workers", 1, "it moves less than 1 MB/s", 0.0)] if slow and snapshot.workers > 1 else []


@hookimpl
def migmond_collectors(settings: SETTINGS) -> Iterable[CollectorSpec]:
    """Register the collector."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[FreeSpace]:
        yield FreeSpace(settings.directory)

    return [CollectorSpec("example-free-space", 10.0, (FREE,), opened)]


@hookimpl
def migmond_alert_actions(settings: SETTINGS) -> Iterable[AlertActionSpec]:
    """Register the alert action."""
    return [AlertActionSpec("example-note", "Append a line to a file.", NoteParameters, note)]


@hookimpl
def migmond_strategies(settings: SETTINGS) -> Iterable[StrategySpec]:
    """Register the strategy."""
    return [StrategySpec("example-fewer-workers", "One worker when next to nothing moves.", fewer_workers)]
