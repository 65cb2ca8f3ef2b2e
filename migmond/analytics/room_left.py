"""When a target will be full: from its free bytes and how they went down."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from migmond.analytics.measures import Unknown

LEAST_SAMPLES = 5
MOST_SAMPLES = 60
"""The latest so many count: what was written hours ago says little of what others write now."""

NEIGHBOURS = 5
"""Slopes are taken between samples that lie at most so many apart: something large that is deleted is a jump in few of
them, and the median does not see it."""


class FullAt(msgspec.Struct, frozen=True):
    """The target is full before the run is done.

    Attributes:
        after_s: seconds from the last sample, by the median of the slopes between samples.
        early_s, late_s: by the 90th and 10th percentile of them; `late_s` None: at that slope it does not fill up.
        short_bytes: how much will not fit, if others go on to write as they do.
    """

    after_s: float
    early_s: float
    late_s: float | None
    short_bytes: int


def full_at(samples: Sequence[tuple[float, int]], remaining_s: float) -> FullAt | Unknown | None:
    """Return when a target is full; None when it is not before the run ends.

    Args:
        samples: (seconds, free bytes) in order of time, of the time in which the run was active.
        remaining_s: until the run ends, from the last sample.
    """
    latest = samples[-MOST_SAMPLES:]
    slopes = sorted(
        (free - later_free) / (later - t)
        for i, (t, free) in enumerate(latest)
        for later, later_free in latest[i + 1 : i + 1 + NEIGHBOURS]
        if later > t
    )
    if len(latest) < LEAST_SAMPLES or not slopes:
        return Unknown(f"free space was measured {len(latest)} times only")
    slope, free = statistics.median(slopes), latest[-1][1]
    if slope <= 0 or slope * remaining_s <= free:
        return None
    steep, flat = slopes[len(slopes) * 9 // 10], slopes[len(slopes) // 10]
    late = free / flat if flat > 0 else None
    return FullAt(free / slope, free / steep, late, round(slope * remaining_s - free))
