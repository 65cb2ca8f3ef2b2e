"""Where the movers' time goes, and which part of it binds.

Movers count nanoseconds by what they are busy with; this makes shares of them, names the bottleneck and looks for
independent evidence: how busy and how slow the disks are, the processor, limits in force.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from migmond.domain.activity import Activity
from migmond.domain.activity import Spent as Counters
from migmond.domain.analysis import ShareView
from migmond.domain.limits import Limits
from migmond.domain.units import show_number, show_rate


class Cause(enum.StrEnum):
    """What time went to, as people are told."""

    SOURCE_READ = "source_read"
    TARGET_WRITE = "target_write"
    HASH = "hash"
    METADATA = "metadata"
    THROTTLED = "throttled"
    HELD = "held"
    WAITING = "waiting"
    SCANNING = "scanning"
    VERIFY = "verify"
    OTHER = "other"


Spent = Mapping[Activity, int]
"""Nanoseconds of one mover, or of all, by activity."""

BUSY = 0.85
"""A disk with work for this share of the time is near its end: at 0.85 a queue with one server and random arrivals
holds 1/(1 - 0.85), nearly 7, times as long as an idle one (M/M/1). What serves several requests at a time may have room
left."""
SLOW_FACTOR = 3.0
"""Await of so many times its baseline is an independent signal (design page ETA, slow-transfer alert)."""
SLOW_BUSY = 0.3
"""A disk that is busy for less of the time has few requests: what a mean of them says is chance, and nobody waits."""
CPU_FULL = 0.9
BINDS = 0.25
"""With less than a quarter of the time in one cause, doing away with it gains less than a third: nothing binds."""


class DeviceLoad(msgspec.Struct, frozen=True):
    """A disk over the same span; None is what nobody measured.

    Attributes:
        busy: share of the time in which it had requests.
        await_s: mean seconds of a request.
        usual_await_s: the same in better times.
        rotational: whether it has heads to move.
        best_bytes_per_s: what it has done in sequence, at its best.
        bytes_per_s: what it does now, for everybody.
    """

    name: str
    busy: float | None = None
    await_s: float | None = None
    usual_await_s: float | None = None
    rotational: bool | None = None
    best_bytes_per_s: float | None = None
    bytes_per_s: float | None = None


class Situation(msgspec.Struct, frozen=True):
    """One execution over a span of time.

    Attributes:
        seconds: length of the span.
        mover_s: seconds of all its movers together: their number times the span, less where there were fewer.
        spent: what they did in it.
        movers: how many there are now.
        cpu_busy: of all processors, 0 to 1.
        limits: its own in force now; `shared`: its share of what all may do together.
        scanning: the scan still runs.
        pending: tasks that nobody has in hand.
        most_entries: that somebody allows a batch; None for any number.
    """

    seconds: float
    mover_s: float
    spent: Spent
    movers: int
    source: DeviceLoad | None = None
    target: DeviceLoad | None = None
    cpu_busy: float | None = None
    limits: Limits = Limits()
    scanning: bool = False
    pending: int | None = None
    most_entries: int | None = None
    shared: Limits = Limits()


def causes() -> dict[Activity, Cause]:
    """Return what each activity counts as. Making data durable is the target's writing, put off."""
    return {
        Activity.SOURCE_READ: Cause.SOURCE_READ,
        Activity.TARGET_WRITE: Cause.TARGET_WRITE,
        Activity.SYNC: Cause.TARGET_WRITE,
        Activity.HASH: Cause.HASH,
        Activity.METADATA: Cause.METADATA,
        Activity.PUBLISH: Cause.METADATA,
        Activity.DELETE: Cause.METADATA,
        Activity.DIRECTORIES: Cause.METADATA,
        Activity.THROTTLED: Cause.THROTTLED,
        Activity.HELD: Cause.HELD,
        Activity.WAITING: Cause.WAITING,
        Activity.SCAN: Cause.SCANNING,
        Activity.VERIFY: Cause.VERIFY,
        Activity.OTHER: Cause.OTHER,
    }


def title(cause: Cause) -> str:
    """Return a cause as people are told."""
    return {
        Cause.SOURCE_READ: "source read",
        Cause.TARGET_WRITE: "target write",
        Cause.HASH: "hash",
        Cause.METADATA: "names and metadata",
        Cause.THROTTLED: "throttled",
        Cause.HELD: "held",
        Cause.WAITING: "waiting for work",
        Cause.SCANNING: "scan",
        Cause.VERIFY: "verification",
        Cause.OTHER: "the rest",
    }[cause]


def of_threads(copying: Counters, committing: Counters) -> dict[Activity, int]:
    """Return what movers spent their time with, one thread for each.

    While a mover's copying thread has nothing to do, its committing thread may be making things durable: then that is
    what the time goes to. What that thread does beside the copying costs no time of its own.
    """
    spent = {a: copying[a] for a in Activity}
    making_durable = committing[Activity.SYNC] + committing[Activity.PUBLISH]
    instead = min(spent[Activity.WAITING], making_durable)
    sync = instead * committing[Activity.SYNC] // making_durable if making_durable else 0
    spent[Activity.WAITING] -= instead
    spent[Activity.SYNC] += sync
    spent[Activity.PUBLISH] += instead - sync
    return spent


def shares(situation: Situation) -> dict[Cause, float]:
    """Return the share of the movers' time that went to each cause. They sum to 1, or there are none.

    What is not counted is `Cause.OTHER` too. Counters are read one after the other and may have more than the span:
    then their sum is taken for it.
    """
    by_cause = dict.fromkeys(Cause, 0.0)
    of = causes()
    for activity, nanoseconds in situation.spent.items():
        by_cause[of[activity]] += max(0, nanoseconds) / 1e9
    counted = sum(by_cause.values())
    whole = max(situation.mover_s, counted)
    if whole <= 0:
        return {}
    by_cause[Cause.OTHER] += whole - counted
    return {cause: seconds / whole for cause, seconds in by_cause.items()}


def ranked(situation: Situation) -> tuple[ShareView, ...]:
    """Return all causes that took any time, with their evidence, largest first."""
    found = [
        ShareView(cause.value, title(cause), share, evidence(cause, situation))
        for cause, share in shares(situation).items()
        if share > 0
    ]
    return tuple(sorted(found, key=lambda s: (-s.share, s.cause)))


def bottleneck(situation: Situation) -> tuple[ShareView | None, str]:
    """Return what binds; or None, and why none is named.

    Time that nobody accounts for is no bottleneck. Where two are close (within a tenth of the larger), the one with
    evidence goes first.
    """
    candidates = [s for s in ranked(situation) if s.cause != Cause.OTHER.value]
    if not candidates:
        return None, "not measured yet"
    largest = candidates[0].share
    if largest < BINDS:
        return None, f"no part takes a quarter of the time; the largest is {candidates[0].title} ({largest:.0%})"
    close = [s for s in candidates if s.share >= 0.9 * largest]
    return next((s for s in close if s.evidence), close[0]), ""


def evidence(cause: Cause, situation: Situation) -> str:
    """Return what else shows that `cause` binds, or ""."""
    if cause is Cause.SOURCE_READ:
        return _device_evidence(situation.source)
    if cause is Cause.TARGET_WRITE:
        return _device_evidence(situation.target)
    if cause is Cause.METADATA:
        return _device_evidence(situation.target) or _device_evidence(situation.source)
    if cause is Cause.HASH and situation.cpu_busy is not None and situation.cpu_busy >= CPU_FULL:
        return f"processor {situation.cpu_busy:.0%} busy"
    if cause is Cause.THROTTLED:
        return ", ".join(limits_in_words(situation.limits, situation.shared))
    if cause is Cause.WAITING and situation.scanning:
        return "the scan still runs"
    if cause is Cause.WAITING and situation.pending == 0:
        return "nothing is left to hand out"
    return ""


def limits_in_words(limits: Limits, shared: Limits) -> list[str]:
    """Return the limits that can slow an execution down, one in words each; of what it may do together with others only
    what is less than it may do alone."""
    words = []
    if is_lower(shared.io_bytes_per_s, limits.io_bytes_per_s):
        words.append(f"share of {show_rate(shared.io_bytes_per_s or 0)} of the limit for all")
    if is_lower(shared.io_ops_per_s, limits.io_ops_per_s):
        words.append(f"share of {show_number(shared.io_ops_per_s or 0.0)} entries/s of the limit for all")
    if limits.io_bytes_per_s is not None:
        words.append(f"limit of {show_rate(limits.io_bytes_per_s)}")
    if limits.network_bytes_per_s is not None:
        words.append(f"network limit of {show_rate(limits.network_bytes_per_s)}")
    if limits.io_ops_per_s is not None:
        words.append(f"limit of {show_number(limits.io_ops_per_s)} entries/s")
    if limits.cpu_percent is not None:
        words.append(f"processor limit of {limits.cpu_percent:g} %")
    if limits.timetable:
        words.append(f"timetable ({limits.timetable})")
    return words


def is_lower(shared: float | None, own: float | None) -> bool:
    """Whether a limit for all leaves less than an own one does."""
    return shared is not None and (own is None or shared < own)


def slower_than_usual(device: DeviceLoad) -> bool:
    """Whether requests take much longer than usual, on a disk that has enough of them to say so."""
    if device.await_s is None or not device.usual_await_s or (device.busy or 0.0) < SLOW_BUSY:
        return False
    return device.await_s >= SLOW_FACTOR * device.usual_await_s


def latency_text(device: DeviceLoad) -> str:
    """Return `90 ms a request, usually 20`."""
    return f"{(device.await_s or 0.0) * 1000:.3g} ms a request, usually {(device.usual_await_s or 0.0) * 1000:.3g}"


def _device_evidence(device: DeviceLoad | None) -> str:
    if device is None:
        return ""
    signs = []
    if device.busy is not None and device.busy >= BUSY:
        signs.append(f"busy {device.busy:.0%}")
    if slower_than_usual(device):
        signs.append(latency_text(device))
    return f"{device.name} {', '.join(signs)}" if signs else ""
