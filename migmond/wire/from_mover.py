"""What a mover tells the daemon; in answer to what says `wire.mover`."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from migmond.domain.copy_times import CopyTimes
from migmond.domain.entry import EntryType, Lost
from migmond.domain.examination import Examined
from migmond.domain.fault import Fault
from migmond.domain.file_kinds import FileKind
from migmond.domain.preflight import Survey as SurveyReport
from migmond.domain.preflight import TargetFacts
from migmond.domain.salvage import Range
from migmond.domain.task import Listing
from migmond.wire.items import CopyResult, ItemFault, PublishResult, RootInfo
from migmond.wire.mover import Message
from migmond.wire.work import PlainCopies


class Opened(Message, frozen=True):
    """`own`: for each root, what of the daemon's own is in the source, for people; "" for nothing."""

    roots: tuple[RootInfo, ...]
    own: tuple[str, ...] = ()


class OpenFailed(Message, frozen=True):
    """`message` and `hint` are for people; `path` is the root concerned."""

    fault: Fault
    message: str
    hint: str
    path: bytes


class Scanned(Message, frozen=True):
    """Listings in the order of the walk; about 1,000 entries or 50 ms, whichever comes first."""

    listings: tuple[Listing, ...]


class ScanFailed(Message, frozen=True):
    """A directory that could not be listed, by task number."""

    number: int
    fault: Fault


class ScanFinished(Message, frozen=True):
    """Everything that Scan has named was walked; every listing has been sent."""


class Copied(Message, frozen=True):
    """Every item of the batch appears once: in `results`, or packed in `plain`. `entries_total` and `bytes_total` are
    the slot's at its end: what the slot shows beyond them is of batches that were not answered yet. `kinds`: by number,
    what was read in those whose names do not tell what they are, also in some that failed."""

    batch: int
    results: tuple[CopyResult, ...]
    entries_total: int = 0
    bytes_total: int = 0
    plain: tuple[PlainCopies, ...] = ()
    kinds: dict[int, FileKind] = msgspec.field(default_factory=dict)


class Synced(Message, frozen=True):
    """`group` is durable under its temporary names (0: this sync had no group).

    `failures`: members whose sync or read-back failed; the whole group when syncfs did. They must be skipped in
    Publish. `durable`: groups published before this sync began, whose names are durable now.
    `doubtful`: when syncfs failed, the groups published before it, with a fault for every member. The kernel tells a
    failed write-back once, so a later sync proves nothing: their copies stand, and are to be looked at again.
    """

    group: int
    failures: tuple[ItemFault, ...]
    durable: tuple[int, ...]
    doubtful: dict[int, tuple[ItemFault, ...]] = msgspec.field(default_factory=dict)


class Published(Message, frozen=True):
    """`as_of_ns`: by task number, in moves: the ctime that the copy had when it was published, or before it was found
    to be right, in nanoseconds since the epoch by the clock of its file system. What changes it from then on has a
    later one. Those left out are not known. `copy_times`: the same in copies, where it is kept for a rollback."""

    group: int
    results: tuple[PublishResult, ...]
    as_of_ns: dict[int, int] = msgspec.field(default_factory=dict)
    copy_times: tuple[CopyTimes, ...] = ()


class Deleted(Message, frozen=True):
    """`failures`: sources that were not deleted, with kind `source_changed`, `source_in_use`, `target_missing`,
    `target_changed`, `same_file`, `kept_aside`, `source_unreachable` or an errno name; and those whose delete may not
    be durable, with phase SYNC.

    A source that is gone already counts as deleted, unless its directory is gone. Everything without a fault is durable
    when this arrives: no power cut brings it back.
    """

    batch: int
    failures: tuple[ItemFault, ...]


class PutBackDone(Message, frozen=True):
    """`failures`: sources that are, or may be, under their private names; those that surely are have the kind
    `kept_aside` or `left_aside`."""

    batch: int
    put_back: int
    failures: tuple[ItemFault, ...]


class DirectoriesMade(Message, frozen=True):
    """`lost`: by number, what could not be kept. Everything without a fault is synced when this arrives."""

    batch: int
    failures: tuple[ItemFault, ...]
    lost: dict[int, Lost]


class DirectoriesRemoved(Message, frozen=True):
    """`removed`: how many; those that were not empty are neither among them nor among the failures."""

    batch: int
    removed: int
    failures: tuple[ItemFault, ...]


class Swept(Message, frozen=True):
    """`removed`: how many temporaries; `failures`: of directories that could not be looked through."""

    batch: int
    removed: int
    failures: tuple[Fault, ...]


class Settled(Message, frozen=True):
    """`published`: durable under the final name (with `target_name` when the policy chose one). Others were lost."""

    batch: int
    published: tuple[PublishResult, ...]
    lost: tuple[int, ...]


class Verified(Message, frozen=True):
    """`differences`: targets that are missing or not what was written. `unreadable`: nobody knows what they are."""

    batch: int
    differences: tuple[ItemFault, ...]
    unreadable: tuple[ItemFault, ...]
    bytes_read: int


class AllExamined(Message, frozen=True):
    """The answer to Examine: every item once."""

    batch: int
    found: tuple[Examined, ...]


class BackupsRestored(Message, frozen=True):
    """`restored`: how many have their names again; they are synced when this arrives."""

    batch: int
    restored: int
    failures: tuple[ItemFault, ...]


class RootRenamed(Message, frozen=True):
    """`done` False: not possible here (`reason` says why), nothing was changed; but with `unsynced` it has its target
    name, and that may not be durable."""

    root: int
    done: bool
    reason: str
    unsynced: Fault | None = None


class Salvaging(Message, frozen=True):
    """How far a salvage has come; some before Salvaged. Bytes: of the file, read, and not tried yet."""

    number: int
    size: int
    saved: int
    untried: int


class Salvaged(Message, frozen=True):
    """`ranges`: of the file, what is known of each (see `recovery.salvage`), from an earlier salvage as well. `fault`:
    why nothing was written, or why it ended; what is rescued by `ranges` is there all the same."""

    number: int
    size: int
    ranges: tuple[Range, ...]
    name: bytes = b""
    map_name: bytes = b""
    fault: Fault | None = None


class Located(Message, frozen=True):
    """`places`: by number, the byte of its device at which a source's content begins; those left out have none, or none
    that is known. `unable`: what file systems said that do not tell, "" when all do."""

    batch: int
    places: dict[int, int]
    unable: str


class Probed(Message, frozen=True):
    """What each target's file system has and is, in the order of the roots."""

    targets: tuple[TargetFacts, ...]


class Surveyed(Message, frozen=True):
    """The whole walk: the answer to Survey."""

    report: SurveyReport


class Browsed(Message, frozen=True):
    """`more`: there are others after these."""

    entries: tuple[tuple[bytes, EntryType, int], ...]
    """Name, type and size of each."""
    more: bool


class Crashed(Message, frozen=True):
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
    | AllExamined
    | BackupsRestored
    | RootRenamed
    | Salvaging
    | Salvaged
    | Probed
    | Located
    | Surveyed
    | Browsed
    | Crashed
)
