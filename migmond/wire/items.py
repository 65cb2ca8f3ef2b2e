"""What the messages between daemon and mover are made of: roots, options, and one record per entry and direction."""

from __future__ import annotations

import msgspec

from migmond.domain.entry import EntryType, Lost
from migmond.domain.examination import ExamineItem
from migmond.domain.execution import Anchor
from migmond.domain.fault import Fault
from migmond.domain.file_kinds import FileKind
from migmond.domain.file_system import FileSystemId
from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel
from migmond.domain.states import Outcome


class RootSpec(msgspec.Struct, frozen=True, array_like=True):
    """One source of the plan: absolute source path and absolute target path (destination joined with `into`)."""

    source: bytes
    target: bytes


class RootInfo(msgspec.Struct, frozen=True, array_like=True):
    """What a mover found on opening a root.

    Attributes:
        type: type of the source itself. For anything but a directory the task's `directory` is 0 and the mover
            works in the parents of source and target.
        root_entry: the source itself: size, mtime_ns, ctime_ns, inode, links.
        source_device, target_device: st_dev; the target's is that of the target, or of its nearest existing parent.
        target_exists: the target was there before (as a directory, for a directory source).
        anchor: the directory that the target stands in.
        target_empty: it was not, or nothing was in it: whatever is planned has to be brought there.
        source_file_system: which one the source is on.
    """

    type: EntryType
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    links: int
    source_device: int
    target_device: int
    target_exists: bool
    anchor: Anchor
    target_empty: bool = False
    source_file_system: FileSystemId = FileSystemId()


class MoverOptions(msgspec.Struct, frozen=True, array_like=True):
    """How this execution's movers work; the same for all of them.

    Attributes:
        execution: id; temporary names are `.migmond-<id>-<task number>-<mover>-<attempt>.part`.
        rename: move by rename (same file system) before anything else; a mover that meets EXDEV copies instead.
        group_entries, group_bytes: a commit group is synced when it holds that much,
        group_idle_s: or when nothing was added to it for so long,
        group_age_s: or when it is so old.
        machine_code: copy small files by `migmond.fsys.small_files`, if there is any.
        io_priority: see `migmond.fsys.io_priority`.
        kinds: the scan looks into files whose names do not tell what they are: the plan's selector asks for that.
    """

    execution: str
    operation: Operation
    conflict: ConflictPolicy
    verify: VerifyLevel
    one_file_system: bool
    reflink: bool
    rename: bool
    group_entries: int = 2000
    group_bytes: int = 256 * 1024 * 1024
    group_idle_s: float = 0.05
    group_age_s: float = 2.0
    machine_code: bool = True
    io_priority: str = "normal"
    kinds: bool = False


class WorkItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One task of a batch: what the scan saw of it, and for a hard link where its leader's target is.

    `leader_root` is -1 for an ordinary entry. `leader_path` is the leader's final path below its target root, where
    `leader_inode` has to be found (0: nobody knows), with this size and this time of modification; `leader_lost` is
    what its target could not keep.
    `as_found`: the source has changed since the scan; take it as it is now and tell in the result what that is.
    `earlier_inode`: our own copy of an earlier version, under `earlier_name` (b"": the task's own): its source changed
    before it was deleted. When the source is taken as found, that copy makes room, if it still hashes to
    `earlier_digest` (None: nobody knows).
    """

    number: int
    name: bytes
    type: EntryType
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    links: int
    leader_root: int = -1
    leader_path: bytes = b""
    as_found: bool = False
    earlier_inode: int = 0
    earlier_name: bytes = b""
    leader_inode: int = 0
    leader_lost: Lost = Lost.NOTHING
    earlier_digest: bytes | None = None
    as_name: bytes = b""
    """What it is to be called at the target; b"": as at the source. Only a rollback gives names back."""
    keep: bool = False
    """The source stays: it is copied, never renamed."""
    withhold: tuple[FileKind, ...] = ()
    """It is not copied when its content is of one of these kinds, which its name does not tell: see WITHHELD."""


WITHHELD = "withheld"
"""Kind of the fault of an item whose content is of a kind that is not to be copied now."""


class Seen(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The version of a source that was copied, when it is another one than the scan saw."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    links: int


class CopyResult(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of one item.

    Exactly one of these holds:
    - `fault` is set: nothing of the task is left at the target;
    - `group` is 0 and `outcome` says why nothing is to be done (UNCHANGED, EXISTS, OLDER, SOURCE_GONE);
    - `group` > 0: the copy is a member of that commit group, with `inode` its inode at the target.
    UNCHANGED in a move joins a group like a copy: its target must be durable before the source is deleted.
    `birth_ns`: when the source was made, for members whose file system tells it, else 0.
    `attempt`: number of the mover's attempt that made the member, by which its temporary is named; 0 for one that has
    its name already.
    `root`: at whose target the member stands already, when it was sent to another destination since; else -1.
    """

    number: int
    group: int
    outcome: Outcome
    lost: Lost
    digest: bytes | None
    inode: int
    size: int
    fault: Fault | None
    seen: Seen | None = None
    birth_ns: int = 0
    attempt: int = 0
    root: int = -1


class ItemFault(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What went wrong with the entry of that task number."""

    number: int
    fault: Fault


class PublishResult(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Sent only for members that did not simply get their own name.

    `fault`: not published, temporary removed. `outcome` EXISTS or OLDER: skipped by policy, temporary removed.
    `target_name`: the name that the policy RENAME chose (also set without other news).
    """

    number: int
    outcome: Outcome
    target_name: bytes | None
    fault: Fault | None


class DeleteItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A source to delete, with everything that must still be true of it.

    `target_name` and `target_inode` say where its durable copy is: the mover checks that the name is there with that
    inode, size and time, and that it is not the source itself, under whatever numbers. Where inode or time differ, its
    content has to be the same: it is read. So it is when something touched the copy after `published_ns` (its ctime;
    nanoseconds since the epoch; 0: nobody knows when it was published). A changed ctime of a file with several links
    (our own deletes of its other names change it) is accepted when its content hashes to `digest`, or, when there is
    none, to the same as the target.
    """

    number: int
    name: bytes
    type: EntryType
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    links: int
    target_name: bytes
    target_inode: int
    digest: bytes | None
    published_ns: int = 0


class DeleteDirectory(msgspec.Struct, frozen=True, array_like=True):
    """Sources to delete in one directory; `path` is below the root."""

    root: int
    path: bytes
    items: tuple[DeleteItem, ...]


class NamedTasks(msgspec.Struct, frozen=True, array_like=True):
    """Task numbers and names of entries in one directory; `path` is below the root."""

    root: int
    path: bytes
    items: tuple[tuple[int, bytes], ...]


class DirectoryItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A directory to make or finish at the target, or to remove at the source. `mtime_ns` is what the scan saw.

    `inode` 0: nobody knows; one below the root is removed all the same where its age is looked at.
    """

    number: int
    root: int
    path: bytes
    mtime_ns: int
    inode: int


class SettleItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A task that may have been published before a crash. `inode` is its copy's inode at the target.

    `tag`: `<mover>-<attempt>` that made it; b"" when that was by a version that did not name temporaries by it.
    `size`: bytes of a regular file's copy, None when that does not matter.
    """

    number: int
    root: int
    path: bytes
    name: bytes
    inode: int
    tag: bytes = b""
    size: int | None = None


class VerifyItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A finished task whose target is to be re-read past the page cache.

    `digest` None: there is no hash; `mtime_ns` is compared instead, unless it is None as well.
    `leader_root` is -1 for an ordinary entry. A further name must be the inode that stands at `leader_path` below that
    target root, which is read there; when nothing stands there any more, the further name is read itself.
    """

    number: int
    name: bytes
    type: EntryType
    size: int
    digest: bytes | None
    mtime_ns: int | None = None
    leader_root: int = -1
    leader_path: bytes = b""


class VerifyDirectory(msgspec.Struct, frozen=True, array_like=True):
    """Targets to read again in one directory; `path` is below the root."""

    root: int
    path: bytes
    items: tuple[VerifyItem, ...]


class ScanDirectory(msgspec.Struct, frozen=True, array_like=True):
    """`known`: names in it that the journal has already (a listing cut off by a crash)."""

    number: int
    root: int
    path: bytes
    known: tuple[bytes, ...] = ()


class ExamineDirectory(msgspec.Struct, frozen=True, array_like=True):
    """Entries to look at in one directory; `path` is below the root."""

    root: int
    path: bytes
    items: tuple[ExamineItem, ...]
