"""A machine's /proc/self/mountinfo and /sys as files, laid out as the kernel does it."""

from __future__ import annotations

import os
from pathlib import Path

_SUPER = "rw"


class RecordedMachine:
    """Built up below `root`; `read_graph(str(root))` reads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sys = root / "sys"
        for directory in ("block", "class/block", "dev/block", "devices/virtual/block"):
            (self._sys / directory).mkdir(parents=True)
        (root / "proc/self").mkdir(parents=True)
        self._mounts = root / "proc/self/mountinfo"
        self._mounts.write_text("")
        self._numbers = 0
        self._points: list[str] = []
        self.mount("0:1", "/", "rootfs", "rootfs")

    def device(self, name: str, number: str, where: str = "virtual", **attributes: str) -> Path:
        """Add a whole device.

        Args:
            where: its parent below /sys/devices.
            attributes: files below it; `__` in a name is a slash.
        """
        directory = self._sys / "devices" / where / "block" / name
        self._fill(directory, number, attributes)
        (directory / "slaves").mkdir()
        self._link(self._sys / "block" / name, directory)
        return directory

    def disk(self, name: str, number: str, where: str, *, rotational: int = 0, **attributes: str) -> Path:
        """Add a disk of 1 GiB."""
        return self.device(name, number, where, queue__rotational=str(rotational), size=str(1 << 21), **attributes)

    def partition(self, disk: str, name: str, number: str) -> None:
        self._fill(Path(os.path.realpath(self._sys / "block" / disk)) / name, number, {"partition": "1"})

    def stacked(self, name: str, number: str, slaves: tuple[str, ...], **attributes: str) -> None:
        """Add a device that is made of others."""
        directory = self.device(name, number, **attributes)
        for slave in slaves:
            self._link(directory / "slaves" / slave, Path(os.path.realpath(self._sys / "class/block" / slave)))

    def loop(self, name: str, number: str, backing: str) -> None:
        self.device(name, number, loop__backing_file=backing)

    def btrfs(self, uuid: str, members: tuple[str, ...], label: str = "") -> None:
        for member in members:
            self._link(
                self._sys / "fs/btrfs" / uuid / "devices" / member,
                Path(os.path.realpath(self._sys / "class/block" / member)),
            )
        (self._sys / "fs/btrfs" / uuid / "label").write_text(f"{label}\n")

    def mount(self, number: str, point: str, kind: str, source: str, options: str = _SUPER) -> int:
        """Mount something; return the mount's id."""
        self._numbers += 1
        parent = parent_of(self._points, point)
        self._points.append(point)
        point = point.replace("\\", "\\134").replace(" ", "\\040")
        with self._mounts.open("a") as table:
            table.write(
                f"{self._numbers} {parent} {number} / {point} rw,relatime shared:1 - {kind} {source} {options}\n"
            )
        return self._numbers

    def _fill(self, directory: Path, number: str, attributes: dict[str, str]) -> None:
        directory.mkdir(parents=True)
        for name, value in {"dev": number, **attributes}.items():
            file = directory / name.replace("__", "/")
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{value}\n")
        self._link(self._sys / "class/block" / directory.name, directory)
        self._link(self._sys / "dev/block" / number, directory)

    def _link(self, link: Path, target: Path) -> None:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent))


def parent_of(points: list[str], point: str) -> int:
    """Return the id of the mount that a path is on after things were mounted on `points`, ids from 1; 0 is none.

    By what mounting means: what was mounted on something, or above it, later hides it.
    """

    def covers(upper: str, lower: str) -> bool:
        return upper in ("/", lower) or lower.startswith(f"{upper}/")

    seen = [i for i, p in enumerate(points) if not any(covers(later, p) for later in points[i + 1 :])]
    above = [i for i in seen if covers(points[i], point)]
    return max(above, key=lambda i: len(points[i]), default=-1) + 1


def number(major_minor: str) -> int:
    """Return st_dev of `8:1`."""
    major, minor = major_minor.split(":")
    return os.makedev(int(major), int(minor))
