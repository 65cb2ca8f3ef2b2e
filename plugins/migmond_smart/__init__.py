"""Health and temperature of disks, as the disks tell themselves: SMART of ATA and SCSI, health log of NVMe.

smartctl (package smartmontools) does the asking; it is not required, and without it every disk says what is missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable

import msgspec

from migmond.domain.errors import PluginError
from migmond.domain.units import parse_duration
from migmond.plugin_api import CollectorSpec, hookimpl
from migmond_smart.asking import Asker
from migmond_smart.collector import Disks
from migmond_smart.metrics import HEALTH, TEMPERATURES
from migmond_smart.samples import health_samples, temperature_samples

_GRACE_S = 5.0
HEALTH_OPTIONS = ("-x",)
TEMPERATURE_OPTIONS = ("-i", "-A", "-l", "scttempsts")
"""Much less than -x, which reads a dozen logs; scttempsts has the limits of an ATA disk."""


class SETTINGS(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What conf.d may set.

    Attributes:
        interval: from one look at the health of all disks to the next.
        temperature_interval: from one look at their temperatures to the next. A disk that sleeps is not woken, but
            some never fall asleep when they are asked more often than their own timer.
        answer_within: a disk that takes longer does not answer.
        devices: device files to ask, such as ["/dev/sda"]; empty for all disks.
        types: what to tell smartctl (`-d`) of disks that it does not recognise, such as {"/dev/sdb" = "sat"}.
        smartctl: the program, empty to look for it.
    """

    interval: str = "5m"
    temperature_interval: str = "60s"
    answer_within: str = "30s"
    devices: tuple[str, ...] = ()
    types: dict[str, str] = {}
    smartctl: str = ""


@hookimpl
def migmond_collectors(settings: SETTINGS) -> Iterable[CollectorSpec]:
    """Register the collectors `smart-health` and `smart-temperature`."""
    answer_s = parse_duration(settings.answer_within)
    if not 0 < answer_s <= 600:
        raise PluginError(f"answer_within is {settings.answer_within}: write 1s to 10m")
    if bad := [d for d in (*settings.devices, *settings.types) if not d.startswith("/dev/")]:
        raise PluginError(f"{bad[0]!r} is no device file: write /dev/sda or the like")
    if bad := [t for t in settings.types.values() if t.startswith("-")]:
        raise PluginError(f"{bad[0]!r} is no type of a device")
    asker = Asker(settings.smartctl, answer_s, settings.types)

    @contextlib.asynccontextmanager
    async def health() -> AsyncIterator[Disks]:
        yield Disks(asker, HEALTH_OPTIONS, health_samples, settings.devices)

    @contextlib.asynccontextmanager
    async def temperature() -> AsyncIterator[Disks]:
        yield Disks(asker, TEMPERATURE_OPTIONS, temperature_samples, settings.devices)

    deadline_s = answer_s + _GRACE_S
    return [
        CollectorSpec("smart-health", parse_duration(settings.interval), HEALTH, health, deadline_s),
        CollectorSpec(
            "smart-temperature", parse_duration(settings.temperature_interval), TEMPERATURES, temperature, deadline_s
        ),
    ]
