"""How often bands kept their word, measured on past runs: what is told beside a band, instead of an invented score."""

from __future__ import annotations

import math

import msgspec

from migmond.analytics.measures import Forecast, Unknown

STEPS = 20
"""A run's forecasts are remembered once in each twentieth of its predicted progress, from 10 to 90 %."""

LEAST_RUNS = 10
"""Forecasts of one run err together, so runs count and not forecasts: with fewer nothing can be said."""

_Z90 = 1.645


class Kept(msgspec.Struct, frozen=True):
    """Of one ended run, or of many: bands that were told, and how many of them held the true value."""

    runs: int = 0
    bands: int = 0
    held: int = 0

    def plus(self, other: Kept) -> Kept:
        return Kept(self.runs + other.runs, self.bands + other.bands, self.held + other.held)


class Measured(msgspec.Struct, frozen=True):
    """The share of bands that held the true value, and the 90 % interval of Wilson for as many independent runs."""

    share: float
    low: float
    high: float
    runs: int


class Promise(msgspec.Struct, frozen=True):
    """A band that was told: at `t` active seconds, `low_s` to `high_s` seconds were left."""

    t: float
    low_s: float
    high_s: float


class Promises(msgspec.Struct):
    """What was told during one run, all at one level: at most 17 bands. Encode it to keep it over a restart."""

    told: dict[int, Promise] = {}

    def note(self, t: float, forecast: Forecast) -> None:
        """Remember `forecast`, told at `t`, if it is the first in its twentieth."""
        whole = t + forecast.remaining_s
        step = int(STEPS * t / whole) if whole > 0 else STEPS
        if STEPS // 10 <= step < STEPS - STEPS // 10 and step not in self.told:
            self.told[step] = Promise(t, forecast.low_s, forecast.high_s)

    def kept(self, end: float, last_action: float = 0.0) -> Kept:
        """Return how many were right, of a run that took `end` active seconds. What was told before the last change of
        limits or workers does not count: nobody can foresee it."""
        due = [p for p in self.told.values() if last_action <= p.t <= end]
        held = sum(p.low_s <= end - p.t <= p.high_s for p in due)
        return Kept(1 if due else 0, len(due), held)


def measured(past: Kept) -> Measured | Unknown:
    """Return what bands of past runs were worth."""
    if past.runs < LEAST_RUNS or past.bands == 0:
        return Unknown(f"only {past.runs} runs have ended, {LEAST_RUNS} are needed")
    share, n, z2 = past.held / past.bands, past.runs, _Z90 * _Z90
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z90 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Measured(share, max(0.0, middle - half), min(1.0, middle + half), n)
