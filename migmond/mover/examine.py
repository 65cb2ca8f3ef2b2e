"""Looks at what an execution brought somewhere before that is undone: is it still what was brought, and can it go?

Nothing is changed here, and nothing that is found out here is relied on when it is acted upon: it says which version of
each entry is meant, and whoever moves or removes that looks again (`mover.copy`, `mover.careful_delete`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

import xxhash

from migmond.domain.entry import EntryType, entry_type
from migmond.domain.examination import Examined, ExamineItem, Version
from migmond.domain.fault import Fault, Phase
from migmond.fsys.rename import stat_or_none
from migmond.fsys.times import same_time, tells_changes
from migmond.mover.backups import made_backup
from migmond.mover.context import Context, fault_of
from migmond.mover.target_check import Place
from migmond.wire.from_mover import AllExamined
from migmond.wire.items import ExamineDirectory
from migmond.wire.slots import Doing
from migmond.wire.to_mover import Examine

_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Its directory is gone, or something else has the place of one above it."""
_NOTHING = Version(0, 0, 0, 0)
_LINKED_KEPT = 10_000
"""Hashes of files with several names that are remembered, about 2 MB: each name asks for the same content."""


class _Stays(Exception):
    """It is not to be touched; `kind` and the message say why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Examiner:
    """Answers Examine."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._read = 0
        self._linked: dict[tuple[int, int, int, int], bytes] = {}

    def examine(self, message: Examine) -> None:
        """Look at every item and send AllExamined."""
        found: list[Examined] = []
        for directory in message.directories:
            found += self._examine_in(directory, message)
        self._context.controls.slot.no_file()
        self._context.send(AllExamined(message.batch, tuple(found)))

    def _examine_in(self, directory: ExamineDirectory, message: Examine) -> list[Examined]:
        context = self._context
        sources, targets = context.source_directories(), context.target_directories(make=False)
        try:
            try:
                there = sources.get(directory.root, directory.path)
            except OSError as e:
                return [_unseen(item, e) for item in directory.items]
            try:
                back = targets.get(directory.root, directory.path)
            except OSError as e:
                if e.errno not in _NOWHERE:
                    return [_unseen(item, e) for item in directory.items]
                back = -1
            return [self._examine_one(item, directory, there, back, message) for item in directory.items]
        finally:
            sources.clear()
            targets.clear()

    def _examine_one(
        self, item: ExamineItem, directory: ExamineDirectory, there: int, back: int, asked: Examine
    ) -> Examined:
        context, root = self._context, self._context.roots[directory.root]
        path = os.path.join(directory.path, item.name)
        context.controls.slot.file(item.number, item.size, path, Doing.VERIFYING, time.monotonic_ns())
        left = Place(there, root.names(item.name)[0] or b".")
        came_from = Place(back, root.names(item.back)[1] or b".") if back >= 0 else None
        kind = message = ""
        seen, occupied, backup = None, False, False
        try:
            seen = left.stat()
            if seen is None:
                raise _Stays("target_missing", "what was brought there is not there any more")
            occupied = came_from is not None and came_from.stat() is not None
            self._check(item, left, seen, came_from, asked.left_ns)
        except _Stays as e:
            kind, message = e.kind, str(e)
        except OSError as e:
            fault = fault_of(Phase.SCAN, e)
            kind, message = fault.kind, fault.message
        if asked.backups is not None and kind in ("", "target_missing"):  # else its name does not become free
            with contextlib.suppress(OSError):
                backup = made_backup(there, left.name, asked.backups) is not None
        if seen is None:
            return Examined(item.number, kind, message, _NOTHING, 0, 0, occupied, backup)
        version = Version(seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        device = context.device_numbers.recorded(seen.st_dev)
        return Examined(item.number, kind, message, version, device, seen.st_nlink, occupied, backup)

    def _check(
        self, item: ExamineItem, left: Place, seen: os.stat_result, came_from: Place | None, left_ns: int
    ) -> None:
        """Raises _Stays."""
        if entry_type(seen.st_mode) is not item.type:
            raise _changed("something else has its name now")
        if item.type is EntryType.DIRECTORY:
            return
        digest = None
        if item.type is EntryType.FILE:
            if seen.st_size != item.size:
                raise _changed(f"it has {seen.st_size} bytes instead of {item.size}")
            if item.mtime_ns is not None and not same_time(item.mtime_ns, seen):
                raise _changed("it was modified since it was brought there")
            if item.original is None:
                touched = seen.st_ctime_ns > left_ns
            else:  # a further name moves the ctime of what was perhaps touched before
                touched = seen.st_ctime_ns != item.published_ns or seen.st_nlink > 1
            doubtful = item.mtime_ns is None or seen.st_ino != item.inode or touched
            if doubtful or not tells_changes(seen.st_ctime_ns):
                digest = self._digest(item, left, seen)
        elif seen.st_ino != item.inode:
            raise _changed("something else has its name now")
        elif item.type is EntryType.SYMLINK and item.digest is not None:
            digest = xxhash.xxh3_128_digest(left.text())
        if digest is not None and item.digest is not None and digest != item.digest:
            raise _changed("its content is not what was brought there")
        unknown = digest is None or item.digest is None
        if unknown and item.type is EntryType.FILE and seen.st_ino != item.inode:
            raise _changed("another file has its name now, and there is no hash to tell whether it is as good")
        if item.original is not None:
            self._check_original(item, item.original, left, came_from, digest)

    def _check_original(
        self, item: ExamineItem, original: Version, left: Place, came_from: Place | None, digest: bytes | None
    ) -> None:
        """What it was copied from has to be there: else this may be the last that there is of it."""
        now = came_from.stat() if came_from is not None else None
        if now is None or came_from is None:
            raise _Stays("last_copy", "what it was copied from is not there any more: this is the last copy")
        if entry_type(now.st_mode) is not item.type:
            raise _Stays("last_copy", "something else is where it was copied from: this is the last copy")
        if item.type is EntryType.SYMLINK:
            same = came_from.text() == left.text()
        elif item.type is EntryType.FILE:
            same = (now.st_size, now.st_mtime_ns) == (original.size, original.mtime_ns)
            untouched = (now.st_ino, now.st_ctime_ns) == (original.inode, original.ctime_ns)
            if same and not (untouched and tells_changes(now.st_ctime_ns) and (digest is None or item.digest)):
                wanted = item.digest if item.digest is not None else digest or self._digest(item, left, None)
                same = self._digest(item, came_from, now) == wanted
        else:
            same = now.st_rdev == os.stat(left.name, dir_fd=left.directory, follow_symlinks=False).st_rdev
        if not same:
            raise _Stays(
                "last_copy", "what it was copied from was changed since: this is the last copy of that version"
            )

    def _digest(self, item: ExamineItem, place: Place, seen: os.stat_result | None) -> bytes:
        """Hash a file that stays as it is meanwhile.

        Raises:
            _Stays: it does not.
        """
        version = None
        if seen is not None and seen.st_nlink > 1 and tells_changes(seen.st_ctime_ns):
            version = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_ctime_ns)
            if version in self._linked:
                return self._linked[version]
        self._read = 0
        digest = place.digest(self._step)
        now = stat_or_none(place.directory, place.name)
        if now is None or (seen is not None and (now.st_ino, now.st_ctime_ns) != (seen.st_ino, seen.st_ctime_ns)):
            raise _changed("it was changed while it was read")
        if version is not None:
            if len(self._linked) >= _LINKED_KEPT:
                self._linked.clear()
            self._linked[version] = digest
        return digest

    def _step(self, count: int) -> None:
        self._read += count
        self._context.controls.slot.progress(self._read, self._read, time.monotonic_ns())


def _changed(message: str) -> _Stays:
    return _Stays("target_changed", message)


def _unseen(item: ExamineItem, error: OSError) -> Examined:
    if error.errno in _NOWHERE:
        fault = Fault(Phase.SCAN, "target_missing", 0, "the directory that it was brought to is not there any more")
    else:
        fault = fault_of(Phase.SCAN, error)
    return Examined(item.number, fault.kind, fault.message, _NOTHING, 0, 0, occupied=False)
