"""Walks the sources and looks at the targets beside them, for the preflight. Nothing is written.

What is seen is summed up on the spot, so that memory holds unread directories, the names of one directory and the
inodes with further names still to come.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable

import msgspec

from migmond.domain.entry import EntryType, entry_type
from migmond.domain.plan import Operation
from migmond.domain.preflight import Need, RootSurvey, Sight, Sighting, TargetFacts
from migmond.domain.preflight import Survey as Report
from migmond.fsys import libc
from migmond.fsys.beneath import open_directory
from migmond.fsys.closing import close_unwritten
from migmond.fsys.facts import may_write, source_facts, target_facts
from migmond.fsys.mounts import mounts_below
from migmond.fsys.rename import stat_or_none
from migmond.fsys.writers import open_writers
from migmond.mover.access import Access
from migmond.mover.aside import is_aside
from migmond.mover.context import Context
from migmond.mover.control import Abandoned
from migmond.mover.kinds import look_into
from migmond.mover.root import Root, open_nearest
from migmond.mover.temporaries import is_temporary
from migmond.planning.collisions import Collisions
from migmond.planning.filesystems import PSEUDO, SHARING, abilities_of
from migmond.planning.keeping import name_sights, path_sights, size_sights, time_sights
from migmond.planning.room import directory_need, file_need, with_existing
from migmond.planning.selection import Candidate, Matcher
from migmond.wire.from_mover import Surveyed
from migmond.wire.to_mover import Survey

_LINKED_INODES = 500_000
"""Inodes of which further names are awaited. Beyond that every name counts by its share: memory stays bounded."""
_FIXED = libc.ATTR_IMMUTABLE | libc.ATTR_APPEND
_CHECK_ENTRIES = 1000
_PATH_SAFE = 4000
"""Shorter paths at the target are no trouble for anybody."""


def survey(context: Context, message: Survey) -> None:
    """Walk to the end and send Surveyed."""
    Surveyor(context, message).run()


class Surveyor:
    """One survey. Everything is counted over all roots but what is told by root."""

    def __init__(self, context: Context, message: Survey) -> None:
        self._context = context
        self._matcher = None if message.selector.selects_all else Matcher(message.selector, message.now)
        self._links: dict[tuple[int, int], int] = {}
        self.entries = self.files = self.directories = self.bytes = 0

    def run(self) -> None:
        """Walk to the end and send Surveyed; on ABANDON just stop."""
        try:
            found = [_RootWalk(self, self._context, root) for root in self._context.roots]
            for walk in found:
                walk.run()
        except Abandoned:
            return
        if self.takes_all and self._context.moving and self._links and not any(w.has_blind_spots for w in found):
            found[0].saw(Sight.LINK_OUTSIDE, b"", len(self._links))
        report = tuple(walk.report() for walk in found)
        self._context.send(Surveyed(Report(self.entries, self.files, self.directories, self.bytes, report)))

    @property
    def takes_all(self) -> bool:
        return self._matcher is None

    def picks(self, fd: int, path: bytes, kind: EntryType, st: libc.Stat) -> bool:
        """Whether the selector picks an entry of the directory `fd` that is no directory."""
        if self._matcher is None:
            return True
        candidate = Candidate(path, kind, st.size, st.mtime_total_ns)
        if self._matcher.may_pick(candidate):
            candidate = msgspec.structs.replace(candidate, content=look_into(fd, os.path.basename(path)))
        return self._matcher.picks(candidate)

    def names_met(self, st: libc.Stat) -> int:
        """Return how many names of the inode were met, this one included."""
        if st.links == 1:
            return 1
        key = (st.device, st.inode)
        left = self._links.get(key)
        if left is None:
            if len(self._links) < _LINKED_INODES:
                self._links[key] = st.links - 1
            return 1
        if left == 1:
            del self._links[key]
        else:
            self._links[key] = left - 1
        return st.links - left + 1


class _RootWalk:
    """One source and its target."""

    def __init__(self, survey: Surveyor, context: Context, root: Root) -> None:
        self._survey = survey
        self._context = context
        self._root = root
        self._moving = context.moving
        self._access = Access(context.rights)
        fd, nearest = open_nearest(root.target_directory)
        try:
            self._facts: TargetFacts = target_facts(fd)
            self._target_owner = os.fstat(fd)
        finally:
            close_unwritten(fd)
        self._target_there = nearest == root.target_directory
        self._abilities = abilities_of(self._facts)
        self._source = source_facts(root.source_fd)
        same = root.info.source_device == self._facts.device
        self._renames = same and context.options.operation is Operation.MOVE
        self._as_a_whole = self._renames and not self._target_there and survey.takes_all and not root.single
        if self._as_a_whole:
            self._as_a_whole = not mounts_below(root.source_fd)
        self._shares = same and context.options.reflink and self._facts.file_system in SHARING
        self._sights: dict[Sight, Sighting] = {}
        self._least = self._most = self._least_inodes = self._most_inodes = 0
        self._device = -1
        # On most targets nothing is the matter with sizes and times: then they are not looked at.
        judged = self._abilities
        self._sizes_matter = judged.max_file_bytes is not None or not judged.holes
        self._times_matter = judged.time_step_ns > 1 or judged.first_s is not None or judged.last_s is not None
        self._max_links = judged.max_links or sys.maxsize
        self._short_name = 0 if judged.utf8_only else min(self._facts.name_max, 255)
        self._short_path = _PATH_SAFE - len(root.spec.target)

    def report(self) -> RootSurvey:
        """Return what was found."""
        need = Need() if self._renames else Need(self._least, self._most, self._least_inodes, self._most_inodes)
        return RootSurvey(self._source, need, self._sights)

    @property
    def has_blind_spots(self) -> bool:
        """Whether there are directories that were not looked into: names may be there."""
        return not self._sights.keys().isdisjoint((Sight.UNREADABLE_DIRECTORY, Sight.MOUNT_POINT))

    def saw(self, sight: Sight, path: bytes, count: int = 1) -> None:
        """Count a sight; the first one stands for all."""
        before = self._sights.get(sight)
        self._sights[sight] = (
            Sighting(count, path) if before is None else Sighting(before.count + count, before.example)
        )

    def run(self) -> None:
        """Walk."""
        root = self._root
        if self._source.file_system in PSEUDO:
            self.saw(Sight.PSEUDO, b"")
        self._writers()
        target = -1
        if self._target_there:
            target = os.open(root.target_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if root.single:
                self._single(target)
                return
            self._survey.entries += 1
            self._survey.directories += 1
            stack = [(b"", self._target_there)]
            while stack:
                self._context.controls.check()
                path, there = stack.pop()
                stack.extend(reversed(self._directory(path, target if there else -1)))
        finally:
            if target >= 0:
                close_unwritten(target)

    def _single(self, target: int) -> None:
        root = self._root
        st = libc.statx(root.source_fd, root.source_name)
        held = self._access.of_directory(root.source_fd, libc.statx(root.source_fd, b"")) if self._moving else None
        self._entry(root.source_fd, root.source_name, b"", st, entry_type(st.mode), target, root.target_name)
        self._names(root.target_name, b"")
        if held is not None and held.keeps(st):
            self.saw(held.reason, b"")

    def _writers(self) -> None:
        top = os.readlink(b"/proc/self/fd/%d" % self._root.source_fd)
        if self._root.single:
            top = os.path.join(top, self._root.source_name)
        for path, _ in open_writers(top):
            self.saw(Sight.WRITER, path[len(top.rstrip(b"/")) + 1 :])

    # --- one directory -----------------------------------------------------------------------------

    def _directory(self, path: bytes, target_root: int) -> list[tuple[bytes, bool]]:
        """Look at everything in one directory; returns the directories in it, and whether the target is there."""
        context = self._context
        try:
            fd = open_directory(self._root.source_fd, path, cross_mounts=not context.options.one_file_system)
        except OSError:
            self.saw(Sight.UNREADABLE_DIRECTORY, path)
            return []
        target = self._open_target(target_root, path)
        try:
            own = libc.statx(fd, b"")
            if own.device != self._device:
                self._device = own.device
                if path and source_facts(fd).file_system in PSEUDO:
                    self.saw(Sight.PSEUDO, path)
            return self._listed(fd, path, own, target)
        except OSError:  # it cannot be searched, or broke while it was read
            self.saw(Sight.UNREADABLE_DIRECTORY, path)
            return []
        finally:
            close_unwritten(fd)
            if target >= 0:
                close_unwritten(target)

    def _open_target(self, target_root: int, path: bytes) -> int:
        if target_root < 0:
            return -1
        try:
            target = open_directory(target_root, path)
        except FileNotFoundError:
            return -1
        except PermissionError:
            self.saw(Sight.TARGET_UNWRITABLE, path)
            return -1
        except OSError:  # something else has the name
            self.saw(Sight.CONFLICT, path)
            return -1
        st = os.fstat(target)
        if st.st_dev != self._facts.device:
            self.saw(Sight.TARGET_MOUNT, path)
        elif path and not may_write(target, st):
            self.saw(Sight.TARGET_UNWRITABLE, path)
        return target

    def _listed(self, fd: int, path: bytes, own: libc.Stat, target: int) -> list[tuple[bytes, bool]]:
        deeper: list[tuple[bytes, bool]] = []
        collisions = Collisions(self._abilities.folding, drops_dots=self._abilities.drops_dots)
        held = self._access.of_directory(fd, own) if self._moving and not self._as_a_whole else None
        names = name_bytes = 0
        with os.scandir(fd) as listing:
            for item in listing:
                name = os.fsencode(item.name)
                try:
                    st = libc.statx(fd, name)
                except FileNotFoundError:
                    continue
                kind = entry_type(st.mode)
                below = path + b"/" + name if path else name
                mounted = st.attributes & libc.ATTR_MOUNT_ROOT or (
                    kind is EntryType.DIRECTORY and st.device != own.device
                )
                if mounted and self._context.options.one_file_system:
                    self.saw(Sight.MOUNT_POINT, below)
                    continue
                if kind is EntryType.DIRECTORY:
                    deeper.append((below, target >= 0))
                elif is_temporary(name) or not self._survey.picks(fd, below, kind, st):
                    continue
                names += 1
                name_bytes += len(name)
                if names % _CHECK_ENTRIES == 0:
                    self._context.controls.check()
                self._entry(fd, name, below, st, kind, target, name)
                self._names(name, below)
                if is_aside(name):
                    self.saw(Sight.SET_ASIDE, below)
                if more := collisions.add(name):
                    self.saw(Sight.COLLISION, below, more)
                if held is not None and held.keeps(st):
                    self.saw(held.reason, below)
        self._directory_need(own, names, name_bytes, there=target >= 0)
        return deeper

    def _directory_need(self, own: libc.Stat, names: int, name_bytes: int, *, there: bool) -> None:
        if there:
            return
        least, most = directory_need(names, name_bytes, self._facts, self._abilities)
        sure = names > 0 or self._survey.takes_all
        self._add(least if sure else 0, most, int(sure), 1)

    # --- one entry ---------------------------------------------------------------------------------

    def _entry(
        self, fd: int, name: bytes, path: bytes, st: libc.Stat, kind: EntryType, target: int, target_name: bytes
    ) -> None:
        survey = self._survey
        survey.entries += 1
        self._metadata(fd, name, path, st, kind)
        if kind is EntryType.DIRECTORY:
            survey.directories += 1
            return
        existing = self._existing(target, target_name, path, st, kind)
        met = survey.names_met(st)
        first, linked = met == 1, self._abilities.hard_links and met <= self._max_links
        if st.links > 1:
            self.saw(Sight.HARD_LINK, path)
        if self._abilities.hard_links and not linked and not self._renames:
            self.saw(Sight.MANY_LINKS, path)
        if kind is not EntryType.FILE:
            if kind is EntryType.SYMLINK:
                self.saw(Sight.SYMLINK, path)
            else:
                self.saw(Sight.SPECIAL, path)
                if (
                    kind in (EntryType.CHAR_DEVICE, EntryType.BLOCK_DEVICE)
                    and not self._context.rights.may_make_devices
                ):
                    self.saw(Sight.DEVICE, path)
            if existing is None and first:
                self._add(0, self._facts.block_bytes if kind is EntryType.SYMLINK else 0, 1, 1)
            return
        survey.files += 1
        if first:
            survey.bytes += st.size
        if self._sizes_matter:
            self._see(size_sights(st.size, st.allocated, self._abilities), path)
        if not self._renames and not self._access.readable(fd, name, st):
            self.saw(Sight.UNREADABLE_FILE, path)
        if first or not linked:
            self._file_need(st, target, existing)

    def _file_need(self, st: libc.Stat, target: int, existing: os.stat_result | None) -> None:
        least, most = file_need(
            st.size, st.allocated, self._facts, self._abilities, source_compresses=self._source.compresses
        )
        inodes = 1
        if existing is not None:
            alike = stat.S_ISREG(existing.st_mode) and existing.st_size == st.size
            least, most = with_existing((least, most), self._context.options.conflict, alike=alike)
            inodes = 0
        sure = not self._shares and (target < 0 or os.fstat(target).st_dev == self._facts.device)
        self._add(least if sure else 0, most, inodes, inodes)

    def _add(self, least: int, most: int, least_inodes: int, most_inodes: int) -> None:
        self._least += least
        self._most += most
        self._least_inodes += least_inodes
        self._most_inodes += most_inodes

    def _existing(self, target: int, name: bytes, path: bytes, st: libc.Stat, kind: EntryType) -> os.stat_result | None:
        """What has the entry's name at the target."""
        if target < 0:
            return None
        try:
            existing = stat_or_none(target, name)
        except OSError:  # no such name can be there
            return None
        if existing is not None:
            same = entry_type(existing.st_mode) is kind and (kind is not EntryType.FILE or existing.st_size == st.size)
            self.saw(Sight.THERE if same else Sight.CONFLICT, path)
        return existing

    def _metadata(self, fd: int, name: bytes, path: bytes, st: libc.Stat, kind: EntryType) -> None:
        rights, abilities = self._context.rights, self._abilities
        if st.attributes & _FIXED and self._moving and not self._as_a_whole:
            self.saw(Sight.IMMUTABLE, path)
        if self._renames:
            return
        if st.attributes & _FIXED:  # all other flags are copied
            self.saw(Sight.FLAGS, path)
        if not rights.may_chown:
            if st.uid != rights.uid:
                self.saw(Sight.FOREIGN_OWNER, path)
            if st.gid != rights.gid and st.gid not in rights.groups:
                self.saw(Sight.GROUP, path)
        if not abilities.owners and (st.uid, st.gid) != (self._target_owner.st_uid, self._target_owner.st_gid):
            self.saw(Sight.OWNER, path)
        if not abilities.modes and kind is not EntryType.SYMLINK:
            self.saw(Sight.MODE, path)
        if self._times_matter:
            self._see(time_sights(st.mtime_s, st.mtime_ns, abilities), path)
        with contextlib.suppress(OSError):  # unreadable, or the source knows no attributes
            attributes = os.listxattr(b"/proc/self/fd/%d/%s" % (fd, name), follow_symlinks=False)
            if attributes:
                self._attributes(attributes, path)

    def _attributes(self, names: list[str], path: bytes) -> None:
        kinds = {_kind_of(n) for n in names}
        for sight in kinds - {None}:
            assert sight is not None
            self.saw(sight, path)

    def _names(self, name: bytes, path: bytes) -> None:
        if len(name) <= self._short_name and len(path) <= self._short_path:
            return
        self._see(name_sights(name, self._facts, self._abilities), path)
        self._see(path_sights(self._root.spec.source, self._root.spec.target, path), path)

    def _see(self, sights: Iterable[Sight], path: bytes) -> None:
        for sight in sights:
            self.saw(sight, path)


def _kind_of(attribute: str) -> Sight | None:
    if attribute.startswith("system."):
        return Sight.ACL
    if attribute.startswith("security."):  # labels such as SELinux's are the machine's, not the file's
        return Sight.CAPABILITIES if attribute == "security.capability" else None
    return Sight.XATTRS
