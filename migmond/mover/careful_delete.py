"""Moves only: deletes one source, when everything that makes it safe is still true.

What has the source's name may be given to another file at any moment, and what seems a copy may be the source itself,
seen through an overlay or a FUSE mirror, where device and inode numbers differ. Therefore a source is renamed to a
private name first (`mover.aside`). If that is what was copied, and the target is still there and does not know the
private name, nothing can come in between any more: it is deleted. In any doubt it is given its name back.

Where a directory has no room for private names, as the last resort, that is not so: see `_unlink_in_place`.

So of two moves in opposite directions over equal trees, each with the other's file for its copy, at most one deletes:
it looks for the copy after it has set its source aside.
"""

from __future__ import annotations

import errno
import os

from migmond.domain.entry import EntryType
from migmond.fsys.closing import close_unwritten
from migmond.fsys.facts import mount_of
from migmond.fsys.locking import lock
from migmond.fsys.rename import stat_or_none
from migmond.fsys.times import tells_changes
from migmond.mover.aside import put_back, set_aside
from migmond.mover.holding import counted_on, hold, in_use, is_wanted, source_changed
from migmond.mover.target_check import (
    READ,
    Hashes,
    Place,
    Step,
    Unsafe,
    changed,
    check_copy,
    equal_source,
    same_file,
    same_version,
)
from migmond.wire.items import DeleteItem

_NO_TIMES_OF_MAPPINGS = frozenset({"tmpfs", "ramfs"})
"""What is written through a shared mapping moves no times there: the kernel hears of no store."""

_DISKS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "nilfs2", "vfat", "exfat", "tmpfs"})
"""What is on one of these has the same numbers wherever it is seen."""


class Cramped(Exception):
    """The directory has no room for a private name."""


class Pair:
    """A source on its way out, and where its copy is."""

    def __init__(self, item: DeleteItem, source: Place, target: Place, private: Place) -> None:
        self.item = item
        self.source = source
        self.target = target
        self.private = private


class CarefulRemover:
    """Deletes sources one by one.

    Args:
        step: told of bytes that are read, and of everything else that takes time with 0.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._kinds: dict[int, str] = {}
        self._hashes = Hashes()
        self.put_back_at: dict[int, int] = {}
        """ctimes of sources that could not be deleted, by task: the renames moved them."""

    def delete(self, pair: Pair, changed_by_us: dict[tuple[int, int], int], *, in_place: bool) -> None:
        """Delete one source; nothing to do if it is gone.

        Args:
            changed_by_us: ctimes of inodes of which we have deleted other names, by device and number; added to.
            in_place: it may be deleted without a private name.

        Raises:
            Unsafe: it is not what was copied, or its copy is not what it was, or somebody uses it.
            NameTaken: what is aside could not be given its name back.
            Cramped: its directory has no room for its private name, and it must not be deleted without.
            OSError: it could not be deleted; it may be tried again.
        """
        item, seen = pair.item, pair.source.stat()
        if seen is None:
            self._finish(pair)
            return
        copy = check_copy(item, pair.source, seen, pair.target, self._step, self._hashes)
        if not _as_scanned(item, seen):
            raise source_changed()
        key = (seen.st_dev, seen.st_ino)
        expected = self.put_back_at.get(item.number, changed_by_us.get(key, item.ctime_ns))
        if seen.st_ctime_ns != expected and not self._changed_by_links_only(pair):
            raise source_changed()
        held, leased = hold(pair.source, item, seen)
        try:
            if not lock(held):
                raise counted_on()
            mapped = self._kind(seen, pair) in _NO_TIMES_OF_MAPPINGS
            silent = mapped or not tells_changes(seen.st_ctime_ns)
            if item.type is EntryType.FILE and silent and not equal_source(item, pair.source, pair.target, self._step):
                raise source_changed()
            try:
                set_aside(
                    pair.source.directory,
                    pair.source.name,
                    pair.private.name,
                    look_first=self._kind(seen, pair) == "fuse",
                )
            except FileNotFoundError:
                return  # somebody else has deleted it
            except OSError as e:
                if e.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                if not in_place or not self._alone(pair, seen, leased=leased):
                    raise Cramped from e
                _unlink_in_place(pair, held, seen, copy, leased=leased)
            else:
                self._unlink(pair, held, seen, copy, leased=leased)
            if item.links > 1 and item.type is EntryType.FILE:
                changed_by_us[key] = os.fstat(held).st_ctime_ns
        finally:
            close_unwritten(held)

    def _finish(self, pair: Pair) -> None:
        """The source is gone, or a mover died when it had set it aside: what its times said is not to be had any more,
        the rename has moved them. Equal content says the same."""
        left = pair.private.stat()
        if left is None:
            return
        try:
            copy = check_copy(pair.item, pair.private, left, pair.target, self._step, self._hashes)
            held, leased = hold(pair.private, pair.item, left)
        except Unsafe:  # what cannot be looked at now may be later: it stays aside until then
            put_back(pair.source.directory, pair.private.name, pair.source.name)
            raise
        try:
            if not lock(held):
                raise counted_on()
            same = _as_scanned(pair.item, left) and equal_source(pair.item, pair.private, pair.target, self._step)
            self._unlink(pair, held, left, copy, leased=leased, same=same)
        finally:
            close_unwritten(held)

    def _unlink(
        self,
        pair: Pair,
        held: int,
        source: os.stat_result,
        copy: os.stat_result,
        *,
        leased: bool,
        same: bool = True,
    ) -> None:
        """Delete what is aside, or put it back when anything does not fit.

        Args:
            held: the source that all checks so far were about.
            source: what they saw of it.
            copy: its copy, as it was found to be right.
            same: False when it is known already that it is not what was copied.
        """
        try:
            if not same or not _is_held(pair, held, source):
                raise source_changed()
            if _shows_private(pair):
                raise same_file()
            _look_again(pair, held, copy, leased=leased)
            os.unlink(pair.private.name, dir_fd=pair.private.directory)
        except Exception as e:
            there = put_back(pair.source.directory, pair.private.name, pair.source.name)
            if isinstance(e, OSError):  # it is as it was but for its ctime: it may be tried again
                if not there and pair.source.stat() is None:
                    return  # it is deleted all the same
                self.put_back_at[pair.item.number] = os.fstat(held).st_ctime_ns
            raise

    def _changed_by_links_only(self, pair: Pair) -> bool:
        """Our own delete of another of its names, before a crash, moved ctime; equal content proves that nothing else
        happened. A further name has no digest of its own (its content was not copied again): the target is read."""
        item = pair.item
        if item.links > 1 and (item.type is EntryType.FILE or (item.type is EntryType.SYMLINK and item.digest)):
            return equal_source(item, pair.source, pair.target, self._step)
        return False

    def _alone(self, pair: Pair, seen: os.stat_result, *, leased: bool) -> bool:
        """Whether a source may be deleted in place: it is surely not its own copy, which only its private name would
        show (it is no further name, and nothing shows it at another place with other numbers); and nobody writes to
        it unseen."""
        kinds = {self._kind(seen, pair), mount_of(pair.target.directory)[0]}
        return leased and seen.st_nlink == 1 and kinds <= _DISKS

    def _kind(self, seen: os.stat_result, pair: Pair) -> str:
        """The type of the source's file system: "fuse" for all of that kind."""
        if seen.st_dev not in self._kinds:
            self._kinds[seen.st_dev] = mount_of(pair.source.directory)[0].split(".", 1)[0].removesuffix("blk")
        return self._kinds[seen.st_dev]


def _unlink_in_place(pair: Pair, held: int, source: os.stat_result, copy: os.stat_result, *, leased: bool) -> None:
    """Delete a source under its own name: its directory has no room for a private one, nor has its disk for the
    directory to grow, and nothing would ever make room if all its files waited for that.

    The last resort: a file that is given that name after the look here is deleted unseen. Files that programs have
    open for writing are not: the lease tells of them. Nor is the copy deleted meanwhile by a move in the opposite
    direction, whose source it is: each locks what it deletes, and this one its copy as well.
    """
    there = os.open(pair.target.name, READ, dir_fd=pair.target.directory)
    try:
        if not lock(there) or not os.path.samestat(os.fstat(there), copy):
            raise counted_on()
        now = pair.source.stat()
        if now is None:
            return  # somebody else has deleted it
        if not os.path.samestat(now, os.fstat(held)) or now.st_ctime_ns != source.st_ctime_ns:
            raise source_changed()
        _look_again(pair, held, copy, leased=leased)
        os.unlink(pair.source.name, dir_fd=pair.source.directory)
    finally:
        close_unwritten(there)


def _look_again(pair: Pair, held: int, copy: os.stat_result, *, leased: bool) -> None:
    """The last look before a delete.

    Raises:
        Unsafe: somebody wants to write to the source, or its copy is not what it was.
    """
    if leased and is_wanted(held):
        raise in_use()
    now = pair.target.stat()
    if now is None:
        raise Unsafe("target_missing", "its copy is not under the target name any more: the source stays")
    if not same_version(copy, now):
        raise changed()


def _as_scanned(item: DeleteItem, source: os.stat_result) -> bool:
    return (source.st_ino, source.st_size, source.st_mtime_ns) == (item.inode, item.size, item.mtime_ns)


def _is_held(pair: Pair, held: int, source: os.stat_result) -> bool:
    """Whether what is aside is what was checked and is open as `held`, unchanged."""
    aside = pair.private.stat()
    if aside is None or (aside.st_size, aside.st_mtime_ns) != (source.st_size, source.st_mtime_ns):
        return False
    if os.path.samestat(aside, source):
        return True
    # An overlay copies what it renames, and may number it anew: there what is open tells.
    return mount_of(pair.private.directory)[0] == "overlay" and os.path.samestat(aside, os.fstat(held))


def _shows_private(pair: Pair) -> bool:
    """Whether the target's directory is the source's, whatever its numbers say: then it has the private name as well.
    Nobody has asked for that before, so that no cache answers."""
    if stat_or_none(pair.target.directory, pair.private.name) is None:
        return False
    return not os.path.samestat(os.fstat(pair.target.directory), os.fstat(pair.source.directory))
