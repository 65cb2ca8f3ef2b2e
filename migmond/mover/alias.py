"""Finding out that source and target are one place under two device numbers.

An overlay, a FUSE mirror (mergerfs, bindfs), or an NFS mount of this very machine has a number and inodes of its own:
no comparison tells that its files are the source's. A file made on one side and looked for on the other does.
"""

from __future__ import annotations

import errno
import os

from migmond.domain.fault import Fault, Phase
from migmond.domain.names import to_text
from migmond.fsys.closing import close_unwritten
from migmond.fsys.facts import mount_of
from migmond.fsys.rename import stat_or_none
from migmond.fsys.root_path import open_root
from migmond.mover.root import Refused, Root
from migmond.wire.from_mover import OpenFailed

_STACKED = frozenset(
    {
        "overlay", "fuse", "fuseblk", "ecryptfs", "aufs", "unionfs", "nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs",
        "ceph", "vboxsf", "unknown",
    }
)  # fmt: skip
"""What may show files that can be reached another way as well."""
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def refuse_alias(source: Root, target: Root, name: bytes) -> None:
    """Make a file in the target directory, if it is there and one may, look for it in the source's, and remove it.

    Args:
        name: of the file, which nothing else has.

    Raises:
        Refused: they are the same directory.
    """
    if source.gone or source.single != target.single or (source.single and source is not target):
        return
    if source.single and source.source_name != target.target_name:
        return  # a rename within one directory, perhaps
    try:
        fd = open_root(target.target_directory)
    except OSError:
        return
    try:
        if os.fstat(fd).st_dev != os.fstat(source.source_fd).st_dev and (_stacked(fd) or _stacked(source.source_fd)):
            _probe(source, target, fd, name)
    finally:
        close_unwritten(fd)


def _stacked(fd: int) -> bool:
    return mount_of(fd)[0].split(".", 1)[0] in _STACKED


def _probe(source: Root, target: Root, target_fd: int, name: bytes) -> None:
    try:
        made = os.open(name, _MAKE, 0o600, dir_fd=target_fd)
    except OSError:  # not writable: then nothing can happen to what is there either
        return
    try:
        close_unwritten(made)
        same = stat_or_none(source.source_fd, name) is not None
    finally:
        os.unlink(name, dir_fd=target_fd)
    if same:
        message = (
            f"{to_text(source.spec.source)} and {to_text(target.spec.target)} are the same place, "
            "seen through two file systems: moving would delete the only copy"
        )
        fault = Fault(Phase.OPEN, "overlap", errno.EINVAL, "source and destination are the same place")
        raise Refused(OpenFailed(fault, message, "choose a destination elsewhere", target.spec.target))
