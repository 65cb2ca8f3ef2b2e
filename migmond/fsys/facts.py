"""What file system this is, what it keeps, and how much room it has for an unprivileged user."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from migmond.domain.mount_table import unescape
from migmond.domain.preflight import Quota, SourceFacts, TargetFacts
from migmond.fsys import libc
from migmond.fsys.folding import folding_of
from migmond.planning.filesystems import COMPRESSING

_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS})
_NO_SUCH_ATTRIBUTE = "user.migmond.nothing"
_QUOTA_KINDS = ((0, "user"), (1, "group"))


def target_facts(fd: int) -> TargetFacts:
    """Return the figures of the file system that directory `fd` is on, and what it keeps for this process."""
    st, directory = os.fstatvfs(fd), os.fstat(fd)
    file_system, options, point = mount_of(fd)
    xattrs = _keeps(fd, _NO_SUCH_ATTRIBUTE)
    # FUSE answers for ACLs by itself, also when the program behind it keeps no attribute at all.
    acls = _keeps(fd, "system.posix_acl_access") and (xattrs or not file_system.startswith("fuse"))
    return TargetFacts(
        free_bytes=st.f_bavail * st.f_frsize,
        free_inodes=st.f_favail,
        total_bytes=st.f_blocks * st.f_frsize,
        name_max=st.f_namemax,
        file_system=file_system,
        read_only=bool(st.f_flag & os.ST_RDONLY),
        writable=may_write(fd, directory),
        device=directory.st_dev,
        total_inodes=st.f_files,
        block_bytes=st.f_frsize or 4096,
        folding=folding_of(fd, file_system),
        xattrs=xattrs,
        acls=acls,
        compresses="compress" in options or file_system in ("zfs", "bcachefs"),
        quotas=quotas_of(fd),
        mount_point=point,
    )


def source_facts(fd: int) -> SourceFacts:
    """Return what file system directory `fd` is on."""
    file_system = mount_of(fd).kind
    return SourceFacts(file_system, compresses=file_system in COMPRESSING)


def may_write(fd: int, directory: os.stat_result) -> bool:
    """Whether entries can be made in directory `fd`; its owner may be let in by a chmod.

    Args:
        directory: its fstat.
    """
    if os.access(b".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True):
        return True
    return directory.st_uid == os.geteuid() and not os.fstatvfs(fd).f_flag & os.ST_RDONLY


def quotas_of(fd: int) -> tuple[Quota, ...]:
    """Return what is left of the quotas of this process's user and group; nothing where none is told.

    root's writes are not held to quotas.
    """
    if os.geteuid() == 0:
        return ()
    found = []
    for (number, kind), owner in zip(_QUOTA_KINDS, (os.geteuid(), os.getegid()), strict=True):
        try:
            q = libc.quota(fd, number, owner)
        except OSError:  # no quotas, an older kernel, or not ours to ask
            continue
        room = _left(q.hard_bytes or q.soft_bytes, q.used_bytes)
        inodes = _left(q.hard_inodes or q.soft_inodes, q.used_inodes)
        if room is not None or inodes is not None:
            found.append(Quota(kind, room, inodes))
    return tuple(found)


def _left(limit: int, used: int) -> int | None:
    return max(0, limit - used) if limit else None


def _keeps(fd: int, name: str) -> bool:
    """Whether attributes of that kind can be: asking for one that is not there tells."""
    try:
        os.getxattr(fd, name)
    except OSError as e:
        return e.errno not in _UNSUPPORTED
    return True


def mount_id(fd: int) -> int:
    """Return the mount that `fd` was opened through; two fds of one device may be on different mounts."""
    with open(f"/proc/self/fdinfo/{fd}") as lines:
        for line in lines:
            if line.startswith("mnt_id:"):
                return int(line.split()[1])
    return 0


class Mount(NamedTuple):
    """`kind` is the type of the file system, as mount shows it ("ext4", "fuse.sshfs", ...); `unknown`, and the others
    empty, when the mount is not to be seen."""

    kind: str
    options: str
    point: bytes


def mount_of(fd: int) -> Mount:
    """Return the mount that `fd` was opened through."""
    number = mount_id(fd)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as mounts:
        for line in mounts:
            if line.startswith(f"{number} "):
                first, last = line.split(" - ", 1)
                kind, _, options = last.rstrip("\n").split(" ")[:3]
                return Mount(kind, options, unescape(os.fsencode(first.split(" ", 5)[4])))
    return Mount("unknown", "", b"")
