"""Moves only: deletes a source when everything that makes it safe is still true.

A delete is told when it is durable: a power cut would bring the source back, and nobody would come to delete it again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time

import xxhash

from migmond.domain.entry import EntryType
from migmond.domain.fault import Fault, Phase
from migmond.fsys.closing import close_unwritten
from migmond.fsys.durable import sync_directory
from migmond.fsys.facts import mount_of
from migmond.fsys.rename import stat_or_none
from migmond.fsys.reread import digest_of
from migmond.mover.context import Context, fault_of
from migmond.mover.devices import Devices
from migmond.wire.items import DeleteDirectory, DeleteItem, ItemFault
from migmond.wire.mover import Delete, Deleted
from migmond.wire.slots import Doing

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_LEASED_BY_SERVER = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "gfs2", "ocfs2"})
"""There EAGAIN means that the server has given no delegation, not that somebody writes."""


class _Unsafe(Exception):
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


_MAX_WAIT_S = 0.25
"""How long answers wait for a sync that makes others durable as well."""


class Remover:
    """Answers Delete messages."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._devices = Devices()
        self._waiting: list[Deleted] = []
        self._waiting_since = 0.0

    def due(self, now: float, *, idle: bool) -> bool:
        """Whether `sync` is to be called: something waits for it, and nothing else is to be done, or for long enough.

        Args:
            now: monotonic seconds.
        """
        return bool(self._waiting) and (idle or now - self._waiting_since >= _MAX_WAIT_S)

    def sync(self) -> None:
        """Make the deletes durable and send their answers."""
        # A source that comes back after a sync that failed has its copy: nothing is lost that could be mended here.
        self._context.controls.slot.began(Doing.SYNCING, time.monotonic_ns())
        with contextlib.suppress(OSError):
            self._devices.sync()
        self._context.controls.slot.ended()
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            self._context.send(answer)

    def delete(self, message: Delete) -> None:
        """Delete what is safe; Deleted goes out with the next `sync`."""
        failures: list[ItemFault] = []
        changed_by_us: dict[tuple[int, int], int] = {}
        for directory in message.directories:
            self._context.controls.slot.began(Doing.DELETING, time.monotonic_ns())
            self._delete_in(directory, changed_by_us, failures)
        self._context.controls.slot.ended()
        if not self._waiting:
            self._waiting_since = time.monotonic()
        self._waiting.append(Deleted(message.batch, tuple(failures)))

    def _delete_in(
        self, directory: DeleteDirectory, changed_by_us: dict[tuple[int, int], int], failures: list[ItemFault]
    ) -> None:
        context = self._context
        sources, targets = context.source_directories(), context.target_directories(make=False)
        try:
            # Also for what is gone already: a mover that died may have deleted it and not have come to the sync.
            self._devices.note(context.roots[directory.root].source_fd)
            try:
                source_dir = sources.get(directory.root, directory.path)
            except FileNotFoundError:
                return  # gone with its directory: deleted before a crash
            self._devices.note(source_dir)
            target_dir = targets.get(directory.root, directory.path)
            for item in directory.items:
                try:
                    self._delete_one(item, directory.root, source_dir, target_dir, changed_by_us)
                except _Unsafe as e:
                    failures.append(ItemFault(item.number, Fault(Phase.DELETE, e.kind, 0, str(e))))
                except OSError as e:
                    failures.append(ItemFault(item.number, fault_of(Phase.DELETE, e)))
            if self._devices.one_by_one(os.fstat(source_dir).st_dev):
                with contextlib.suppress(OSError):  # as in `sync`
                    sync_directory(source_dir)
        except OSError as e:
            fault = fault_of(Phase.DELETE, e)
            failures.extend(ItemFault(item.number, fault) for item in directory.items)
        finally:
            sources.clear()
            targets.clear()

    def _delete_one(
        self,
        item: DeleteItem,
        root: int,
        source_dir: int,
        target_dir: int,
        changed_by_us: dict[tuple[int, int], int],
    ) -> None:
        source_name, own_target = self._context.roots[root].names(item.name)
        target_name = item.target_name or own_target
        source = stat_or_none(source_dir, source_name)
        if source is None:
            return
        target = stat_or_none(target_dir, target_name)
        if target is None or target.st_ino != item.target_inode:
            raise _Unsafe("target_missing", "its copy is not under the target name any more: the source stays")
        if (source.st_dev, source.st_ino) == (target.st_dev, target.st_ino):
            raise _Unsafe("same_file", "source and target are the same file: the source stays")
        key = (source.st_dev, source.st_ino)
        if not self._as_scanned(item, source):
            raise _Unsafe("source_changed", "the source changed after it was copied: both stay")
        if source.st_ctime_ns != changed_by_us.get(key, item.ctime_ns):
            self._allow_for_links(item, source_dir, source_name, target_dir, target_name)
        held = _hold_still(source_dir, source_name, source) if item.type is EntryType.FILE else -1
        try:
            self._unlink(item, source_dir, source_name, key, changed_by_us)
        finally:
            if held >= 0:
                close_unwritten(held)

    @staticmethod
    def _unlink(
        item: DeleteItem,
        source_dir: int,
        source_name: bytes,
        key: tuple[int, int],
        changed_by_us: dict[tuple[int, int], int],
    ) -> None:
        if item.links > 1 and item.type is EntryType.FILE:
            fd = os.open(source_name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source_dir)
            try:
                os.unlink(source_name, dir_fd=source_dir)
                changed_by_us[key] = os.fstat(fd).st_ctime_ns
            finally:
                close_unwritten(fd)
        else:
            os.unlink(source_name, dir_fd=source_dir)

    @staticmethod
    def _as_scanned(item: DeleteItem, source: os.stat_result) -> bool:
        return (source.st_ino, source.st_size, source.st_mtime_ns) == (item.inode, item.size, item.mtime_ns)

    def _allow_for_links(
        self, item: DeleteItem, source_dir: int, source_name: bytes, target_dir: int, target_name: bytes
    ) -> None:
        """Our own delete of another of its names, before a crash, moved ctime; equal content proves that nothing else
        happened. A further name has no digest of its own (its content was not copied again): the target is read."""
        if item.links > 1 and item.type is EntryType.FILE:
            wanted = item.digest if item.digest is not None else _digest_in(target_dir, target_name)
            if _digest_in(source_dir, source_name) == wanted:
                return
        if item.links > 1 and item.type is EntryType.SYMLINK and item.digest is not None:
            text = os.readlink(source_name, dir_fd=source_dir)
            if xxhash.xxh3_128_digest(text) == item.digest:
                return
        raise _Unsafe("source_changed", "the source changed after it was copied: both stay")


def _hold_still(directory: int, name: bytes, checked: os.stat_result) -> int:
    """Take a read lease: nobody has the file open for writing, nor opens it so before it is gone (HAZARDS.md row 27).

    Args:
        checked: the lstat that all checks went by; nothing may have happened since.

    Returns:
        An fd that holds the lease until it is closed; -1 where no lease can be had (the file system has none, or the
        file is somebody else's): then the checks have to do.
    """
    try:
        fd = os.open(name, _READ | os.O_NOATIME, dir_fd=directory)
    except OSError:
        return -1
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as e:
        in_use = e.errno == errno.EAGAIN and mount_of(fd)[0] not in _LEASED_BY_SERVER
        close_unwritten(fd)
        if in_use:
            raise _Unsafe("source_in_use", "a program has the source open for writing: both stay") from e
        return -1
    now = os.fstat(fd)
    if (now.st_ino, now.st_ctime_ns) != (checked.st_ino, checked.st_ctime_ns):
        os.close(fd)
        raise _Unsafe("source_changed", "the source changed after it was copied: both stay")
    return fd


def _digest_in(directory: int, name: bytes) -> bytes:
    fd = os.open(name, _READ, dir_fd=directory)
    try:
        return digest_of(fd, lambda _: None)[0]
    finally:
        os.close(fd)
