"""From a device number to the disks below it, read from the table of mounts and /sys alone.

No path of a user is looked at and no device is opened, so that nothing here waits for a disk.

A number whose major is not 0 is a block device. All others belong to file systems without one device of their own, and
mountinfo says which. btrfs is a case of its own: mountinfo has the number of the whole file system, stat(2) gives each
subvolume another one, and nothing in /sys leads from there back. Whoever has a file open knows its mount id
(`migmond.fsys.facts.mount_id`), which settles it; without one, the numbers of the mount points are asked for
(`device_of`), and a number that is left over belongs to btrfs if only one is mounted.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from migmond.domain.device import Chain, Disk, Layer
from migmond.domain.mount_table import MountLine, MountTree, parse_mounts
from migmond.fsys.block_devices import BlockDevices, listed, text

T = TypeVar("T")

_DELETED = b" (deleted)"
_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "afs", "9p", "virtiofs", "lustre", "beegfs", "gfs2"}
)
_DM_KINDS = (("LVM-", "lvm"), ("CRYPT-", "crypt"), ("mpath-", "multipath"), ("part", "partition"))
"""By how the device mapper's uuid begins; each program that makes such devices has a prefix of its own."""
MAX_DEPTH = 16
"""Layers over each other, more than anybody has: a table that contradicts itself must not lead round for ever."""


class DeviceGraph:
    """What is mounted and what it is kept on, as of one moment: make a new one when mounts have changed.

    Args:
        mounts: everything that is mounted.
        devices: the block devices.
        sys: where /sys is.
        device_of: returns st_dev of a mount point, None when it does not answer; asked for those of btrfs only.
    """

    def __init__(
        self,
        mounts: tuple[MountLine, ...],
        devices: BlockDevices,
        sys: str = "/sys",
        device_of: Callable[[bytes], int | None] | None = None,
    ) -> None:
        self._mounts = mounts
        self._tree = MountTree(mounts)
        self._devices = devices
        self._sys = sys
        self._by_id = {mount.id: mount for mount in mounts}
        self._by_device: dict[int, MountLine] = {}
        for mount in mounts:
            self._by_device.setdefault(mount.device, mount)
        if device_of is not None:
            for mount in self._tree.visible():
                number = device_of(mount.point) if mount.kind == "btrfs" else None
                if number is not None:
                    self._by_device.setdefault(number, mount)

    @property
    def mounts(self) -> tuple[MountLine, ...]:
        """Everything that is mounted."""
        return self._mounts

    def chain(self, device: int, mount_id: int = 0) -> Chain:
        """Return what is below files whose st_dev is `device`.

        Args:
            mount_id: of the mount they were reached through, 0 when it is not known; it matters for btrfs.
        """
        mount = self._by_id.get(mount_id) or self._mount_of(device)
        found = _Below()
        if mount is not None:
            self._below_mount(mount, found, 0)
        elif os.major(device):
            self._below_device(self._devices.name_of(device), found, 0, f"{os.major(device)}:{os.minor(device)}")
        else:
            found.unknown.append(f"no mount shows the device 0:{os.minor(device)}")
        return found.chain(mount)

    def disks(self) -> tuple[Disk, ...]:
        """Return every disk of the machine: no partitions, and nothing that is made of others or of memory."""
        found = _Below()
        for name in self._devices.names():
            if not name.startswith("loop"):
                self._below_device(name, found, 0)
        return found.chain(None).disks

    def meant(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return the devices that the kernel means by a name in its messages, each with the disks that it is on.

        What is made of others, or of a file, is meant itself: what is below has errors of its own, and what else is
        there has none. A disk is on no other one.

        Args:
            name: of a device (`sda1`, `dm-0`), or of a port, hub or controller (`ata3`, `2-1`, `nvme0`): then all that
                hang on it.
        """
        known = self._devices.named(name)
        if not known:
            return {disk.name: () for disk in self.disks() if name in disk.path}
        found, whole = _Below(), self._devices.whole(known) or known
        self._below_device(whole, found, 0)
        return {whole: tuple(disk.name for disk in found.chain(None).disks if disk.name != whole)}

    def _mount_of(self, device: int) -> MountLine | None:
        known = self._by_device.get(device)
        if known is not None or os.major(device):
            return known
        btrfs = [mount for mount in self._mounts if mount.kind == "btrfs"]
        return btrfs[0] if len({mount.device for mount in btrfs}) == 1 else None

    def _below_mount(self, mount: MountLine, found: _Below, depth: int) -> None:
        source = os.fsdecode(mount.source)
        if mount.kind == "btrfs":
            self._below_btrfs(source, found, depth)
        elif mount.kind == "bcachefs":
            found.layers.append(Layer("bcachefs", source))
            for part in source.split(":"):
                self._below_device(self._devices.named(part), found, depth + 1, part)
        elif os.major(mount.device):
            self._below_device(self._devices.name_of(mount.device), found, depth, source)
        elif mount.kind in _NETWORK:
            found.server = _server(mount.kind, source)
        elif mount.kind == "overlay":
            self._below_overlay(mount, found, depth)
        elif mount.kind == "zfs":
            found.unknown.append("zfs does not tell in /sys which disks a pool has")
        elif mount.kind not in _MEMORY:
            found.unknown.append(f"{mount.kind} does not tell what it is kept on")

    def _below_btrfs(self, source: str, found: _Below, depth: int) -> None:
        first, base = self._devices.named(source), f"{self._sys}/fs/btrfs"
        for uuid in sorted(listed(base)):
            members = sorted(listed(f"{base}/{uuid}/devices"))
            if first in members:
                found.layers.append(Layer("btrfs", text(f"{base}/{uuid}/label") or uuid, uuid))
                for name in members:
                    self._below_device(name, found, depth + 1, name)
                return
        found.layers.append(Layer("btrfs", source))
        found.unknown.append("/sys/fs/btrfs does not tell which other devices the file system has")
        self._below_device(first, found, depth + 1, source)

    def _below_overlay(self, mount: MountLine, found: _Below, depth: int) -> None:
        upper = mount.option("upperdir") or mount.option("lowerdir").partition(":")[0]
        found.layers.append(Layer("overlay", os.fsdecode(mount.point), upper))
        lower = self._tree.over(os.fsencode(upper)) if upper.startswith("/") else None
        if lower is None or lower is mount or depth >= MAX_DEPTH:
            found.unknown.append("the directory below the overlay is in no mount that is seen here")
        else:
            self._below_mount(lower, found, depth + 1)

    def _below_device(self, name: str, found: _Below, depth: int, wanted: str = "") -> None:
        if not name:
            found.unknown.append(f"/sys has no block device {wanted}")
        elif depth >= MAX_DEPTH:
            found.unknown.append(f"{name} is below more than {MAX_DEPTH} layers")
        elif whole := self._devices.whole(name):
            found.layers.append(Layer("partition", name))
            self._below_device(whole, found, depth + 1)
        elif slaves := self._devices.slaves(name):
            found.layers.append(self._made_of_others(name))
            for slave in slaves:
                self._below_device(slave, found, depth + 1)
        elif name.startswith("loop"):
            self._below_loop(name, found, depth)
        elif name.startswith(("dm-", "md")):
            found.unknown.append(f"{name} has no devices below it")
        elif name.startswith("zd"):
            found.unknown.append("zfs does not tell in /sys which disks a pool has")
        elif not self._devices.is_memory(name):
            found.disks[name] = self._devices.disk(name)

    def _below_loop(self, name: str, found: _Below, depth: int) -> None:
        backing = os.fsencode(self._devices.read(name, "loop/backing_file"))
        found.layers.append(Layer("loop", name, os.fsdecode(backing)))
        mount = self._tree.over(backing.removesuffix(_DELETED)) if backing.startswith(b"/") else None
        if mount is None:
            found.unknown.append(f"{name} has no backing file in a mount that is seen here")
        else:
            self._below_mount(mount, found, depth + 1)

    def _made_of_others(self, name: str) -> Layer:
        uuid = self._devices.read(name, "dm/uuid")
        if uuid or name.startswith("dm-"):
            kind = next((kind for prefix, kind in _DM_KINDS if uuid.startswith(prefix)), "dm")
            return Layer(kind, self._devices.read(name, "dm/name") or name, name)
        level = self._devices.read(name, "md/level")
        return Layer("md" if level else name.rstrip("0123456789"), name, level)


class _Below:
    """What was found so far."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.disks: dict[str, Disk] = {}
        self.server = ""
        self.unknown: list[str] = []

    def chain(self, mount: MountLine | None) -> Chain:
        disks = tuple(self.disks[name] for name in sorted(self.disks))
        return Chain(mount, _once(self.layers), disks, self.server, _once(self.unknown))


def read_graph(root: str = "/", device_of: Callable[[bytes], int | None] | None = None) -> DeviceGraph:
    """Read the graph of this machine, or of a recorded one.

    Args:
        root: what has `proc/self/mountinfo` and `sys` in it.
        device_of: as `DeviceGraph` takes it; `number_of` on a live machine.

    Raises:
        OSError: there is no table of mounts.
    """
    with open(os.path.join(root, "proc/self/mountinfo"), "rb") as table:
        mounts = parse_mounts(table.read())
    sys = os.path.join(root, "sys")
    return DeviceGraph(mounts, BlockDevices(sys), sys, device_of)


def number_of(point: bytes) -> int | None:
    """Return st_dev of a mount point; it may block for as long as the disk below it does not answer."""
    with contextlib.suppress(OSError):
        return os.stat(point).st_dev
    return None


def _server(kind: str, source: str) -> str:
    if kind in ("9p", "virtiofs"):
        return "host"
    if source.startswith("//"):
        return source[2:].partition("/")[0]
    if source.startswith("["):
        return source[1:].partition("]")[0]
    return source.partition(":")[0]


def _once(items: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))
