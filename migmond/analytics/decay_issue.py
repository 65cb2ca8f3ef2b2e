"""A run that has become slower for good, as people are told while it goes on: only when it is significant."""

from __future__ import annotations

from collections.abc import Sequence

from migmond.analytics.decay import STEP, TREND, Cliff, Fading, Sawtooth, slow_decay
from migmond.analytics.measures import Tick, Unknown
from migmond.domain.analysis import IssueView
from migmond.domain.session import CoursePoint
from migmond.domain.units import show_size

MOST_POINTS = 128
"""The test of a trend compares each with each: 8,000 pairs take 4 ms."""
LEAST_S = 60.0
"""Before so much active time nothing is said: a cache that fills in its first minute is how a copy begins."""
_CACHES = {
    "hdd": "a shingled disk (SMR) whose cache is full does that",
    "ssd": "a solid-state disk whose SLC cache is full does that",
    "nvme": "a solid-state disk whose SLC cache is full does that",
}


def decay_issue(course: Sequence[CoursePoint], kind: str, heat: str = "") -> IssueView | None:
    """Return what there is to say of a run so far; None when it did not become slower, or that is not sure.

    Args:
        course: how it went. Nothing that anybody asked for may have slowed it: no limit, no other number of workers.
        kind: of the target's disk, see `DeviceSide`.
        heat: how warm the disks are, in words, "" unknown.
    """
    while len(course) > MOST_POINTS:
        course = [*course[:-1:2], course[-1]]
    if not course or course[-1].active_s < LEAST_S:
        return None
    decay = slow_decay([Tick(p.active_s, p.settled.entries, p.settled.bytes) for p in course])
    match decay:
        case Cliff():
            cause = _CACHES.get(kind, "a disk or network whose cache is full does that")
            title = f"it became {decay.slowdown:.2g} times slower after {show_size(decay.bytes)}"
            value, threshold, evidence = decay.slowdown, STEP, f"of files of the same sizes; {cause}"
        case Fading():
            title = f"it becomes slower and slower, {decay.slowdown:.2g} times by now"
            value, threshold = decay.slowdown, TREND
            evidence = "of files of the same sizes; heat or a target that fills does that"
        case Sawtooth():
            title = "its speed goes down and up again"
            value, threshold = float(decay.times), 3.0
            evidence = f"{decay.times} turns of {STEP} times at least; a disk that is throttled when hot does that"
        case Unknown() | None:
            return None
    evidence += f" ({heat})" if heat else ""
    unit = "turns" if isinstance(decay, Sawtooth) else "ratio"
    return IssueView("slow_decay", "warning", title, value, threshold, unit, evidence)
