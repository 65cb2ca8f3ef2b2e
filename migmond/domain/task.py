"""One directory entry to migrate, and the units in which tasks travel."""

from __future__ import annotations

import msgspec

from migmond.domain.entry import EntryType, Lost
from migmond.domain.file_kinds import FileKind, tells_kind
from migmond.domain.states import Outcome, TaskState


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the scan saw: the version of the source that the execution promises to bring over.

    `allocated`: bytes that it takes at the source, None when nobody looked; it is not journaled.
    """

    name: bytes
    type: EntryType
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    links: int
    allocated: int | None = None

    @property
    def room(self) -> int:
        """Bytes that its content takes about: without holes."""
        return self.size if self.allocated is None else min(self.size, self.allocated)


class Listing(msgspec.Struct, frozen=True, array_like=True):
    """Some or all entries of one source directory, in the order the scan met them.

    Attributes:
        directory: task number of the directory.
        device: number of its file system: st_dev when the source was scanned first (see `mover.device_numbers`).
        first: task number of the first entry; the others follow without gaps.
        entries: what is in it.
        outcomes: by position in `entries`, entries that are not to be migrated and why (already SKIPPED).
        complete: True with the directory's last listing.
        leaders: by position in `entries`, further names of files: number of the task with the first name. The engine
            adds them: a mover does not know what was seen before it.
        kinds: by position in `entries`, what was read in files whose names do not tell; the scan looks into them only
            when the plan's selector asks for kinds of files.
    """

    directory: int
    device: int
    first: int
    entries: tuple[Entry, ...]
    outcomes: dict[int, Outcome]
    complete: bool
    leaders: dict[int, int] = {}
    kinds: dict[int, FileKind] = {}


class Directory(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A directory's place: its task number, source root index and path below that root (empty for the root)."""

    number: int
    root: int
    path: bytes


class Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One directory entry as the journal has it.

    Attributes:
        number: counts from 1 in each execution, in scan order; a directory precedes its entries.
        directory: number of the directory it lies in; 0 for a source root.
        name: base name at the source; for a root the empty name.
        leader: number of the task whose target this one becomes a further name of; 0 for none.
        attempts: how often a mover took it up and failed.
        digest: xxh3_128 of the content, 16 bytes, or None when it was not hashed.
        target_name: base name at the destination when the conflict policy chose another one.
        target_inode: inode number at the destination, 0 while unknown.
    """

    number: int
    directory: int
    name: bytes
    type: EntryType
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    links: int
    state: TaskState = TaskState.PENDING
    outcome: Outcome = Outcome.NONE
    leader: int = 0
    attempts: int = 0
    lost: Lost = Lost.NOTHING
    digest: bytes | None = None
    target_name: bytes | None = None
    target_inode: int = 0


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A task in a commit group: its complete copy exists at the target, under its temporary name until published.

    `inode` identifies the copy for ever: after a crash a final name with this inode is our own.
    `birth_ns`: when its source was made, 0 when nobody knows.
    `attempt`: which one of the group's mover made it: a part of its temporary name; 0 in old journals.
    """

    number: int
    inode: int
    outcome: Outcome
    lost: Lost
    digest: bytes | None
    size: int
    birth_ns: int = 0
    attempt: int = 0


class CommitGroup(msgspec.Struct, frozen=True, array_like=True):
    """Tasks made durable by one syncfs. Journaled before its names are published, removed once they are durable.

    `mover`: what the one that made the copies was called (see `wire.to_mover.Work`); b"" in old journals.
    """

    id: int
    members: tuple[Member, ...]
    mover: bytes = b""

    def tag(self, member: Member) -> bytes:
        """Return what the temporary name of `member` is told from others by."""
        return b"%s-%d" % (self.mover, member.attempt) if member.attempt else b""


class TaskResult(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A change to one task that a journal transaction records. `birth_ns` 0 leaves the birth time that is on record."""

    number: int
    state: TaskState
    outcome: Outcome = Outcome.NONE
    lost: Lost = Lost.NOTHING
    digest: bytes | None = None
    target_name: bytes | None = None
    target_inode: int = 0
    birth_ns: int = 0


def may_be_read(task: Task) -> bool:
    """Whether only the content of an entry tells what kind of file it is: its name does not."""
    return task.type is EntryType.FILE and task.size > 0 and not tells_kind(task.name)
