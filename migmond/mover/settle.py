"""After a crash: what became of groups that were being published, and what temporaries are left."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator

import msgspec

from migmond.domain.fault import Fault, Phase
from migmond.domain.names import to_text
from migmond.domain.states import Outcome
from migmond.fsys.closing import close_unwritten
from migmond.fsys.durable import sync_file_system
from migmond.fsys.mounts import mounts_below
from migmond.fsys.rename import rename_noreplace, stat_or_none
from migmond.fsys.root_path import make_parent, open_parent
from migmond.mover.conflict import keep_beside, place, standing_name
from migmond.mover.context import Context, fault_of
from migmond.mover.root import Root
from migmond.mover.temporaries import exchange_name, remove_temporaries, temporary_name
from migmond.wire.from_mover import RootRenamed, Settled, Swept
from migmond.wire.items import PublishResult, SettleItem
from migmond.wire.slots import Doing
from migmond.wire.to_mover import RenameRoot, Settle, Sweep


class Settler:
    """Answers Settle, Sweep and RenameRoot."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def settle(self, message: Settle) -> None:
        """See `wire.to_mover.Settle`; everything reported as published is durable."""
        context = self._context
        targets = context.target_directories(make=False)
        published: list[PublishResult] = []
        lost: list[int] = []
        for item in message.items:
            context.controls.slot.began(Doing.PUBLISHING, time.monotonic_ns())
            try:
                result = self._settle_one(item, targets.get(item.root, item.path))
            except FileNotFoundError:
                result = None
            except OSError as e:
                result = PublishResult(item.number, Outcome.NONE, None, fault_of(Phase.PUBLISH, e))
                if context.roots[item.root].away:
                    result = None  # whoever takes the entry up finds out whether it is still at its source
            if result is None:
                lost.append(item.number)
            else:
                published.append(result)
        if published:
            standing = {p.number for p in published if p.fault is None}
            try:
                context.devices.sync(targets.get(i.root, i.path) for i in message.items if i.number in standing)
            except OSError as e:
                # What stands may not last. It stays, for others may count on it, and is looked at again.
                fault = fault_of(Phase.SYNC, e)
                published = [
                    msgspec.structs.replace(p, fault=fault) if p.fault is None and p.outcome is Outcome.NONE else p
                    for p in published
                ]
        targets.clear()
        context.controls.slot.ended()
        context.send(Settled(message.batch, tuple(published), tuple(lost)))

    def _settle_one(self, item: SettleItem, directory: int) -> PublishResult | None:
        context = self._context
        name = context.roots[item.root].names(item.name)[1]
        temporary = temporary_name(context.options.execution, item.number, item.tag)
        found = standing_name(directory, name, item.inode, context.options.conflict)
        came_out = self._came_out(directory, temporary, name, item)
        if found is not None and _is_whole(item, stat_or_none(directory, found)):
            # The temporary of a link is the same inode as its final name, and rename(2) between them does nothing.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)
            return PublishResult(item.number, Outcome.NONE, found if found != name else None, None)
        left = stat_or_none(directory, temporary)
        if came_out or left is None or not _is_whole(item, left):
            return None
        placed = place(directory, temporary, name, context.options.conflict, left.st_mtime_ns)
        if placed.name is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)
            return PublishResult(item.number, placed.outcome, None, placed.fault)
        return PublishResult(item.number, Outcome.NONE, placed.name if placed.name != name else None, None)

    @staticmethod
    def _came_out(directory: int, temporary: bytes, name: bytes, item: SettleItem) -> bool:
        """A mover died while a copy exchanged its name: give the copy its temporary name back, or keep beside it what
        came out, which nobody has judged. Returns whether that was so."""
        between = exchange_name(temporary)
        left = stat_or_none(directory, between)
        if left is None:
            return False
        if left.st_ino == item.inode:
            rename_noreplace(directory, between, directory, temporary)
            return False
        if keep_beside(directory, between, name) is None:
            raise FileExistsError(errno.EEXIST, "no name is free to keep what was there", os.fsdecode(name))
        return True

    def sweep(self, message: Sweep) -> None:
        """Remove this execution's temporaries from the given target directories."""
        context, removed = self._context, 0
        failures: list[Fault] = []
        targets = context.target_directories(make=False)
        for root, path in message.directories:
            context.controls.slot.began(Doing.DELETING, time.monotonic_ns())
            try:
                fd = targets.get(root, path)
                gone, stay = remove_temporaries(fd, context.options.execution)
            except (FileNotFoundError, NotADirectoryError):  # a file stood in its way: it was never made
                continue
            except OSError as e:
                gone, stay = 0, {b"": e}
            removed += gone
            directory = os.path.join(context.roots[root].target_directory, path)
            failures += [_told(e, os.path.join(directory, name)) for name, e in stay.items()]
        targets.clear()
        context.controls.slot.ended()
        context.send(Swept(message.batch, removed, tuple(failures)))

    def rename_root(self, message: RenameRoot) -> None:
        """See `wire.to_mover.RenameRoot`."""
        self._context.send(self._rename_root(message.root, begun=message.begun))

    def _rename_root(self, index: int, *, begun: bool) -> RootRenamed:
        root = self._context.roots[index]
        try:
            with _opened(open_parent(root.spec.source)) as source, self._target_of(root, source, begun=begun) as target:
                # Whoever renamed it may not have lived to sync it.
                for directory, _ in (source, target):
                    try:
                        sync_file_system(directory)
                    except OSError as e:
                        return RootRenamed(index, done=False, reason=str(e), unsynced=fault_of(Phase.SYNC, e))
                return RootRenamed(index, done=True, reason="")
        except (_NotAsAWhole, OSError) as e:
            return RootRenamed(index, done=False, reason=str(e))

    @contextlib.contextmanager
    def _target_of(self, root: Root, source: tuple[int, bytes], *, begun: bool) -> Iterator[tuple[int, bytes]]:
        """Give a root its target name, unless it has that already or only such a one is wanted (`begun`)."""
        found = stat_or_none(*source)
        if found is None:
            with _opened(open_parent(root.spec.target)) as target:
                if not self._is_there(root, *target):
                    raise _NotAsAWhole("the source is gone")
                yield target
            return
        if begun:
            raise _NotAsAWhole("it is to be moved entry by entry")
        if stat.S_ISLNK(found.st_mode):
            raise _NotAsAWhole("the source is a symlink to the directory")
        if not os.path.samestat(found, os.fstat(root.source_fd)):
            raise _NotAsAWhole("another directory stands there now")
        if mounts_below(root.source_fd):
            raise _NotAsAWhole("something is mounted below it")
        with _opened(make_parent(root.spec.target)) as target:
            rename_noreplace(*source, *target)
            renamed = stat_or_none(*target)
            if renamed is None or not os.path.samestat(renamed, os.fstat(root.source_fd)):
                # Whoever may write beside the source has given its name to something else after that look.
                rename_noreplace(*target, *source)
                raise _NotAsAWhole("another directory stood there when it was renamed")
            yield target

    @staticmethod
    def _is_there(root: Root, directory: int, target: bytes) -> bool:
        """Whether the root has its target name already. If it was gone when it was opened, Open has checked that."""
        st = stat_or_none(directory, target)
        known = (root.info.source_device, root.info.inode)
        return st is not None and (root.gone or (st.st_dev, st.st_ino) == known)


class _NotAsAWhole(Exception):
    """A root that cannot be renamed; the text says why."""


def _told(error: OSError, path: bytes) -> Fault:
    """The fault of something that cannot be swept away; it says where that is."""
    fault = fault_of(Phase.DELETE, error)
    return msgspec.structs.replace(fault, message=f"{to_text(path)}: {fault.message}")


def _is_whole(item: SettleItem, found: os.stat_result | None) -> bool:
    """Whether it is the inode that the member's copy has, with all its bytes. The number alone may be another file's
    by now."""
    if found is None or found.st_ino != item.inode:
        return False
    return item.size is None or not stat.S_ISREG(found.st_mode) or found.st_size == item.size


@contextlib.contextmanager
def _opened(entry: tuple[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """Close the directory at the end."""
    try:
        yield entry
    finally:
        close_unwritten(entry[0])
