"""What one execution cost, from its record and what configuration tells of disks and prices."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from migmond.analytics.cost import DiskUse, Prices, Usage, cost
from migmond.domain.activity import Activity, Spent
from migmond.domain.analysis import CostView
from migmond.domain.session import DeviceSide, SessionRecord


class Rating(msgspec.Struct, frozen=True):
    """What configuration tells of a disk; see `migmond.analytics.cost.DiskUse`. None is not configured."""

    rated_bytes: float | None = None
    write_amplification: float | None = None
    active_watts: float | None = None
    idle_watts: float | None = None
    price: float | None = None


class Terms(msgspec.Struct, frozen=True):
    """What costs are reckoned by.

    Attributes:
        prices: None when none is configured.
        ratings: by the disk's name (`sda`) or what identifies it (model and serial).
        watts_per_core: what a busy core takes more than an idle one.
        idle_watts: what processors and memory of the machine take when it does nothing.
    """

    prices: Prices | None = None
    ratings: Mapping[str, Rating] = {}
    watts_per_core: float | None = None
    idle_watts: float | None = None


def cost_of(record: SessionRecord, terms: Terms) -> CostView:
    """Return what an execution cost.

    A disk counts as busy for the time that movers were in its system calls, at most the active time: threads that work
    side by side keep it busy together. What the page cache answered is in it, so that it is an upper bound.
    Written is what the kernel counted for the movers, else the bytes that were moved. Of a target on several disks
    nobody knows how that was spread over them: its wear is not told.
    """
    written = record.moved_bytes if record.written_bytes is None else record.written_bytes
    busy: dict[str, float] = {}
    source_s = _seconds(record.copying, Activity.SOURCE_READ)
    target_s = _seconds(record.copying, Activity.TARGET_WRITE) + _seconds(record.committing, Activity.SYNC)
    target_s += _seconds(record.copying, Activity.SYNC)
    for side, seconds in ((record.source, source_s), (record.target, target_s)):
        for disk in side.disks:
            busy[disk] = min(record.active_s, busy.get(disk, 0.0) + seconds)
    alone = record.target.disks[0] if len(record.target.disks) == 1 else None
    disks = []
    for disk, busy_s in busy.items():
        rating = _rating(disk, record, terms.ratings)
        disks.append(
            DiskUse(
                disk, busy_s, written if disk == alone else 0, rating.active_watts, rating.idle_watts,
                rating.rated_bytes, rating.write_amplification, rating.price if disk == alone else None,
            )
        )  # fmt: skip
    machine = record.machine
    usage = Usage(
        record.wall_s, record.active_s, record.moved_bytes, record.cpu_s, cpu_share(record),
        machine.joules if machine is not None else None, machine.seconds if machine is not None else 0.0,
        terms.idle_watts, terms.watts_per_core, tuple(disks),
    )  # fmt: skip
    found = cost(usage, terms.prices)
    missing = list(found.missing)
    if len(record.target.disks) > 1:
        missing.append(f"wear: how writes were spread over {', '.join(record.target.disks)} is not known")
    elif alone is None:
        missing.append("wear: the disk of the target is not known")
    return msgspec.structs.replace(found, missing=tuple(missing))


def cpu_share(record: SessionRecord) -> float | None:
    """Return the share of its movers in the busy processor time of the machine, as long as that was looked at."""
    machine = record.machine
    if machine is None or record.cpu_s is None or not machine.busy_s or not record.wall_s:
        return None
    return min(1.0, record.cpu_s * min(1.0, machine.seconds / record.wall_s) / machine.busy_s)


def _seconds(spent: Spent, activity: Activity) -> float:
    return spent[activity] / 1e9


def _rating(disk: str, record: SessionRecord, ratings: Mapping[str, Rating]) -> Rating:
    """By what identifies it first: names change with the order in which disks are found."""
    for side in (record.target, record.source):
        if _is_of(disk, side) and side.identity in ratings:
            return ratings[side.identity]
    return ratings.get(disk, Rating())


def _is_of(disk: str, side: DeviceSide) -> bool:
    return side.disks == (disk,)
