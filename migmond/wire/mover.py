"""Messages between the daemon and one mover: arrays (see `domain.packing`) in length-prefixed frames over a socketpair.

Order of a mover's life:

    daemon                               mover
    Become(uid, gid, groups)        →    (of a daemon of root's only; no answer)
    Open(roots, options)            →
                                    ←    Opened(roots) | OpenFailed(fault)
    one of
      Scan / ScanDirectories        →
                                    ←    Scanned* , ScanFinished
      Work* (copying movers)        →    per batch: copies under temporary names, into the open commit group
                                    ←    Copied(batch, results)
                                         group full, idle or Flush: syncfs (and read-back), then
                                    ←    Synced(group, failures, durable)
      Publish(group)                →    renames to the final names
                                    ←    Published(group, results)      (not durable yet)
                                         the next syncfs of this mover makes it so:
                                    ←    Synced(..., durable=[group])  or  Durable([group])
      Delete, PutBack, MakeDirectories, RemoveDirectories, Sweep, Settle, Verify, Probe, Survey → one answer each
    Stop                            →    flushes nothing, exits 0 when the present call returns

The daemon decides and journals; a mover only acts and tells. A mover's commit group members are known to the
daemon from `Copied`; the daemon journals them on `Synced` and only then sends `Publish`.
Copying of the next group goes on while a group is synced: a mover has a copying and a committing thread.
Answers to different requests may come in any order; answers of one kind come in the order of their requests.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from migmond.domain.entry import EntryType, Lost
from migmond.domain.execution import Anchor
from migmond.domain.fault import Fault
from migmond.domain.file_system import FileSystemId, Own
from migmond.domain.preflight import Survey as SurveyReport
from migmond.domain.preflight import TargetFacts
from migmond.domain.selector import Selector
from migmond.domain.task import Listing
from migmond.wire.items import (
    AsideDirectory,
    CopyResult,
    DeleteDirectory,
    DirectoryItem,
    ItemFault,
    MoverOptions,
    PublishResult,
    RootInfo,
    RootSpec,
    ScanDirectory,
    SettleItem,
    VerifyDirectory,
)
from migmond.wire.work import PlainCopies, WorkDirectory

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""A mover is ours and trusted to be well-formed; the limit catches bugs."""


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base: encoded as [class name, fields...]."""


# --- daemon to mover -------------------------------------------------------------------------------


class Become(_Message, frozen=True):
    """Give up root's rights for this user's, for good. The mover has loaded all of its code before: it may lie where
    the user cannot read."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Open(_Message, frozen=True):
    """Open the roots. With `make_targets` missing target directories are made (0700 until finished).

    The mover refuses (OpenFailed): a missing or unreadable source; a target that is or lies in the source or the
    reverse, compared by (st_dev, st_ino) up the tree so that bind mounts and symlinks are seen through;
    a target whose type does not fit.
    """

    roots: tuple[RootSpec, ...]
    options: MoverOptions
    make_targets: bool
    expected: tuple[int, ...] = ()
    """On resume: inode of each source root as it was scanned. Another inode is refused (the disk is not mounted?)."""
    may_be_gone: tuple[int, ...] = ()
    """Indexes of the roots of which nothing is wanted any more (moved already, or the execution is being cancelled):
    when such a source is missing or another one, an empty directory is opened in its place.
    A missing source whose expected inode is the target's inode (RenameRoot before a crash) always is."""
    anchors: tuple[Anchor, ...] = ()
    """On resume: what the targets stood in. Another directory there is refused (the disk is not mounted?)."""
    source_devices: tuple[int, ...] = ()
    """On resume: device number of each source root as it was scanned, 0 of what was not. They stand for the same file
    systems from then on, whatever numbers these have now (see `mover.device_numbers`)."""
    source_file_systems: tuple[FileSystemId, ...] = ()
    """On resume: what each source was on. Another one is refused."""
    known_types: tuple[EntryType, ...] = ()
    """Only the targets are wanted, of sources that were of these types: nothing else is looked at or refused now."""
    own: tuple[Own, ...] = ()
    """What the daemon needs to go on: it cannot be moved, and nothing is written in it."""
    probing: bool = False
    """Make a file at the targets of a move to find out whether they are the sources (see `mover.alias`)."""


class Scan(_Message, frozen=True):
    """Walk. `directories` are known but unread ones (at first the roots), `next_number` numbers the first new entry.

    More directories may follow in further Scan messages with the same `next_number`, before `last`.
    """

    directories: tuple[ScanDirectory, ...]
    next_number: int
    last: bool


class Work(_Message, frozen=True):
    """Copy. `mover` is `<run>-<number>`: twelve hexadecimal digits that no other run of the execution has, and a number
    that no other mover of the run has. `dead`: numbers of movers of this run that are gone."""

    batch: int
    directories: tuple[WorkDirectory, ...]
    mover: bytes = b"000000000000-0"
    dead: tuple[int, ...] = ()


class Flush(_Message, frozen=True):
    """Close the open commit group and sync now, also when only published groups wait for it."""


class Publish(_Message, frozen=True):
    """Give the group's members their final names, `skip` excepted: their temporaries are removed."""

    group: int
    skip: tuple[int, ...] = ()


class Delete(_Message, frozen=True):
    batch: int
    directories: tuple[DeleteDirectory, ...]


class PutBack(_Message, frozen=True):
    """Give sources that a mover had set aside to delete them their names again; durable when the answer arrives.
    Nothing else is done, and what is not aside is no fault."""

    batch: int
    directories: tuple[AsideDirectory, ...]


class MakeDirectories(_Message, frozen=True):
    """Make and finish directories at the target: owner, xattrs, ACL, mode, times. Children come before parents."""

    batch: int
    items: tuple[DirectoryItem, ...]


class RemoveDirectories(_Message, frozen=True):
    """Remove empty source directories, children before parents. A directory that is not empty stays: no fault.
    What was removed is durably gone when the answer arrives."""

    batch: int
    items: tuple[DirectoryItem, ...]


class Sweep(_Message, frozen=True):
    """Remove this execution's temporaries from target directories."""

    batch: int
    directories: tuple[tuple[int, bytes], ...]


class Settle(_Message, frozen=True):
    """Find out what a crash left of journaled commit groups, and publish what is complete but unpublished.

    For each item: the final name has `inode` (and all its bytes) → published. The temporary has it → it is published
    now, by policy. Neither → lost, to be copied again. Then syncfs, so that everything reported published is durable.
    """

    batch: int
    items: tuple[SettleItem, ...]


class Verify(_Message, frozen=True):
    batch: int
    directories: tuple[VerifyDirectory, ...]


class RenameRoot(_Message, frozen=True):
    """Try to move a whole source root by one rename (target missing, same file system), and make it durable.

    If the source is gone and the target has the expected inode, a rename before a crash did it: done.
    """

    root: int


class Probe(_Message, frozen=True):
    """Ask for the file system figures of each target. OpenFailed when one cannot be opened any more."""


class Survey(_Message, frozen=True):
    """Walk the sources and look at the targets beside them, for a verdict; nothing is written.

    Ages in the selector count from `now`, wall clock seconds.
    """

    selector: Selector
    now: float


class Stop(_Message, frozen=True):
    """End. Unpublished temporaries stay for the next mover."""


ToMover: TypeAlias = (
    Become
    | Open
    | Scan
    | Work
    | Flush
    | Publish
    | Delete
    | PutBack
    | MakeDirectories
    | RemoveDirectories
    | Sweep
    | Settle
    | Verify
    | RenameRoot
    | Probe
    | Survey
    | Stop
)


# --- mover to daemon -------------------------------------------------------------------------------


class Opened(_Message, frozen=True):
    """`own`: for each root, what of the daemon's own is in the source, for people; "" for nothing."""

    roots: tuple[RootInfo, ...]
    own: tuple[str, ...] = ()


class OpenFailed(_Message, frozen=True):
    """`message` and `hint` are for people; `path` is the root concerned."""

    fault: Fault
    message: str
    hint: str
    path: bytes


class Scanned(_Message, frozen=True):
    """Listings in the order of the walk; about 1,000 entries or 50 ms, whichever comes first."""

    listings: tuple[Listing, ...]


class ScanFailed(_Message, frozen=True):
    """A directory that could not be listed, by task number."""

    number: int
    fault: Fault


class ScanFinished(_Message, frozen=True):
    pass


class Copied(_Message, frozen=True):
    """Every item of the batch appears once: in `results`, or packed in `plain`. `entries_total` and `bytes_total` are
    the slot's at its end: what the slot shows beyond them is of batches that were not answered yet."""

    batch: int
    results: tuple[CopyResult, ...]
    entries_total: int = 0
    bytes_total: int = 0
    plain: tuple[PlainCopies, ...] = ()


class Synced(_Message, frozen=True):
    """`group` is durable under its temporary names (0: this sync had no group).

    `failures`: members whose sync or read-back failed; the whole group when syncfs did. They must be skipped in
    Publish. `durable`: groups published before this sync began, whose names are durable now.
    `doubtful`: when syncfs failed, the groups published before it, with a fault for every member. The kernel tells a
    failed write-back once, so a later sync proves nothing: their copies stand, and are to be looked at again.
    """

    group: int
    failures: tuple[ItemFault, ...]
    durable: tuple[int, ...]
    doubtful: dict[int, tuple[ItemFault, ...]] = {}


class Published(_Message, frozen=True):
    """`as_of_ns`: by task number, in moves: the ctime that the copy had when it was published, or before it was found
    to be right, in nanoseconds since the epoch by the clock of its file system. What changes it from then on has a
    later one. Those left out are not known."""

    group: int
    results: tuple[PublishResult, ...]
    as_of_ns: dict[int, int] = {}


class Deleted(_Message, frozen=True):
    """`failures`: sources that were not deleted, with kind `source_changed`, `source_in_use`, `target_missing`,
    `target_changed`, `same_file`, `kept_aside`, `source_unreachable` or an errno name; and those whose delete may not
    be durable, with phase SYNC.

    A source that is gone already counts as deleted, unless its directory is gone. Everything without a fault is durable
    when this arrives: no power cut brings it back.
    """

    batch: int
    failures: tuple[ItemFault, ...]


class PutBackDone(_Message, frozen=True):
    """`failures`: sources that are, or may be, under their private names; those that surely are have the kind
    `kept_aside` or `left_aside`."""

    batch: int
    put_back: int
    failures: tuple[ItemFault, ...]


class DirectoriesMade(_Message, frozen=True):
    """`lost`: by number, what could not be kept. Everything without a fault is synced when this arrives."""

    batch: int
    failures: tuple[ItemFault, ...]
    lost: dict[int, Lost]


class DirectoriesRemoved(_Message, frozen=True):
    batch: int
    removed: int
    failures: tuple[ItemFault, ...]


class Swept(_Message, frozen=True):
    batch: int
    removed: int
    failures: tuple[Fault, ...]


class Settled(_Message, frozen=True):
    """`published`: durable under the final name (with `target_name` when the policy chose one). Others were lost."""

    batch: int
    published: tuple[PublishResult, ...]
    lost: tuple[int, ...]


class Verified(_Message, frozen=True):
    """`differences`: targets that are missing or not what was written. `unreadable`: nobody knows what they are."""

    batch: int
    differences: tuple[ItemFault, ...]
    unreadable: tuple[ItemFault, ...]
    bytes_read: int


class RootRenamed(_Message, frozen=True):
    """`done` False: not possible here (`reason` says why), nothing was changed; but with `unsynced` it has its target
    name, and that may not be durable."""

    root: int
    done: bool
    reason: str
    unsynced: Fault | None = None


class Probed(_Message, frozen=True):
    targets: tuple[TargetFacts, ...]


class Surveyed(_Message, frozen=True):
    report: SurveyReport


class Crashed(_Message, frozen=True):
    """A bug in the mover: the text of the exception. The mover exits after it."""

    message: str


FromMover: TypeAlias = (
    Opened
    | OpenFailed
    | Scanned
    | ScanFailed
    | ScanFinished
    | Copied
    | Synced
    | Published
    | Deleted
    | PutBackDone
    | DirectoriesMade
    | DirectoriesRemoved
    | Swept
    | Settled
    | Verified
    | RootRenamed
    | Probed
    | Surveyed
    | Crashed
)
