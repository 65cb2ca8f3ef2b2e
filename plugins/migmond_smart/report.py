"""What smartctl says, as `--json` has it since smartmontools 7.0, as far as it is of use here."""

from __future__ import annotations

import re

import msgspec

from migmond.domain.decoding import from_json
from migmond.plugin_api import NoData

IN_STANDBY = NoData("in standby")
NOT_ALLOWED = "may not be asked: that takes root, or CAP_SYS_RAWIO and CAP_SYS_ADMIN, and access to its device file"
_ASLEEP = re.compile(r"in (STANDBY|SLEEP).* mode", re.IGNORECASE)
_POWER_SAVING = frozenset({-1, 0, 1})
"""`power_mode.ata_value` of sleep, standby and standby_y (ACS-3, CHECK POWER MODE); told by smartctl 7.5."""
_COULD_NOT_ASK = 0b11
"""Bits 0 and 1 of the exit status: usage, and could not open or is asleep. All other bits come with a report, and tell
of the disk (smartctl(8), EXIT STATUS)."""
_FIRST_NUMBER = re.compile(r"\d+")


class _Part(msgspec.Struct, frozen=True):
    pass


class Message(_Part, frozen=True):
    string: str = ""
    severity: str = ""


class Run(_Part, frozen=True):
    exit_status: int = 0
    messages: tuple[Message, ...] = ()


class DeviceInfo(_Part, frozen=True):
    name: str = ""
    type: str = ""
    protocol: str = ""


class PowerMode(_Part, frozen=True):
    ata_value: int | None = None


class Status(_Part, frozen=True):
    passed: bool | None = None


class Temperature(_Part, frozen=True):
    """Degrees Celsius. Limits: of operation and of the disk (ATA), where it stops (SCSI `drive_trip`)."""

    current: int | None = None
    op_limit_max: int | None = None
    limit_max: int | None = None
    critical_limit_max: int | None = None
    drive_trip: int | None = None


class Raw(_Part, frozen=True):
    value: int = 0
    string: str = ""


class Attribute(_Part, frozen=True):
    id: int
    name: str = ""
    when_failed: str = ""
    raw: Raw = Raw()

    @property
    def number(self) -> int:
        """The first number as smartctl reads it: many attributes have more than one packed into their 48 bits."""
        found = _FIRST_NUMBER.match(self.raw.string)
        return int(found[0]) if found else self.raw.value


class Attributes(_Part, frozen=True):
    table: tuple[Attribute, ...] = ()


class Statistic(_Part, frozen=True):
    name: str = ""
    value: int = 0


class StatisticsPage(_Part, frozen=True):
    number: int = 0
    table: tuple[Statistic, ...] = ()


class Statistics(_Part, frozen=True):
    pages: tuple[StatisticsPage, ...] = ()


class NvmeLog(_Part, frozen=True):
    """The SMART / health information log (NVMe base specification)."""

    critical_warning: int | None = None
    temperature: int | None = None
    available_spare: int | None = None
    available_spare_threshold: int | None = None
    percentage_used: int | None = None
    data_units_written: int | None = None
    media_errors: int | None = None


class NvmeLimits(_Part, frozen=True):
    warning: int | None = None
    critical: int | None = None


class ScsiErrors(_Part, frozen=True):
    total_uncorrected_errors: int = 0
    gigabytes_processed: str = ""


class ScsiErrorLog(_Part, frozen=True):
    read: ScsiErrors | None = None
    write: ScsiErrors | None = None
    verify: ScsiErrors | None = None


class PowerOnTime(_Part, frozen=True):
    hours: int | None = None


class Report(_Part, frozen=True):
    """A disk by its own account."""

    smartctl: Run = Run()
    device: DeviceInfo = DeviceInfo()
    power_mode: PowerMode = PowerMode()
    smart_status: Status = Status()
    temperature: Temperature = Temperature()
    power_on_time: PowerOnTime = PowerOnTime()
    logical_block_size: int = 512
    ata_smart_attributes: Attributes = Attributes()
    ata_device_statistics: Statistics = Statistics()
    nvme_smart_health_information_log: NvmeLog | None = None
    nvme_composite_temperature_threshold: NvmeLimits = NvmeLimits()
    scsi_grown_defect_list: int | None = None
    scsi_error_counter_log: ScsiErrorLog | None = None


def read_report(output: bytes, exit_status: int) -> Report | NoData:
    """Return what a disk said, or why it said nothing.

    Args:
        output: standard output, which counts whatever the exit status is: most of its bits tell of the disk.
    """
    try:
        report = from_json(output, Report)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        return NoData(f"smartctl ended with {exit_status} and said nothing that is understood ({e})")
    said = "; ".join(message.string for message in report.smartctl.messages if message.string)
    if not exit_status & _COULD_NOT_ASK:
        return report
    if _ASLEEP.search(said) or report.power_mode.ata_value in _POWER_SAVING:
        return IN_STANDBY
    if "ermission denied" in said or "peration not permitted" in said:
        return NoData(NOT_ALLOWED)
    if "Unknown USB bridge" in said:
        return NoData(f"smartctl does not know its USB bridge ({_short(said)}): name its type in plugins.smart.types")
    if "Unable to detect device type" in said:
        return NoData("it is no disk that smartctl knows")
    if _says_something(report):
        return report
    return NoData(_short(said) or f"smartctl ended with {exit_status} and gave no reason")


def _says_something(report: Report) -> bool:
    return bool(
        report.smart_status.passed is not None
        or report.ata_smart_attributes.table
        or report.nvme_smart_health_information_log
        or report.scsi_error_counter_log
        or report.temperature.current is not None
    )


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"
