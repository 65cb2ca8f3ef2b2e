"""What file systems can keep, by the name of their type.

Only what a type says for sure: of a type that is not in the table, or that hides another one (FUSE, a server),
nothing is claimed but what was found out on the spot.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from migmond.domain.preflight import Folding, TargetFacts

PSEUDO = frozenset(
    {
        "proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs", "devpts", "bpf", "pstore",
        "efivarfs", "fusectl", "mqueue", "binfmt_misc", "nsfs", "selinuxfs", "rpc_pipefs", "autofs", "hugetlbfs",
    }
)  # fmt: skip
"""Their files show what the kernel says at the moment: copying them is no copy of anything."""

COMPRESSING = frozenset({"btrfs", "zfs", "bcachefs", "f2fs", "squashfs", "erofs", "ntfs3", "ntfs", "ubifs", "jffs2"})
"""A file's blocks there may be fewer than its data takes elsewhere, without any hole in it."""

SHARING = frozenset({"btrfs", "xfs", "bcachefs", "ocfs2", "zfs", "nfs4", "cifs", "smb3", "overlay"})
"""A copy within it may share the source's blocks, and then takes none."""

_WINDOWS = b'"*:<>?|\\' + bytes(range(1, 32))


class Abilities(msgspec.Struct, frozen=True):
    """What a file system can keep.

    Attributes:
        max_links: so many names a file can have (the kernel's EXT4_LINK_MAX and its like); None: no limit that matters.
        known: False when the type says little: then only what was found on the spot counts.
        max_file_bytes: a larger file cannot be there; None: no limit that matters.
        time_step_ns: resolution of modification times.
        first_s, last_s: seconds since 1970 of the first and last modification time that it can have.
        forbidden: bytes that no name may contain.
        utf8_only: names are characters there, not bytes; `name_max` counts them in UTF-16.
        drops_dots: dots at the end of a name are left off.
        directory_blocks: every directory takes a block at least.
    """

    known: bool = True
    folding: Folding = Folding.NONE
    symlinks: bool = True
    hard_links: bool = True
    max_links: int | None = None
    specials: bool = True
    owners: bool = True
    modes: bool = True
    holes: bool = True
    max_file_bytes: int | None = None
    time_step_ns: int = 1
    first_s: int | None = None
    last_s: int | None = None
    forbidden: bytes = b""
    utf8_only: bool = False
    drops_dots: bool = False
    directory_blocks: bool = False


_PLAIN = Abilities()
_EXT4 = Abilities(directory_blocks=True, max_links=65_000, first_s=-(1 << 31), last_s=15_032_385_535)
"""The last second is in May 2446; with inodes of 128 bytes, which cannot be seen from outside, in 2038."""
_EXT3 = msgspec.structs.replace(_EXT4, max_links=32_000, time_step_ns=10**9, last_s=(1 << 31) - 1)
_XFS = Abilities(first_s=-(1 << 31), last_s=16_299_260_424)
"""July 2486; without `bigtime` 2038. Both from the kernel's fs/*/super.c (s_time_min, s_time_max)."""
_FAT = Abilities(
    folding=Folding.CASE,
    symlinks=False,
    hard_links=False,
    specials=False,
    owners=False,
    modes=False,
    holes=False,
    max_file_bytes=(1 << 32) - 1,
    time_step_ns=2 * 10**9,
    first_s=315532800,  # 1980
    last_s=4354819199,  # the end of 2107
    forbidden=_WINDOWS,
    utf8_only=True,
    drops_dots=True,
    directory_blocks=True,
)
_EXFAT = msgspec.structs.replace(_FAT, max_file_bytes=None, time_step_ns=10**7)
_NTFS = Abilities(max_links=1_024, time_step_ns=100, utf8_only=True)
_HFS_PLUS = Abilities(folding=Folding.UNICODE, time_step_ns=10**9, utf8_only=True, holes=False)
_SERVER = Abilities(known=False, folding=Folding.UNKNOWN)
_TYPES: Mapping[str, Abilities] = {
    "ext4": _EXT4,
    "xfs": _XFS,
    "ext3": _EXT3,
    "ext2": _EXT3,
    "vfat": _FAT,
    "msdos": _FAT,
    "exfat": _EXFAT,
    "ntfs3": _NTFS,
    "hfsplus": _HFS_PLUS,
    "btrfs": Abilities(max_links=65_535),
    **dict.fromkeys(("tmpfs", "zfs", "bcachefs", "f2fs", "overlay", "nfs", "nfs4", "ramfs"), _PLAIN),
}


def may_share(file_system: str) -> bool:
    """Whether a copy within a file system of that type may share blocks: not where its type is known not to."""
    return file_system in SHARING or file_system not in _TYPES


def abilities_of(facts: TargetFacts) -> Abilities:
    """Return what the target's file system can keep; what it showed itself goes before what its type says."""
    found = _TYPES.get(facts.file_system, _SERVER)
    if facts.folding is Folding.UNKNOWN or facts.folding is found.folding:
        return found
    if facts.folding is Folding.CASE and found.folding is Folding.UNICODE:
        return found  # a look at one name does not tell the difference
    return msgspec.structs.replace(found, folding=facts.folding)
