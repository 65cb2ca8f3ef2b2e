"""What a preflight is made of: facts that a mover gathers without writing anything. The verdict is made of them."""

from __future__ import annotations

import enum

import msgspec


class Folding(enum.StrEnum):
    """Which different names a file system takes for the same one."""

    NONE = "none"
    CASE = "case"
    """Those that differ in case only."""
    UNICODE = "unicode"
    """Those that differ in case or in the way an accented letter is composed."""
    UNKNOWN = "unknown"


class Quota(msgspec.Struct, frozen=True, array_like=True):
    """What is left of a quota. `kind`: `user` or `group`. None: that is not limited."""

    kind: str
    free_bytes: int | None
    free_inodes: int | None


class SourceFacts(msgspec.Struct, frozen=True, array_like=True):
    """The file system of a source. `compresses`: its files may take less room there than anywhere else."""

    file_system: str
    compresses: bool


class TargetFacts(msgspec.Struct, frozen=True, array_like=True):
    """The file system of a target, or of the nearest directory that exists above it.

    Attributes:
        free_bytes, free_inodes: for an unprivileged user.
        total_inodes: 0 when the file system has no fixed number.
        file_system: the type's name from mountinfo, or `unknown`.
        writable: the mover may make entries there, after a chmod if the directory is its own.
        device: st_dev.
        block_bytes: what it allocates at least.
        folding: as the directory itself shows; UNKNOWN when it does not.
        xattrs, acls: it keeps them.
        compresses: data may take less room than its size.
        quotas: of the mover's user and group, where the kernel tells.
        mount_point: where it is mounted; b"" when that is not to be seen.
    """

    free_bytes: int
    free_inodes: int
    total_bytes: int
    name_max: int
    file_system: str
    read_only: bool
    writable: bool
    device: int = 0
    total_inodes: int = 0
    block_bytes: int = 4096
    folding: Folding = Folding.UNKNOWN
    xattrs: bool = True
    acls: bool = True
    compresses: bool = False
    quotas: tuple[Quota, ...] = ()
    mount_point: bytes = b""


class Sight(enum.StrEnum):
    """What may deserve a word about an entry, or about a directory as a whole."""

    UNREADABLE_DIRECTORY = "unreadable"
    UNREADABLE_FILE = "unreadable_files"
    UNDELETABLE = "undeletable"
    STICKY = "sticky"
    IMMUTABLE = "immutable"
    FLAGS = "flags"
    MOUNT_POINT = "mount_points"
    PSEUDO = "pseudo_file_system"
    WRITER = "open_writers"
    SET_ASIDE = "set_aside"
    LINK_OUTSIDE = "links_outside"
    TARGET_UNWRITABLE = "target_unwritable"
    TARGET_MOUNT = "target_mount_points"
    THERE = "already_there"
    CONFLICT = "conflicts"
    COLLISION = "collisions"
    NAME_LENGTH = "name_length"
    NAME_CHARACTERS = "name_characters"
    PATH_LENGTH = "path_length"
    FILE_SIZE = "file_size"
    XATTRS = "xattrs"
    ACL = "acls"
    CAPABILITIES = "capabilities"
    OWNER = "owners"
    GROUP = "groups"
    FOREIGN_OWNER = "foreign_owners"
    MODE = "modes"
    SYMLINK = "symlinks"
    HARD_LINK = "hard_links"
    MANY_LINKS = "link_limit"
    SPECIAL = "special_files"
    DEVICE = "devices"
    HOLES = "holes"
    TIME_STEP = "time_resolution"
    TIME_RANGE = "time_range"


class Sighting(msgspec.Struct, frozen=True, array_like=True):
    """How often something was seen, and where first: a path below the source root (b"": the root itself)."""

    count: int
    example: bytes

    def plus(self, other: Sighting) -> Sighting:
        return Sighting(self.count + other.count, self.example)


class Need(msgspec.Struct, frozen=True, array_like=True):
    """Room that is needed at a target: surely `least`, and no more than about `most`."""

    least_bytes: int = 0
    most_bytes: int = 0
    least_inodes: int = 0
    most_inodes: int = 0

    def plus(self, other: Need) -> Need:
        return Need(
            self.least_bytes + other.least_bytes,
            self.most_bytes + other.most_bytes,
            self.least_inodes + other.least_inodes,
            self.most_inodes + other.most_inodes,
        )


class RootSurvey(msgspec.Struct, frozen=True, array_like=True):
    """What the walk of one source found."""

    source: SourceFacts
    need: Need
    sights: dict[Sight, Sighting]


class Survey(msgspec.Struct, frozen=True, array_like=True):
    """What the walk of all sources found. `bytes` is the size of the files' contents, each inode's once."""

    entries: int
    files: int
    directories: int
    bytes: int
    roots: tuple[RootSurvey, ...]


class Promise(msgspec.Struct, frozen=True):
    """Room that a live execution has yet to fill.

    Attributes:
        holder: how it may be named to whoever asks.
        device: st_dev of its target.
        bytes, entries: what it has planned and not copied yet.
        certain: False when some of it may turn out not to be needed there.
    """

    holder: str
    device: int
    bytes: int
    entries: int
    certain: bool
