"""What a run will cost, before anything of it was measured: from earlier runs, or from the class of its devices."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import msgspec

from migmond.analytics.measures import Cost, Shape

FLOOR_SD_A, FLOOR_SD_B = 0.25, 0.2
"""Two runs on one pair of devices differ by this much (standard deviations of log a and log b) however well earlier
ones agree (design page ETA, 6)."""

CLASS_SD = 1.5
"""Of a first guess from classes (design page ETA, 6): a factor 4.5 either way."""

CLASS_CORRELATION, RUN_CORRELATION = 0.5, 0.4
"""A device, or a day, that is slow for files is likelier slow for bytes as well: of a guess, and of earlier runs. An
assumption that a few windows outweigh. With 0 for earlier runs, 76 simulated ones whose history was 3 times too slow
had a mean error of 28 % instead of 25 %; with a right history it makes no difference."""

LEAST_COST, MOST_COST = 1e-15, 1e9
"""Seconds for a file or a byte: nothing on earth costs less or more, and sums and powers stay finite."""

CLIFF_AGREEMENT = 0.35
"""A cliff is believed when most runs lie within this share of their median (design page ETA, 8)."""

_CLASSES = {
    "nvme": (0.3e-3, 1 / 1200e6),
    "ssd": (0.6e-3, 1 / 400e6),
    "smr": (10e-3, 1 / 100e6),
    "hdd": (7e-3, 1 / 140e6),
    "usb": (12e-3, 1 / 40e6),
    "nfs": (6e-3, 1 / 90e6),
    "smb": (10e-3, 1 / 80e6),
    "ssh": (8e-3, 1 / 80e6),
    "net": (8e-3, 1 / 80e6),
}
"""Seconds a file and a byte by device class or transport: orders of magnitude of such devices with one worker. They
carry CLASS_SD, so that only their order counts."""

_OTHER = (2e-3, 1 / 150e6)


class Prior(msgspec.Struct, frozen=True):
    """Logarithms of seconds per file and per byte with their standard deviations and correlation.

    Attributes:
        runs: how many earlier ones it rests on; 0 is a guess from classes.
        cliff: bytes written and slowdown in which most earlier runs agree, if any.
    """

    log_a: float
    log_b: float
    sd_a: float
    sd_b: float
    correlation: float
    runs: int
    cliff: tuple[float, float] | None = None


def prior(shape: Shape, history: Sequence[Cost]) -> Prior:
    """Return what to expect of a run.

    Args:
        history: earlier runs with the same source device, target device and transport. Costs outside of
            LEAST_COST and MOST_COST say nothing and are left out, each by itself: a run of one large file tells only b.
    """
    guess_a, guess_b = _guess(shape)
    log_a, sd_a = _middle([r.a for r in history], math.log(guess_a), FLOOR_SD_A)
    log_b, sd_b = _middle([r.b for r in history], math.log(guess_b), FLOOR_SD_B)
    runs = sum(1 for r in history if _usable(r.a) or _usable(r.b))
    correlation = RUN_CORRELATION if runs else CLASS_CORRELATION
    return Prior(log_a, log_b, sd_a, sd_b, correlation, runs, _cliff(history))


def _usable(cost: float) -> bool:
    return LEAST_COST <= cost <= MOST_COST


def _middle(costs: Sequence[float], guess: float, floor: float) -> tuple[float, float]:
    """Return the mean of the logarithms (the log of the geometric mean) and the deviation of the next run from it."""
    logs = [math.log(c) for c in costs if _usable(c)]
    if not logs:
        return guess, CLASS_SD
    observed = statistics.stdev(logs) if len(logs) > 1 else 0.0
    # The mean itself is uncertain: one run says less than ten.
    return statistics.fmean(logs), max(floor, observed) * math.sqrt(1 + 1 / len(logs))


def _guess(shape: Shape) -> tuple[float, float]:
    """Return a and b of the slower of source, target and transport, for this many workers."""
    found = [
        cost
        for text in (shape.source, shape.target, shape.transport)
        for word, cost in _CLASSES.items()
        if word in text.lower()
    ] or [_OTHER]
    return max(a for a, _ in found), max(b for _, b in found)


def _cliff(history: Sequence[Cost]) -> tuple[float, float] | None:
    """Return where most runs of `history` met a cliff and how steep, or None when they do not agree."""
    met = [(r.cliff_bytes, r.slowdown) for r in history if r.cliff_bytes and r.slowdown > 1]
    if not met:
        return None
    place, steep = statistics.median(p for p, _ in met), statistics.median(s for _, s in met)
    agree = sum(abs(p / place - 1) <= CLIFF_AGREEMENT and abs(s / steep - 1) <= CLIFF_AGREEMENT for p, s in met)
    return (place, steep) if agree > len(history) / 2 else None
