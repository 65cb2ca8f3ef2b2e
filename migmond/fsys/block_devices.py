"""One block device as /sys shows it (Documentation/ABI/stable/sysfs-block). Nothing of it is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from migmond.domain.device import Disk

SECTOR_BYTES = 512
"""Of `size` in /sys, whatever the disk's own sectors are."""
_MEMORY = ("ram", "zram")
_PART_OF_PATH = re.compile(
    r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]|usb\d+|\d+-\d+(\.\d+)*|ata\d+|host\d+|virtio\d+|nvme\d+"
    r"|mmc\d+|expander-\S+|port-\S+|end_device-\S+|session\d+|rport-\S+"
)
"""Of the directories of a device: PCI functions, USB root and hubs, then controllers and ports."""
_TRANSPORTS = (
    (re.compile(r"usb\d+"), "usb"),
    (re.compile(r"virtio\d+"), "virtio"),
    (re.compile(r"nvme\d+"), "nvme"),
    (re.compile(r"ata\d+"), "sata"),
    (re.compile(r"end_device-\S+"), "sas"),
    (re.compile(r"mmc\d+"), "mmc"),
    (re.compile(r"session\d+"), "iscsi"),
    (re.compile(r"rport-\S+"), "fc"),
)
"""The first that a path has; USB comes first because what is behind a bridge is behind it."""
_OVER_NETWORK = re.compile(r"(nbd|rbd|drbd)\d+")
_TRUE_OF = frozenset({"sata", "sas", "nvme", "mmc"})
"""Transports where a 1 in `queue/rotational` was told by the disk. It is what the kernel assumes of SCSI and virtio
disks that do not say otherwise, and USB bridges and virtual disks do not, whatever is behind them."""


class BlockDevices:
    """All block devices of a machine.

    Args:
        sys: where its /sys is.
    """

    def __init__(self, sys: str = "/sys") -> None:
        self._sys = sys

    def names(self) -> tuple[str, ...]:
        """Return the names of whole devices."""
        return tuple(sorted(listed(f"{self._sys}/block")))

    def name_of(self, device: int) -> str:
        """Return the name of a device number, "" when there is no such block device."""
        link = f"{self._sys}/dev/block/{os.major(device)}:{os.minor(device)}"
        return os.path.basename(os.path.realpath(link)) if os.path.exists(link) else ""

    def named(self, source: str) -> str:
        """Return the kernel's name for what a mount's source says (`/dev/sda1`, `/dev/mapper/vg-home`), "" for none."""
        name = source.removeprefix("/dev/")
        if name and os.path.exists(self._class(name)):
            return name.replace("/", "!")
        name = os.path.basename(name)
        mapped = (n for n in self.names() if n.startswith("dm-") and self.read(n, "dm/name") == name)
        return next(mapped, "") if name else ""

    def read(self, name: str, file: str) -> str:
        """Return what an attribute says, "" when there is none."""
        return text(f"{self.directory(name)}/{file}")

    def directory(self, name: str) -> str:
        """Return the real directory of a device."""
        return os.path.realpath(self._class(name))

    def whole(self, name: str) -> str:
        """Return the disk that a partition is on, "" when it is none."""
        directory = self.directory(name)
        return os.path.basename(os.path.dirname(directory)) if os.path.exists(f"{directory}/partition") else ""

    def slaves(self, name: str) -> tuple[str, ...]:
        """Return what it is made of."""
        return tuple(sorted(listed(f"{self.directory(name)}/slaves")))

    def is_memory(self, name: str) -> bool:
        """Whether it is kept in memory."""
        return name.rstrip("0123456789") in _MEMORY

    def disk(self, name: str) -> Disk:
        """Return what a whole device tells of itself."""
        path = self._path(name)
        transport = next((t for pattern, t in _TRANSPORTS if any(pattern.fullmatch(p) for p in path)), "")
        if _OVER_NETWORK.fullmatch(name):
            transport = "network"
        says, size = self.read(name, "queue/rotational"), self.read(name, "size")
        rotational = {"0": False, "1": True if transport in _TRUE_OF else None}.get(says)
        vendor, model = self.read(name, "device/vendor"), self.read(name, "device/model")
        if vendor and vendor != "ATA" and not vendor.startswith("0x"):
            model = f"{vendor} {model}".strip()
        return Disk(
            name,
            _number(self.read(name, "dev")),
            model,
            self.read(name, "device/serial") or self.read(name, "serial"),
            transport,
            rotational,
            int(size) * SECTOR_BYTES if size.isdigit() else None,
            path,
        )

    def _path(self, name: str) -> tuple[str, ...]:
        directory = self.directory(name)
        above = os.path.dirname(directory)
        if os.path.basename(above).startswith("nvme-subsys"):
            # With multipath the namespace is below its subsystem, which is nowhere: its first controller is somewhere.
            controllers = sorted(n for n in listed(above) if re.fullmatch(r"nvme\d+", n))
            directory = os.path.realpath(f"{above}/{controllers[0]}") if controllers else directory
        below = os.path.relpath(directory, os.path.realpath(f"{self._sys}/devices"))
        return tuple(part for part in below.split("/") if _PART_OF_PATH.fullmatch(part))

    def _class(self, name: str) -> str:
        return f"{self._sys}/class/block/{name.replace('/', '!')}"


def text(path: str) -> str:
    """Return what a small file says without the space around it; "" when it is not there, or not ours to read."""
    try:
        with open(path, "rb") as file:
            return file.read(4096).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def listed(directory: str) -> Iterable[str]:
    """Return the names in a directory, none when it is not there."""
    try:
        return os.listdir(directory)
    except OSError:
        return ()


def _number(major_minor: str) -> int:
    major, _, minor = major_minor.partition(":")
    return os.makedev(int(major), int(minor)) if major.isdigit() and minor.isdigit() else 0
