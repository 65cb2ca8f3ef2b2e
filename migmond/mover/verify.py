"""Re-reads finished targets past the page cache."""

from __future__ import annotations

import errno
import os
import time

import xxhash

from migmond.domain.entry import EntryType, entry_type
from migmond.domain.fault import Fault, Phase
from migmond.domain.names import to_text
from migmond.fsys.closing import close_unwritten
from migmond.fsys.rename import stat_or_none
from migmond.fsys.reread import digest_past_cache
from migmond.mover.context import Context, fault_of
from migmond.mover.directory_cache import DirectoryCache
from migmond.wire.from_mover import Verified
from migmond.wire.items import ItemFault, VerifyDirectory, VerifyItem
from migmond.wire.slots import Doing
from migmond.wire.to_mover import Verify

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ANOTHER_THING = frozenset({errno.ENOTDIR, errno.ELOOP})
"""Something else has the place of a directory above it: it was looked for, and it is not there."""
_COARSEST_NS = 2_000_000_000
"""A file system keeps times at least as exactly as FAT does."""


class Rereader:
    """Answers Verify."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._targets = context.target_directories(make=False)
        self._bytes_total = 0
        self._file_done = 0

    def verify(self, message: Verify) -> None:
        """Compare every item with its target and send Verified."""
        context, before = self._context, self._bytes_total
        differences: list[ItemFault] = []
        unreadable: list[ItemFault] = []
        for directory in message.directories:
            for item in directory.items:
                try:
                    fault = self._check(item, directory)
                except FileNotFoundError:
                    fault = Fault(Phase.VERIFY, "target_missing", 0, "it is not at the destination any more")
                except OSError as e:
                    fault = fault_of(Phase.VERIFY, e)
                    if e.errno not in _ANOTHER_THING:
                        unreadable.append(ItemFault(item.number, fault))
                        continue
                if fault is not None:
                    differences.append(ItemFault(item.number, fault))
        self._targets.clear()
        context.controls.slot.no_file()
        context.send(Verified(message.batch, tuple(differences), tuple(unreadable), self._bytes_total - before))

    def _check(self, item: VerifyItem, place: VerifyDirectory) -> Fault | None:
        path = os.path.join(place.path, item.name)
        self._file_done = 0
        self._context.controls.check()
        self._context.controls.operations(1)
        self._context.controls.slot.file(item.number, item.size, path, Doing.VERIFYING, time.monotonic_ns())
        name = self._context.roots[place.root].names(item.name)[1] or b"."
        leader = self._leader(item, self._targets)
        directory = self._targets.get(place.root, place.path)
        st = os.stat(name, dir_fd=directory, follow_symlinks=False)
        kind = entry_type(st.st_mode)
        if kind is not item.type:
            return _differs(f"it is a {kind.name.lower()} now")
        if item.type is EntryType.FILE and st.st_size != item.size:
            return _differs(f"it has {st.st_size} bytes instead of {item.size}")
        if leader is not None:
            if (leader.st_dev, leader.st_ino) == (st.st_dev, st.st_ino):
                return None
            return _differs(f"it is no further name of {to_text(item.leader_path) or '.'} any more")
        if item.digest is not None:
            return None if self._digest(item, directory, name) == item.digest else _differs(_OTHER_CONTENT)
        if item.mtime_ns is not None and abs(st.st_mtime_ns - item.mtime_ns) >= _COARSEST_NS:
            return _differs("it was modified since, and there is no hash to tell whether it is another content")
        return None

    def _leader(self, item: VerifyItem, targets: DirectoryCache) -> os.stat_result | None:
        """Look at what the item is a further name of; None when it is none, or that is not there any more."""
        if item.leader_root < 0:
            return None
        path, name = os.path.split(item.leader_path)
        try:
            directory = targets.get(item.leader_root, path)
        except OSError:
            return None  # told where that is checked itself
        return stat_or_none(directory, name or self._context.roots[item.leader_root].target_name)

    def _digest(self, item: VerifyItem, directory: int, name: bytes) -> bytes:
        if item.type is EntryType.SYMLINK:
            return xxhash.xxh3_128_digest(os.readlink(name, dir_fd=directory))
        fd = os.open(name, _READ, dir_fd=directory)
        try:
            return digest_past_cache(fd, self._step, self._context.controls.piece)[0]
        finally:
            close_unwritten(fd)

    def _step(self, count: int) -> None:
        self._file_done += count
        self._bytes_total += count
        self._context.controls.check()
        self._context.controls.slot.progress(self._file_done, self._bytes_total, time.monotonic_ns())
        self._context.controls.read(count)


_OTHER_CONTENT = "its content differs from what was written"


def _differs(message: str) -> Fault:
    return Fault(Phase.VERIFY, "hash_mismatch", 0, message)
