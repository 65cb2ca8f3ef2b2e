"""The metrics of executions and disks that rules may name besides those of collectors. One list: checks, messages and
the page of metrics are made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from migmond.domain.telemetry import MetricKind

NEVER_S = 30 * 86_400.0
"""What `migmond_execution_target_full_seconds` says of a target that does not fill up: a month. No value would mean
that nobody knows."""


class RuleMetric(msgspec.Struct, frozen=True):
    """A metric that the monitor makes.

    Attributes:
        unit: base unit; "bytes per second" for rates that are gauges.
        label: the only label that its series have.
        once: it tells of what has happened for good: nobody is told that it is over, as if all were well again.
    """

    name: str
    unit: str
    kind: MetricKind
    help: str
    label: str = "execution"
    once: bool = False


_G, _C = MetricKind.GAUGE, MetricKind.COUNTER
_P = "migmond_execution_"

METRICS: tuple[RuleMetric, ...] = (
    RuleMetric(f"{_P}bytes_total", "bytes", _C, "Settled bytes, with those of files in flight."),
    RuleMetric(f"{_P}entries_total", "", _C, "Settled entries, with those in flight."),
    RuleMetric(f"{_P}failed_entries_total", "", _C, "Entries that have failed for good."),
    RuleMetric(f"{_P}cpu_seconds_total", "seconds", _C, "Processor time of its movers."),
    RuleMetric(f"{_P}read_bytes_total", "bytes", _C, "What its movers had disks read."),
    RuleMetric(f"{_P}written_bytes_total", "bytes", _C, "What its movers had disks write."),
    RuleMetric(f"{_P}planned_bytes", "bytes", _G, "Size of the files found so far."),
    RuleMetric(f"{_P}planned_entries", "", _G, "Entries found so far."),
    RuleMetric(f"{_P}movers", "", _G, "Movers at work."),
    RuleMetric(f"{_P}remaining_seconds", "seconds", _G, "Seconds of work left, by the forecast."),
    RuleMetric(f"{_P}remaining_low_seconds", "seconds", _G, "Lower end of the forecast's band."),
    RuleMetric(f"{_P}remaining_high_seconds", "seconds", _G, "Upper end of the forecast's band."),
    RuleMetric(
        f"{_P}bytes_per_second", "bytes per second", _G, "Rate between the last two looks, while it is not held."
    ),
    RuleMetric(
        f"{_P}stalled_seconds", "seconds", _G,
        "For how long not a byte and not an entry has come forward, though it runs and is not held; 0 while it does.",
    ),
    RuleMetric(
        f"{_P}error_ratio", "ratio", _G,
        "Of the entries that were settled in the last 5 minutes of work, the share that failed; 0 below 20 entries.",
    ),
    RuleMetric(
        f"{_P}forecast_ratio", "ratio", _G,
        "Speed of the last 2 minutes of work by what its own forecast, of up to 30 minutes before, promised for the "
        "same files and bytes: 0.5 is half as fast. Not told while it is held, limited anew, or still scanning.",
    ),
    RuleMetric(
        f"{_P}eta_slip_ratio", "ratio", _G,
        "By how much the end has moved since the forecast of up to an hour of work ago, by what was left then (at "
        "least 10 minutes): 0.25 is a quarter later. Holds move nothing; a plan that grows or a new limit begins anew.",
    ),
    RuleMetric(
        f"{_P}hung_seconds", "seconds", _G,
        "For how long the mover that waits longest has been in one operation of the file system; 0 when none waits.",
    ),
    RuleMetric(f"{_P}finished", "", _G, "1, once, when it has ended in any way.", once=True),
    RuleMetric(
        f"{_P}ended_badly", "", _G, "1, once, when it has ended failed, or with entries that failed.", once=True
    ),
    RuleMetric(
        f"{_P}target_full_seconds", "seconds", _G,
        "In how many seconds its target is full at the pace of the last minutes, if before it is done; 30 days if not.",
    ),
    RuleMetric(
        "migmond_disk_slow_ratio", "ratio", _G,
        "How many times slower than its own model a disk has answered, once that is found to be lasting; 1 before. "
        "Only while something moves.",
        "device",
    ),
    RuleMetric(
        "migmond_disk_failing", "", _G,
        "How many signs of failure a disk shows: its own verdict, attributes at their threshold, critical warnings of "
        "NVMe other than heat, sectors that cannot be read.",
        "device",
    ),
    RuleMetric(
        "migmond_disk_heat_margin_celsius", "celsius", _G,
        "Degrees to the temperature that a disk names as the most for work; where it names none, to 50 degrees, of "
        "NVMe disks to 70.",
        "device",
    ),
)  # fmt: skip
ONCE = frozenset(m.name for m in METRICS if m.once)


class Known(msgspec.Struct, frozen=True):
    """What a rule needs to know of a metric."""

    unit: str
    kind: MetricKind
    labels: tuple[str, ...]


def known(collected: Iterable[tuple[str, str, str, tuple[str, ...]]]) -> Mapping[str, Known]:
    """Return all metrics that rules may name.

    Args:
        collected: name, unit, kind and labels of those of collectors.
    """
    found = {name: Known(unit, MetricKind(kind), labels) for name, unit, kind, labels in collected}
    return {**found, **{m.name: Known(m.unit, m.kind, (m.label,)) for m in METRICS}}
