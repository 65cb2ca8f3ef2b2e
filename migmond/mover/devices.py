"""The file systems that copies are written to: all of them have to be synced, not only those of the targets' roots."""

from __future__ import annotations

import os

from migmond.fsys.durable import sync_file_system


class Devices:
    """One fd for each file system below the targets that a directory was opened on (a target may have others mounted
    in it). Each is opened before the first write there and kept, so that it tells of every failed write-back since.
    """

    def __init__(self) -> None:
        self._fds: dict[int, int] = {}

    def note(self, directory: int) -> None:
        """Something may be written into this directory from now on. Any thread may say so."""
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
