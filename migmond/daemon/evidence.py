"""The facts that errors are judged by: what collectors, the journal and the monitor know."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from migmond.analytics.disk_health import findings
from migmond.analytics.smart_samples import readings
from migmond.analytics.temperature import limits_of
from migmond.domain.execution import Execution
from migmond.domain.journal import FaultGroup
from migmond.domain.samples import NoteView, SampleView
from migmond.domain.session import DeviceSide
from migmond.domain.telemetry import Chart, Selection
from migmond.domain.timeline import MilestoneKind
from migmond.domain.units import show_degrees, show_size
from migmond.ports import Journal
from migmond.recovery.correlation import Fact, FactKind, Found, Where, correlate
from migmond.recovery.dispositions import Side, side_of
from migmond.recovery.figures import Figure, fact_of, figures, has_risen, selections, span

LITTLE_SHARE = 0.005
"""Room below this share of a file system, or LITTLE_BYTES, is none for most files: ext4 keeps 5 % for root, btrfs says
ENOSPC with some hundred MiB free."""
LITTLE_BYTES = 64 << 20
FULL_QUOTA = 0.99
_LINK_ATTRIBUTE = "199"
_KERNEL = frozenset(k.value for k in FactKind)
_FAT = frozenset({"vfat", "msdos"})
_WINDOWS = frozenset({"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "cifs", "smb3"})


class Evidence(msgspec.Struct, frozen=True):
    """Where facts come from.

    Attributes:
        notes: what collectors were told in words of late.
        samples: the newest of every series.
        source, target: what the execution's ends are on.
        past: returns what is on record of series from when to when in which steps, None when there is no record.
    """

    notes: Callable[[], Iterable[NoteView]]
    samples: Callable[[], Iterable[SampleView]]
    source: DeviceSide
    target: DeviceSide
    past: Callable[[Sequence[Selection], float, float, float], Awaitable[Chart | None]]

    async def facts(self, journal: Journal, execution: Execution) -> list[Fact]:
        """Return all that is known and may have to do with errors of `execution`."""
        samples = tuple(self.samples())
        found = [*kernel_facts(self.notes()), *sample_facts(samples), *disk_facts(samples)]
        found += [
            Fact(FactKind.MOVER_DIED, m.at, "", m.text)
            for m in await journal.milestones(execution.key)
            if m.kind is MilestoneKind.MOVER_DIED
        ]
        for done in await journal.interventions(execution.id):
            text = f"{done.id}: {done.kind.value} by {done.author} ({done.before} → {done.after})"
            found.append(Fact(FactKind.INTERVENTION, done.at, "", text))
        return found

    def where(self, group: FaultGroup) -> Where:
        """Return what a group's entries are on."""
        side = side_of(group.fault.phase)
        return Where() if side is Side.NONE else where_of(self.source if side is Side.SOURCE else self.target)

    async def figures(self, group: FaultGroup, where: Where, now: float) -> list[Figure]:
        """Return what is on record of the time around a group. `now`: wall clock seconds."""
        wanted = selections(where)
        if not wanted:
            return []
        chart = await self.past(wanted, *span(group.first_at, group.last_at, now))
        return figures(chart, group.first_at, group.last_at) if chart is not None else []

    def judge(self, group: FaultGroup, where: Where, facts: Iterable[Fact]) -> list[Found]:
        """Return what a group may come from."""
        own = [*facts, *limit_facts(where)]
        return correlate(group.fault, group.first_at, group.last_at, where, own)


def where_of(side: DeviceSide) -> Where:
    """Return an end of an execution as correlation takes it."""
    return Where(side.disks, side.mount, side.file_system, side.devices)


def kernel_facts(notes: Iterable[NoteView]) -> list[Fact]:
    """Return what the kernel said of disks and file systems."""
    return [Fact(FactKind(n.kind), _seconds(n.at), n.device, n.message) for n in notes if n.kind in _KERNEL]


def sample_facts(samples: Iterable[SampleView]) -> list[Fact]:
    """Return what figures say that are out of the ordinary: room, inodes, quotas, read-only mounts, temperatures."""
    by_series: dict[str, dict[str, SampleView]] = {}
    for sample in samples:
        if sample.value is not None:
            series = "\0".join(f"{k}={v}" for k, v in sorted(sample.labels.items()) if k != "limit")
            limit = sample.labels.get("limit", "")
            by_series.setdefault(series, {})[f"{sample.metric}{limit and ':' + limit}"] = sample
    found = []
    for told in by_series.values():
        subject = next(iter(told.values())).labels
        at = max(_seconds(s.at) for s in told.values())
        values = {name: float(s.value) for name, s in told.items() if s.value is not None}
        mount, device = subject.get("mount", ""), subject.get("device", "")
        if mount:
            found += [Fact(kind, at, mount, text) for kind, text in _of_mount(mount, subject.get("uid", ""), values)]
        elif device and (degrees := values.get("migmond_disk_temperature_celsius")) is not None:
            limit_c = limits_of(device, values.get("migmond_disk_temperature_limit_celsius:warning")).warning
            if degrees >= limit_c:
                found.append(
                    Fact(
                        FactKind.HOT,
                        at,
                        device,
                        f"{device} has {show_degrees(degrees)}, at most {show_degrees(limit_c)}",
                    )
                )
    return found


def past_facts(told: Iterable[Figure]) -> list[Fact]:
    """Return what was out of the ordinary while there were errors, whatever is so now."""
    found = []
    for figure in told:
        worst = figure.worst
        if (
            has_risen(figure)
            or (figure.kind is FactKind.HOT and worst is not None and worst >= limits_of(figure.subject).warning)
            or (figure.kind is FactKind.NO_SPACE and worst is not None and worst < LITTLE_BYTES)
            or (figure.kind is FactKind.NO_INODES and worst == 0)
        ):
            found.append(fact_of(figure))
    return found


def _of_mount(mount: str, uid: str, values: Mapping[str, float]) -> list[tuple[FactKind, str]]:
    prefix, found = "migmond_filesystem_", []
    if uid:
        used, most = values.get(f"{prefix}quota_used_bytes"), values.get(f"{prefix}quota_limit_bytes")
        if used is not None and most and used >= FULL_QUOTA * most:
            text = f"uid {uid} has {show_size(int(used))} of {show_size(int(most))} at {mount}"
            found.append((FactKind.QUOTA_USED, text))
        return found
    size, free = values.get(f"{prefix}size_bytes"), values.get(f"{prefix}available_bytes")
    if size and free is not None and free < max(LITTLE_SHARE * size, min(LITTLE_BYTES, size / 10)):
        found.append((FactKind.NO_SPACE, f"{show_size(int(free))} of {show_size(int(size))} are free at {mount}"))
    if values.get(f"{prefix}inodes") and values.get(f"{prefix}free_inodes") == 0:
        found.append((FactKind.NO_INODES, f"no inode is free at {mount}"))
    if values.get(f"{prefix}read_only"):
        found.append((FactKind.MOUNTED_READ_ONLY, f"{mount} is read-only"))
    return found


def disk_facts(samples: Iterable[SampleView]) -> list[Fact]:
    """Return what disks tell of their own health: true until they are replaced."""
    return [
        Fact(FactKind.LINK if _LINK_ATTRIBUTE in f.kind or "link" in f.kind else FactKind.SMART, None, f.device,
             f"{f.title} ({f.evidence})")
        for reading in readings(samples, {})
        for f in findings([reading])
    ]  # fmt: skip


def limit_facts(where: Where) -> list[Fact]:
    """Return what file systems of that type cannot have."""
    found = []
    if where.file_system in _FAT:
        found.append("FAT has no files of 4 GiB and more")
    if where.file_system in _WINDOWS:
        found.append(f"{where.file_system} refuses some characters in names")
    return [Fact(FactKind.LIMIT, None, where.mount, text) for text in found]


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
