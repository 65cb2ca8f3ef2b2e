"""The machine in one line: processor, busiest disk, hottest disk, what is written and read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from migmond.cli.render.plot import columns
from migmond.cli.render.text import rate_text
from migmond.domain.samples import SampleView
from migmond.domain.units import show_degrees

PREFIXES = ("migmond_cpu_busy_ratio", "migmond_disk_")
"""Of the metrics that are needed."""
_BUSY = 0.85
_HEAT = "migmond_disk_temperature_celsius"
_MARK = "!"


class Transfer(msgspec.Struct, frozen=True):
    """What all disks had read and written when that was looked at: RFC 3339 text, bytes."""

    at: str
    read: float
    written: float


def transfer(samples: Iterable[SampleView]) -> Transfer | None:
    """Return the sums over all disks; None when nobody counts."""
    sums, at = {"read": 0.0, "write": 0.0}, ""
    for sample in samples:
        if sample.metric == "migmond_disk_bytes_total" and sample.value is not None:
            direction = sample.labels.get("direction", "")
            if direction in sums:
                sums[direction] += sample.value
                at = max(at, sample.at)
    return Transfer(at, sums["read"], sums["write"]) if at else None


def machine_line(samples: Iterable[SampleView], rates: tuple[float, float] | None, lately: Sequence[float] = ()) -> str:
    """Return `W 572 MiB/s ▂▃▅▇▆  R 302 MiB/s  CPU 29%  sdc 88% busy!  sdd 50°C`; "" when nothing is known.

    Args:
        rates: bytes per second read and written, None when they are not known yet.
        lately: what was written per second in the last looks; of two and more a curve is drawn.
    """
    known = [s for s in samples if s.value is not None]
    parts = []
    if rates is not None:
        curve = f" {columns(lately, 1, 0.0, max(lately))[0]}" if len(lately) > 1 else ""
        parts += [f"W {rate_text(rates[1])}{curve}", f"R {rate_text(rates[0])}"]
    cpus = [s.value for s in known if s.metric == "migmond_cpu_busy_ratio" and s.value is not None]
    if cpus:
        parts.append(f"CPU {sum(cpus) / len(cpus):.0%}")
    busy = [(s.value or 0.0, s.labels.get("device", "?")) for s in known if s.metric == "migmond_disk_busy_ratio"]
    if busy:
        share, disk = max(busy)
        parts.append(f"{disk} {share:.0%} busy{_MARK if share >= _BUSY else ''}")
    heat = [(s.value or 0.0, s.labels.get("device", "?")) for s in known if s.metric == _HEAT]
    if heat:
        celsius, disk = max(heat)
        parts.append(f"{disk} {show_degrees(celsius)}")
    return "  ".join(parts)
