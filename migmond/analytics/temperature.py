"""Whether a disk is too hot: by its own limits where it tells them, with hysteresis, and not for a moment only."""

from __future__ import annotations

import enum

import msgspec

from migmond.analytics.times import time_text
from migmond.domain.analysis import DeviceFinding
from migmond.domain.units import show_degrees

HYSTERESIS_C = 5.0
FOR_S = 120.0
LONGEST_GAP_S = 600.0
"""Readings further apart say nothing about the time between them (disks in standby are not asked)."""


class Heat(enum.IntEnum):
    NORMAL = 0
    WARNING = 1
    CRITICAL = 2


class Limits(msgspec.Struct, frozen=True):
    """Degrees Celsius from which on a disk is too warm, and far too warm. `own`: the disk told them itself."""

    warning: float
    critical: float
    own: bool = False


def limits(kind: str, warning: float | None = None, critical: float | None = None) -> Limits:
    """Return what counts for a disk: its own limits, else those of its kind (design page ETA, "Disk health": rotating
    50 and 60 °C, NVMe 70 and 80; other solid state as rotating ones, which is on the safe side).

    Args:
        kind: "hdd", "ssd" or "nvme".
        warning, critical: as the disk tells them; 0 and None are "does not tell". One alone gives the other 10 degrees
            away.
    """
    if warning or critical:
        high = critical or (warning or 0) + 10
        return Limits(min(warning or high - 10, high), high, own=True)
    return Limits(70.0, 80.0) if kind == "nvme" else Limits(50.0, 60.0)


def limits_of(device: str, warning: float | None = None, critical: float | None = None) -> Limits:
    """Return what counts for a disk of which no more than the kernel's name is known; see `limits`."""
    return limits("nvme" if device.startswith("nvme") else "hdd", warning, critical)


class Thermometer(msgspec.Struct, frozen=True):
    """The state of one disk. Begin with `Thermometer()`, go on with `step`. Times are wall clock seconds.

    Attributes:
        heat: what is told, and `since` when it has been so.
        warm_from, hot_from: since when every reading was at the warning, the critical limit or above.
        hottest: since it was last normal.
    """

    heat: Heat = Heat.NORMAL
    since: float = 0.0
    warm_from: float | None = None
    hot_from: float | None = None
    hottest: float = 0.0
    last_at: float = 0.0


def step(state: Thermometer, at: float, celsius: float, of: Limits) -> Thermometer:
    """Return the state after a reading.

    A level is reached when every reading of `FOR_S` was at its limit or above, and left at once when one is more than
    `HYSTERESIS_C` below it.
    """
    gap = at - state.last_at > LONGEST_GAP_S

    def begin(known: float | None, limit: float) -> float | None:
        if celsius < limit:
            return None
        return at if known is None or gap else known

    warm_from, hot_from = begin(state.warm_from, of.warning), begin(state.hot_from, of.critical)
    heat, since = state.heat, state.since
    while heat > Heat.NORMAL and celsius < _limit(heat, of) - HYSTERESIS_C:
        heat, since = Heat(heat - 1), at
    for level, begun in ((Heat.WARNING, warm_from), (Heat.CRITICAL, hot_from)):
        if begun is not None and at - begun >= FOR_S and level > heat:
            heat, since = level, begun
    hottest = celsius if warm_from is None and heat is Heat.NORMAL else max(state.hottest, celsius)
    return Thermometer(heat, since, warm_from, hot_from, hottest, at)


def finding(device: str, state: Thermometer, celsius: float, of: Limits) -> DeviceFinding | None:
    """Return what is to be told now."""
    if state.heat is Heat.NORMAL:
        return None
    severity = "critical" if state.heat is Heat.CRITICAL else "warning"
    threshold = _limit(state.heat, of)
    whose = "its own limit" if of.own else "the limit for disks of its kind"
    return DeviceFinding(
        device, "temperature", severity, f"{device} {show_degrees(celsius)}", celsius, threshold, "celsius",
        time_text(state.since),
        f"{show_degrees(celsius)}, at most {show_degrees(state.hottest)}; {whose} is {show_degrees(threshold)}",
        "slow the migration down or hold it, and look after cooling",
    )  # fmt: skip


def _limit(heat: Heat, of: Limits) -> float:
    return of.critical if heat is Heat.CRITICAL else of.warning
