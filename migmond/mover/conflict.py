"""Names that are taken: what to do, and which free names there are. Pure but for `place`."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

import msgspec

from migmond.domain.fault import Fault, Phase
from migmond.domain.plan import ConflictPolicy
from migmond.domain.states import Outcome
from migmond.fsys.rename import link, rename_exchange, rename_noreplace, rename_replace, stat_or_none

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


def place(
    from_dir: int,
    from_name: bytes,
    to_dir: int,
    name: bytes,
    policy: ConflictPolicy,
    source_mtime_ns: int,
    *,
    private: bytes = b"",
) -> Placed:
    """Give an arrival its final name: without replacing anything, or else by the policy.

    Args:
        from_dir, from_name: where the arrival is now (a temporary, or the source itself in a move by rename).
        private: where somebody else may put a file under `from_name` as well, a name in `from_dir` that nothing has.
        to_dir, name: where it belongs; same file system.

    Raises:
        OSError: renaming failed for another reason than a taken name.
    """
    try:
        rename_noreplace(from_dir, from_name, to_dir, name)
    except FileExistsError:
        pass
    else:
        return Placed(name)
    if policy is ConflictPolicy.RENAME:
        for candidate in free_names(name):
            try:
                rename_noreplace(from_dir, from_name, to_dir, candidate)
            except FileExistsError:
                continue
            return Placed(candidate)
        return Placed(fault=exists_fault())
    existing = stat_or_none(to_dir, name)
    if existing is None:
        return place(from_dir, from_name, to_dir, name, policy, source_mtime_ns, private=private)
    decided = before_copy(policy, source_mtime_ns, existing)
    if decided is not None:
        return decided
    if stat.S_ISDIR(existing.st_mode) and policy is ConflictPolicy.NEWER:
        return Placed(fault=exists_fault())
    exchange = _Exchange(from_dir, from_name, to_dir, name, private)
    if policy is ConflictPolicy.BACKUP:
        # Before anything else, so that a crash leaves no moment without it.
        if not _back_up(to_dir, name, existing):
            return Placed(fault=exists_fault())
        replaced = exchange.with_backup(existing)
    else:
        replaced = exchange.if_older(source_mtime_ns)
    return replaced or place(from_dir, from_name, to_dir, name, policy, source_mtime_ns, private=private)


class _Exchange:
    """An arrival that takes a name away from what has it; see `place`. Names are exchanged, so that what comes out can
    be looked at when nobody can put anything else there any more: the last copy of something may have got that name a
    moment ago, from another migration that has deleted its source."""

    def __init__(self, from_dir: int, from_name: bytes, to_dir: int, name: bytes, private: bytes) -> None:
        self._from_dir = from_dir
        self._from_name = from_name
        self._to_dir = to_dir
        self._name = name
        self._private = private
        self._arrival = os.stat(from_name, dir_fd=from_dir, follow_symlinks=False)

    def with_backup(self, backed_up: os.stat_result) -> Placed | None:
        """Take the name; whatever has it by now is kept too. None when nothing has it."""
        out = self._exchanged()
        if not isinstance(out, os.stat_result):
            return out
        if os.path.samestat(out, backed_up):
            self._remove(out)
        elif not _keep(self._from_dir, self._from_name, self._to_dir, self._name):
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
            self._remove(out)
            return Placed(self._name)
        self._back()
        return decided or Placed(fault=exists_fault())

    def _exchanged(self) -> os.stat_result | Placed | None:
        """Give the arrival its name and return what had it, which has the arrival's now; None when nothing had it.
        Placed where names cannot be exchanged: there whatever had it is replaced, as closely after it was judged as can
        be."""
        try:
            if not rename_exchange(self._from_dir, self._from_name, self._to_dir, self._name):
                rename_replace(self._from_dir, self._from_name, self._to_dir, self._name)
                return Placed(self._name)
        except FileNotFoundError:
            if stat_or_none(self._to_dir, self._name) is None:
                return None
            raise
        return os.stat(self._from_name, dir_fd=self._from_dir, follow_symlinks=False)

    def _remove(self, out: os.stat_result) -> None:
        """Remove what came out, and nothing that somebody has put under the arrival's name since."""
        if self._private:
            withdraw(self._from_dir, self._from_name, out.st_ino, self._private)
        else:
            os.unlink(self._from_name, dir_fd=self._from_dir)

    def _back(self) -> None:
        """Exchange once more: what had the name has it again. What somebody put there meanwhile is kept beside it:
        whoever called removes what has the arrival's name."""
        try:
            rename_exchange(self._from_dir, self._from_name, self._to_dir, self._name)
        except FileNotFoundError:  # somebody removed the arrival
            with contextlib.suppress(FileExistsError):
                rename_noreplace(self._from_dir, self._from_name, self._to_dir, self._name)
        left = stat_or_none(self._from_dir, self._from_name)
        if left is None or os.path.samestat(left, self._arrival):
            return
        if not _keep(self._from_dir, self._from_name, self._to_dir, self._name):
            raise FileExistsError(errno.EEXIST, "no name is free to keep what was there", os.fsdecode(self._name))


def _keep(from_dir: int, from_name: bytes, to_dir: int, name: bytes) -> bool:
    """Give what is called `from_name` a backup name of `name`; False when none is free."""
    for candidate in backup_names(name):
        try:
            rename_noreplace(from_dir, from_name, to_dir, candidate)
        except FileExistsError:
            continue
        return True
    return False


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


def withdraw(directory: int, name: bytes, inode: int, private: bytes) -> None:
    """Remove our own copy from its final name; whatever else has that name stays.

    Args:
        private: a name that nothing has. The copy is removed under it: its own may be given to another file between a
            look and a delete.

    Raises:
        OSError: it cannot be removed.
    """
    st = stat_or_none(directory, name)
    if st is None or st.st_ino != inode:
        return
    rename_noreplace(directory, name, directory, private)
    if os.stat(private, dir_fd=directory, follow_symlinks=False).st_ino == inode:
        os.unlink(private, dir_fd=directory)
        return
    try:
        rename_noreplace(directory, private, directory, name)
    except FileExistsError:
        if not _keep(directory, private, directory, name):
            raise


def _back_up(to_dir: int, name: bytes, existing: os.stat_result) -> bool:
    """Keep what is there under a backup name. A link first: the name is never without an entry."""
    for candidate in backup_names(name):
        try:
            if stat.S_ISDIR(existing.st_mode):
                rename_noreplace(to_dir, name, to_dir, candidate)
            else:
                link(to_dir, name, to_dir, candidate)
        except FileExistsError:
            kept = stat_or_none(to_dir, candidate)
            if kept is not None and kept.st_ino == existing.st_ino:
                return True  # a crash came between this link and the rename after it
            continue
        except PermissionError:  # a file system without links, or somebody else's file (fs.protected_hardlinks)
            rename_noreplace(to_dir, name, to_dir, candidate)
        return True
    return False
