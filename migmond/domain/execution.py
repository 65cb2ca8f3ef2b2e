"""One run of a plan."""

from __future__ import annotations

import enum

import msgspec

from migmond.domain.file_system import FileSystemId
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.identity import Identity
from migmond.domain.limits import Limits
from migmond.domain.plan import Plan
from migmond.domain.states import ExecutionState
from migmond.domain.steering import Standing


class Stage(enum.StrEnum):
    """What a running execution is busy with; for people and charts, not for decisions."""

    SCAN = "scan"
    COPY = "copy"
    LINK = "link"
    DELETE = "delete"
    DIRECTORIES = "directories"
    CLEAN_UP = "clean up"
    FINISHED = "finished"


class Tally(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """So many entries holding so many bytes: those of regular files, once for all names of one.

    They count with the name that was met first; further names hold none, whether they are linked or have to become
    files of their own.
    """

    entries: int = 0
    bytes: int = 0

    def plus(self, entries: int, size_bytes: int) -> Tally:
        return Tally(self.entries + entries, self.bytes + size_bytes)


class Totals(msgspec.Struct, frozen=True, array_like=True):
    """Settled tasks by what became of them, and all tasks known. Written in the transaction that settles them.

    planned ≥ done + failed + skipped + cancelled + durable; `growing` until the scan has ended.
    """

    planned: Tally = Tally()
    done: Tally = Tally()
    failed: Tally = Tally()
    skipped: Tally = Tally()
    cancelled: Tally = Tally()
    growing: bool = True
    imperfect: int = 0
    """Tasks that are done but lost some metadata."""
    spared: int = 0
    """Of the planned bytes, those that take no room: holes."""
    gone: Tally = Tally()
    """Of the skipped entries, those that vanished from the source before they were copied."""
    durable: Tally = Tally()
    """Copied for good, while their sources are still to be deleted. Not of an execution that only removes."""
    left_out: Tally = Tally()
    """Of the skipped entries, those that somebody had skipped: they may be brought back."""

    @property
    def settled(self) -> Tally:
        """Nothing more happens to these."""
        return _sum(self.done, self.failed, self.skipped, self.cancelled)

    @property
    def brought(self) -> Tally:
        """What is at the target for good."""
        return _sum(self.done, self.durable)

    @property
    def paced(self) -> Tally:
        """What rates are told by: what was brought, with the entries that need not be. All else that is settled is so
        all at once, and no byte of it was moved: what failed, was cancelled or skipped would be the best rate of the
        run."""
        return self.brought.plus(self.skipped.entries - self.left_out.entries, 0)

    @property
    def given_up(self) -> Tally:
        """What is settled and tells nothing of how long the rest takes."""
        return _sum(self.failed, self.cancelled, self.left_out)

    @property
    def handled(self) -> Tally:
        """These are copied, or will never be: nothing more is to be brought to the target of them."""
        return _sum(self.settled, self.durable)

    @property
    def there(self) -> Tally:
        """What is as the plan wants it at the target: failed, cancelled and vanished entries are not, however final
        that is."""
        there = _sum(self.done, self.skipped, self.durable)
        return there.plus(-self.gone.entries, -self.gone.bytes)


def _sum(*parts: Tally) -> Tally:
    return Tally(sum(p.entries for p in parts), sum(p.bytes for p in parts))


class Verification(msgspec.Struct, frozen=True):
    """What re-reading the targets of a finished execution found.

    Attributes:
        at: wall clock seconds when it ended.
        checked: entries looked at, and bytes re-read.
        unhashed: files compared by size and time only, having no journaled hash.
        mismatches: entries whose target is missing or differs (the first 100 are in `examples` as path text).
        failure: why it ended before everything was checked, "" when it did not.
        unreadable: entries that could not be read, so that nobody knows what they are (the first 100 are in
            `unreadable_examples`, each with the reason).
    """

    at: float
    checked: Tally
    unhashed: int
    mismatches: int
    examples: tuple[str, ...] = ()
    failure: str = ""
    unreadable: int = 0
    unreadable_examples: tuple[str, ...] = ()


class Anchor(msgspec.Struct, frozen=True, array_like=True):
    """The directory that a target stands in, as it was when the plan was started: the target itself, or the nearest
    parent that was there. Another one at that path means that the target's disk is not mounted (design page HAZARDS
    row 18).

    Attributes:
        inode: 0 when the file system gives a directory another number each time it is mounted.
        file_system: which one it was on. The roots of all file systems of one kind have the same inode number.
    """

    path: bytes
    inode: int
    file_system: FileSystemId = FileSystemId()


class Destination(msgspec.Struct, frozen=True, array_like=True):
    """A further place that a change sends some of an execution to.

    Attributes:
        path: absolute, raw bytes, in place of the plan's destination.
        anchors: of each source's target below it.
    """

    path: bytes
    anchors: tuple[Anchor, ...]


class Execution(msgspec.Struct, frozen=True):
    """One run of a plan, as the journal has it.

    Attributes:
        id: 12 hexadecimal digits; any unique prefix names it.
        key: small integer that the journal uses in task rows.
        name: for people; not unique.
        identity: whose rights the movers have.
        created_at, started_at, finished_at: wall clock seconds.
        active_s: seconds in RUNNING so far, by the monotonic clock.
        reason: why it is in this state, one sentence, "" when the state says it all.
        anchors: of each source's target.
        source_file_systems: which file system each source was on; empty when an older version journaled it.
        limits: what holds now: the plan's, and what was changed since (`standing`).
        standing: changes that are in force, in the order in which they were made.
        waiting_since: wall clock seconds when it took its place in the line, None when it does not wait for its turn.
        further: destinations beside the plan's, in the order in which they came to be known, for ever: something may
            have gone there. The journal says of each entry to which one (`migmond.domain.changes.SendTo`).
        host, version: the machine and the migmond that it was started on; "" when an older one journaled it.
    """

    id: str
    key: int
    name: str
    plan: Plan
    identity: Identity
    state: ExecutionState
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    active_s: float = 0.0
    stage: Stage = Stage.SCAN
    totals: Totals = Totals()
    holds: tuple[Hold, ...] = ()
    limits: Limits = Limits()
    reason: str = ""
    verification: Verification | None = None
    anchors: tuple[Anchor, ...] = ()
    host: str = ""
    version: str = ""
    waiting_since: float | None = None
    source_file_systems: tuple[FileSystemId, ...] = ()
    standing: tuple[Standing, ...] = ()
    further: tuple[Destination, ...] = ()

    @property
    def stopped_by(self) -> Hold | None:
        """The hold that stops all of it: in a pause the first one, in a drain or a cancel an emergency alone."""
        whole = [h for h in self.holds if h.selector.selects_all]
        if self.state in (ExecutionState.DRAINING, ExecutionState.CANCELLING):
            whole = [h for h in whole if h.reason is HoldReason.EMERGENCY]
        elif self.state is not ExecutionState.PAUSED:
            return None
        return whole[0] if whole else None

    @property
    def stands_still(self) -> bool:
        """Whether nothing begins because of holds: they cover all of it, or all that is left, as `reason` says then."""
        if self.state is ExecutionState.PAUSED or self.stopped_by is not None:
            return True
        return self.state is ExecutionState.RUNNING and bool(self.holds) and bool(self.reason)
