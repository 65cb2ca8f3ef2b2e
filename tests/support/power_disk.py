"""Disks that can lose their power, whatever file system is on them. Needs root."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import loopfs
import sickfs
from loopfs import LoopFs, make_image, mounted, mounted_image
from sickfs import SickFs, sick_fs

KINDS = ("ext4", "xfs", "btrfs")

_CANNOT_BE_SHUT_DOWN = ("btrfs",)
"""No `FS_IOC_SHUTDOWN` in their driver (Linux 6.18): the device under them has to go."""


@dataclass(frozen=True)
class SickLoopFs(LoopFs):
    """One whose image lies on a sick file system."""

    sick: SickFs = field(kw_only=True)

    def shut_down(self) -> None:
        """Cut its power: from now on every operation on its image fails, and so nothing more reaches it."""
        self.sick.fall_ill("*", path=f"/{self.image.name}", error="EIO")

    def mount(self) -> None:
        """Give it power and mount it."""
        self.sick.heal()
        super().mount()


def missing(kind: str) -> str:
    """Why such a disk cannot be had here; "" when it can."""
    return loopfs.missing(kind) or (sickfs.missing() if kind in _CANNOT_BE_SHUT_DOWN else "")


@contextlib.contextmanager
def power_disk(directory: Path, kind: str) -> Iterator[LoopFs]:
    """Make and mount below `directory` a file system that can be shut down; it is unmounted at the end."""
    if kind not in _CANNOT_BE_SHUT_DOWN:
        with mounted(directory, kind) as fs:
            yield fs
        return
    with sick_fs(directory) as sick:
        image = sick.root / f"{kind}.img"
        make_image(image, kind)
        with mounted_image(SickLoopFs(directory / kind, image, kind, sick=sick)) as fs:
            yield fs
