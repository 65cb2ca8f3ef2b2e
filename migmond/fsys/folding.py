"""Does this directory take different names for the same one? Found out without writing anything."""

from __future__ import annotations

import fcntl
import itertools
import os
import struct

from migmond.domain.preflight import Folding

_FS_IOC_GETFLAGS = 0x80086601
_FS_CASEFOLD_FL = 0x40000000
_FOLD_BY_FLAG = frozenset({"ext4", "f2fs"})
_LOOKED_AT = 256
"""Names of the directory that are looked at for one with a letter in it."""


def folding_of(fd: int, file_system: str) -> Folding:
    """Return how the directory `fd` folds names.

    ext4 and f2fs say it by a flag of the directory, which new directories in it inherit. Elsewhere a name that is
    there is looked up in other case: one in the directory, or its own in the directory above on the same device.
    UNKNOWN when there is no such name.
    """
    if file_system in _FOLD_BY_FLAG:
        try:
            flags = struct.unpack("l", fcntl.ioctl(fd, _FS_IOC_GETFLAGS, bytes(8)))[0]
        except OSError:
            return Folding.UNKNOWN
        return Folding.UNICODE if flags & _FS_CASEFOLD_FL else Folding.NONE
    try:
        with os.scandir(fd) as names:
            there = [os.fsencode(e.name) for e in itertools.islice(names, _LOOKED_AT)]
        for name in there:
            if (found := _looked_up(fd, name)) is not None:
                return found
        return _by_own_name(fd)
    except OSError:  # not readable: then it shows nothing
        return Folding.UNKNOWN


def _looked_up(directory: int, name: bytes) -> Folding | None:
    """Return what `name`, which is there, shows; None when it has no other case or is gone."""
    other = name.swapcase()
    if other == name or not name.isascii():
        return None
    try:
        os.stat(other, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return Folding.NONE
    # Inode numbers do not tell: FUSE may give each name its own, and a hard link has the same.
    with os.scandir(directory) as names:
        return Folding.NONE if any(os.fsencode(e.name) == other for e in names) else Folding.CASE


def _by_own_name(fd: int) -> Folding:
    """Look the directory's own name up in the one above, if that is on the same device."""
    name = os.path.basename(os.fsencode(os.readlink(f"/proc/self/fd/{fd}")))
    above = os.open(b"..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    try:
        here, there = os.fstat(fd), os.fstat(above)
        if not name or here.st_dev != there.st_dev or here.st_ino == there.st_ino:
            return Folding.UNKNOWN
        return _looked_up(above, name) or Folding.UNKNOWN
    finally:
        os.close(above)
