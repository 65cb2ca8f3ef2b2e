"""smartctl before 7.0 has no JSON: pySMART reads its text. It tells less, and nothing of limits."""

from __future__ import annotations

import os
from typing import Any

from migmond.plugin_api import NoData
from migmond_smart.report import (
    IN_STANDBY,
    NOT_ALLOWED,
    Attribute,
    Attributes,
    NvmeLog,
    PowerOnTime,
    Raw,
    Report,
    Status,
    Temperature,
)
from migmond_smart.running import run

_NVME = {
    "critical_warning": "criticalWarning",
    "available_spare": "availableSpare",
    "available_spare_threshold": "availableSpareThreshold",
    "percentage_used": "percentageUsed",
    "data_units_written": "dataUnitsWritten",
    "media_errors": "integrityErrors",
}


class _AsleepError(Exception):
    """The disk sleeps, and stays asleep."""


class _NotAllowedError(Exception):
    """The device file may not be opened."""


def ask_older(program: str, device: str, kind: str | None, answer_s: float) -> Report | NoData:
    """Ask one disk through pySMART; it is not woken. Blocks.

    Args:
        kind: as smartctl's `-d` takes it, None to have it found out.
        answer_s: for each of the few times that pySMART runs smartctl.
    """
    pysmart = _pysmart()

    class Bounded(pysmart.Smartctl):  # type: ignore[misc, name-defined]
        """Runs smartctl as we do: with a time limit, and not of a disk that sleeps."""

        def _exec(self, cmd: list[str]) -> tuple[list[str], int]:
            done = run([cmd[0], "-n", "standby", *cmd[1:]], answer_s)
            lines = done.stdout.decode("utf-8", "replace").splitlines()
            if any("STANDBY mode" in line or "SLEEP mode" in line for line in lines):
                raise _AsleepError
            if any("Permission denied" in line or "Operation not permitted" in line for line in lines):
                raise _NotAllowedError
            return lines, done.returncode

    try:
        disk = pysmart.Device(os.path.basename(device), interface=kind, smartctl=Bounded(program))
    except _AsleepError:
        return IN_STANDBY
    except _NotAllowedError:
        return NoData(NOT_ALLOWED)
    except (ValueError, IndexError, AttributeError, UserWarning) as e:  # text that pySMART does not understand
        return NoData(f"smartctl before 7.0 said what pySMART does not understand ({type(e).__name__}: {e})")
    if disk.interface is None:
        return NoData("it is no disk that smartctl knows")
    return report_of(disk)


def report_of(disk: Any) -> Report:
    """Return what pySMART has found out as a report."""
    table = tuple(
        Attribute(int(a.num), str(a.name), _when(str(a.when_failed)), Raw(int(a.raw_int or 0), str(a.raw)))
        for a in disk.attributes
        if a is not None
    )
    hours = next((a.number for a in table if a.id == 9), None)
    found = disk.if_attributes
    nvme = None
    if hasattr(found, "percentageUsed"):
        nvme = NvmeLog(**{ours: getattr(found, theirs, None) for ours, theirs in _NVME.items()})
        hours = getattr(found, "powerOnHours", None)
    return Report(
        smart_status=Status({"PASS": True, "WARN": True, "FAIL": False}.get(disk.assessment)),
        temperature=Temperature(disk.temperature),
        power_on_time=PowerOnTime(hours),
        ata_smart_attributes=Attributes(table),
        nvme_smart_health_information_log=nvme,
    )


def _when(failed: str) -> str:
    return "now" if failed == "FAILING_NOW" else ""


def _pysmart() -> Any:
    # Importing it sets LANG for the whole process, which is the daemon's, and looks for smartctl at once.
    language = os.environ.get("LANG")
    import pySMART
    import pySMART.smartctl

    if language is None:
        os.environ.pop("LANG", None)
    else:
        os.environ["LANG"] = language
    return type("pysmart", (), {"Device": pySMART.Device, "Smartctl": pySMART.smartctl.Smartctl})
