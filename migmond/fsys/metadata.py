"""Everything about an entry that is not its content, in the one order that works: owner, xattrs, mode,
flags, times.

chown clears setuid bits and file capabilities, so it comes first (design page HAZARDS row 32); times come last.
What the target or the caller's rights do not allow is returned as Lost, never silently dropped.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import NoReturn

import msgspec

from migmond.domain.entry import Lost
from migmond.fsys.flags import copy_flags
from migmond.fsys.times import TimeMemory
from migmond.fsys.xattrs import Pinned, copy_xattrs

_CAP_CHOWN, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_FOWNER, _CAP_FSETID = 0, 1, 2, 3, 4
_CAP_SYS_ADMIN, _CAP_MKNOD = 21, 27
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID
_REFUSED = frozenset({errno.EPERM, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EOVERFLOW})
"""EINVAL and EOVERFLOW: the id has no meaning in this user namespace or on this file system."""


class Rights(msgspec.Struct, frozen=True):
    """What this process may do beyond what modes and ACLs grant to everybody."""

    uid: int
    gid: int
    groups: frozenset[int]
    may_chown: bool
    may_trusted: bool
    may_setgid: bool = False
    """Keep setgid on files of groups that it is not in; without that right chmod drops the bit and says nothing."""
    may_read_all: bool = False
    may_write_all: bool = False
    may_act_as_owner: bool = False
    """Among others: remove what is somebody else's from a sticky directory."""
    may_make_devices: bool = False

    @classmethod
    def of_process(cls) -> Rights:
        """Read them from the kernel; they do not change in a mover's life."""
        capabilities = 0
        with open("/proc/self/status", "rb") as lines:
            for line in lines:
                if line.startswith(b"CapEff:"):
                    capabilities = int(line.split()[1], 16)

        def has(capability: int) -> bool:
            return bool(capabilities >> capability & 1)

        return cls(
            os.geteuid(),
            os.getegid(),
            frozenset(os.getgroups()),
            may_chown=has(_CAP_CHOWN),
            may_trusted=has(_CAP_SYS_ADMIN),
            may_setgid=has(_CAP_FSETID),
            may_read_all=has(_CAP_DAC_OVERRIDE) or has(_CAP_DAC_READ_SEARCH),
            may_write_all=has(_CAP_DAC_OVERRIDE),
            may_act_as_owner=has(_CAP_FOWNER),
            may_make_devices=has(_CAP_MKNOD),
        )


def copy_metadata(
    source_fd: int,
    target_fd: int,
    source: os.stat_result,
    rights: Rights,
    *,
    target: os.stat_result | None = None,
    bare: bool = False,
    mtime_ns: int | None = None,
    times: TimeMemory | None = None,
) -> Lost:
    """Bring owner, xattrs (ACLs and capabilities among them), mode, flags and times over, by fd.

    Args:
        source: fstat of the source.
        target: fstat of the target if known; calls that would change nothing are left out.
        bare: the target is known to have no attributes yet.
        mtime_ns: modification time to set instead of the source's.
        times: what is known about the targets so far; without it every file's times are looked at again.

    Returns:
        What could not be kept.

    Raises:
        OSError: the target failed in another way (EIO, ENOSPC, EROFS, ...).
    """
    if target is None:
        target = os.fstat(target_fd)
    lost = _copy_owner(target_fd, source, target, rights)
    # A directory may have been there before; a file is always our fresh one.
    mirror = stat.S_ISDIR(source.st_mode)
    loss, acl_changed = copy_xattrs(source_fd, target_fd, trusted=rights.may_trusted, mirror=mirror, bare=bare)
    # Joining flags takes longer than a system call: most files lose nothing.
    if loss:
        lost |= loss
    if loss := _copy_mode(target_fd, source, target, rights, lost, changed=acl_changed):
        lost |= loss
    if loss := copy_flags(source_fd, target_fd):
        lost |= loss
    mtime_ns = source.st_mtime_ns if mtime_ns is None else mtime_ns
    if loss := (times or TimeMemory()).set(target_fd, target.st_dev, source.st_atime_ns, mtime_ns):
        lost |= loss
    return lost


def copy_link_metadata(
    source_dir: int,
    source_name: bytes,
    target_dir: int,
    target_name: bytes,
    source: os.stat_result,
    rights: Rights,
    times: TimeMemory,
) -> Lost:
    """The same for an entry that cannot be opened: symlink, fifo, socket, device.

    Nothing is followed: both are pinned first, so that nobody can put a symlink to something precious in the
    target's place between two calls (design page HAZARDS row 40).

    Args:
        source: lstat of the source.
        times: what is known about the targets so far.

    Returns:
        What could not be kept.

    Raises:
        OSError: EAGAIN when the source is not the one of `source` any more or the target is of another type;
            else the target failed in another way (EIO, ENOSPC, EROFS, ...).
    """
    with _pin(source_dir, source_name) as source_fd, _pin(target_dir, target_name) as target_fd:
        target = os.fstat(target_fd)
        if not os.path.samestat(os.fstat(source_fd), source):
            _replaced(source_name)
        if stat.S_IFMT(target.st_mode) != stat.S_IFMT(source.st_mode):
            _replaced(target_name)
        from_there, to_here = b"/proc/self/fd/%d" % source_fd, b"/proc/self/fd/%d" % target_fd
        lost = _copy_owner(to_here, source, target, rights)
        loss, acl_changed = copy_xattrs(from_there, to_here, trusted=rights.may_trusted, mirror=False)
        lost |= loss
        if not stat.S_ISLNK(source.st_mode):
            lost |= _copy_mode(to_here, source, target, rights, lost, changed=acl_changed)
        return lost | times.set(to_here, target.st_dev, source.st_atime_ns, source.st_mtime_ns)


@contextlib.contextmanager
def _pin(dir_fd: int, name: bytes) -> Iterator[int]:
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _replaced(name: bytes) -> NoReturn:
    raise OSError(errno.EAGAIN, "somebody put something else in its place", os.fsdecode(name))


def _copy_owner(target: Pinned, source: os.stat_result, now: os.stat_result, rights: Rights) -> Lost:
    uid, gid = source.st_uid, source.st_gid
    new_uid, new_gid = uid != now.st_uid, gid != now.st_gid
    if not new_uid and not new_gid:
        return Lost.NOTHING
    if (rights.may_chown or not new_uid) and _chown(target, uid if new_uid else -1, gid if new_gid else -1):
        return Lost.NOTHING
    lost = Lost.NOTHING
    if new_gid:
        theirs = rights.may_chown or gid == rights.gid or gid in rights.groups
        if not (theirs and _chown(target, -1, gid)):
            lost |= Lost.GROUP
    if new_uid and not (rights.may_chown and _chown(target, uid, -1)):
        lost |= Lost.OWNER
    return lost


def _chown(target: Pinned, uid: int, gid: int) -> bool:
    try:
        os.chown(target, uid, gid)
    except OSError as e:
        if e.errno not in _REFUSED:
            raise
        return False
    return True


def _copy_mode(
    target: Pinned, source: os.stat_result, before: os.stat_result, rights: Rights, lost: Lost, *, changed: bool
) -> Lost:
    """Set the mode unless it is right already. `changed`: something else than chown may have changed it."""
    mode = stat.S_IMODE(source.st_mode)
    loss = Lost.NOTHING
    foreign = lost & (Lost.OWNER | Lost.GROUP) or not rights.may_chown
    if mode & _SPECIAL_BITS and not stat.S_ISDIR(source.st_mode) and foreign:
        # A setuid program that runs as somebody else than intended is worse than one that does not; and only whoever
        # may give files away anyhow makes one at all.
        mode &= ~_SPECIAL_BITS
        loss = Lost.MODE
    same_owner = (before.st_uid, before.st_gid) == (source.st_uid, source.st_gid)
    if mode == stat.S_IMODE(before.st_mode) and same_owner and not changed:
        return loss
    if mode & stat.S_ISGID and not rights.may_setgid:
        group = before.st_gid if lost & Lost.GROUP else source.st_gid
        if group != rights.gid and group not in rights.groups:
            loss |= Lost.MODE
    try:
        os.chmod(target, mode)
    except OSError as e:
        if e.errno not in _REFUSED:
            raise
        loss |= Lost.MODE
    return loss
