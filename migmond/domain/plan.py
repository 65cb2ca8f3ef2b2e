"""What to migrate."""

from __future__ import annotations

import enum

import msgspec

from migmond.domain.file_system import FileSystemId
from migmond.domain.limits import Limits
from migmond.domain.selector import Selector


class Operation(enum.StrEnum):
    COPY = "copy"
    MOVE = "move"


class ConflictPolicy(enum.StrEnum):
    """What to do when the destination has a *different* entry under the name. Equal ones are left alone."""

    FAIL = "fail"
    """The task fails; nothing is touched. The default: nothing is ever overwritten unasked."""
    SKIP = "skip"
    NEWER = "newer"
    """Replace it if the source was modified later, otherwise skip."""
    RENAME = "rename"
    """The arriving file takes a free name: `photo (1).jpg`."""
    BACKUP = "replace-with-backup"
    """The file at the destination is kept as `photo.jpg.~1~`, then replaced atomically."""


class VerifyLevel(enum.StrEnum):
    NONE = "none"
    HASH = "hash"
    """Hash while copying; the hash is journaled and can be checked at any later time."""
    READ_BACK = "read-back"
    """Also read the target past the page cache and compare, before the name is published."""


class Source(msgspec.Struct, frozen=True):
    """One tree (or single file) to migrate.

    Attributes:
        path: absolute path, raw bytes.
        into: path below the destination, raw bytes; empty means the destination itself (as `cp -aT`).
    """

    path: bytes
    into: bytes = b""


class Undoing(msgspec.Struct, frozen=True):
    """What a plan undoes: it is a rollback, and its sources are the targets of another execution. Or `again`: what it
    does once more, and its sources are that one's.

    Attributes:
        execution, key: the other execution's.
        operation: the other one's. What it copied is removed where it was brought to; what it moved is moved back.
        ended_at: wall clock seconds when the other one ended: what changed at its targets later was not its doing.
        born_after: wall clock seconds when the other one began: a directory that is older was not made by it.
        whole: numbers of its sources (from 1) that it renamed as a whole: nothing is on record of what is in them.
        made: numbers of its sources whose target directories were not there before it.
        again: it is a recovery: of what was copied, that is copied again which is not at the target as it was.
        backups: it kept what it replaced as backups.
        backed_up_until: wall clock seconds until when it may have made these; 0 for `ended_at`.
        undone: wall clock seconds between which it was undone before, in part, each time.
        absent: numbers of its sources of which it brought nothing anywhere: single files that were left.
        further: of each of its further destinations, the target of each of its sources there.
        further_on: the file systems that these were on; empty when an older version journaled it.
        fetched: destinations and indexes of sources of those of them in which there may be something.
    """

    execution: str
    key: int
    operation: Operation
    ended_at: float
    born_after: float
    whole: tuple[int, ...] = ()
    made: tuple[int, ...] = ()
    backups: bool = False
    backed_up_until: float = 0.0
    undone: tuple[tuple[float, float], ...] = ()
    again: bool = False
    further: tuple[tuple[bytes, ...], ...] = ()
    absent: tuple[int, ...] = ()
    further_on: tuple[tuple[FileSystemId, ...], ...] = ()
    fetched: tuple[tuple[int, int], ...] = ()

    @property
    def removing(self) -> bool:
        """Sources are removed, nothing is brought anywhere."""
        return self.operation is Operation.COPY and not self.again


class Plan(msgspec.Struct, frozen=True):
    """Immutable once started.

    Attributes:
        name: for people; unique among saved plans.
        sources: at least one.
        destination: absolute path, raw bytes; made when missing.
        one_file_system: do not cross mount points below a source.
        privileged: run the movers as root; only admins may ask.
        workers: movers, or None for one per core.
        reflink: let the target share extents with the source where the file system can.
        undoes: it is a rollback; None when it is a migration like any other.
    """

    name: str
    sources: tuple[Source, ...]
    destination: bytes
    operation: Operation = Operation.COPY
    selector: Selector = Selector()
    conflict: ConflictPolicy = ConflictPolicy.FAIL
    verify: VerifyLevel = VerifyLevel.HASH
    limits: Limits = Limits()
    one_file_system: bool = True
    privileged: bool = False
    workers: int | None = None
    reflink: bool = True
    undoes: Undoing | None = None

    @property
    def removes_only(self) -> bool:
        """It is a rollback that brings nothing anywhere."""
        return self.undoes is not None and self.undoes.removing
