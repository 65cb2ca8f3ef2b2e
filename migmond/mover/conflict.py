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
    if policy is ConflictPolicy.BACKUP:
        # Before anything else, so that a crash leaves no moment without it.
        if not _back_up(to_dir, name, existing):
            return Placed(fault=exists_fault())
        replaced = _replace_with_backup(from_dir, from_name, to_dir, name, existing)
    else:
        replaced = _replace_older(from_dir, from_name, to_dir, name, source_mtime_ns)
    return replaced or place(from_dir, from_name, to_dir, name, policy, source_mtime_ns)


def _replace_with_backup(
    from_dir: int, from_name: bytes, to_dir: int, name: bytes, backed_up: os.stat_result
) -> Placed | None:
    """Take the name; whatever has it by now, another migration's copy for one, is kept too. None: nothing has it."""
    arrival = os.stat(from_name, dir_fd=from_dir, follow_symlinks=False)
    out = _exchanged(from_dir, from_name, to_dir, name)
    if not isinstance(out, os.stat_result):
        return out
    if _same(out, backed_up):
        os.unlink(from_name, dir_fd=from_dir)
    elif not _keep(from_dir, from_name, to_dir, name):
        _put_back(from_dir, from_name, to_dir, name, arrival)
        return Placed(fault=exists_fault())
    return Placed(name)


def _replace_older(from_dir: int, from_name: bytes, to_dir: int, name: bytes, source_mtime_ns: int) -> Placed | None:
    """Take the name from something older. What it was is judged when nobody can put anything else there any more: the
    last copy of something newer may have got that name a moment ago. None when nothing has it."""
    arrival = os.stat(from_name, dir_fd=from_dir, follow_symlinks=False)
    out = _exchanged(from_dir, from_name, to_dir, name)
    if not isinstance(out, os.stat_result):
        return out
    decided = before_copy(ConflictPolicy.NEWER, source_mtime_ns, out)
    if decided is None and not stat.S_ISDIR(out.st_mode):
        os.unlink(from_name, dir_fd=from_dir)
        return Placed(name)
    _put_back(from_dir, from_name, to_dir, name, arrival)
    return decided or Placed(fault=exists_fault())


def _exchanged(from_dir: int, from_name: bytes, to_dir: int, name: bytes) -> os.stat_result | Placed | None:
    """Give the arrival its name and return what had it, which has the arrival's now; None when nothing had it. Placed
    where names cannot be exchanged: there whatever had it is replaced, as closely after it was judged as can be."""
    try:
        if not rename_exchange(from_dir, from_name, to_dir, name):
            rename_replace(from_dir, from_name, to_dir, name)
            return Placed(name)
    except FileNotFoundError:
        if stat_or_none(to_dir, name) is None:
            return None
        raise
    return os.stat(from_name, dir_fd=from_dir, follow_symlinks=False)


def _put_back(from_dir: int, from_name: bytes, to_dir: int, name: bytes, arrival: os.stat_result) -> None:
    """Exchange once more: what had the name has it again. What somebody put there meanwhile is kept beside it: whoever
    called removes what has the arrival's name."""
    try:
        rename_exchange(from_dir, from_name, to_dir, name)
    except FileNotFoundError:  # somebody removed the arrival
        with contextlib.suppress(FileExistsError):
            rename_noreplace(from_dir, from_name, to_dir, name)
    left = stat_or_none(from_dir, from_name)
    if left is not None and not _same(left, arrival) and not _keep(from_dir, from_name, to_dir, name):
        raise FileExistsError(errno.EEXIST, "no name is free to keep what was there", os.fsdecode(name))


def _keep(from_dir: int, from_name: bytes, to_dir: int, name: bytes) -> bool:
    """Give what has the arrival's name a backup name; False when none is free."""
    for candidate in backup_names(name):
        try:
            rename_noreplace(from_dir, from_name, to_dir, candidate)
        except FileExistsError:
            continue
        return True
    return False


def _same(a: os.stat_result, b: os.stat_result) -> bool:
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


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
