"""Tells where the content of sources begins on their disks, for whoever reads them in that order."""

from __future__ import annotations

import os
import time

from migmond.fsys.closing import close_unwritten
from migmond.fsys.extents import UNABLE, first_extent
from migmond.mover.context import Context
from migmond.mover.control import Abandoned
from migmond.wire.from_mover import Located
from migmond.wire.items import NamedTasks
from migmond.wire.slots import Doing
from migmond.wire.to_mover import Locate

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Locator:
    """Answers Locate. What cannot be looked at has no place; whoever copies it finds out why."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._unable: dict[int, str] = {}
        """By device number, what its file system said."""

    def locate(self, message: Locate) -> None:
        """Look at every item and send Located; when nothing is wanted any more, with those looked at so far."""
        found: dict[int, int] = {}
        try:
            for directory in message.directories:
                self._locate_in(directory, found)
        except Abandoned:
            pass
        self._context.controls.slot.no_file()
        self._context.send(Located(message.batch, found, "; ".join(sorted(set(self._unable.values())))))

    def _locate_in(self, directory: NamedTasks, found: dict[int, int]) -> None:
        context, sources = self._context, self._context.source_directories()
        slot = context.controls.slot
        slot.file(0, 0, directory.path, Doing.SCANNING, time.monotonic_ns())
        context.controls.looked_at(0, directory=True)
        try:
            fd = sources.get(directory.root, directory.path)
            device = os.fstat(fd).st_dev
            for number, name in directory.items:
                if device in self._unable:
                    return
                context.controls.looked_at(1)
                self._locate_one(fd, context.roots[directory.root].names(name)[0], number, device, found)
        except OSError:  # the directory is not there or not readable (any more)
            return
        finally:
            sources.clear()

    def _locate_one(self, directory: int, name: bytes, number: int, device: int, found: dict[int, int]) -> None:
        try:
            fd = os.open(name, _READ, dir_fd=directory)
        except OSError:
            return
        try:
            at = first_extent(fd)
            if at is not None:
                found[number] = at
        except OSError as e:
            if e.errno in UNABLE:
                self._unable[device] = os.strerror(e.errno or 0)
        finally:
            close_unwritten(fd)
