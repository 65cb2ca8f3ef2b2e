"""File systems that are written to or deleted from: all have to be synced, not only those that the roots are on."""

from __future__ import annotations

import os

from migmond.fsys.durable import sync_file_system


class Devices:
    """One fd for each file system that a directory was opened on to change it (a root may have others mounted in it).
    Each is opened before the first change there and kept, so that it tells of every failed write-back since.
    """

    def __init__(self) -> None:
        self._fds: dict[int, int] = {}

    def note(self, directory: int) -> None:
        """Something may change in this directory from now on. Any thread may say so."""
        device = os.fstat(directory).st_dev
        if device not in self._fds:
            fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
            if self._fds.setdefault(device, fd) != fd:
                os.close(fd)

    def sync(self) -> None:
        """Make everything written to any of them durable.

        Raises:
            OSError: the first of what failed; all have been tried.
        """
        failure: OSError | None = None
        for fd in list(self._fds.values()):
            try:
                sync_file_system(fd)
            except OSError as e:
                failure = failure or e
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Close what was noted."""
        while self._fds:
            os.close(self._fds.popitem()[1])
