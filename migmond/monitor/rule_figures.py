"""What only rules look at, as readings: of executions at work, and of disks as far as collectors tell of them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

import msgspec

from migmond.alerting.figures import Figures
from migmond.alerting.metrics import METRICS
from migmond.analytics.temperature import limits_of
from migmond.domain.observation import Observation
from migmond.domain.samples import SampleView
from migmond.domain.telemetry import Reading, Series, series_of
from migmond.monitor.usage import MachineLoad

_NVME_HEAT = 2
"""The bit of an NVMe disk's critical warning that says it is too hot (NVM Express Base Specification 2.0)."""
_MOST_KEPT = 10_000
_UNITS = {m.name: m.unit for m in METRICS}
SOURCES: Mapping[str, str] = {
    "migmond_disk_failing": "migmond_disk_healthy",
    "migmond_disk_heat_margin_celsius": "migmond_disk_temperature_celsius",
}
"""Metrics that are made of samples of collectors, and the one as often as which they are made."""


class RuleFigures:
    """One for the daemon; keeps what each execution at work needs."""

    def __init__(self) -> None:
        self._of: dict[str, Figures] = {}
        self._series: dict[tuple[str, str], Series] = {}

    def of_execution(self, seen: Observation, full_in_s: float | None, now: float) -> tuple[Reading, ...]:
        """Take a look in and return what is known.

        Args:
            full_in_s: see `Figures.observe`.
            now: monotonic seconds.
        """
        id_ = seen.execution.id
        figures = self._of.get(id_)
        if figures is None:
            figures = self._of[id_] = Figures()
        known = figures.observe(seen, now, full_in_s)
        return tuple(
            Reading(self._named(f"migmond_execution_{name}", "execution", id_), value) for name, value in known.items()
        )

    def of_disks(self, load: MachineLoad) -> tuple[Reading, ...]:
        """Return how slowly each disk answers, by what was found out about it."""
        readings = []
        for name in load.disks:
            finding = load.findings.get(name)
            slow = finding.value if finding is not None and finding.kind == "fail_slow" else 1.0
            readings.append(Reading(self._named("migmond_disk_slow_ratio", "device", name), slow))
        return tuple(readings)

    def keep_only(self, executions: Container[str]) -> None:
        """Forget all other executions."""
        for gone in [id_ for id_ in self._of if id_ not in executions]:
            del self._of[gone]

    def _named(self, metric: str, label: str, value: str) -> Series:
        key = (metric, value)
        if len(self._series) > _MOST_KEPT:
            self._series.clear()
        if key not in self._series:
            self._series[key] = series_of(metric, {label: value}, unit=_UNITS[metric])
        return self._series[key]


def with_derived(samples: Iterable[SampleView]) -> list[SampleView]:
    """Return what a collector told of disks, and what rules want to know that follows from it."""
    told = list(samples)
    signs: dict[str, SampleView] = {}
    heat: dict[str, SampleView] = {}
    limits = {
        s.labels["device"]: s.value
        for s in told
        if s.metric == "migmond_disk_temperature_limit_celsius" and s.labels.get("limit") == "warning" and s.value
    }
    for s in told:
        device, value = s.labels.get("device", ""), s.value
        if not device or value is None:
            continue
        if s.metric == "migmond_disk_temperature_celsius":
            margin = limits_of(device, limits.get(device)).warning - value
            heat[device] = _derived("migmond_disk_heat_margin_celsius", s, margin)
            continue
        found = _signs(s.metric, value)
        if found is not None:
            before = signs[device].value or 0.0 if device in signs else 0.0
            signs[device] = _derived("migmond_disk_failing", s, before + found)
    return [*told, *signs.values(), *heat.values()]


def _signs(metric: str, value: float) -> float | None:
    """How many signs of failure a sample is; None when it tells nothing of that."""
    match metric:
        case "migmond_disk_healthy":
            return 0.0 if value else 1.0
        case "migmond_disk_failing_attributes" | "migmond_disk_pending_sectors":
            return float(value > 0)
        case "migmond_disk_offline_uncorrectable_sectors":
            return float(value > 0)
        case "migmond_disk_critical_warning":
            return float(bool(int(value) & ~_NVME_HEAT))
    return None


def _derived(metric: str, source: SampleView, value: float) -> SampleView:
    device = {"device": source.labels["device"]}
    return msgspec.structs.replace(source, metric=metric, unit=_UNITS[metric], labels=device, value=value)


def derived_every_s(kinds: Mapping[str, tuple[float, str]]) -> dict[str, tuple[float, str]]:
    """Return how often, and of which kind, derived metrics are, by those of collectors."""
    return {name: (kinds[source][0], "gauge") for name, source in SOURCES.items() if source in kinds}
