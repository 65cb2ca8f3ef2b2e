"""File systems that are written to or deleted from: all have to be synced, not only those that the roots are on."""

from __future__ import annotations

import os
from collections.abc import Iterable

from migmond.fsys.closing import close_unwritten
from migmond.fsys.durable import must_sync_each, sync_file_system, sync_names


class Devices:
    """One fd for each file system that a directory was opened on to change it (a root may have others mounted in it).
    Each is opened before the first change there and kept, so that it tells of every failed write-back since.
    """

    def __init__(self) -> None:
        self._fds: dict[int, int] = {}
        self._each: set[int] = set()

    def note(self, directory: int) -> None:
        """Something may change in this directory from now on. Any thread may say so."""
        device = os.fstat(directory).st_dev
        if device not in self._fds:
            fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
            if must_sync_each(fd):
                self._each.add(device)
            if self._fds.setdefault(device, fd) != fd:
                close_unwritten(fd)

    def one_by_one(self, device: int) -> bool:
        """Whether each file there has to be synced by itself before it is closed, and each directory in `sync`."""
        return device in self._each

    def sync(self, directories: Iterable[int] = ()) -> None:
        """Make everything written to any of them durable.

        Args:
            directories: fds of those whose names are to be durable, each valid until the next is asked for; not
                looked at when there is no file system that needs it.

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
        if self._each:
            seen: set[tuple[int, int]] = set()
            for directory in directories:
                if self.one_by_one(os.fstat(directory).st_dev):
                    sync_names(directory, seen)

    def close(self) -> None:
        """Close what was noted."""
        while self._fds:
            close_unwritten(self._fds.popitem()[1])
