"""One source walked, and its target looked at beside it: what is seen, and what it needs there."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable

from migmond.domain.entry import EntryType, entry_type
from migmond.domain.plan import Operation
from migmond.domain.preflight import Need, RootSurvey, Sight, Sighting, TargetFacts
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
from migmond.mover.root import Root, open_nearest
from migmond.mover.survey_counts import Counted
from migmond.mover.temporaries import is_temporary
from migmond.planning.collisions import Collisions
from migmond.planning.filesystems import PSEUDO, SHARING, abilities_of
from migmond.planning.keeping import name_sights, path_sights, size_sights, time_sights
from migmond.planning.room import directory_need, file_need, with_existing

_FIXED = libc.ATTR_IMMUTABLE | libc.ATTR_APPEND
_CHECK_ENTRIES = 1000
_PATH_SAFE = 4000
"""Shorter paths at the target are no trouble for anybody."""


class RootWalk:
    """One source and its target.

    Args:
        counted: over all sources, this one among them.
    """

    def __init__(self, counted: Counted, context: Context, root: Root) -> None:
        self._counted = counted
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
        self._as_a_whole = self._renames and not self._target_there and counted.takes_all and not root.single
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
            self._counted.entries += 1
            self._counted.directories += 1
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
                elif is_temporary(name) or not self._counted.picks(fd, below, kind, st):
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
        sure = names > 0 or self._counted.takes_all
        self._add(least if sure else 0, most, int(sure), 1)

    # --- one entry ---------------------------------------------------------------------------------

    def _entry(
        self, fd: int, name: bytes, path: bytes, st: libc.Stat, kind: EntryType, target: int, target_name: bytes
    ) -> None:
        counted = self._counted
        counted.entries += 1
        self._metadata(fd, name, path, st, kind)
        if kind is EntryType.DIRECTORY:
            counted.directories += 1
            return
        existing = self._existing(target, target_name, path, st, kind)
        met = counted.names_met(st)
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
        counted.files += 1
        if first:
            counted.bytes += st.size
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
