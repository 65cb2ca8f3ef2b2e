"""From the newest samples of the collector `smart` to what `disk_health` judges."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

from migmond.analytics.disk_health import Reading
from migmond.domain.samples import SampleView

_PREFIX = "migmond_disk_"
_PENDING = "migmond_disk_pending_sectors"
_SOLID = frozenset({"ssd", "nvme"})


def readings(samples: Iterable[SampleView], kinds: Mapping[str, str]) -> list[Reading]:
    """Return one reading for each disk that has told anything about its health, by name.

    Args:
        samples: the newest, of any collectors.
        kinds: `hdd`, `ssd` or `nvme` of those disks of which it is known.
    """
    by_disk: dict[str, dict[str, SampleView]] = {}
    for sample in samples:
        if sample.metric in _told_by_health() and (device := sample.labels.get("device")):
            by_disk.setdefault(device, {})[sample.metric] = sample
    return [_reading(device, told, kinds.get(device, "")) for device, told in sorted(by_disk.items())]


def _told_by_health() -> frozenset[str]:
    own = {"healthy", "critical_warning", "media_errors_total", "endurance_used_ratio", "available_spare_ratio"}
    names = own | {"available_spare_limit_ratio"} | {name for name, _ in _attributes()}
    return frozenset(_PREFIX + name for name in names)


def _attributes() -> tuple[tuple[str, int], ...]:
    """Names of metrics by the ATA attribute that they are."""
    return (
        ("reallocated_sectors", 5),
        ("uncorrectable_errors_total", 187),
        ("command_timeouts_total", 188),
        ("pending_sectors", 197),
        ("offline_uncorrectable_sectors", 198),
        ("link_errors_total", 199),
    )


def _reading(device: str, told: Mapping[str, SampleView], kind: str) -> Reading:
    def value(name: str) -> float | None:
        sample = told.get(_PREFIX + name)
        return None if sample is None else sample.value

    def number(name: str) -> int | None:
        found = value(name)
        return None if found is None else int(found)

    def percent(name: str) -> float | None:
        found = value(name)
        return None if found is None else round(100 * found, 6)

    at = max(datetime.datetime.fromisoformat(sample.at).timestamp() for sample in told.values())
    healthy = value("healthy")
    # The collector tells of SAS disks only what they have: defects and uncorrected errors.
    is_ata = _PENDING in told
    raw = {attribute: found for name, attribute in _attributes() if (found := number(name)) is not None}
    return Reading(
        device=device,
        at=at,
        passed=None if healthy is None else healthy > 0,
        raw=raw if is_ata else {},
        grown_defects=None if is_ata else number("reallocated_sectors"),
        uncorrected=None if is_ata else number("uncorrectable_errors_total"),
        rotational={"hdd": True}.get(kind, False if kind in _SOLID else None),
        critical_warning=number("critical_warning"),
        media_errors=number("media_errors_total"),
        spare=percent("available_spare_ratio"),
        spare_threshold=percent("available_spare_limit_ratio"),
        used=percent("endurance_used_ratio"),
    )
