"""What could be changed so that an execution goes faster, with what it would gain; nothing without evidence.

Gains are bounds, not hopes. If a share s of the time goes away and all else stays, the rate becomes 1/(1 - s) of what
it was (Amdahl 1967): the high end. The low end is what is left if only half of it can be won, because the next
bottleneck takes its place. Whoever applies a suggestion measures what it brought.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from migmond.analytics.shares import BUSY, Cause, DeviceLoad, Situation, is_lower, limits_in_words, shares
from migmond.domain.analysis import SuggestionView
from migmond.domain.limits import Limits

WORTH = 0.03
"""Less is not worth a change (the workers' tuner stops below it: design page ETA)."""
ROOM = 0.7
"""A device or processor below this load has room for more work."""
LATENCY_BOUND = 0.6
"""So much of the time in system calls on files means that movers wait for answers, not for processors."""


def suggestions(situation: Situation, *, max_movers: int | None = None) -> tuple[SuggestionView, ...]:
    """Return what is worth trying, most gain first.

    Args:
        max_movers: no more than this may be asked for; None when nobody may.
    """
    of = shares(situation)
    if not of:
        return ()
    rules: tuple[Callable[[], SuggestionView | None], ...] = (
        lambda: _lift_limit(situation, of),
        lambda: _fewer_movers(situation, of),
        lambda: _more_movers(situation, of, max_movers),
        lambda: _larger_batches(situation, of),
    )
    found = [s for rule in rules if (s := rule()) is not None and s.gain_high >= WORTH]
    return tuple(sorted(found, key=lambda s: -s.gain_high))


def gain(share: float) -> tuple[float, float]:
    """Return by how much the rate rises if half, and if all, of this share of the time goes away."""
    share = min(share, 0.99)
    return (share / 2) / (1 - share / 2), share / (1 - share)


def _headroom(*devices: DeviceLoad | None) -> float | None:
    """Return by how much the rate can rise before one of the devices is busy all the time; None when unknown."""
    busy = [d.busy for d in devices if d is not None and d.busy]
    return 1 / max(busy) - 1 if busy else None


def _lift_limit(situation: Situation, of: Mapping[Cause, float]) -> SuggestionView | None:
    share = of[Cause.THROTTLED]
    own, rate = limits_in_words(situation.limits, Limits()), situation.limits.io_bytes_per_s
    of_all = situation.shared.io_bytes_per_s
    if not own or is_lower(of_all, rate):
        return None  # it has none, or another binds
    low, high = gain(share)
    room = _headroom(situation.source, situation.target)
    if room is not None:
        low, high = min(low, room), min(high, room)
    if rate and of_all:  # then that binds
        low, high = min(low, of_all / rate - 1), min(high, of_all / rate - 1)
    because = f"{share:.0%} of the time is spent waiting for the {own[0]}"
    return SuggestionView("lift_limit", "lift the limit", "throttle ID --off", low, high, because)


def _fewer_movers(situation: Situation, of: Mapping[Cause, float]) -> SuggestionView | None:
    """One head cannot be in two places: on a rotating disk every further mover adds seeks.

    The gain follows from how far below its sequential best the disk is while busy: f = 1 -
    rate/(best × busy) of its time is seeks, a mover's share of which goes with each mover. Only the time that movers
    wait for that disk can become less.
    """
    k = situation.movers
    if k < 2:
        return None
    for cause, device in ((Cause.TARGET_WRITE, situation.target), (Cause.SOURCE_READ, situation.source)):
        if device is None or not device.rotational or (device.busy or 0) < BUSY or of[cause] < ROOM / 2:
            continue
        if not device.best_bytes_per_s or device.bytes_per_s is None or device.busy is None:
            continue
        seeking = 1 - device.bytes_per_s / (device.best_bytes_per_s * device.busy)
        if seeking <= 0:
            continue
        low, high = gain(seeking * (1 - 1 / k) * of[cause])
        part = device.bytes_per_s / device.best_bytes_per_s
        because = f"{device.name} turns, is busy {device.busy:.0%} and moves {part:.0%} of what it does in sequence"
        return _workers(k, 1, low, high, because)
    return None


def _more_movers(situation: Situation, of: Mapping[Cause, float], most: int | None) -> SuggestionView | None:
    k = situation.movers
    if k < 1 or most is None or k >= most:
        return None
    loads = [d.busy for d in (situation.source, situation.target) if d is not None]
    if situation.cpu_busy is None or len(loads) < 2 or any(b is None or b >= ROOM for b in loads):
        return None
    waits_for_answers = of[Cause.SOURCE_READ] + of[Cause.TARGET_WRITE] + of[Cause.METADATA]
    idle = of[Cause.WAITING] + of[Cause.THROTTLED] + of[Cause.HELD]
    if situation.cpu_busy >= ROOM or waits_for_answers < LATENCY_BOUND or idle > 1 - ROOM:
        return None
    more = min(2 * k, most)
    room = _headroom(situation.source, situation.target)
    high = more / k - 1 if room is None else min(more / k - 1, room)
    high = min(high, 1 / max(situation.cpu_busy, 0.01) - 1)
    because = (
        f"movers wait for answers {waits_for_answers:.0%} of the time, while the disks are busy "
        f"{max(b for b in loads if b is not None):.0%} at most and the processor {situation.cpu_busy:.0%}"
    )
    return _workers(k, more, min(WORTH, high), high, because)


def _larger_batches(situation: Situation, of: Mapping[Cause, float]) -> SuggestionView | None:
    """Movers without work although there is some: they are handed too little at a time, as somebody wants it."""
    share = of[Cause.WAITING]
    if (
        situation.most_entries is None
        or share < 0.15
        or situation.scanning
        or not situation.pending
        or situation.pending < 1000 * situation.movers
    ):
        return None
    low, high = gain(share)
    because = (
        f"movers wait for work {share:.0%} of the time, and {situation.pending:,} tasks are pending, of which they get "
        f"{situation.most_entries:,} at once"
    )
    return SuggestionView("larger_batches", "larger batches", "batch ID auto", low, high, because)


def _workers(now: int, then: int, low: float, high: float, because: str) -> SuggestionView:
    kind = "more_movers" if then > now else "fewer_movers"
    return SuggestionView(kind, f"workers {now}→{then}", f"workers ID {then}", low, high, because)
