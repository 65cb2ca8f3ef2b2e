"""The kernel's table of mounts, as text (proc_pid_mountinfo(5)); reading it is left to others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import msgspec

_ESCAPED = re.compile(rb"\\([0-7]{3})")
_NO_FILES = frozenset({
    "autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs",
    "efivarfs", "functionfs", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal", "fusectl", "hugetlbfs", "mqueue", "nfsd",
    "nsfs", "proc", "pstore", "ramfs", "resctrl", "rootfs", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "sysfs",
    "tracefs",
})  # fmt: skip
"""Types that hold the kernel's or a program's own things; whatever is not named here may hold files of people."""
_IMAGES = frozenset({"cramfs", "erofs", "iso9660", "romfs", "squashfs"})
"""Types whose images are full and read-only from the day that they are made: their room tells nothing."""


class MountLine(msgspec.Struct, frozen=True):
    """One mount.

    Attributes:
        id: of the mount, unique while it stands.
        device: st_dev of the whole file system. What is on btrfs shows other numbers, one for each subvolume.
        top: which part of the file system is mounted.
        point: where, as this mount namespace has it.
        options: of this mount; `super_options`: of the file system.
        kind: its type as mount shows it ("ext4", "fuse.sshfs").
        source: a device, `server:/path` or any word.
    """

    id: int
    parent: int
    device: int
    top: bytes
    point: bytes
    options: tuple[str, ...]
    kind: str
    source: bytes
    super_options: tuple[str, ...]

    @property
    def read_only(self) -> bool:
        """Nothing can be written through it; either the mount or the file system is read-only."""
        return "ro" in self.options or "ro" in self.super_options

    @property
    def holds_files(self) -> bool:
        """It may have files of people, and room for more."""
        return self.kind not in _NO_FILES and self.kind not in _IMAGES

    def option(self, name: str) -> str:
        """Return the value of a `name=value` option of the file system, "" when it has none."""
        return next((o.partition("=")[2] for o in self.super_options if o.startswith(f"{name}=")), "")


def parse_mounts(table: bytes) -> tuple[MountLine, ...]:
    """Return the mounts in the table's order; lines that are not understood are left out."""
    return tuple(mount for line in table.split(b"\n") if (mount := _parsed(line)) is not None)


class MountTree:
    """Which mount a path leads to. The table's order does not tell: `/` may come after what is mounted in it.

    In a chroot the table may not have what is mounted on `/`, or above a mount.
    """

    def __init__(self, mounts: tuple[MountLine, ...]) -> None:
        known = {mount.id for mount in mounts}
        self._mounts = mounts
        self._on: dict[tuple[int | None, bytes], MountLine] = {}
        for mount in mounts:
            seen = mount.parent in known and mount.parent != mount.id
            self._on[mount.parent if seen else None, mount.point] = mount

    def over(self, path: bytes) -> MountLine | None:
        """Return the mount that an absolute path without symlinks is on, None when that is not in the table."""
        current: MountLine | None = None
        for point in _from_root(path):
            while (above := self._on.get((current.id if current else None, point))) is not None:
                current = above
        return current

    def visible(self) -> tuple[MountLine, ...]:
        """Return the mounts that their mount points lead to: nothing was mounted on them, or above them, later."""
        return tuple(mount for mount in self._mounts if self.over(mount.point) is mount)


def _from_root(path: bytes) -> Iterator[bytes]:
    yield b"/"
    end = path.find(b"/", 1)
    while end != -1:
        yield path[:end]
        end = path.find(b"/", end + 1)
    if path != b"/":
        yield path


def unescape(field: bytes) -> bytes:
    """mountinfo writes space, tab, newline, backslash and # as octal escapes."""
    return _ESCAPED.sub(lambda m: bytes((int(m[1], 8) & 0xFF,)), field) if b"\\" in field else field


def _parsed(line: bytes) -> MountLine | None:
    first, separator, last = line.partition(b" - ")
    head, tail = first.split(b" "), last.split(b" ")
    if not separator or len(head) < 6 or len(tail) < 3:
        return None
    major, _, minor = head[2].partition(b":")
    try:
        ids, device = (int(head[0]), int(head[1])), os.makedev(int(major), int(minor))
    except (ValueError, OverflowError):
        return None
    kind, source, options = os.fsdecode(unescape(tail[0])), unescape(tail[1]), os.fsdecode(tail[2])
    return MountLine(
        *ids, device, unescape(head[3]), unescape(head[4]), tuple(os.fsdecode(head[5]).split(",")),
        kind, source, tuple(options.split(",")),
    )  # fmt: skip
