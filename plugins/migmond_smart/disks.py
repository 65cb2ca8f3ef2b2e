"""Which disks there are to ask, and what the kernel knows of their limits."""

from __future__ import annotations

import os
import re

from migmond.plugin_api import NoData

_ASKED = re.compile(r"sd[a-z]+|hd[a-z]+|nvme\d+n\d+")
_VIRTUAL = re.compile(r"(vd|xvd)[a-z]+")
_CARDS = re.compile(r"mmcblk\d+")
"""Partitions and boot areas have longer names, and /sys/block has no partitions."""


def disks(block: str = "/sys/block") -> dict[str, NoData | None]:
    """Return the names of disks, each with why it cannot be asked, or None."""
    found: dict[str, NoData | None] = {}
    try:
        names = sorted(os.listdir(block))
    except OSError:  # a container may hide /sys
        return found
    for name in names:
        if _ASKED.fullmatch(name):
            found[name] = None
        elif _VIRTUAL.fullmatch(name):
            found[name] = NoData("a virtual disk has no health of its own: ask the machine that it is on")
        elif _CARDS.fullmatch(name):
            found[name] = NoData("smartctl cannot ask memory cards")
    return found


def kernel_limits(name: str, block: str = "/sys/block") -> tuple[int | None, int | None]:
    """Return the warning and critical temperature that the kernel knows of a disk (hwmon; nvme and drivetemp), °C."""
    base = f"{block}/{name}/device"
    for directory in (base, f"{base}/hwmon"):
        try:
            sensors = sorted(n for n in os.listdir(directory) if re.fullmatch(r"hwmon\d+", n))
        except OSError:
            continue
        for sensor in sensors:
            limits = tuple(_degrees(f"{directory}/{sensor}/temp1_{kind}") for kind in ("max", "crit"))
            if any(limits):
                return limits[0], limits[1]
    return None, None


def _degrees(path: str) -> int | None:
    try:
        with open(path) as file:
            return round(int(file.read()) / 1000)
    except (OSError, ValueError):
        return None
