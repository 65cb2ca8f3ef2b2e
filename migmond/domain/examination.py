"""What is asked and found about entries of an execution before it is undone."""

from __future__ import annotations

import msgspec

from migmond.domain.entry import EntryType


class Version(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A version of a file by its numbers."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class BackupTimes(msgspec.Struct, frozen=True, array_like=True):
    """By when they were made, the backups that an execution made are told from all others. Nanoseconds since the epoch,
    by the clock of the file system.

    Attributes:
        since_ns, until_ns: when the execution worked.
        undone_ns: when it was undone, each time from when to when: to give a file that has several names one of them
            back moves the ctime that all of them have.
    """

    since_ns: int
    until_ns: int
    undone_ns: tuple[tuple[int, int], ...] = ()

    def are_of(self, ctime_ns: int, links: int) -> bool:
        """Whether a backup with that ctime and so many names was made then, and nothing has happened to it since."""
        if self.since_ns <= ctime_ns <= self.until_ns:
            return True
        return links > 1 and any(since_ns <= ctime_ns <= until_ns for since_ns, until_ns in self.undone_ns)


class ExamineItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an execution brought somewhere, to be looked at before that is undone.

    Attributes:
        name: what it is called there, which is the rollback's source.
        back: what it was called where it came from, which is the rollback's target.
        mtime_ns: None when the file system there could not keep it.
        inode: there; 0 of directories: any will do.
        original: what it was copied from, which has to be there unchanged; None of what was moved.
        published_ns: of what was copied: the ctime that it had when it got its name there, 0 for unknown. With another
            one its content is read: somebody may have written to it, and have set its time back.
    """

    number: int
    name: bytes
    back: bytes
    type: EntryType
    size: int
    mtime_ns: int | None
    inode: int
    digest: bytes | None
    original: Version | None = None
    published_ns: int = 0


class Examined(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was found of one.

    `kind`: "" when it is as it was left; `target_missing`, `target_changed`, `last_copy` (what it was copied from is
    gone or changed), or the name of an errno when it could not be looked at. `message`: why, for people, unless "".
    `occupied`: something has the name that it came from. `backup`: what it replaced is there as a backup, also when it
    is not there any more itself.
    """

    number: int
    kind: str
    message: str
    seen: Version
    device: int
    links: int
    occupied: bool
    backup: bool = False
