"""Re-reads finished targets past the page cache."""

from __future__ import annotations

import os
import time

import xxhash

from migmond.domain.entry import EntryType, entry_type
from migmond.domain.fault import Fault, Phase
from migmond.fsys.reread import digest_past_cache
from migmond.mover.context import Context, fault_of
from migmond.wire.items import ItemFault, VerifyItem
from migmond.wire.mover import Verified, Verify
from migmond.wire.slots import Doing

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Rereader:
    """Answers Verify."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._bytes = 0

    def verify(self, message: Verify) -> None:
        """Compare every item with its target and send Verified."""
        context, self._bytes = self._context, 0
        targets = context.target_directories(make=False)
        failures: list[ItemFault] = []
        for directory in message.directories:
            for item in directory.items:
                self._touch()
                try:
                    fault = self._check(item, directory.root, targets.get(directory.root, directory.path))
                except FileNotFoundError:
                    fault = Fault(Phase.VERIFY, "target_missing", 0, "it is not at the destination any more")
                except OSError as e:
                    fault = fault_of(Phase.VERIFY, e)
                if fault is not None:
                    failures.append(ItemFault(item.number, fault))
        targets.clear()
        context.controls.slot.ended()
        context.send(Verified(message.batch, tuple(failures), self._bytes))

    def _touch(self, _: int = 0) -> None:
        self._context.controls.slot.began(Doing.VERIFYING, time.monotonic_ns())

    def _check(self, item: VerifyItem, root: int, directory: int) -> Fault | None:
        name = self._context.roots[root].names(item.name)[1]
        st = os.stat(name, dir_fd=directory, follow_symlinks=False)
        kind = entry_type(st.st_mode)
        if kind is not item.type:
            return _differs(f"it is a {kind.name.lower()} now")
        if item.type is EntryType.FILE and st.st_size != item.size:
            return _differs(f"it has {st.st_size} bytes instead of {item.size}")
        if item.digest is None:
            return None
        if item.type is EntryType.SYMLINK:
            digest = xxhash.xxh3_128_digest(os.readlink(name, dir_fd=directory))
        else:
            fd = os.open(name, _READ, dir_fd=directory)
            try:
                digest, count = digest_past_cache(fd, self._touch)
                self._bytes += count
            finally:
                os.close(fd)
        return None if digest == item.digest else _differs("its content differs from what was written")


def _differs(message: str) -> Fault:
    return Fault(Phase.VERIFY, "hash_mismatch", 0, message)
