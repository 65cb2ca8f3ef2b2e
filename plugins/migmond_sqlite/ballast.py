"""Room kept for the moment when the disk is full: given up so that what has happened can still be recorded."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from migmond.domain.units import show_size

_ROOM_FACTOR = 2
"""Made again only when so many times its size is free: what just became free is for the journal first."""


class Ballast:
    """A file of real blocks that nothing is in. Used by one thread at a time.

    Attributes:
        short: why it was given up, as long as it has not been made again; "" otherwise.

    Args:
        path: where it is.
        size_bytes: 0 for none.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size = size_bytes
        self.short = ""

    @property
    def missing(self) -> str:
        """Why there is none at the moment, one sentence; "" when it is there or none is wanted."""
        if not self._size or self._held() == self._size:
            return ""
        return f"there was no room for the {show_size(self._size)} that are to be kept for a full disk"

    def make(self) -> None:
        """Make it if it is wanted, not there, and there is room."""
        held = self._held()
        if held == self._size:
            self.short = ""
            return
        found = os.statvfs(self._path.parent)
        if self._size > held and found.f_bavail * found.f_frsize < self._size * _ROOM_FACTOR:
            return
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.ftruncate(fd, 0)
            if self._size:
                os.posix_fallocate(fd, 0, self._size)
                os.fsync(fd)
        except OSError as e:
            os.ftruncate(fd, 0)
            if e.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EOPNOTSUPP, errno.EINVAL):
                raise
            return
        finally:
            os.close(fd)
        if not self._size:
            self._path.unlink(missing_ok=True)
        self.short = ""

    def give_up(self, why: str) -> bool:
        """Free its blocks because of `why`; returns whether there were any.

        Its name stays: some file systems free the blocks of a file without a name only later.
        """
        if not self._held():
            return False
        fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.ftruncate(fd, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        self.short = why
        return True

    def _held(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0
