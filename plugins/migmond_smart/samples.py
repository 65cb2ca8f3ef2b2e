"""From a report to samples."""

from __future__ import annotations

from collections.abc import Iterator

from migmond.plugin_api import MetricDesc, NoData, Sample
from migmond_smart import metrics as m
from migmond_smart.report import Attribute, NvmeLog, Report, ScsiErrorLog

_NOT_TOLD = NoData("the disk does not tell")
_ATTRIBUTES = {
    5: m.REALLOCATED,
    187: m.UNCORRECTABLE,
    188: m.TIMEOUTS,
    197: m.PENDING,
    198: m.OFFLINE,
    199: m.LINK_ERRORS,
}
_COMMAND_TIMEOUT = 188
_NVME_UNIT_BYTES = 512_000
"""Of `data_units_written`: a thousand blocks of 512 bytes (NVMe base specification, SMART / health information)."""
_WRITTEN_BY_NAME = {
    "Host_Writes_32MiB": 32 << 20,
    "Host_Writes_GiB": 1 << 30,
    "Lifetime_Writes_GiB": 1 << 30,
    "Total_Writes_GiB": 1 << 30,
    "Total_Writes_32MiB": 32 << 20,
}
"""Attribute 241 and its like have other units with every vendor; smartctl's database puts them into the name."""
_LBAS_WRITTEN = "Total_LBAs_Written"
_SECTORS_STATISTIC = "Logical Sectors Written"
_WEAR_STATISTIC = "Percentage Used Endurance Indicator"


def health_samples(device: str, report: Report) -> Iterator[Sample]:
    """Return the samples of one disk; of what only other kinds of disks have there are none."""
    passed = report.smart_status.passed
    yield _sample(m.HEALTHY, device, None if passed is None else float(passed))
    yield _sample(m.POWER_ON, device, _times(report.power_on_time.hours, 3600))
    log = report.nvme_smart_health_information_log
    if log is not None:
        yield from _nvme(device, log)
    elif report.scsi_error_counter_log is not None or report.scsi_grown_defect_list is not None:
        yield from _scsi(device, report.scsi_grown_defect_list, report.scsi_error_counter_log)
    else:
        yield from _ata(device, report)


def temperature_samples(device: str, report: Report) -> Iterator[Sample]:
    """Return temperature and limits of one disk."""
    t, nvme = report.temperature, report.nvme_composite_temperature_threshold
    log = report.nvme_smart_health_information_log
    yield _sample(m.TEMPERATURE, device, t.current if t.current is not None or log is None else log.temperature)
    limits = {
        "warning": _first(nvme.warning, t.op_limit_max),
        "critical": _first(nvme.critical, t.critical_limit_max, t.limit_max, t.drive_trip),
    }
    for name, value in limits.items():
        yield Sample(m.LIMIT.name, _NOT_TOLD if value is None else float(value), {"device": device, "limit": name})


def _ata(device: str, report: Report) -> Iterator[Sample]:
    table = {a.id: a for a in report.ata_smart_attributes.table}
    if table:
        yield _sample(m.FAILING, device, sum(a.when_failed == "now" for a in table.values()))
    for number, metric in _ATTRIBUTES.items():
        found = table.get(number)
        yield _sample(metric, device, None if found is None else _raw(found))
    statistics = {s.name: s.value for page in report.ata_device_statistics.pages for s in page.table}
    yield _sample(m.WRITTEN, device, _ata_written(report, statistics))
    wear = statistics.get(_WEAR_STATISTIC)
    if wear is not None:
        yield _sample(m.WEAR, device, wear / 100)


def _raw(attribute: Attribute) -> int:
    # Seagate packs three counters of 16 bits into it, all timeouts lowest; older databases print one number of 48 bits.
    return attribute.raw.value & 0xFFFF if attribute.id == _COMMAND_TIMEOUT else attribute.number


def _ata_written(report: Report, statistics: dict[str, int]) -> int | None:
    sectors = statistics.get(_SECTORS_STATISTIC)
    if sectors is not None:
        return sectors * report.logical_block_size
    for attribute in report.ata_smart_attributes.table:
        if attribute.name in _WRITTEN_BY_NAME:
            return attribute.number * _WRITTEN_BY_NAME[attribute.name]
        if attribute.name == _LBAS_WRITTEN:
            return attribute.number * report.logical_block_size
    return None


def _nvme(device: str, log: NvmeLog) -> Iterator[Sample]:
    yield _sample(m.WARNING, device, log.critical_warning)
    yield _sample(m.MEDIA_ERRORS, device, log.media_errors)
    yield _sample(m.WEAR, device, _times(log.percentage_used, 0.01))
    yield _sample(m.SPARE, device, _times(log.available_spare, 0.01))
    yield _sample(m.SPARE_LIMIT, device, _times(log.available_spare_threshold, 0.01))
    yield _sample(m.WRITTEN, device, _times(log.data_units_written, _NVME_UNIT_BYTES))


def _scsi(device: str, defects: int | None, errors: ScsiErrorLog | None) -> Iterator[Sample]:
    yield _sample(m.REALLOCATED, device, defects)
    parts = [part for part in (errors.read, errors.write, errors.verify) if part] if errors else []
    yield _sample(m.UNCORRECTABLE, device, sum(p.total_uncorrected_errors for p in parts) if parts else None)
    written = errors.write.gigabytes_processed if errors and errors.write else ""
    try:
        yield _sample(m.WRITTEN, device, float(written) * 1e9)
    except ValueError:
        yield _sample(m.WRITTEN, device, None)


def _first(*values: int | None) -> int | None:
    return next((v for v in values if v), None)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _sample(metric: MetricDesc, device: str, value: float | None) -> Sample:
    return Sample(metric.name, _NOT_TOLD if value is None else float(value), {"device": device})
