"""What the daemon asks of a mover; in which order, and what answers it, says `wire.mover`."""

from __future__ import annotations

from typing import TypeAlias

from migmond.domain.entry import EntryType
from migmond.domain.examination import BackupTimes
from migmond.domain.execution import Anchor
from migmond.domain.file_system import FileSystemId, Own
from migmond.domain.selector import Selector
from migmond.wire.items import (
    DeleteDirectory,
    DirectoryItem,
    ExamineDirectory,
    MoverOptions,
    NamedTasks,
    RootSpec,
    ScanDirectory,
    SettleItem,
    VerifyDirectory,
)
from migmond.wire.mover import Message
from migmond.wire.work import WorkDirectory


class Become(Message, frozen=True):
    """Give up root's rights for this user's, for good. The mover has loaded all of its code before: it may lie where
    the user cannot read."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Open(Message, frozen=True):
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
    wanted: tuple[int, ...] = ()
    """Of those that may be gone: something is still to be fetched from these. One is gone only where the file system
    that it was on certainly is; else its disk is not there, and it is refused."""
    may_be_away: tuple[int, ...] = ()
    """Indexes of the roots to whose targets nothing is to be brought any more: when an anchor of theirs is refused, the
    root is opened without its target, which whatever is asked about it fails by."""
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
    sources: int = 0
    """How many roots there are for one destination: the next so many have the same sources, and their targets at
    another one. 0: all have sources of their own."""


class AddRoots(Message, frozen=True):
    """Open further roots, whose numbers follow those of the ones that are open. It is queued like Work: what comes
    after it may be about them. There is no answer; when it is refused the mover says OpenFailed, and ends."""

    opening: Open


class Join(Message, frozen=True):
    """Draw from a budget from now on: the page whose descriptor comes with this message (`wire.budget`). At any time;
    all that is asked of the mover later is subject to it. Without it nothing is limited."""


class Scan(Message, frozen=True):
    """Walk. `directories` are known but unread ones (at first the roots), `next_number` numbers the first new entry.

    More directories may follow in further Scan messages with the same `next_number`, before `last`.
    """

    directories: tuple[ScanDirectory, ...]
    next_number: int
    last: bool


class Work(Message, frozen=True):
    """Copy. `mover` is `<run>-<number>`: twelve hexadecimal digits that no other run of the execution has, and a number
    that no other mover of the run has. `dead`: numbers of movers of this run that are gone."""

    batch: int
    directories: tuple[WorkDirectory, ...]
    mover: bytes = b"000000000000-0"
    dead: tuple[int, ...] = ()


class Flush(Message, frozen=True):
    """Close the open commit group and sync now, also when only published groups wait for it."""


class Publish(Message, frozen=True):
    """Give the group's members their final names, `skip` excepted: their temporaries are removed."""

    group: int
    skip: tuple[int, ...] = ()


class Delete(Message, frozen=True):
    """Delete the sources of a move whose copies are durable; each is looked at again before. See `Deleted`."""

    batch: int
    directories: tuple[DeleteDirectory, ...]


class PutBack(Message, frozen=True):
    """Give sources that a mover had set aside to delete them their names again; durable when the answer arrives.
    Nothing else is done, and what is not aside is no fault."""

    batch: int
    directories: tuple[NamedTasks, ...]


class MakeDirectories(Message, frozen=True):
    """Make and finish directories at the target: owner, xattrs, ACL, mode, times. Children come before parents."""

    batch: int
    items: tuple[DirectoryItem, ...]


class RemoveDirectories(Message, frozen=True):
    """Remove empty source directories, children before parents. A directory that is not empty stays: no fault.
    What was removed is durably gone when the answer arrives.

    `born_after_ns`: nanoseconds since the epoch; of those below the roots only what is younger is removed, and nothing
    where nobody knows. 0: the age does not matter.
    """

    batch: int
    items: tuple[DirectoryItem, ...]
    born_after_ns: int = 0


class Sweep(Message, frozen=True):
    """Remove this execution's temporaries from target directories."""

    batch: int
    directories: tuple[tuple[int, bytes], ...]


class Settle(Message, frozen=True):
    """Find out what a crash left of journaled commit groups, and publish what is complete but unpublished.

    For each item: the final name has `inode` (and all its bytes) → published. The temporary has it → it is published
    now, by policy. Neither → lost, to be copied again. Then syncfs, so that everything reported published is durable.
    """

    batch: int
    items: tuple[SettleItem, ...]


class Verify(Message, frozen=True):
    """Read targets past the cache and compare them with what was written."""

    batch: int
    directories: tuple[VerifyDirectory, ...]


class Examine(Message, frozen=True):
    """Look at what an execution brought to the places that are the sources of its rollback; nothing is changed.

    What was moved and touched after `left_ns` (its ctime, nanoseconds since the epoch) is read: its content has to be
    the same. What was copied says itself when it was touched last by us, see `ExamineItem`.
    `backups`: those that were made then are told; None: none were.
    """

    batch: int
    directories: tuple[ExamineDirectory, ...]
    left_ns: int
    backups: BackupTimes | None = None


class RestoreBackups(Message, frozen=True):
    """Rollback: give backups that were made at these times the names of these items, where they are free. Durable when
    the answer arrives; what has none is no fault."""

    batch: int
    directories: tuple[NamedTasks, ...]
    times: BackupTimes


class Salvage(Message, frozen=True):
    """Save what can be read of a damaged file into a file of another name beside its target, or go on from where an
    earlier one has left it. `path` is the directory's, below the root; it ends after about `limit_s` seconds."""

    number: int
    root: int
    path: bytes
    name: bytes
    limit_s: float


class Locate(Message, frozen=True):
    """Say where the content of sources begins on their devices; see `fsys.extents`."""

    batch: int
    directories: tuple[NamedTasks, ...]


class RenameRoot(Message, frozen=True):
    """Try to move a whole source root by one rename (target missing, same file system), and make it durable.

    If the source is gone and the target has the expected inode, a rename before a crash did it: done.
    `begun`: only that is wanted; a source that is there stays there.
    """

    root: int
    begun: bool = False


class Probe(Message, frozen=True):
    """Ask for the file system figures of each target. OpenFailed when one cannot be opened any more."""


class Survey(Message, frozen=True):
    """Walk the sources and look at the targets beside them, for a verdict; nothing is written.

    Ages in the selector count from `now`, wall clock seconds.
    """

    selector: Selector
    now: float


class Browse(Message, frozen=True):
    """In the place of Open: say what is in the directory at an absolute path, and end.

    Names after `after` in the order of their bytes, directories before all else, at most `limit`.
    """

    path: bytes
    after: tuple[bool, bytes]
    limit: int


class Stop(Message, frozen=True):
    """End. Unpublished temporaries stay for the next mover."""


ToMover: TypeAlias = (
    Become
    | Open
    | Join
    | AddRoots
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
    | Examine
    | RestoreBackups
    | RenameRoot
    | Locate
    | Salvage
    | Probe
    | Survey
    | Browse
    | Stop
)
