"""Names that are taken: what to do, and which free names there are. Pure but for `place`."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterator

import msgspec

from migmond.domain.fault import Fault, Phase
from migmond.domain.plan import ConflictPolicy
from migmond.domain.states import Outcome
from migmond.fsys.rename import (
    link,
    rename_exchange,
    rename_in_place,
    rename_noreplace,
    rename_replace,
    stat_or_none,
)
from migmond.mover.temporaries import exchange_name

_NAME_MAX = 255
_MAX_TRIES = 10_000


class Placed(msgspec.Struct, frozen=True):
    """How an arrival ended: under `name`, or left out with `outcome` (EXISTS, OLDER) or `fault`."""

    name: bytes | None = None
    outcome: Outcome = Outcome.NONE
    fault: Fault | None = None


def free_names(name: bytes) -> Iterator[bytes]:
    """Yield `photo (1).jpg`, `photo (2).jpg`, ... each at most 255 bytes long."""
    stem, suffix = os.path.splitext(name)
    for number in range(1, _MAX_TRIES):
        tail = b" (%d)%s" % (number, suffix[: _NAME_MAX // 2])
        yield stem[: _NAME_MAX - len(tail)] + tail


def backup_names(name: bytes) -> Iterator[bytes]:
    """Yield `photo.jpg.~1~`, `photo.jpg.~2~`, ... as `cp --backup=numbered` does, at most 255 bytes long."""
    for number in range(1, _MAX_TRIES):
        tail = b".~%d~" % number
        yield name[: _NAME_MAX - len(tail)] + tail


def before_copy(policy: ConflictPolicy, source_mtime_ns: int, existing: os.stat_result) -> Placed | None:
    """Decide about a *different* entry at the destination before anything is copied; None means: copy."""
    if policy is ConflictPolicy.FAIL:
        return Placed(fault=exists_fault())
    if policy is ConflictPolicy.SKIP:
        return Placed(outcome=Outcome.EXISTS)
    if policy is ConflictPolicy.NEWER and source_mtime_ns <= existing.st_mtime_ns:
        return Placed(outcome=Outcome.OLDER)
    return None


def exists_fault() -> Fault:
    return Fault(Phase.PUBLISH, "exists", 0, "the destination has a different entry under that name")


def give_free_name(from_dir: int, from_name: bytes, to_dir: int, name: bytes, policy: ConflictPolicy) -> bytes | None:
    """Rename to a name that nothing has: `name`, or by the policy RENAME another one. None when there is none.

    Raises:
        OSError: renaming failed for another reason than a taken name.
    """
    others = free_names(name) if policy is ConflictPolicy.RENAME else ()
    for candidate in itertools.chain((name,), others):
        try:
            rename_noreplace(from_dir, from_name, to_dir, candidate)
        except FileExistsError:
            continue
        return candidate
    return None


def place(directory: int, temporary: bytes, name: bytes, policy: ConflictPolicy, source_mtime_ns: int) -> Placed:
    """Give an arrival, which has a temporary name in the directory it belongs to, its final name: without replacing
    anything, or else by the policy.

    Raises:
        OSError: renaming failed for another reason than a taken name.
    """
    for _ in range(_MAX_TRIES):
        placed = _placed(directory, temporary, name, policy, source_mtime_ns)
        if placed is not None:
            return placed
    return Placed(fault=exists_fault())  # somebody gives the name away and takes it back all the time


def _placed(
    directory: int, temporary: bytes, name: bytes, policy: ConflictPolicy, source_mtime_ns: int
) -> Placed | None:
    """None when the name is free by now: try again."""
    placed = give_free_name(directory, temporary, directory, name, policy)
    if placed is not None:
        return Placed(placed)
    if policy is ConflictPolicy.RENAME:
        return Placed(fault=exists_fault())
    existing = stat_or_none(directory, name)
    if existing is None:
        return None
    decided = before_copy(policy, source_mtime_ns, existing)
    if decided is not None:
        return decided
    if stat.S_ISDIR(existing.st_mode) and policy is ConflictPolicy.NEWER:
        return Placed(fault=exists_fault())
    if policy is not ConflictPolicy.BACKUP:
        return _Exchange(directory, temporary, name).if_older(source_mtime_ns)
    # Before anything else, so that a crash leaves no moment without it.
    if not _back_up(directory, name, existing):
        return Placed(fault=exists_fault())
    return _Exchange(directory, temporary, name).with_backup(existing)


class _Exchange:
    """An arrival that takes a name away from what has it; see `place`. Names are exchanged, so that what comes out can
    be looked at when nobody can put anything else there any more: the last copy of something may have got that name a
    moment ago, from another migration that has deleted its source.

    Both names are in the destination, never one in a source: its owner could take away what comes out. The arrival's
    is no temporary's at that moment: what comes out is not swept whatever happens then (see `mover.settle`).
    """

    def __init__(self, directory: int, temporary: bytes, name: bytes) -> None:
        self._directory = directory
        self._temporary = temporary
        self._between = exchange_name(temporary)
        self._name = name
        self._arrival = os.stat(temporary, dir_fd=directory, follow_symlinks=False)

    def with_backup(self, backed_up: os.stat_result) -> Placed | None:
        """Take the name; whatever has it by now is kept too. None when nothing has it."""
        out = self._exchanged()
        if not isinstance(out, os.stat_result):
            return out
        if os.path.samestat(out, backed_up):
            os.unlink(self._between, dir_fd=self._directory)
        elif keep_beside(self._directory, self._between, self._name) is None:
            self._back()
            return Placed(fault=exists_fault())
        return Placed(self._name)

    def if_older(self, source_mtime_ns: int) -> Placed | None:
        """Take the name from something older, and from nothing else. None when nothing has it."""
        out = self._exchanged()
        if not isinstance(out, os.stat_result):
            return out
        decided = before_copy(ConflictPolicy.NEWER, source_mtime_ns, out)
        if decided is None and not stat.S_ISDIR(out.st_mode):
            os.unlink(self._between, dir_fd=self._directory)
            return Placed(self._name)
        self._back()
        return decided or Placed(fault=exists_fault())

    def _exchanged(self) -> os.stat_result | Placed | None:
        """Give the arrival its name and return what had it, which has the one in between now; None when nothing had it.
        Placed where names cannot be exchanged: there whatever had it is replaced, as closely after it was judged as can
        be."""
        directory = self._directory
        rename_noreplace(directory, self._temporary, directory, self._between)
        try:
            exchanged = rename_exchange(directory, self._between, directory, self._name)
        except OSError as e:
            rename_noreplace(directory, self._between, directory, self._temporary)
            if isinstance(e, FileNotFoundError) and stat_or_none(directory, self._name) is None:
                return None
            raise
        if not exchanged:
            rename_replace(directory, self._between, directory, self._name)
            return Placed(self._name)
        return os.stat(self._between, dir_fd=directory, follow_symlinks=False)

    def _back(self) -> None:
        """Exchange once more: what had the name has it again, and the arrival its temporary one. What somebody put in
        its place meanwhile is kept beside it."""
        directory = self._directory
        try:
            rename_exchange(directory, self._between, directory, self._name)
        except FileNotFoundError:  # somebody removed the arrival
            with contextlib.suppress(FileExistsError):
                rename_noreplace(directory, self._between, directory, self._name)
        left = stat_or_none(directory, self._between)
        if left is None:
            return
        if os.path.samestat(left, self._arrival):
            rename_noreplace(directory, self._between, directory, self._temporary)
        elif keep_beside(directory, self._between, self._name) is None:
            raise FileExistsError(errno.EEXIST, "no name is free to keep what was there", os.fsdecode(self._name))


def keep_beside(directory: int, present: bytes, name: bytes) -> bytes | None:
    """Give what is called `present` a backup name of `name`, and return that; None when none is free.

    Raises:
        OSError: renaming failed for another reason than a taken name.
    """
    for candidate in backup_names(name):
        try:
            rename_in_place(directory, present, candidate)
        except FileExistsError:
            continue
        return candidate
    return None


def standing_name(directory: int, name: bytes, inode: int, policy: ConflictPolicy) -> bytes | None:
    """Return the name under which `inode` stands already, a name that the policy RENAME chose included."""
    st = stat_or_none(directory, name)
    if st is not None and st.st_ino == inode:
        return name
    if st is None or policy is not ConflictPolicy.RENAME:
        return None
    for candidate in free_names(name):
        st = stat_or_none(directory, candidate)
        if st is None:
            return None
        if st.st_ino == inode:
            return candidate
    return None


def _back_up(directory: int, name: bytes, existing: os.stat_result) -> bool:
    """Keep what is there under a backup name. A link first: the name is never without an entry."""
    for candidate in backup_names(name):
        try:
            if stat.S_ISDIR(existing.st_mode):
                rename_noreplace(directory, name, directory, candidate)
            else:
                link(directory, name, directory, candidate)
        except FileExistsError:
            kept = stat_or_none(directory, candidate)
            if kept is not None and kept.st_ino == existing.st_ino:
                return True  # a crash came between this link and the rename after it
            continue
        except PermissionError:  # a file system without links, or somebody else's file (fs.protected_hardlinks)
            rename_noreplace(directory, name, directory, candidate)
        return True
    return False
