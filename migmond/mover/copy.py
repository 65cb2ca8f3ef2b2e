"""One task: from its source to a complete, closed, unpublished copy at the target."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence

import xxhash

from migmond.domain.entry import EntryType, Lost, entry_type
from migmond.domain.fault import Fault, Phase
from migmond.domain.states import Outcome
from migmond.fsys.beneath import let_owner_write
from migmond.fsys.birth import birth_ns
from migmond.fsys.closing import close_unwritten
from migmond.fsys.content import copy_content
from migmond.fsys.mapped import write_protect
from migmond.fsys.metadata import copy_link_metadata, copy_metadata
from migmond.fsys.read_write import SourceUnreadable
from migmond.fsys.rename import link, stat_or_none
from migmond.mover.anchors import AWAY
from migmond.mover.aside import NameTaken, put_back
from migmond.mover.conflict import before_copy, keep_beside
from migmond.mover.context import Context, fault_of
from migmond.mover.control import Abandoned
from migmond.mover.group import Block, Copied, reads_back
from migmond.mover.job import Failed, Job
from migmond.mover.present import decide, sync, unchanged
from migmond.mover.quick import Quick
from migmond.mover.rename_move import renamed, same_file_system
from migmond.mover.source import check_unchanged, digest_source, look, open_source
from migmond.mover.target_check import Place
from migmond.mover.temporaries import remove_leftovers
from migmond.mover.vanished import Vanished
from migmond.mover.versions import is_earlier, is_leaders
from migmond.mover.withheld import refuse
from migmond.wire.items import WorkItem
from migmond.wire.work import WorkDirectory

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE = 0o600
_PERMISSIONS = 0o777
_NO_LINK_HERE = frozenset({errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOENT})
_SPARED = Fault(Phase.COPY, "abandoned", 0, "not tried: several before it met an input/output error")
_OF_DEVICES = frozenset({errno.EIO, errno.EREMOTEIO, errno.ETIMEDOUT, errno.ENXIO, errno.ENODEV, errno.ENOTCONN})
GIVE_UP_AFTER = 8
"""As many as open the daemon's circuit breaker (`recovery.breaker.IN_A_ROW`)."""


class Copier:
    """Copies tasks one after the other. For one thread."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sources = context.source_directories()
        self._targets = context.target_directories(make=True)
        self._vanished = Vanished(context)
        small_files = context.small_files
        self._in_a_row = 0
        self._quick = Quick(context, small_files, self._sources, self._targets) if small_files is not None else None

    def forget_directories(self) -> None:
        """Close cached directories: their names are about to change or go."""
        self._sources.clear()
        self._targets.clear()
        self._vanished.forget_directories()

    def tidy(self, root: int, path: bytes, dead: frozenset[int]) -> None:
        """Remove from a target directory what earlier attempts left there. What stays is swept in the end."""
        context = self._context
        directories = context.target_directories(make=False)
        with contextlib.suppress(OSError):
            remove_leftovers(directories.get(root, path), context.options.execution, context.mover, dead)
        directories.clear()

    def copy_directory(self, directory: WorkDirectory, group: int) -> Iterator[Copied | Block]:
        """Do what the plan asks of each of a directory's items, in any order; see `copy`."""
        root, path = directory.root, directory.path
        items: Sequence[WorkItem] = directory.items
        if directory.plain is not None:
            plain = directory.plain
            plain.check()
            if self._quick is not None and self._in_a_row < GIVE_UP_AFTER:
                first, plain = self._quick.probe(plain, root, path)
                for item in first:
                    yield self._copied_or_spared(item, root, path, group)
                blocks, left = self._quick.copy(plain, root, path)
                yield from blocks
            else:
                left = plain.items()
            items = [*left, *items]
        for item in items:
            yield self._copied_or_spared(item, root, path, group)

    def begin_batch(self) -> None:
        """Another batch begins: nothing is held against its devices."""
        self._in_a_row = 0

    def _copied_or_spared(self, item: WorkItem, root: int, path: bytes, group: int) -> Copied:
        """After several input/output errors in a row the rest of the batch is left alone: the daemon decides whether
        the device is worth more tries, and 200 tries at a dead one take their time."""
        if self._in_a_row >= GIVE_UP_AFTER:
            names = self._context.roots[root].names(item.name)
            return Job(item, root, path, group, *names).left(Outcome.NONE, _SPARED)
        copied = self.copy(item, root, path, group)
        fault = copied.result.fault
        if fault is not None and fault.errno in _OF_DEVICES:
            self._in_a_row += 1
        elif fault is None or fault.kind != _SPARED.kind:
            self._in_a_row = 0
        return copied

    def copy(self, item: WorkItem, root: int, path: bytes, group: int) -> Copied:
        """Do what the plan asks of one entry; whatever goes wrong with it is in the result.

        Args:
            group: number of the open commit group, which the copy becomes a member of.
        """
        context = self._context
        source_name, name = context.roots[root].names(item.name)
        name = item.as_name or name
        job = Job(item, root, path, group, source_name, name)
        try:
            context.controls.entry(item.number, item.size, path + b"/" + item.name if path else item.name)
            try:
                return self._copy(job)
            except PermissionError:
                if job.target_dir < 0 or not let_owner_write(job.target_dir):
                    raise
                return self._copy(job)
        except Abandoned:
            fault = Fault(Phase.COPY, "abandoned", 0, "given up on request")
        except Failed as e:
            fault = e.fault
        except SourceUnreadable as e:
            fault = fault_of(Phase.READ, e)
        except OSError as e:
            fault = fault_of(Phase.COPY, e)
        finally:
            context.controls.entry_done()
        return job.left(Outcome.NONE, fault)

    def _copy(self, job: Job) -> Copied:
        item = job.item
        try:
            job.source_dir = self._sources.get(job.root, job.path)
        except FileNotFoundError:
            return self._gone(job)
        except OSError as e:
            raise Failed(fault_of(Phase.READ, e)) from e
        target = self._targets.look(job.root, job.path)
        job.target_dir, job.bare = target.fd, target.bare
        if not target.fresh or item.earlier_inode:
            job.existing = stat_or_none(job.target_dir, job.name)
        if item.earlier_inode and item.earlier_name:  # the policy RENAME chose that, and would choose one more
            earlier = stat_or_none(job.target_dir, item.earlier_name)
            if earlier is not None and earlier.st_ino == item.earlier_inode:
                job.standing, job.existing = item.earlier_name, earlier
        if item.earlier_inode and (item.as_found or item.leader_root >= 0):
            return self._again(job)
        return self._anew(job)

    def _again(self, job: Job) -> Copied:
        """Copy a source that changed before its delete. The earlier copy of it is ours: it is still right, or it makes
        room and stays beside the new one. Another migration may have found it equal to its own source, and have deleted
        that."""
        item = job.item
        name, earlier = job.standing, stat_or_none(job.target_dir, job.standing)
        as_we_left_it = earlier is not None and is_earlier(item, earlier)
        if as_we_left_it and item.earlier_digest and item.type is EntryType.FILE:
            # Somebody may have written to it and set its time back: then it is his, and stays.
            as_we_left_it = Place(job.target_dir, name).digest(self._context.controls.step_back) == item.earlier_digest
        job.ours = as_we_left_it
        copied = self._anew(job)
        if as_we_left_it and copied.arrival is not None and copied.arrival.temporary:
            keep_beside(job.target_dir, name, name)
        return copied

    def _anew(self, job: Job) -> Copied:
        item = job.item
        if self._context.may_rename(job.root) and not (item.as_found or item.keep):
            renamed = self._rename(job)
            if renamed is not None:
                return renamed
        if item.leader_root >= 0:
            linked = self._link(job)
            if linked is not None:
                return linked
            job.broken = True
        return self._file(job) if item.type is EntryType.FILE else self._special(job)

    # --- the ways ----------------------------------------------------------------------------------

    def _rename(self, job: Job) -> Copied | None:
        """Move within the file system; None when it has to be copied."""
        if not same_file_system(self._context, job):
            return None
        source = look(job)
        return self._gone(job) if source is None else renamed(self._context, job, source)

    def _link(self, job: Job) -> Copied | None:
        """Make a further name of what the leader's target is; None when links are not possible: copy then."""
        context, item = self._context, job.item
        leader_path, leader_name = os.path.split(item.leader_path)
        if not leader_name:
            leader_name = context.roots[item.leader_root].target_name
        source = look(job)
        if source is None:
            return self._gone(job)
        if item.as_found and source.st_ino != item.inode:
            return None  # it is no name of the leader's file any more, however much it looks like it
        job.take(source)
        item = job.item
        check_unchanged(item, source)
        try:
            leader_dir = self._targets.get(item.leader_root, leader_path)
            leader = os.stat(leader_name, dir_fd=leader_dir, follow_symlinks=False)
            if not is_leaders(item, leader):
                return None  # what the leader brought over is another version, or something else has its name now
            if job.existing is not None:
                if os.path.samestat(job.existing, leader):
                    return unchanged(context, job, leader.st_ino, None)
                decided = None if job.ours else before_copy(context.options.conflict, item.mtime_ns, job.existing)
                if decided is not None:
                    return job.left(decided.outcome, decided.fault)
            temporary = job.new_temporary(context)
            link(leader_dir, leader_name, job.target_dir, temporary)
            linked = os.stat(temporary, dir_fd=job.target_dir, follow_symlinks=False)
            if linked.st_ino != leader.st_ino:  # the name was given to something else just now
                _remove(job.target_dir, temporary)
                return None
        except OSError as e:
            if e.errno in _NO_LINK_HERE or e.strerror == AWAY:
                return None
            raise
        context.kinds.of_closed(item.number, item.name, job.source_dir, job.source_name)  # it was just read
        return job.member(Outcome.LINKED, leader.st_ino, lost=item.leader_lost, temporary=temporary)

    def _file(self, job: Job) -> Copied:
        try:
            source_fd = open_source(job)
        except FileNotFoundError:
            return self._gone(job)
        try:
            if self._context.moving:
                write_protect(source_fd)
            source = os.fstat(source_fd)
            job.take(source)
            check_unchanged(job.item, source)
            self._find_kind(job, source_fd, source)
            job.birth_ns = birth_ns(source_fd)
            if job.existing is not None:
                done = decide(self._context, job, source_fd, source, job.existing)
                if done is not None:
                    return done
            return self._copy_file(job, source_fd, source)
        finally:
            close_unwritten(source_fd)

    def _find_kind(self, job: Job, source_fd: int, source: os.stat_result) -> None:
        """Find out what kind of file it is, if its name does not tell."""
        item = job.item
        try:
            kind = self._context.kinds.of_open(item.number, item.name, source_fd, source.st_size)
        except OSError as e:
            raise SourceUnreadable(e.errno, e.strerror) from e
        if kind is not None:
            self._context.controls.slot.found_kind(item.number, kind)
        refuse(kind, item)

    def _copy_file(self, job: Job, source_fd: int, source: os.stat_result) -> Copied:
        context = self._context
        temporary = job.new_temporary(context)
        mode = self._mode_at_birth(job, source)
        target_fd = os.open(temporary, _CREATE, mode, dir_fd=job.target_dir)
        try:
            try:
                target = os.fstat(target_fd)
                if mode != _PRIVATE and target.st_gid != source.st_gid:  # the directory's group, by its setgid bit
                    os.fchmod(target_fd, _PRIVATE)
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
                    meter=context.controls.slot.meter,
                    piece=context.controls.piece,
                )
                lost = self._metadata(source_fd, target_fd, source, target, bare=job.bare)
                if not content.holes_kept:
                    lost |= Lost.HOLES
                check_unchanged(job.item, os.fstat(source_fd))
                if context.devices.one_by_one(target.st_dev):
                    sync(target_fd)
                digest = content.digest
                if content.reflinked and reads_back(context.options):
                    digest = digest_source(source_fd, context.controls.step, context.controls.piece)
            finally:
                os.close(target_fd)  # may report a late write error: it counts
        except BaseException:
            _remove(job.target_dir, temporary)
            raise
        outcome = Outcome.REFLINKED if content.reflinked else Outcome.COPIED
        return job.member(outcome, target.st_ino, lost=lost, digest=digest, temporary=temporary)

    def _special(self, job: Job) -> Copied:
        """Symlink, fifo, socket or device."""
        context, item = self._context, job.item
        source = look(job)
        if source is None:
            return self._gone(job)
        job.take(source)
        item = job.item
        check_unchanged(item, source)
        job.birth_ns = birth_ns(job.source_dir, job.source_name)
        job.broken = item.links > 1  # nobody looks for the further names of what is no file
        text = os.readlink(job.source_name, dir_fd=job.source_dir) if item.type is EntryType.SYMLINK else b""
        digest = xxhash.xxh3_128_digest(text) if text and context.hashing else None
        existing = job.existing
        if existing is not None:
            same = entry_type(existing.st_mode) is item.type and existing.st_rdev == source.st_rdev
            if same and text:
                same = os.readlink(job.standing, dir_fd=job.target_dir) == text
            if same and not os.path.samestat(existing, source):
                return unchanged(context, job, existing.st_ino, digest)
            decided = None if job.ours else before_copy(context.options.conflict, item.mtime_ns, existing)
            if decided is not None:
                return job.left(decided.outcome, decided.fault)
        temporary = job.new_temporary(context)
        if item.type is EntryType.SYMLINK:
            os.symlink(text, temporary, dir_fd=job.target_dir)
        else:
            os.mknod(temporary, stat.S_IFMT(source.st_mode) | _PRIVATE, source.st_rdev, dir_fd=job.target_dir)
        try:
            lost = copy_link_metadata(
                job.source_dir, job.source_name, job.target_dir, temporary, source, context.rights, context.times
            )
            inode = os.stat(temporary, dir_fd=job.target_dir, follow_symlinks=False).st_ino
        except BaseException:
            _remove(job.target_dir, temporary)
            raise
        return job.member(Outcome.CREATED, inode, lost=lost, digest=digest, temporary=temporary)

    # --- pieces ------------------------------------------------------------------------------------

    def _mode_at_birth(self, job: Job, source: os.stat_result) -> int:
        """Return the mode to make a file with: its own if nobody can look in by it who may not in the end."""
        rights = self._context.rights
        mode = stat.S_IMODE(source.st_mode)
        ours = source.st_uid == rights.uid and source.st_gid == rights.gid
        return mode if job.bare and ours and mode <= _PERMISSIONS else _PRIVATE

    def _metadata(
        self, source_fd: int, target_fd: int, source: os.stat_result, target: os.stat_result, *, bare: bool
    ) -> Lost:
        try:
            context = self._context
            return copy_metadata(
                source_fd, target_fd, source, context.rights, target=target, bare=bare, times=context.times
            )
        except OSError as e:
            raise Failed(fault_of(Phase.METADATA, e)) from e

    def _gone(self, job: Job) -> Copied:
        """The source is not there: before a crash we renamed it, set it aside or deleted it, or somebody removed it."""
        if self._context.moving and job.source_dir >= 0 and not job.looked_aside:
            job.looked_aside = True  # once: somebody may take it away again and again
            try:
                if put_back(job.source_dir, self._context.aside(job.item.number), job.source_name):
                    return self._copy(job)
            except NameTaken:
                return self._copy(job)
        return self._vanished.found(job) or job.left(Outcome.SOURCE_GONE)


def _remove(target_dir: int, temporary: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=target_dir)
