"""One task: from its source to a complete, closed, unpublished copy at the target."""

from __future__ import annotations

import contextlib
import errno
import os

import msgspec
import xxhash

from migmond.domain.entry import EntryType, Lost, entry_type
from migmond.domain.fault import Fault, Phase
from migmond.domain.states import Outcome
from migmond.fsys.content import copy_content
from migmond.fsys.metadata import copy_link_metadata, copy_metadata
from migmond.fsys.rename import link, stat_or_none
from migmond.fsys.reread import digest_of
from migmond.mover.conflict import before_copy, place
from migmond.mover.context import Context, fault_of
from migmond.mover.control import Abandoned
from migmond.mover.group import Arrival, reads_back
from migmond.wire.mover import CopyResult, Seen, WorkItem

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LINK_HERE = frozenset({errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOENT})


class _Failed(Exception):
    """The task at hand fails with `fault`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Copied(msgspec.Struct, frozen=True):
    """Result for the daemon and, for a member of a group, how it goes on."""

    result: CopyResult
    arrival: Arrival | None


class Copier:
    """Copies tasks one after the other. For one thread."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sources = context.source_directories()
        self._targets = context.target_directories(make=True)
        self._noatime = os.O_NOATIME

    def forget_directories(self) -> None:
        """Close cached directories: their names are about to change or go."""
        self._sources.clear()
        self._targets.clear()

    def copy(self, item: WorkItem, root: int, path: bytes, group: int) -> Copied:
        """Do what the plan asks of one entry; whatever goes wrong with it is in the result.

        Args:
            group: number of the open commit group, which the copy becomes a member of.
        """
        context = self._context
        source_name, name = context.roots[root].names(item.name)
        try:
            context.controls.entry(item.number, item.size, os.path.join(path, item.name) if path else item.name)
            return self._copy(item, root, path, source_name, name, group)
        except Abandoned:
            fault = Fault(Phase.COPY, "abandoned", 0, "given up on request")
        except _Failed as e:
            fault = e.fault
        except OSError as e:
            fault = fault_of(Phase.COPY, e)
        finally:
            context.controls.entry_done()
        return Copied(CopyResult(item.number, 0, Outcome.NONE, Lost.NOTHING, None, 0, 0, fault), None)

    def _copy(self, item: WorkItem, root: int, path: bytes, source_name: bytes, name: bytes, group: int) -> Copied:
        try:
            source_dir = self._sources.get(root, path)
        except FileNotFoundError:
            return self._gone(item, root, path, name, group)
        target_dir = self._targets.get(root, path)
        existing = stat_or_none(target_dir, name)
        if self._context.may_rename(root) and not item.as_found:
            renamed = self._rename(item, root, path, source_dir, source_name, target_dir, name, existing, group)
            if renamed is not None:
                return renamed
        if item.leader_root >= 0:
            linked = self._link(item, root, path, target_dir, name, existing, group)
            if linked is not None:
                return linked
        if item.type is EntryType.FILE:
            return self._file(item, root, path, source_dir, source_name, target_dir, name, existing, group)
        return self._special(item, root, path, source_dir, source_name, target_dir, name, existing, group)

    # --- the ways ----------------------------------------------------------------------------------

    def _rename(
        self,
        item: WorkItem,
        root: int,
        path: bytes,
        source_dir: int,
        source_name: bytes,
        target_dir: int,
        name: bytes,
        existing: os.stat_result | None,
        group: int,
    ) -> Copied | None:
        """Move within the file system; None when it has to be copied."""
        context = self._context
        if os.fstat(target_dir).st_dev != item.device:
            context.no_rename(root)
            return None
        st = stat_or_none(source_dir, source_name)
        if st is None:
            return self._gone(item, root, path, name, group)
        self._check_unchanged(item, st)
        if existing is not None:
            if (existing.st_dev, existing.st_ino) == (st.st_dev, st.st_ino) and item.links == 1:
                raise _Failed(Fault(Phase.PUBLISH, "same_file", 0, "source and target are the same file"))
            decided = before_copy(context.options.conflict, item.mtime_ns, existing)
            if decided is not None:
                return None  # the copying way looks whether they are equal before it decides
        try:
            placed = place(source_dir, source_name, target_dir, name, context.options.conflict, item.mtime_ns)
        except OSError as e:
            if e.errno != errno.EXDEV:
                raise
            context.no_rename(root)
            return None
        if placed.name is None:
            return self._left(item, placed.outcome, placed.fault)
        return self._member(item, root, path, name, group, Outcome.RENAMED, st.st_ino, placed=placed.name)

    def _link(
        self,
        item: WorkItem,
        root: int,
        path: bytes,
        target_dir: int,
        name: bytes,
        existing: os.stat_result | None,
        group: int,
    ) -> Copied | None:
        """Make a further name of what the leader's target is; None when links are not possible: copy then."""
        context = self._context
        leader_path, leader_name = os.path.split(item.leader_path)
        if not leader_name:
            leader_name = context.roots[item.leader_root].target_name
        try:
            leader_dir = self._targets.get(item.leader_root, leader_path)
            leader = os.stat(leader_name, dir_fd=leader_dir, follow_symlinks=False)
            if existing is not None:
                if (existing.st_dev, existing.st_ino) == (leader.st_dev, leader.st_ino):
                    return self._unchanged(item, root, path, name, group, existing.st_ino, None)
                decided = before_copy(context.options.conflict, item.mtime_ns, existing)
                if decided is not None:
                    return self._left(item, decided.outcome, decided.fault)
            temporary = context.temporary(item.number)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=target_dir)
            target_dir = self._targets.get(root, path)
            link(leader_dir, leader_name, target_dir, temporary)
        except OSError as e:
            if e.errno in _NO_LINK_HERE:
                return None
            raise
        return self._member(item, root, path, name, group, Outcome.LINKED, leader.st_ino, temporary=temporary)

    def _file(
        self,
        item: WorkItem,
        root: int,
        path: bytes,
        source_dir: int,
        source_name: bytes,
        target_dir: int,
        name: bytes,
        existing: os.stat_result | None,
        group: int,
    ) -> Copied:
        context = self._context
        try:
            source_fd = self._open_source(source_dir, source_name)
        except FileNotFoundError:
            return self._gone(item, root, path, name, group)
        try:
            source = os.fstat(source_fd)
            seen: Seen | None = None
            if item.as_found:
                item, seen = _as_found(item, source)
            self._check_unchanged(item, source)
            if existing is not None:
                done = self._existing_file(item, root, path, name, source_fd, source, target_dir, existing, group)
                if done is not None:
                    return done
            temporary = context.temporary(item.number)
            target_fd = _create(target_dir, temporary)
            try:
                try:
                    target = os.fstat(target_fd)
                    content = copy_content(
                        source_fd,
                        target_fd,
                        source,
                        target.st_dev,
                        digest=context.hashing,
                        reflink_wanted=context.options.reflink,
                        memory=context.memory,
                        step=context.controls.step,
                    )
                    lost = self._metadata(source_fd, target_fd, source, target)
                    if not content.holes_kept:
                        lost |= Lost.HOLES
                    self._check_unchanged(item, os.fstat(source_fd))
                    digest = content.digest
                    if content.reflinked and reads_back(context.options):
                        digest, _ = digest_of(source_fd, context.controls.step)
                finally:
                    os.close(target_fd)  # may report a late write error: it counts
            except BaseException:
                _remove(target_dir, temporary)
                raise
        finally:
            os.close(source_fd)
        outcome = Outcome.REFLINKED if content.reflinked else Outcome.COPIED
        return self._member(
            item, root, path, name, group, outcome, target.st_ino, lost=lost, digest=digest, temporary=temporary,
            seen=seen,
        )  # fmt: skip

    def _special(
        self,
        item: WorkItem,
        root: int,
        path: bytes,
        source_dir: int,
        source_name: bytes,
        target_dir: int,
        name: bytes,
        existing: os.stat_result | None,
        group: int,
    ) -> Copied:
        """Symlink, fifo, socket or device."""
        context = self._context
        source = stat_or_none(source_dir, source_name)
        if source is None:
            return self._gone(item, root, path, name, group)
        self._check_unchanged(item, source)
        text = os.readlink(source_name, dir_fd=source_dir) if item.type is EntryType.SYMLINK else b""
        digest = xxhash.xxh3_128_digest(text) if text and context.hashing else None
        if existing is not None:
            same = entry_type(existing.st_mode) is item.type and existing.st_rdev == source.st_rdev
            if same and text:
                same = os.readlink(name, dir_fd=target_dir) == text
            if same and (existing.st_dev, existing.st_ino) != (source.st_dev, source.st_ino):
                return self._unchanged(item, root, path, name, group, existing.st_ino, digest)
            decided = before_copy(context.options.conflict, item.mtime_ns, existing)
            if decided is not None:
                return self._left(item, decided.outcome, decided.fault)
        temporary = context.temporary(item.number)
        _remove(target_dir, temporary)
        if item.type is EntryType.SYMLINK:
            os.symlink(text, temporary, dir_fd=target_dir)
        else:
            os.mknod(temporary, source.st_mode, source.st_rdev, dir_fd=target_dir)
        try:
            lost = copy_link_metadata(source_dir, source_name, target_dir, temporary, source, context.rights)
            inode = os.stat(temporary, dir_fd=target_dir, follow_symlinks=False).st_ino
        except BaseException:
            _remove(target_dir, temporary)
            raise
        return self._member(
            item, root, path, name, group, Outcome.CREATED, inode, lost=lost, digest=digest, temporary=temporary
        )

    # --- pieces ------------------------------------------------------------------------------------

    def _open_source(self, source_dir: int, name: bytes) -> int:
        try:
            return os.open(name, _READ | self._noatime, dir_fd=source_dir)
        except PermissionError:
            if not self._noatime:
                raise
            return os.open(name, _READ, dir_fd=source_dir)  # somebody else's file: its atime will move

    def _metadata(self, source_fd: int, target_fd: int, source: os.stat_result, target: os.stat_result) -> Lost:
        try:
            return copy_metadata(source_fd, target_fd, source, self._context.rights, target=target)
        except OSError as e:
            raise _Failed(fault_of(Phase.METADATA, e)) from e

    def _check_unchanged(self, item: WorkItem, st: os.stat_result) -> None:
        """The scan's version is what was promised. Renaming or unlinking another name of it moves ctime, so it
        does not count for an inode with several links."""
        same = st.st_ino == item.inode and st.st_mtime_ns == item.mtime_ns and st.st_size == item.size
        if not same or (item.links == 1 and st.st_ctime_ns != item.ctime_ns):
            raise _Failed(Fault(Phase.COPY, "source_changed", 0, "the source changed after it was scanned"))

    def _existing_file(
        self,
        item: WorkItem,
        root: int,
        path: bytes,
        name: bytes,
        source_fd: int,
        source: os.stat_result,
        target_dir: int,
        existing: os.stat_result,
        group: int,
    ) -> Copied | None:
        """Decide about a file whose name is taken; None means: copy it."""
        context = self._context
        if (existing.st_dev, existing.st_ino) == (source.st_dev, source.st_ino):
            raise _Failed(Fault(Phase.PUBLISH, "same_file", 0, "source and target are the same file"))
        like = (existing.st_size, existing.st_mtime_ns) == (source.st_size, source.st_mtime_ns)
        if like and entry_type(existing.st_mode) is EntryType.FILE:
            if not context.moving:
                return self._unchanged(item, root, path, name, group, existing.st_ino, None)
            digest, _ = digest_of(source_fd, context.controls.step)
            target_fd = os.open(name, _READ, dir_fd=target_dir)
            try:
                theirs, _ = digest_of(target_fd, context.controls.step)
            finally:
                os.close(target_fd)
            if theirs == digest:
                return self._unchanged(item, root, path, name, group, existing.st_ino, digest)
        decided = before_copy(context.options.conflict, item.mtime_ns, existing)
        return None if decided is None else self._left(item, decided.outcome, decided.fault)

    def _gone(self, item: WorkItem, root: int, path: bytes, name: bytes, group: int) -> Copied:
        """The source is not there: we renamed it before a crash, or somebody removed it."""
        if self._context.options.rename:
            with contextlib.suppress(OSError):
                existing = stat_or_none(self._targets.get(root, path), name)
                if existing is not None and existing.st_ino == item.inode and existing.st_dev == item.device:
                    return self._member(item, root, path, name, group, Outcome.RENAMED, item.inode, placed=name)
        return self._left(item, Outcome.SOURCE_GONE, None)

    def _unchanged(
        self, item: WorkItem, root: int, path: bytes, name: bytes, group: int, inode: int, digest: bytes | None
    ) -> Copied:
        if not self._context.moving:
            return self._left(item, Outcome.UNCHANGED, None)
        return self._member(item, root, path, name, group, Outcome.UNCHANGED, inode, digest=digest, placed=name)

    def _left(self, item: WorkItem, outcome: Outcome, fault: Fault | None) -> Copied:
        return Copied(CopyResult(item.number, 0, outcome, Lost.NOTHING, None, 0, 0, fault), None)

    def _member(
        self,
        item: WorkItem,
        root: int,
        path: bytes,
        name: bytes,
        group: int,
        outcome: Outcome,
        inode: int,
        *,
        lost: Lost = Lost.NOTHING,
        digest: bytes | None = None,
        temporary: bytes = b"",
        placed: bytes = b"",
        seen: Seen | None = None,
    ) -> Copied:
        size = item.size if item.type is EntryType.FILE else 0
        check = digest if item.type is EntryType.FILE and temporary and outcome is not Outcome.LINKED else None
        return Copied(
            CopyResult(item.number, group, outcome, lost, digest, inode, size, None, seen),
            Arrival(item.number, root, path, name, temporary, placed, item.mtime_ns, size, check),
        )


def _as_found(item: WorkItem, source: os.stat_result) -> tuple[WorkItem, Seen]:
    """Take the source's present version for the one that was promised."""
    seen = Seen(source.st_size, source.st_mtime_ns, source.st_ctime_ns, source.st_ino, source.st_nlink)
    fresh = msgspec.structs.replace(
        item, size=seen.size, mtime_ns=seen.mtime_ns, ctime_ns=seen.ctime_ns, inode=seen.inode, links=seen.links
    )
    return fresh, seen


def _create(target_dir: int, temporary: bytes) -> int:
    try:
        return os.open(temporary, _CREATE, 0o600, dir_fd=target_dir)
    except FileExistsError:  # an earlier attempt died: nothing in it is to be trusted
        os.unlink(temporary, dir_fd=target_dir)
        return os.open(temporary, _CREATE, 0o600, dir_fd=target_dir)


def _remove(target_dir: int, temporary: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=target_dir)
