"""The times of an entry: set exactly where its file system can hold them, and looked at where it may not have.

A file system takes every time that it is given and says nothing about what it made of it: one outside its range is
moved to the nearest end (ext4 begins in 1901 and ends in 2446, or in 2038 with inodes of 128 bytes), one that is finer
than its step is cut down to that (2 s on FAT, 1 s on such an ext4).
"""

from __future__ import annotations

import errno
import os

from migmond.domain.entry import Lost

_SECOND_NS = 1_000_000_000
_REFUSED = frozenset({errno.EPERM, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EOVERFLOW})
FIRST_NS = 315_532_800 * _SECOND_NS
LAST_NS = ((1 << 31) - 1) * _SECOND_NS
"""From 1980 (FAT begins) to January 2038 (signed 32 bits end) every file system has a place for every second."""
_STEPS_NS = (2 * _SECOND_NS, _SECOND_NS, 10_000_000, 100)
"""Of FAT; of ext3, HFS+ and NFS 2; of exFAT; of NTFS and SMB. All others keep nanoseconds."""
_FINEST_STEP_NS = 100
_SHORT_NS = 1_000_000
"""All steps that are longer are multiples of it."""
_ROUNDED_NS = 2 * _SECOND_NS
_ACCESS_NS = 2 * 86_400 * _SECOND_NS
"""FAT keeps the day of an access only, in a time zone that the mount decides."""


class TimeMemory:
    """Sets times, and learns where they are kept to the nanosecond, so that not every file has to be looked at again.

    For one thread.
    """

    def __init__(self) -> None:
        self._exact: set[int] = set()

    def exact(self, device: int) -> bool:
        """Whether times between FIRST_NS and LAST_NS need not be looked at any more on that file system."""
        return device in self._exact

    def learn_exact(self, device: int) -> None:
        """A time that is no multiple of any step was kept there."""
        self._exact.add(device)

    def set(self, target: int | bytes, device: int, atime_ns: int, mtime_ns: int) -> Lost:
        """Set the times (nanoseconds since the epoch) of an open file, or of what a path leads to.

        Args:
            device: its st_dev.

        Returns:
            TIMES when it may not be done or the file system cannot hold them, ROUNDED_TIMES when it has a step.

        Raises:
            OSError: the target failed in another way (EIO, EROFS, ...).
        """
        try:
            os.utime(target, ns=(atime_ns, mtime_ns))
        except OSError as e:
            if e.errno not in _REFUSED:
                raise
            return Lost.TIMES
        if device in self._exact and FIRST_NS <= mtime_ns <= LAST_NS and FIRST_NS <= atime_ns <= LAST_NS:
            return Lost.NOTHING
        st = os.stat(target)
        if abs(st.st_mtime_ns - mtime_ns) >= _ROUNDED_NS or abs(st.st_atime_ns - atime_ns) >= _ACCESS_NS:
            return Lost.TIMES
        if st.st_mtime_ns != mtime_ns:
            return Lost.ROUNDED_TIMES
        if mtime_ns % _FINEST_STEP_NS:
            self.learn_exact(device)
        return Lost.NOTHING


def same_time(mtime_ns: int, copy: os.stat_result) -> bool:
    """Whether a copy has the modification time `mtime_ns`, as exactly as its file system keeps times.

    How exactly that is, its ctime tells: no user can set that one, and where it has a fraction there is no step.
    """
    if copy.st_mtime_ns == mtime_ns:
        return True
    return any(copy.st_ctime_ns % step == 0 and mtime_ns - mtime_ns % step == copy.st_mtime_ns for step in _STEPS_NS)


def tells_changes(ctime_ns: int) -> bool:
    """Whether a file that has this ctime shows a later one as soon as anything happens to it.

    Not where times have a step that is long enough to save a file twice within it (ext4 with inodes of 128 bytes, ext3:
    1 s). Nor on FAT and exFAT, which have no ctime and show the time of modification, that everybody may set. Where
    times are finer, one file in a million is taken for one of those.
    """
    return ctime_ns % _SHORT_NS != 0
