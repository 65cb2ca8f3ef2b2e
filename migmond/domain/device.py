"""What files are kept on, from the mount down to the disks."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from migmond.domain.mount_table import MountLine


class Disk(msgspec.Struct, frozen=True):
    """A disk that the machine sees as one.

    Attributes:
        name: as the kernel calls it now (`sda`, `nvme0n1`); `device` is its number.
        transport: `sata`, `sas`, `nvme`, `usb`, `virtio`, `mmc`, `iscsi`, `fc`, `network`, or "" when nothing tells.
        rotational: None when what is told may be anything: bridges and hypervisors say yes unless they know better.
        path: what it hangs on, from the outside in: PCI functions, USB root and hubs, controllers and ports.
    """

    name: str
    device: int
    model: str
    serial: str
    transport: str
    rotational: bool | None
    size_bytes: int | None
    path: tuple[str, ...]


_NO_DEVICES = frozenset({"partition", "btrfs", "bcachefs", "overlay"})


class Layer(msgspec.Struct, frozen=True):
    """What is between a file system and its disks.

    Attributes:
        kind: `partition`, `lvm`, `crypt`, `multipath`, `dm`, `md`, `bcache`, `loop`, `btrfs`, `bcachefs` or `overlay`.
        name: as people know it: the volume's name, or the kernel's.
        detail: RAID level, backing file or UUID, where there is one.
    """

    kind: str
    name: str
    detail: str = ""

    @property
    def device(self) -> str:
        """The kernel's name of the whole block device that it is, by which its errors are told; "" for none."""
        if self.kind in _NO_DEVICES:
            return ""
        return self.detail if self.detail.startswith("dm-") else self.name


class Chain(msgspec.Struct, frozen=True):
    """All that is below one file system.

    Attributes:
        mount: None when no mount shows it.
        layers: top down, each once.
        disks: by name; empty when there are none, or nobody tells which.
        server: of a network file system.
        unknown: why something below is not known; empty when all of it is.
    """

    mount: MountLine | None
    layers: tuple[Layer, ...] = ()
    disks: tuple[Disk, ...] = ()
    server: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """Block devices that are made of others or of files, as the kernel calls them, top down: `loop3`, `dm-0`."""
        return tuple(layer.device for layer in self.layers if layer.device)

    @property
    def rotational(self) -> bool | None:
        """Whether a disk of it turns: then seeks cost. None when that is not known of all of them."""
        told = {disk.rotational for disk in self.disks}
        if True in told:
            return True
        return None if None in told or not told or self.unknown else False


def device_text(device: str, disks: Iterable[str]) -> str:
    """Return what people are told had an error: `sda`, or `loop3 (on sda)` for what is on other disks."""
    below = " ".join(sorted(set(disks) - {device}))
    return f"{device} (on {below})" if device and below else device or below
