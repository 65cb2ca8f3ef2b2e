"""What a disk's SMART values say about it, at one moment and since a migration began.

Every finding names value, threshold, since when, the evidence and what to do. What a disk does not tell is no finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from migmond.analytics.smart_table import (
    COPY_FIRST,
    REPLACE,
    Attribute,
    annual_failure_rate,
    attributes,
    nvme_warning_text,
    plain_raw,
)
from migmond.analytics.times import time_text
from migmond.domain.analysis import DeviceFinding


class Threshold(msgspec.Struct, frozen=True):
    """A normalised value with the maker's threshold, of an attribute that predicts failure."""

    name: str
    value: int
    threshold: int


class Reading(msgspec.Struct, frozen=True):
    """What a disk told at `at` (wall clock seconds). None, or an attribute that is missing: it does not tell.

    Attributes:
        passed: its own verdict.
        raw: raw values of ATA attributes by number.
        prefail: by number, of those of the type pre-fail.
        grown_defects, uncorrected: of SAS disks, from the defect list and the error counters.
        rotational: of solid state disks nobody has published failure rates by these values.
        critical_warning and further: of NVMe, as in the SMART / Health log page; `spare` and `used` are percent.
    """

    device: str
    at: float
    passed: bool | None = None
    raw: Mapping[int, int] = {}
    prefail: Mapping[int, Threshold] = {}
    grown_defects: int | None = None
    uncorrected: int | None = None
    rotational: bool | None = None
    critical_warning: int | None = None
    media_errors: int | None = None
    spare: float | None = None
    spare_threshold: float | None = None
    used: float | None = None


def findings(readings: Sequence[Reading]) -> list[DeviceFinding]:
    """Return what the newest reading says, critical first. `since` is the first of the readings that has said it ever
    since.

    Args:
        readings: of one disk, in order of time; the last one is now.
    """
    if not readings:
        return []
    found = []
    for finding in _present(readings[-1]):
        since = readings[-1].at
        for earlier in reversed(readings[:-1]):
            if all(f.kind != finding.kind for f in _present(earlier)):
                break
            since = earlier.at
        found.append(msgspec.structs.replace(finding, since=time_text(since)))
    return sorted(found, key=_order)


def rises(before: Reading, after: Reading) -> list[DeviceFinding]:
    """Return what got worse between two readings of the same disk, such as the begin of a migration and now.

    Any rise of what counts lost or moved sectors is a warning: the work brings weak spots to light. A value that fell
    began anew or was another disk's; it says nothing.
    """
    found = []
    for attribute in attributes():
        if attribute.id in before.raw and attribute.id in after.raw:
            was, now = (plain_raw(attribute.id, r.raw[attribute.id]) for r in (before, after))
            rate = _published(after, attribute, now)
            found.append(
                _rise(before, after, f"smart_{attribute.id}", attribute.name, was, now, attribute.action, rate)
            )
    for kind, name, was_known, now_known in (
        ("media_errors", "media errors", before.media_errors, after.media_errors),
        ("grown_defects", "grown defects", before.grown_defects, after.grown_defects),
        ("uncorrected", "uncorrected errors", before.uncorrected, after.uncorrected),
    ):
        if was_known is not None and now_known is not None:
            found.append(_rise(before, after, kind, name, was_known, now_known, REPLACE, None))
    return [f for f in found if f is not None]


def _rise(
    before: Reading, after: Reading, kind: str, name: str, was: int, now: int, action: str, rate: float | None
) -> DeviceFinding | None:
    if now <= was:
        return None
    return DeviceFinding(
        after.device, f"{kind}_rise", "warning", f"{name} rose by {now - was}", float(now - was), 0.0, "",
        time_text(before.at), f"{was} → {now} since {time_text(before.at)}",
        action if action.startswith(COPY_FIRST) or kind in {"smart_199", "smart_188"} else f"{COPY_FIRST}; {action}",
        rate,
    )  # fmt: skip


def _present(reading: Reading) -> list[DeviceFinding]:
    found = [f for a in attributes() if a.id in reading.raw and (f := _attribute(reading, a)) is not None]
    if reading.passed is False:
        found.append(
            _one(
                reading, "self_verdict", "critical", "the disk says it fails", 1, 1, "", "SMART status: FAILED", REPLACE
            )
        )
    for number, value in reading.prefail.items():
        if value.threshold > 0 and value.value <= value.threshold:
            evidence = f"attribute {number} {value.name}: value {value.value}, the maker's threshold {value.threshold}"
            found.append(
                _one(
                    reading, f"prefail_{number}", "critical", f"{value.name} is at the maker's threshold",
                    value.value, value.threshold, "", evidence, REPLACE,
                )
            )  # fmt: skip
    found += _nvme(reading)
    if reading.grown_defects:
        evidence = f"{reading.grown_defects} grown defects"
        found.append(
            _one(
                reading, "grown_defects", "warning", evidence, reading.grown_defects, 1, "", evidence,
                f"{COPY_FIRST}; run a long self-test",
            )
        )  # fmt: skip
    if reading.uncorrected:
        evidence = f"{reading.uncorrected} errors that could not be corrected"
        found.append(
            _one(reading, "uncorrected", "warning", evidence, reading.uncorrected, 1, "", evidence, REPLACE)
        )  # fmt: skip
    return found


def _attribute(reading: Reading, attribute: Attribute) -> DeviceFinding | None:
    raw = plain_raw(attribute.id, reading.raw[attribute.id])
    if attribute.critical_from is not None and raw >= attribute.critical_from:
        severity, threshold = "critical", attribute.critical_from
    elif attribute.warn_from is not None and raw >= attribute.warn_from:
        severity, threshold = "warning", attribute.warn_from
    else:
        return None
    rate = _published(reading, attribute, raw)
    published = f"; of disks with such a value {rate:.0%} a year have failed" if rate is not None and rate <= 1 else ""
    if rate is not None and rate > 1:
        published = f"; such disks have failed {rate:.1f} times a year of service"
    evidence = f"attribute {attribute.id} {attribute.name}: {raw}{published}"
    return _one(
        reading, f"smart_{attribute.id}", severity, f"{raw} {attribute.name}", raw, threshold, "", evidence,
        attribute.action, rate,
    )  # fmt: skip


def _published(reading: Reading, attribute: Attribute, raw: int) -> float | None:
    return None if reading.rotational is False else annual_failure_rate(attribute, raw)


def _nvme(reading: Reading) -> Iterable[DeviceFinding]:
    """NVM Express Base Specification 2.0, SMART / Health Information: what its fields mean by themselves."""
    if reading.critical_warning:
        text = nvme_warning_text(reading.critical_warning)
        yield _one(
            reading, "critical_warning", "critical", text, reading.critical_warning, 1, "",
            f"critical_warning {reading.critical_warning:#x}", REPLACE,
        )  # fmt: skip
    if reading.media_errors:
        evidence = f"{reading.media_errors} times data could not be read back unharmed (media_errors)"
        yield _one(reading, "media_errors", "warning", "media errors", reading.media_errors, 1, "", evidence, REPLACE)
    if reading.used is not None and reading.used >= 100:
        yield _one(
            reading, "worn", "warning", "rated endurance is used up", reading.used, 100, "%",
            f"percentage_used {reading.used:.0f} %: the maker's estimate of its life; many last longer",
            "plan to replace the disk; keep a copy of what is on it",
        )  # fmt: skip
    if reading.spare is not None and reading.spare_threshold is not None and reading.spare < reading.spare_threshold:
        yield _one(
            reading, "spare", "critical", "spare blocks run out", reading.spare, reading.spare_threshold, "%",
            f"available_spare {reading.spare:.0f} %, its threshold {reading.spare_threshold:.0f} %", REPLACE,
        )  # fmt: skip


def _one(
    reading: Reading, kind: str, severity: str, title: str, value: float, threshold: float, unit: str, evidence: str,
    action: str, rate: float | None = None,
) -> DeviceFinding:  # fmt: skip
    return DeviceFinding(
        reading.device, kind, severity, title, float(value), float(threshold), unit, time_text(reading.at), evidence,
        action, rate,
    )  # fmt: skip


def _order(finding: DeviceFinding) -> tuple[int, str]:
    return ({"critical": 0, "warning": 1}.get(finding.severity, 2), finding.kind)
