"""What to migrate."""

from __future__ import annotations

import enum

import msgspec

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
