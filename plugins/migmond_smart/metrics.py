"""What disks tell of themselves. Attributes have the numbers of ATA; what SAS and NVMe call differently is named."""

from __future__ import annotations

from migmond.plugin_api import MetricDesc, MetricKind

_GAUGE, _COUNTER = MetricKind.GAUGE, MetricKind.COUNTER
_OF = ("device",)

HEALTHY = MetricDesc("migmond_disk_healthy", "", _GAUGE, "1 when the disk says that it is well, 0 when not.", _OF)
FAILING = MetricDesc(
    "migmond_disk_failing_attributes", "", _GAUGE, "Attributes that are at or below their threshold now.", _OF
)
REALLOCATED = MetricDesc(
    "migmond_disk_reallocated_sectors", "", _GAUGE,
    "Sectors that the disk has replaced by spare ones (5 Reallocated_Sector_Ct; grown defects of SAS).", _OF,
)  # fmt: skip
UNCORRECTABLE = MetricDesc(
    "migmond_disk_uncorrectable_errors_total", "", _COUNTER,
    "Errors that the disk could not correct (187 Reported_Uncorrect; total uncorrected errors of SAS).", _OF,
)  # fmt: skip
TIMEOUTS = MetricDesc(
    "migmond_disk_command_timeouts_total", "", _COUNTER,
    "Commands that the disk gave up for want of time (188 Command_Timeout, its lowest 16 bits).", _OF,
)  # fmt: skip
PENDING = MetricDesc(
    "migmond_disk_pending_sectors", "", _GAUGE,
    "Sectors that cannot be read now and wait to be written or replaced (197 Current_Pending_Sector).", _OF,
)  # fmt: skip
OFFLINE = MetricDesc(
    "migmond_disk_offline_uncorrectable_sectors", "", _GAUGE,
    "Sectors that the disk found unreadable by itself (198 Offline_Uncorrectable).", _OF,
)  # fmt: skip
LINK_ERRORS = MetricDesc(
    "migmond_disk_link_errors_total", "", _COUNTER,
    "Errors between disk and controller, mostly cables (199 UDMA_CRC_Error_Count).", _OF,
)  # fmt: skip
WARNING = MetricDesc(
    "migmond_disk_critical_warning", "", _GAUGE,
    "Bits that an NVMe disk sets: 1 little spare, 2 temperature, 4 reliability, 8 read-only, 16 backup of its memory.",
    _OF,
)  # fmt: skip
MEDIA_ERRORS = MetricDesc(
    "migmond_disk_media_errors_total", "", _COUNTER, "Errors of the medium that an NVMe disk could not correct.", _OF
)
WEAR = MetricDesc(
    "migmond_disk_endurance_used_ratio", "ratio", _GAUGE,
    "How much of the writing that it was made for a disk has done, by its own estimate; may exceed 1.", _OF,
)  # fmt: skip
SPARE = MetricDesc(
    "migmond_disk_available_spare_ratio", "ratio", _GAUGE, "Spare that an NVMe disk has left, of what it had.", _OF
)
SPARE_LIMIT = MetricDesc(
    "migmond_disk_available_spare_limit_ratio", "ratio", _GAUGE, "Spare below which an NVMe disk warns.", _OF
)
POWER_ON = MetricDesc(
    "migmond_disk_power_on_seconds_total", "seconds", _COUNTER, "How long the disk has been switched on.", _OF
)
WRITTEN = MetricDesc(
    "migmond_disk_lifetime_written_bytes_total", "bytes", _COUNTER, "What was written to the disk since it was made.",
    _OF,
)  # fmt: skip
TEMPERATURE = MetricDesc(
    "migmond_disk_temperature_celsius", "celsius", _GAUGE, "Temperature of the disk, from its own sensor.", _OF
)
LIMIT = MetricDesc(
    "migmond_disk_temperature_limit_celsius", "celsius", _GAUGE,
    "Temperature that the disk itself names as the most for work (warning) and before it may be damaged or stops "
    "(critical).", ("device", "limit"),
)  # fmt: skip

HEALTH = (
    HEALTHY, FAILING, REALLOCATED, UNCORRECTABLE, TIMEOUTS, PENDING, OFFLINE, LINK_ERRORS, WARNING, MEDIA_ERRORS, WEAR,
    SPARE, SPARE_LIMIT, POWER_ON, WRITTEN,
)  # fmt: skip
TEMPERATURES = (TEMPERATURE, LIMIT)
