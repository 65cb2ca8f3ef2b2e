"""Names that are taken: what to do, and which free names there are. Pure but for `place`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import msgspec

from migmond.domain.fault import Fault, Phase
from migmond.domain.plan import ConflictPolicy
from migmond.domain.states import Outcome
from migmond.fsys.rename import link, rename_noreplace, rename_replace, stat_or_none

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
    from_dir: int, from_name: bytes, to_dir: int, name: bytes, policy: ConflictPolicy, source_mtime_ns: int
) -> Placed:
    """Give an arrival its final name: without replacing anything, or else by the policy.

    Args:
        from_dir, from_name: where the arrival is now (a temporary, or the source itself in a move by rename).
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
        return place(from_dir, from_name, to_dir, name, policy, source_mtime_ns)
    decided = before_copy(policy, source_mtime_ns, existing)
    if decided is not None:
        return decided
    if stat.S_ISDIR(existing.st_mode) and policy is ConflictPolicy.NEWER:
        return Placed(fault=exists_fault())
    if policy is ConflictPolicy.BACKUP and not _back_up(to_dir, name, existing):
        return Placed(fault=exists_fault())
    rename_replace(from_dir, from_name, to_dir, name)
    return Placed(name)


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


def withdraw(directory: int, name: bytes, inode: int) -> None:
    """Remove our own copy from its final name; whatever else has that name stays.

    Raises:
        OSError: it cannot be removed.
    """
    st = stat_or_none(directory, name)
    if st is not None and st.st_ino == inode:
        os.unlink(name, dir_fd=directory)


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
