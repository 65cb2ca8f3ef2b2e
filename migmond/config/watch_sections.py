"""Settings of watching: what is measured and kept, who is told, and what things cost."""

from __future__ import annotations

from typing import Annotated

from migmond.config.setting import Help, Kind, Section


class HistorySection(Section, frozen=True):
    """Telemetry: what was measured, at four resolutions that are kept for different times."""

    enabled: Annotated[bool, Help("Whether what is measured is kept, by the same plugin as the journal.")] = True
    flush_every: Annotated[str, Help("How often it is written; a crash loses so much.", Kind.DURATION, 1, 600)] = "10s"
    keep_2s: Annotated[str, Help("How long values every 2 s are kept,", Kind.DURATION, 3600, 30 * 86400)] = "6h"
    keep_10s: Annotated[str, Help("every 10 s,", Kind.DURATION, 3600, 365 * 86400)] = "3d"
    keep_1min: Annotated[str, Help("every minute,", Kind.DURATION, 86400, 3650 * 86400)] = "60d"
    keep_1h: Annotated[
        str,
        Help(
            "and every hour; each at least as long as those before.",
            Kind.DURATION,
            86400,
            36500 * 86400,
        ),
    ] = "1095d"
    spare: Annotated[
        str,
        Help(
            "With less room than this where it is, telemetry is dropped: the rest is for the journal.",
            Kind.SIZE,
            0,
            1 << 50,
        ),
    ] = "64MiB"


class MonitorSection(Section, frozen=True):
    """Looking at what runs."""

    interval: Annotated[
        str, Help("How often executions are looked at, and what was seen is recorded.", Kind.DURATION, 0.1, 60)
    ] = "2s"


class AlertsSection(Section, frozen=True):
    """Alerts of the past."""

    keep: Annotated[
        str, Help("How long a resolved alert is kept on record.", Kind.DURATION, 3600, 10 * 366 * 86400, restart=False)
    ] = "90d"
    keep_most: Annotated[
        int, Help("Of resolved alerts at most so many are kept, the newest.", Kind.PLAIN, 100, 1_000_000, restart=False)
    ] = 10_000


class DeliveriesSection(Section, frozen=True):
    """Calls of alert actions: tried again until they succeed."""

    give_up_after: Annotated[
        str, Help("A call that has waited so long for its tries is given up.", Kind.DURATION, 60, 30 * 86400)
    ] = "1d"
    waiting: Annotated[
        int, Help("Calls that may wait; with more, the oldest is given up.", Kind.PLAIN, 10, 1_000_000)
    ] = 5000
    kept: Annotated[int, Help("Calls that stay on record when they are done or given up.", Kind.PLAIN, 0, 100_000)] = (
        1000
    )


class PricesSection(Section, frozen=True):
    """What things cost you: with these, reports tell energy and money. What is not set is not told."""

    currency: Annotated[str, Help("What the prices are in.", restart=False, example="EUR")] = ""
    as_of: Annotated[
        str, Help("When they were right; told beside each amount.", restart=False, example="2026-01-01")
    ] = ""
    per_kwh: Annotated[
        float | None, Help("Of electricity, for each kWh.", Kind.PLAIN, 0, 1e9, restart=False, example=0.32)
    ] = None
    per_gb: Annotated[
        float | None,
        Help("Fee for each GB (10^9 bytes) that is moved.", Kind.PLAIN, 0, 1e9, restart=False, example=0.02),
    ] = None
    watts_per_core: Annotated[
        float | None,
        Help("What a busy core takes more than an idle one.", Kind.PLAIN, 0, 10_000, restart=False, example=5.0),
    ] = None
    idle_watts: Annotated[
        float | None,
        Help(
            "What processors and memory take when idle: then energy is measured, where RAPL tells.",
            Kind.PLAIN, 0, 10_000, restart=False, example=18.0,
        ),
    ] = None  # fmt: skip


class DiskSection(Section, frozen=True):
    """What a disk's data sheet says, for wear and energy in reports. What is not set is not told."""

    rated_writes: Annotated[
        str,
        Help("What may be written to it in its life (TBW).", Kind.SIZE, 1, 2**63 - 1, restart=False, example="600TB"),
    ] = ""
    write_amplification: Annotated[
        float | None,
        Help(
            "Bytes written to flash for each byte that is written to it (WAF); 1 for rotating disks.",
            Kind.PLAIN,
            0.01,
            1000,
            restart=False,
            example=2.0,
        ),
    ] = None
    active_watts: Annotated[
        float | None, Help("While it works.", Kind.PLAIN, 0, 10_000, restart=False, example=6.5)
    ] = None
    idle_watts: Annotated[
        float | None, Help("While it does nothing.", Kind.PLAIN, 0, 10_000, restart=False, example=4.0)
    ] = None
    price: Annotated[
        float | None, Help("Of the disk, in prices.currency.", Kind.PLAIN, 0, 1e9, restart=False, example=120.0)
    ] = None
