"""Everything about an entry that is not its content, in the one order that works: owner, xattrs, mode, times.

chown clears setuid bits and file capabilities, so it comes first (HAZARDS.md row 32); times come last.
What the target or the caller's rights do not allow is returned as Lost, never silently dropped.
"""

from __future__ import annotations

import errno
import os
import stat

import msgspec

from migmond.domain.entry import Lost

_NOT_HERE = frozenset(
    {errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.ENODATA, errno.EINVAL, errno.ENOSYS, errno.ERANGE}
)
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.E2BIG})
_ACLS = frozenset({"system.posix_acl_access", "system.posix_acl_default"})
_CAPABILITY = "security.capability"
_CAP_CHOWN, _CAP_SYS_ADMIN = 0, 21
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID


class Rights(msgspec.Struct, frozen=True):
    """What this process may do about metadata."""

    uid: int
    gid: int
    groups: frozenset[int]
    may_chown: bool
    may_trusted: bool

    @classmethod
    def of_process(cls) -> Rights:
        """Read them from the kernel; they do not change in a mover's life."""
        capabilities = 0
        with open("/proc/self/status") as lines:
            for line in lines:
                if line.startswith("CapEff:"):
                    capabilities = int(line.split()[1], 16)
        return cls(
            os.geteuid(),
            os.getegid(),
            frozenset(os.getgroups()),
            bool(capabilities >> _CAP_CHOWN & 1),
            bool(capabilities >> _CAP_SYS_ADMIN & 1),
        )


def copy_metadata(
    source_fd: int,
    target_fd: int,
    source: os.stat_result,
    rights: Rights,
    *,
    target: os.stat_result | None = None,
    mtime_ns: int | None = None,
) -> Lost:
    """Bring owner, xattrs (ACLs and capabilities among them), mode and times over, by fd.

    Args:
        source: fstat of the source.
        target: fstat of the target if known; calls that would change nothing are left out.
        mtime_ns: modification time to set instead of the source's.

    Returns:
        What could not be kept.

    Raises:
        OSError: the target failed in another way (EIO, ENOSPC, EROFS, ...).
    """
    if target is None:
        target = os.fstat(target_fd)
    lost = _copy_owner(target_fd, source, target, rights)
    lost |= _copy_xattrs(source_fd, target_fd, rights, fresh=not stat.S_ISDIR(source.st_mode))
    mode = stat.S_IMODE(source.st_mode)
    if lost & (Lost.OWNER | Lost.GROUP) and mode & _SPECIAL_BITS and not stat.S_ISDIR(source.st_mode):
        # A setuid program that would run as somebody else than intended is worse than one that does not.
        mode &= ~_SPECIAL_BITS
        lost |= Lost.MODE
    if mode != stat.S_IMODE(target.st_mode) or target.st_uid != source.st_uid or target.st_gid != source.st_gid:
        try:
            os.fchmod(target_fd, mode)
        except PermissionError:
            lost |= Lost.MODE
    try:
        os.utime(target_fd, ns=(source.st_atime_ns, source.st_mtime_ns if mtime_ns is None else mtime_ns))
    except PermissionError:
        lost |= Lost.TIMES
    return lost


def copy_link_metadata(
    source_dir: int,
    source_name: bytes,
    target_dir: int,
    target_name: bytes,
    source: os.stat_result,
    rights: Rights,
) -> Lost:
    """The same for an entry that cannot be opened: symlink, fifo, socket, device. Nothing is followed."""
    lost = Lost.NOTHING
    target = os.stat(target_name, dir_fd=target_dir, follow_symlinks=False)
    wanted = (source.st_uid, source.st_gid)
    if wanted != (target.st_uid, target.st_gid):
        lost |= _try_chown(target_name, wanted, rights, target, dir_fd=target_dir)
    lost |= _copy_link_xattrs(source_dir, source_name, target_dir, target_name, rights)
    mode = stat.S_IMODE(source.st_mode)
    if not stat.S_ISLNK(source.st_mode) and (mode != stat.S_IMODE(target.st_mode) or lost & Lost.OWNER):
        # The temporary name is ours and not a symlink: nothing is followed although fchmodat cannot promise it.
        os.chmod(target_name, mode, dir_fd=target_dir)
    os.utime(target_name, ns=(source.st_atime_ns, source.st_mtime_ns), dir_fd=target_dir, follow_symlinks=False)
    return lost


def _copy_owner(target_fd: int, source: os.stat_result, target: os.stat_result, rights: Rights) -> Lost:
    wanted = (source.st_uid, source.st_gid)
    if wanted == (target.st_uid, target.st_gid):
        return Lost.NOTHING
    return _try_chown(target_fd, wanted, rights, target)


def _try_chown(
    target: int | bytes, wanted: tuple[int, int], rights: Rights, now: os.stat_result, dir_fd: int | None = None
) -> Lost:
    uid, gid = wanted
    lost = Lost.NOTHING
    if not rights.may_chown:
        if uid != now.st_uid:
            lost |= Lost.OWNER
            uid = -1
        if gid != now.st_gid and gid != rights.gid and gid not in rights.groups:
            lost |= Lost.GROUP
            gid = -1
        if uid == -1 and gid == -1:
            return lost
    try:
        if isinstance(target, int):
            os.fchown(target, uid, gid)
        else:
            os.chown(target, uid, gid, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as e:
        if e.errno not in (errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP):
            raise
        lost |= (Lost.OWNER if uid != -1 and uid != now.st_uid else Lost.NOTHING) | (
            Lost.GROUP if gid != -1 and gid != now.st_gid else Lost.NOTHING
        )
    return lost


def _names(path: int | str, *, follow: bool) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=follow) if not isinstance(path, int) else os.listxattr(path)
    except OSError as e:
        if e.errno in _NOT_HERE:
            return []
        raise


def _copy_xattrs(source_fd: int, target_fd: int, rights: Rights, *, fresh: bool) -> Lost:
    names = _names(source_fd, follow=True)
    lost = Lost.NOTHING
    for name in names:
        if name.startswith("trusted.") and not rights.may_trusted:
            continue
        try:
            os.setxattr(target_fd, name, os.getxattr(source_fd, name))
        except OSError as e:
            if e.errno not in _NOT_HERE and e.errno not in _NO_ROOM:
                raise
            lost |= _loss_of(name)
    # An ACL that the target inherited from its directory but the source does not have would grant others access.
    for name in _names(target_fd, follow=True):
        if (name in _ACLS and name not in names) or (not fresh and name.startswith("user.") and name not in names):
            os.removexattr(target_fd, name)
    return lost


def _copy_link_xattrs(source_dir: int, source: bytes, target_dir: int, target: bytes, rights: Rights) -> Lost:
    source_path = f"/proc/self/fd/{source_dir}/{os.fsdecode(source)}"
    target_path = f"/proc/self/fd/{target_dir}/{os.fsdecode(target)}"
    lost = Lost.NOTHING
    for name in _names(source_path, follow=False):
        if name.startswith("trusted.") and not rights.may_trusted:
            continue
        try:
            value = os.getxattr(source_path, name, follow_symlinks=False)
            os.setxattr(target_path, name, value, follow_symlinks=False)
        except OSError as e:
            if e.errno not in _NOT_HERE and e.errno not in _NO_ROOM:
                raise
            lost |= _loss_of(name)
    return lost


def _loss_of(name: str) -> Lost:
    if name in _ACLS:
        return Lost.ACL
    return Lost.CAPABILITIES if name == _CAPABILITY else Lost.XATTRS
