"""Whether what stands at the target is still what was brought there, so that its source may go."""

from __future__ import annotations

import os
from collections.abc import Callable

import xxhash

from migmond.domain.entry import EntryType, entry_type
from migmond.fsys.closing import close_unwritten
from migmond.fsys.durable import sync_directory
from migmond.fsys.rename import stat_or_none
from migmond.fsys.reread import digest_of
from migmond.fsys.times import same_time, tells_changes
from migmond.wire.items import DeleteItem

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Without waiting for the writer of a fifo that somebody put in a file's place."""

Step = Callable[[int], None]


class Unsafe(Exception):
    """A source that must not be deleted; `kind` is the fault's."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Place:
    """A name in an open directory."""

    __slots__ = ("directory", "name")

    def __init__(self, directory: int, name: bytes) -> None:
        self.directory = directory
        self.name = name

    def stat(self) -> os.stat_result | None:
        return stat_or_none(self.directory, self.name)

    def text(self) -> bytes:
        """What a symlink says."""
        return os.readlink(self.name, dir_fd=self.directory)

    def digest(self, step: Step) -> bytes:
        """Hash a file."""
        fd = os.open(self.name, READ, dir_fd=self.directory)
        try:
            return digest_of(fd, step)[0]
        finally:
            close_unwritten(fd)


class Hashes:
    """Of files with several names that were read: each of the names asks for the same content."""

    _MOST = 10_000
    """About 2 MB."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], bytes] = {}

    def find(self, st: os.stat_result) -> bytes | None:
        """Return the hash of what was read with the same times and numbers; None when it has to be read."""
        return self._known.get(_version(st))

    def keep(self, st: os.stat_result, digest: bytes) -> None:
        """Keep the hash of a file that was like `st` before it was read and after."""
        if st.st_nlink < 2 or not tells_changes(st.st_ctime_ns):
            return
        if len(self._known) >= self._MOST:
            self._known.clear()
        self._known[_version(st)] = digest


def _version(st: os.stat_result) -> tuple[int, ...]:
    return st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns


def check_copy(
    item: DeleteItem, source: Place, source_stat: os.stat_result, target: Place, step: Step, hashes: Hashes
) -> os.stat_result:
    """Look at the copy. Where anything but its content differs from what was recorded, the content is compared.

    Args:
        source: where the source is now.
        step: called with the number of bytes at each chunk that is read.
        hashes: of what was read for others.

    Returns:
        What was found and is right: as long as the name shows it, it need not be looked at again.

    Raises:
        Unsafe: it is missing, or not what was brought over, or the source itself.
        OSError: it cannot be looked at.
    """
    found = target.stat()
    if found is None:
        raise Unsafe("target_missing", "its copy is not under the target name any more: the source stays")
    if os.path.samestat(source_stat, found) and min(item.links, found.st_nlink) < 2:
        raise same_file()  # with more names it may be another one of them: then it is there when the source is aside
    if entry_type(found.st_mode) is not item.type:
        raise Unsafe("target_missing", "something else is under the target name: the source stays")
    as_left = _as_recorded(item, found) and not _touched_since(item, found)
    if not as_left and not _equal(item, source, source_stat, target, found, step, hashes):
        raise changed()
    return found


def same_file() -> Unsafe:
    return Unsafe("same_file", "source and target are the same file: the source stays")


def changed() -> Unsafe:
    return Unsafe("target_changed", "its copy at the destination is not what was brought there: the source stays")


def same_version(checked: os.stat_result, now: os.stat_result | None) -> bool:
    """Whether a name still shows what `check_copy` found."""
    return now is not None and (
        (checked.st_dev, checked.st_ino, checked.st_size, checked.st_mtime_ns)
        == (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
    )


def _touched_since(item: DeleteItem, found: os.stat_result) -> bool:
    """Whether anything happened to a copy after it was published: somebody may have written to it and set its time
    back. Further names are made by ourselves, which moves ctime as well: nothing is known to be published then."""
    if item.type is not EntryType.FILE or item.digest is None:
        return False
    return found.st_ctime_ns > item.published_ns


def _as_recorded(item: DeleteItem, found: os.stat_result) -> bool:
    if found.st_ino != item.target_inode:
        return False
    if item.type is EntryType.FILE and found.st_size != item.size:
        return False
    return same_time(item.mtime_ns, found)


def _equal(
    item: DeleteItem,
    source: Place,
    source_stat: os.stat_result,
    target: Place,
    found: os.stat_result,
    step: Step,
    hashes: Hashes,
) -> bool:
    """Compare contents, and make durable what is compared: it may be somebody's who has not synced it."""
    if item.type is EntryType.FILE:
        return found.st_size == item.size and _equal_file(item, source, target, found, step, hashes)
    linking = item.type is EntryType.SYMLINK
    equal = target.text() == source.text() if linking else found.st_rdev == source_stat.st_rdev
    if equal and found.st_ino != item.target_inode:
        sync_directory(target.directory)
    return equal


def _equal_file(
    item: DeleteItem, source: Place, target: Place, found: os.stat_result, step: Step, hashes: Hashes
) -> bool:
    fd = os.open(target.name, READ, dir_fd=target.directory)
    try:
        # By name it was seen before: what is read, or was, is to be of this moment.
        now, wanted = os.fstat(fd), item.digest if item.digest is not None else source.digest(step)
        known = hashes.find(now)
        if (known or digest_of(fd, step)[0]) != wanted:
            return False
        os.fsync(fd)
        if found.st_ino != item.target_inode:
            sync_directory(target.directory)
        after = os.fstat(fd)
        if _version(now) == _version(after):
            hashes.keep(after, wanted)
        elif known is not None and digest_of(fd, step)[0] != wanted:
            return False
        return same_version(found, after)
    finally:
        close_unwritten(fd)


def equal_source(item: DeleteItem, source: Place, target: Place, step: Step) -> bool:
    """Whether a source whose times tell nothing has the content that was brought over; not for special files."""
    if item.type is EntryType.FILE:
        return source.digest(step) == (item.digest if item.digest is not None else target.digest(step))
    if item.type is EntryType.SYMLINK:
        text = source.text()
        return xxhash.xxh3_128_digest(text) == item.digest if item.digest is not None else text == target.text()
    return True
