"""Moves only: deletes a source when everything that makes it safe is still true.

What has the source's name may be given to another file at any moment, and what seems a copy may be the source itself,
seen through an overlay or a FUSE mirror, where device and inode numbers differ. Therefore a source is renamed to a
private name first (`mover.aside`). If that is what was copied, and the target is still there and does not know the
private name, nothing can come in between any more: it is deleted. In any doubt it is given its name back.

Where a directory has no room for private names, as the last resort, that is not so: see `_unlink_in_place`.

So of two moves in opposite directions over equal trees, each with the other's file for its copy, at most one deletes:
it looks for the copy after it has set its source aside.

A delete is told when it is durable: a power cut would bring the source back, and nobody would come to delete it again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from migmond.domain.entry import EntryType
from migmond.domain.fault import Fault, Phase
from migmond.fsys.closing import close_unwritten
from migmond.fsys.durable import sync_directory
from migmond.fsys.facts import mount_of
from migmond.fsys.locking import lock
from migmond.fsys.rename import stat_or_none
from migmond.fsys.times import tells_changes
from migmond.mover.aside import NameTaken, put_back, set_aside
from migmond.mover.aside_faults import kept_aside, left_aside, not_seen, of_error, of_unsafe, unreachable
from migmond.mover.context import Context, fault_of
from migmond.mover.devices import Devices
from migmond.mover.quick_delete import QuickRemover
from migmond.mover.target_check import READ, Place, Unsafe, changed, check_copy, equal_source, same_file, same_version
from migmond.wire.items import AsideDirectory, DeleteDirectory, DeleteItem, ItemFault
from migmond.wire.mover import Delete, Deleted, PutBack, PutBackDone
from migmond.wire.slots import Doing

_LEASED_BY_SERVER = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "gfs2", "ocfs2"})
"""There EAGAIN means that the server has given no delegation, not that somebody writes."""

_NO_TIMES_OF_MAPPINGS = frozenset({"tmpfs", "ramfs"})
"""What is written through a shared mapping moves no times there: the kernel hears of no store."""

_DISKS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "nilfs2", "vfat", "exfat", "tmpfs"})
"""What is on one of these has the same numbers wherever it is seen."""

_MAX_WAIT_S = 0.25
"""How long answers wait for a sync that makes others durable as well."""


_NO_ROOM = Fault(Phase.DELETE, "ENOSPC", errno.ENOSPC, "the source's directory has no room for one more name")


class _Cramped(Exception):
    """The directory has no room for a private name."""


class _Waiting:
    """A batch whose deletes are not durable yet: its tasks, and what is known to have gone wrong."""

    def __init__(self, message: Delete) -> None:
        self.batch = message.batch
        self.numbers = [i.number for d in message.directories for i in d.items]
        self.faults: dict[int, Fault] = {}

    def answer(self, unsynced: Fault | None) -> Deleted:
        if unsynced is not None:
            for number in self.numbers:
                self.faults.setdefault(number, unsynced)
        return Deleted(self.batch, tuple(ItemFault(n, f) for n, f in self.faults.items()))


class _Pair:
    """A source on its way out, and where its copy is."""

    def __init__(self, item: DeleteItem, source: Place, target: Place, private: Place) -> None:
        self.item = item
        self.source = source
        self.target = target
        self.private = private


class Remover:
    """Answers Delete and PutBack messages."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._devices = Devices()
        self._waiting: list[_Waiting] = []
        self._waiting_since = 0.0
        self._kinds: dict[int, str] = {}
        self._quick = QuickRemover(context)
        self._put_back_at: dict[int, int] = {}
        """ctimes of sources that could not be deleted, by task: the renames moved them."""

    def due(self, now: float, *, idle: bool) -> bool:
        """Whether `sync` is to be called: something waits for it, and nothing else is to be done, or for long enough.

        Args:
            now: monotonic seconds.
        """
        return bool(self._waiting) and (idle or now - self._waiting_since >= _MAX_WAIT_S)

    def sync(self) -> None:
        """Make the deletes durable and send their answers. Those that may not be durable fail with the sync: whoever
        tries them again finds them gone, and syncs again."""
        self._context.controls.slot.began(Doing.SYNCING, time.monotonic_ns())
        fault: Fault | None = None
        try:
            self._devices.sync()
        except OSError as e:
            fault = Fault.from_oserror(Phase.SYNC, e)
        self._context.controls.slot.ended()
        waiting, self._waiting = self._waiting, []
        for batch in waiting:
            self._context.send(batch.answer(fault))

    def delete(self, message: Delete) -> None:
        """Delete what is safe; Deleted goes out with the next `sync`."""
        batch = _Waiting(message)
        changed_by_us: dict[tuple[int, int], int] = {}
        for directory in message.directories:
            self._context.controls.slot.began(Doing.DELETING, time.monotonic_ns())
            self._delete_in(directory, changed_by_us, batch.faults)
        self._context.controls.slot.ended()
        if not self._waiting:
            self._waiting_since = time.monotonic()
        self._waiting.append(batch)

    def put_back(self, message: PutBack) -> None:
        """See `wire.mover.PutBack`."""
        done, faults = list[int](), dict[int, Fault]()
        for directory in message.directories:
            self._context.controls.slot.began(Doing.DELETING, time.monotonic_ns())
            done += self._put_back_in(directory, faults)
        if done:
            try:
                self._devices.sync()
            except OSError as e:
                faults |= {n: left_aside(self._context.aside(n), e, "after a power cut it may be") for n in done}
        self._context.controls.slot.ended()
        self._context.send(PutBackDone(message.batch, len(done), tuple(ItemFault(n, f) for n, f in faults.items())))

    def _put_back_in(self, directory: AsideDirectory, faults: dict[int, Fault]) -> list[int]:
        """Return the tasks whose sources have their names again; say in `faults` why others have not."""
        context, done = self._context, list[int]()
        sources = context.source_directories()
        for number, name in directory.items:
            private, seen = context.aside(number), False
            try:
                source_dir = sources.get(directory.root, directory.path)
                seen = stat_or_none(source_dir, private) is not None
                if not seen:
                    continue
                self._devices.note(source_dir)
                if put_back(source_dir, private, context.roots[directory.root].names(name)[0]):
                    done.append(number)
                if self._devices.one_by_one(os.fstat(source_dir).st_dev):
                    sync_directory(source_dir)
            except NameTaken:
                faults[number] = kept_aside(private)
            except OSError as e:
                if seen:
                    faults[number] = left_aside(private, e)
                else:
                    faults[number] = unreachable(private) if e.errno == errno.ENOENT else not_seen(private, e)
        sources.clear()
        return done

    def _step(self, _: int) -> None:
        self._context.controls.slot.began(Doing.DELETING, time.monotonic_ns())

    def _delete_in(
        self, directory: DeleteDirectory, changed_by_us: dict[tuple[int, int], int], faults: dict[int, Fault]
    ) -> None:
        context = self._context
        sources, targets = context.source_directories(), context.target_directories(make=False)
        try:
            # Also for what is gone already: a mover that died may have deleted it and not have come to the sync.
            self._devices.note(context.roots[directory.root].source_fd)
            try:
                source_dir = sources.get(directory.root, directory.path)
            except FileNotFoundError:  # that says nothing of what was in it: it may have got another name
                for item in directory.items:
                    faults[item.number] = unreachable(context.aside(item.number))
                return
            self._devices.note(source_dir)
            one_by_one = self._devices.one_by_one(os.fstat(source_dir).st_dev)
            target_dir = targets.get(directory.root, directory.path)
            items = self._quick.delete(directory, source_dir, target_dir, self._put_back_at)
            pairs = [self._pair(item, directory.root, source_dir, target_dir) for item in items]
            cramped = [pair for pair in pairs if not self._try(pair, changed_by_us, faults)]
            for pair in cramped:  # the deletes of the others, and of those before it here, have made room
                if not self._try(pair, changed_by_us, faults, in_place=True):
                    faults[pair.item.number] = _NO_ROOM
            if one_by_one:
                try:
                    sync_directory(source_dir)
                except OSError as e:
                    for item in directory.items:
                        faults.setdefault(item.number, Fault.from_oserror(Phase.SYNC, e))
        except OSError as e:
            fault = fault_of(Phase.DELETE, e)
            for item in directory.items:
                faults.setdefault(item.number, fault)
        finally:
            sources.clear()
            targets.clear()

    def _pair(self, item: DeleteItem, root: int, source_dir: int, target_dir: int) -> _Pair:
        source_name, own_target = self._context.roots[root].names(item.name)
        return _Pair(
            item,
            Place(source_dir, source_name),
            Place(target_dir, item.target_name or own_target),
            Place(source_dir, self._context.aside(item.number)),
        )

    def _try(
        self,
        pair: _Pair,
        changed_by_us: dict[tuple[int, int], int],
        faults: dict[int, Fault],
        *,
        in_place: bool = False,
    ) -> bool:
        """Delete one source or say in `faults` why not; False when its directory has no room for its private name.

        Args:
            in_place: then it may be deleted without one.
        """
        number = pair.item.number
        try:
            self._delete_one(pair, changed_by_us, in_place=in_place)
        except Unsafe as e:
            faults[number] = of_unsafe(e, pair.private)
        except NameTaken:
            faults[number] = kept_aside(pair.private.name)
        except _Cramped:
            return False
        except OSError as e:
            faults[number] = of_error(e, pair.private)
        return True

    def _delete_one(self, pair: _Pair, changed_by_us: dict[tuple[int, int], int], *, in_place: bool) -> None:
        item, seen = pair.item, pair.source.stat()
        if seen is None:
            self._finish(pair)
            return
        copy = check_copy(item, pair.source, seen, pair.target, self._step)
        if not _as_scanned(item, seen):
            raise _source_changed()
        key = (seen.st_dev, seen.st_ino)
        expected = self._put_back_at.get(item.number, changed_by_us.get(key, item.ctime_ns))
        if seen.st_ctime_ns != expected and not self._changed_by_links_only(pair):
            raise _source_changed()
        held, leased = _hold(pair.source, item, seen)
        try:
            if not lock(held):
                raise _counted_on()
            mapped = self._kind(seen, pair) in _NO_TIMES_OF_MAPPINGS
            silent = mapped or not tells_changes(seen.st_ctime_ns)
            if item.type is EntryType.FILE and silent and not equal_source(item, pair.source, pair.target, self._step):
                raise _source_changed()
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
                    raise _Cramped from e
                _unlink_in_place(pair, held, seen, copy, leased=leased)
            else:
                self._unlink(pair, held, seen, copy, leased=leased)
            if item.links > 1 and item.type is EntryType.FILE:
                changed_by_us[key] = os.fstat(held).st_ctime_ns
        finally:
            close_unwritten(held)

    def _finish(self, pair: _Pair) -> None:
        """The source is gone, or a mover died when it had set it aside: what its times said is not to be had any more,
        the rename has moved them. Equal content says the same."""
        left = pair.private.stat()
        if left is None:
            return
        try:
            copy = check_copy(pair.item, pair.private, left, pair.target, self._step)
            held, leased = _hold(pair.private, pair.item, left)
        except Unsafe:  # what cannot be looked at now may be later: it stays aside until then
            put_back(pair.source.directory, pair.private.name, pair.source.name)
            raise
        try:
            if not lock(held):
                raise _counted_on()
            same = _as_scanned(pair.item, left) and equal_source(pair.item, pair.private, pair.target, self._step)
            self._unlink(pair, held, left, copy, leased=leased, same=same)
        finally:
            close_unwritten(held)

    def _unlink(
        self,
        pair: _Pair,
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
                raise _source_changed()
            if _shows_private(pair):
                raise same_file()
            _look_again(pair, held, copy, leased=leased)
            os.unlink(pair.private.name, dir_fd=pair.private.directory)
        except Exception as e:
            there = put_back(pair.source.directory, pair.private.name, pair.source.name)
            if isinstance(e, OSError):  # it is as it was but for its ctime: it may be tried again
                if not there and pair.source.stat() is None:
                    return  # it is deleted all the same
                self._put_back_at[pair.item.number] = os.fstat(held).st_ctime_ns
            raise

    def _changed_by_links_only(self, pair: _Pair) -> bool:
        """Our own delete of another of its names, before a crash, moved ctime; equal content proves that nothing else
        happened. A further name has no digest of its own (its content was not copied again): the target is read."""
        item = pair.item
        if item.links > 1 and (item.type is EntryType.FILE or (item.type is EntryType.SYMLINK and item.digest)):
            return equal_source(item, pair.source, pair.target, self._step)
        return False

    def _alone(self, pair: _Pair, seen: os.stat_result, *, leased: bool) -> bool:
        """Whether a source may be deleted in place: it is surely not its own copy, which only its private name would
        show (it is no further name, and nothing shows it at another place with other numbers); and nobody writes to
        it unseen."""
        kinds = {self._kind(seen, pair), mount_of(pair.target.directory)[0]}
        return leased and seen.st_nlink == 1 and kinds <= _DISKS

    def _kind(self, seen: os.stat_result, pair: _Pair) -> str:
        """The type of the source's file system: "fuse" for all of that kind."""
        if seen.st_dev not in self._kinds:
            self._kinds[seen.st_dev] = mount_of(pair.source.directory)[0].split(".", 1)[0].removesuffix("blk")
        return self._kinds[seen.st_dev]


def _unlink_in_place(pair: _Pair, held: int, source: os.stat_result, copy: os.stat_result, *, leased: bool) -> None:
    """Delete a source under its own name: its directory has no room for a private one, nor has its disk for the
    directory to grow, and nothing would ever make room if all its files waited for that.

    The last resort: a file that is given that name after the look here is deleted unseen. Files that programs have
    open for writing are not: the lease tells of them. Nor is the copy deleted meanwhile by a move in the opposite
    direction, whose source it is: each locks what it deletes, and this one its copy as well.
    """
    there = os.open(pair.target.name, READ, dir_fd=pair.target.directory)
    try:
        if not lock(there) or not os.path.samestat(os.fstat(there), copy):
            raise _counted_on()
        now = pair.source.stat()
        if now is None:
            return  # somebody else has deleted it
        if not os.path.samestat(now, os.fstat(held)) or now.st_ctime_ns != source.st_ctime_ns:
            raise _source_changed()
        _look_again(pair, held, copy, leased=leased)
        os.unlink(pair.source.name, dir_fd=pair.source.directory)
    finally:
        close_unwritten(there)


def _look_again(pair: _Pair, held: int, copy: os.stat_result, *, leased: bool) -> None:
    """The last look before a delete.

    Raises:
        Unsafe: somebody wants to write to the source, or its copy is not what it was.
    """
    if leased and fcntl.fcntl(held, fcntl.F_GETLEASE) != fcntl.F_RDLCK:
        raise _in_use()  # somebody opened it by its name, and waits for us
    now = pair.target.stat()
    if now is None:
        raise Unsafe("target_missing", "its copy is not under the target name any more: the source stays")
    if not same_version(copy, now):
        raise changed()


def _source_changed() -> Unsafe:
    return Unsafe("source_changed", "the source changed after it was copied: both stay")


def _counted_on() -> Unsafe:
    return Unsafe("source_in_use", "a program, or another migration, has locked it or its copy: both stay")


def _in_use() -> Unsafe:
    return Unsafe("source_in_use", "a program has the source open for writing: both stay")


def _as_scanned(item: DeleteItem, source: os.stat_result) -> bool:
    return (source.st_ino, source.st_size, source.st_mtime_ns) == (item.inode, item.size, item.mtime_ns)


def _is_held(pair: _Pair, held: int, source: os.stat_result) -> bool:
    """Whether what is aside is what was checked and is open as `held`, unchanged."""
    aside = pair.private.stat()
    if aside is None or (aside.st_size, aside.st_mtime_ns) != (source.st_size, source.st_mtime_ns):
        return False
    if os.path.samestat(aside, source):
        return True
    # An overlay copies what it renames, and may number it anew: there what is open tells.
    return mount_of(pair.private.directory)[0] == "overlay" and os.path.samestat(aside, os.fstat(held))


def _shows_private(pair: _Pair) -> bool:
    """Whether the target's directory is the source's, whatever its numbers say: then it has the private name as well.
    Nobody has asked for that before, so that no cache answers."""
    if stat_or_none(pair.target.directory, pair.private.name) is None:
        return False
    return not os.path.samestat(os.fstat(pair.target.directory), os.fstat(pair.source.directory))


def _hold(place: Place, item: DeleteItem, checked: os.stat_result) -> tuple[int, bool]:
    """Open a source, and take a read lease on a file: nobody has it open for writing, nor opens it so before it is gone
    (design page HAZARDS row 27).

    Args:
        checked: the lstat that all checks went by; nothing may have happened since.

    Returns:
        An fd that holds the lease until it is closed, and whether there is one. There is none where none can be had
        (the file system has none, or the file is somebody else's): then the checks have to do.

    Raises:
        Unsafe: it has changed, or is open for writing.
    """
    fd, leased = (-1, False) if item.type is not EntryType.FILE else _leased(place)
    if fd < 0:
        try:
            fd = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.directory)
        except FileNotFoundError:
            raise _source_changed() from None
    now = os.fstat(fd)
    if (now.st_dev, now.st_ino, now.st_ctime_ns) != (checked.st_dev, checked.st_ino, checked.st_ctime_ns):
        close_unwritten(fd)
        raise _source_changed()
    return fd, leased


def _leased(place: Place) -> tuple[int, bool]:
    try:
        fd = os.open(place.name, READ | os.O_NOATIME, dir_fd=place.directory)
    except OSError:
        return -1, False
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as e:
        in_use = e.errno == errno.EAGAIN and mount_of(fd)[0] not in _LEASED_BY_SERVER
        if in_use:
            close_unwritten(fd)
            raise _in_use() from e
        return fd, False
    return fd, True
