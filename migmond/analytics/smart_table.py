"""What raw values of SMART attributes have meant: published failure rates, and what to do.

Annual failure rates: Backblaze's drive data as tabulated by scrutiny (github.com/AnalogJ/scrutiny,
webapp/backend/pkg/thresholds/ata_attribute_metadata.go, `ObservedThresholds`), rounded. They are of rotating disks in a
data centre; above 1 means more than one failure per disk and year of service.
Which attributes count: Backblaze, "What SMART Stats Tell Us About Hard Drives" (2016): 5, 187, 188, 197 and 198;
Pinheiro et al., "Failure Trends in a Large Disk Drive Population" (FAST 2007): after the first scan error a disk is 39
times likelier to fail within 60 days.
"""

from __future__ import annotations

import enum

import msgspec

COPY_FIRST = "copy the most important data first"
REPLACE = f"{COPY_FIRST}; replace the disk"


class Rates(msgspec.Struct, frozen=True):
    """`annual` share of disks that failed, whose raw value was at most `up_to` (and above the row before)."""

    up_to: float
    annual: float


class Attribute(msgspec.Struct, frozen=True):
    """One ATA attribute whose value says something; any rise while a migration runs does.

    Attributes:
        rates: by raw value; () when nobody has published any.
        warn_from, critical_from: raw values; None is never.
        action: what to do.
    """

    id: int
    name: str
    rates: tuple[Rates, ...]
    warn_from: int | None
    critical_from: int | None
    action: str


class NvmeWarning(enum.IntFlag):
    """Bits of critical_warning (NVM Express Base Specification 2.0, figure 207)."""

    SPARE_LOW = 1
    TEMPERATURE = 2
    RELIABILITY = 4
    READ_ONLY = 8
    BACKUP_FAILED = 16
    PERSISTENT_MEMORY = 32


def nvme_warning_text(bits: int) -> str:
    """Return what critical_warning says."""
    words = {
        NvmeWarning.SPARE_LOW: "spare capacity is below its threshold",
        NvmeWarning.TEMPERATURE: "temperature is beyond its limits",
        NvmeWarning.RELIABILITY: "reliability is degraded by media or internal errors",
        NvmeWarning.READ_ONLY: "media is read-only",
        NvmeWarning.BACKUP_FAILED: "the backup of volatile memory has failed",
        NvmeWarning.PERSISTENT_MEMORY: "persistent memory is unreliable or read-only",
    }
    told = [text for flag, text in words.items() if bits & flag]
    unknown = bits & ~0x3F
    return ", ".join([*told, f"reserved bits {unknown:#x}"] if unknown else told)


def attributes() -> tuple[Attribute, ...]:
    """Return the table. Warning and critical begin where the published rate leaves that of a healthy disk (2.5 %) well
    behind, and where it reaches a third."""

    def rates(*rows: tuple[float, float]) -> tuple[Rates, ...]:
        return tuple(Rates(*row) for row in rows)

    return (
        Attribute(
            5, "reallocated sectors",
            rates(
                (0, 0.025), (4, 0.027), (16, 0.075), (70, 0.24), (260, 0.36), (1100, 0.57), (4500, 1.5), (17000, 2.1)
            ),
            5, 71, f"{COPY_FIRST}; run a long self-test; plan to replace the disk",
        ),
        Attribute(
            10, "spin retries", rates((0, 0.055)), 1, None,
            "check power supply and cable; a mechanism that is worn does the same",
        ),
        Attribute(
            184, "end-to-end errors", (), 1, None, f"{COPY_FIRST}; data was damaged inside the disk: verify copies",
        ),
        Attribute(
            187, "uncorrectable errors reported",
            rates(
                (0, 0.028), (1, 0.34), (3, 0.24), (6, 0.5), (11, 0.38), (20, 0.53), (35, 0.84), (65, 1.4), (120, 1.6)
            ),
            1, 4, REPLACE,
        ),
        Attribute(
            188, "commands timed out", rates((100, 0.025)), 101, None,
            "check cable, power and controller first: they cause it more often than the disk does",
        ),
        Attribute(
            197, "sectors waiting to be remapped",
            rates((0, 0.026), (2, 0.34), (6, 0.68), (16, 0.61), (40, 0.96), (100, 1.7), (250, 2.5), (650, 3.3)),
            1, 3, f"{COPY_FIRST}; read the files that are on it and write them anew; replace the disk",
        ),
        Attribute(
            198, "sectors that cannot be corrected", rates((0, 0.029), (2, 0.81), (4, 1.1), (6, 1.4)),
            1, 1, REPLACE,
        ),
        Attribute(
            199, "checksum errors on the cable", rates((1, 0.041), (2, 0.15), (4, 0.17), (8, 0.15), (35, 0.21)),
            None, None, "replace the cable, or use another port: the data itself was sent again",
        ),
    )  # fmt: skip


def annual_failure_rate(attribute: Attribute, raw: int) -> float | None:
    """Return the published rate for a raw value; None beyond what was observed."""
    return next((row.annual for row in attribute.rates if raw <= row.up_to), None)


def plain_raw(attribute_id: int, raw: int) -> int:
    """Return the count in a raw value. 188 packs three 16-bit words on some disks (Seagate): the lowest counts all
    timeouts, the others those that took longest."""
    return raw & 0xFFFF if attribute_id == 188 else raw
