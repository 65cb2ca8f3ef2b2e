"""Directories: made and finished at the target, children before parents; removed at the source when empty."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator

from migmond.domain.entry import Lost
from migmond.domain.fault import Fault, Phase
from migmond.fsys.beneath import make_directories, open_directory
from migmond.fsys.birth import birth_ns
from migmond.fsys.closing import close_unwritten
from migmond.fsys.metadata import copy_metadata
from migmond.fsys.rename import stat_or_none
from migmond.fsys.root_path import open_parent
from migmond.mover.context import Context, fault_of
from migmond.mover.devices import Devices
from migmond.mover.root import open_nearest
from migmond.wire.from_mover import DirectoriesMade, DirectoriesRemoved
from migmond.wire.items import DirectoryItem, ItemFault
from migmond.wire.slots import Doing
from migmond.wire.to_mover import MakeDirectories, RemoveDirectories

_STAYS = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOENT})


class DirectoryWorker:
    """Answers MakeDirectories and RemoveDirectories."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def make(self, message: MakeDirectories) -> None:
        """Make all first, then finish them in order: making a child moves its parent's times."""
        context = self._context
        failures: dict[int, Fault] = {}
        lost: dict[int, Lost] = {}
        for item in message.items:
            context.controls.slot.began(Doing.DIRECTORIES, time.monotonic_ns())
            try:
                fd = make_directories(context.roots[item.root].target_fd(), item.path)
                try:
                    context.devices.note(fd)
                finally:
                    close_unwritten(fd)
            except OSError as e:
                failures[item.number] = fault_of(Phase.DIRECTORY, e)
        for item in message.items:
            context.controls.slot.began(Doing.DIRECTORIES, time.monotonic_ns())
            if item.number in failures:
                continue
            try:
                loss = self._finish(item)
            except OSError as e:
                failures[item.number] = fault_of(Phase.DIRECTORY, e)
            else:
                if loss:
                    lost[item.number] = loss
        try:
            context.devices.sync(self._made(message, failures))
        except OSError as e:
            failures = {item.number: fault_of(Phase.SYNC, e) for item in message.items}
        context.controls.slot.ended()
        found = tuple(ItemFault(n, f) for n, f in failures.items())
        context.send(DirectoriesMade(message.batch, found, lost))

    def _made(self, message: MakeDirectories, failures: dict[int, Fault]) -> Iterator[int]:
        for item in message.items:
            if item.number not in failures:
                fd = open_directory(self._context.roots[item.root].target_fd(), item.path)
                try:
                    yield fd
                finally:
                    close_unwritten(fd)

    def _finish(self, item: DirectoryItem) -> Lost:
        context, root = self._context, self._context.roots[item.root]
        target_fd = open_directory(root.target_fd(), item.path)
        try:
            try:
                source_fd = open_directory(root.source_fd, item.path, cross_mounts=True)
            except FileNotFoundError:  # moved away already, before a crash: its times are what is left to set
                return self._set_times(target_fd, item)
            try:
                source = os.fstat(source_fd)
                if not stat.S_ISDIR(source.st_mode) or source.st_nlink == 0:
                    return self._set_times(target_fd, item)
                return copy_metadata(
                    source_fd, target_fd, source, context.rights, mtime_ns=item.mtime_ns, times=context.times
                )
            finally:
                close_unwritten(source_fd)
        finally:
            close_unwritten(target_fd)

    def _set_times(self, target_fd: int, item: DirectoryItem) -> Lost:
        return self._context.times.set(target_fd, os.fstat(target_fd).st_dev, item.mtime_ns, item.mtime_ns)

    def remove(self, message: RemoveDirectories) -> None:
        """Remove those that are empty and still the ones that were scanned; what is gone is durably gone."""
        context, removed = self._context, 0
        devices = Devices()
        failures: dict[int, Fault] = {}
        for item in message.items:
            context.controls.slot.began(Doing.DIRECTORIES, time.monotonic_ns())
            try:
                removed += self._remove_one(item, devices, message.born_after_ns)
            except OSError as e:
                if e.errno not in _STAYS:
                    failures[item.number] = fault_of(Phase.DIRECTORY, e)
        try:
            for index in {item.root for item in message.items}:
                self._note_source(index, devices)
            devices.sync()
        except OSError as e:
            fault = fault_of(Phase.SYNC, e)
            failures = {item.number: fault for item in message.items} | failures
        finally:
            devices.close()
        context.controls.slot.ended()
        found = tuple(ItemFault(n, f) for n, f in failures.items())
        context.send(DirectoriesRemoved(message.batch, removed, found))

    def _note_source(self, index: int, devices: Devices) -> None:
        """Also when nothing was left to remove: a mover that died may have removed it and not have come to the sync."""
        root = self._context.roots[index]
        if not root.gone:
            with contextlib.suppress(FileNotFoundError):  # FUSE does not open what has just been removed
                devices.note(root.source_fd)
                return
        fd, _ = open_nearest(os.path.dirname(root.spec.source.rstrip(b"/")))
        try:
            devices.note(fd)
        finally:
            close_unwritten(fd)

    def _remove_one(self, item: DirectoryItem, devices: Devices, born_after_ns: int) -> bool:
        root = self._context.roots[item.root]
        if not item.path:
            return self._remove_root(item)
        parent, name = os.path.split(item.path)
        fd = open_directory(root.source_fd, parent)
        try:
            devices.note(fd)
            if born_after_ns and birth_ns(fd, name) < born_after_ns:
                return False  # it was there before, or nobody knows
            return _rmdir(fd, name, item.inode if item.inode or not born_after_ns else None)
        finally:
            close_unwritten(fd)

    def _remove_root(self, item: DirectoryItem) -> bool:
        with contextlib.suppress(FileNotFoundError):
            fd, name = open_parent(self._context.roots[item.root].spec.source)
            try:
                return _rmdir(fd, name, item.inode)  # not the operator's own symlink to the source: that is not ours
            finally:
                close_unwritten(fd)
        return False


def _rmdir(parent_fd: int, name: bytes, inode: int | None) -> bool:
    """Remove a directory; `inode` None: whichever it is."""
    st = stat_or_none(parent_fd, name)
    if st is None or not stat.S_ISDIR(st.st_mode) or inode not in (None, st.st_ino):
        return False
    os.rmdir(name, dir_fd=parent_fd)
    return True
