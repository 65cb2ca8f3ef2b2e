"""Telling one file system from another that is mounted in its place.

st_ino does not: the root of every ext4 is inode 2. st_dev does not: it is the device's, and another stick in the same
port has the same. The UUID that mkfs wrote does, and these ways lead to it without rights and without udev:

- ext2, ext3, ext4: f_fsid of statfs(2) is the UUID, folded to 64 bits.
- btrfs: BTRFS_IOC_FS_INFO, and f_fsid, which differs between subvolumes (all their roots are inode 256).
- xfs, vfat: an ioctl of their own. Their f_fsid is made of the device number, which is no help.
- all others: FS_IOC_GETFSUUID (Linux 6.9), where it answers. tmpfs answers with one that is new at each mount, which
  is right: what was in it is gone. btrfs does not answer (6.18).

Whoever hides another file system (FUSE, NFS, CIFS, 9p) tells nothing: for those nobody knows, and what can be compared
is the inode number alone, if that.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping

from migmond.domain.file_system import FileSystemId
from migmond.fsys.facts import mount_of

_GETFSUUID = 0x80111500
"""_IOR(0x15, 0, struct fsuuid2): the length, and up to 16 bytes."""
_FSUUID2_BYTES = 17
_OWN_WAYS: Mapping[str, tuple[int, int, slice]] = {
    "xfs": (0x80705864, 112, slice(64, 80)),  # XFS_IOC_FSGEOMETRY_V1
    "btrfs": (0x8400941F, 1024, slice(16, 32)),  # BTRFS_IOC_FS_INFO
    "vfat": (0x80047213, 4, slice(0, 4)),  # FAT_IOCTL_GET_VOLUME_ID
    "msdos": (0x80047213, 4, slice(0, 4)),
}
"""By type: the request, the size of its answer, and where the id is in it."""
_FOLDED = frozenset({"ext2", "ext3", "ext4"})
_SUBVOLUMES = frozenset({"btrfs"})


def file_system_id(fd: int) -> FileSystemId:
    """Return which file system directory `fd`, open for reading, is on, as far as it tells."""
    kind = mount_of(fd)[0]
    if kind.startswith("fuse"):  # on an older kernel the server would be asked, and may never answer
        return FileSystemId()
    if kind in _FOLDED:
        return FileSystemId(_f_fsid(fd))
    if kind in _OWN_WAYS:
        request, size, place = _OWN_WAYS[kind]
        own = _ask(fd, request, size)[place]
    else:
        answer = _ask(fd, _GETFSUUID, _FSUUID2_BYTES)
        own = answer[1 : 1 + answer[0]] if answer else b""
    return FileSystemId(own if any(own) else b"", _f_fsid(fd) if kind in _SUBVOLUMES else b"")


def _f_fsid(fd: int) -> bytes:
    number = os.fstatvfs(fd).f_fsid
    return number.to_bytes(8, "little") if number else b""


def _ask(fd: int, request: int, size: int) -> bytes:
    buffer = bytearray(size)
    try:
        fcntl.ioctl(fd, request, buffer)
    except OSError:  # whatever the reason: it does not tell
        return b""
    return bytes(buffer)
