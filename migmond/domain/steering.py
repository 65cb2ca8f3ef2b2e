"""What somebody may change about a running execution: one class per kind of change, as journaled and as told.

A change that lasts stands in `Execution.standing` until it is taken back or is over; what holds for an execution
follows from all that stands there (`migmond.planning.standing`). So taking one back cannot fail to restore what was
before, whatever else was changed in between.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from migmond.domain.selector import Selector


class Level(enum.StrEnum):
    """How urgent entries are: all that are ready of a higher one begin before those of a lower one."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Place(enum.StrEnum):
    """Where entries are moved to in the line, whatever their level."""

    FIRST = "first"
    LAST = "last"
    BEFORE = "before"
    """Right before another entry."""


class Order(enum.StrEnum):
    """In which order pending entries of the same level begin."""

    SCANNED = "scanned"
    """As they were met, directory by directory: the fastest on most disks."""
    SMALL_FIRST = "small-first"
    LARGE_FIRST = "large-first"
    MIXED = "mixed"
    """Large and small ones by turns: neither the calls nor the bytes wait for the others."""
    INODE = "inode"
    """By inode number: close to the order on the disk for many file systems."""
    EXTENT = "extent"
    """By where the content begins on the disk (FIEMAP), for rotating disks."""


class _Action(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, forbid_unknown_fields=True):
    """Base."""


class Throttle(_Action, frozen=True, tag="throttle"):
    """Set some of the limits, see `migmond.domain.limits.Limits`; None is unlimited, what is unset stays."""

    cpu_percent: float | UnsetType | None = UNSET
    memory_bytes: int | UnsetType | None = UNSET
    io_bytes_per_s: int | UnsetType | None = UNSET
    io_ops_per_s: float | UnsetType | None = UNSET
    network_bytes_per_s: int | UnsetType | None = UNSET
    timetable: str | UnsetType = UNSET


class Workers(_Action, frozen=True, tag="workers"):
    """So many movers copy, at least one."""

    count: int


class BatchSize(_Action, frozen=True, tag="batch_size"):
    """At most so many entries are given to a mover at once; 0 lets the daemon find out."""

    entries: int


class Reordering(_Action, frozen=True, tag="order"):
    """Pending entries begin in another order."""

    order: Order


class Weight(_Action, frozen=True, tag="weight"):
    """The share of what executions have to divide among themselves: 2 gets twice what 1 gets. Above 0."""

    weight: float


class Prioritise(_Action, frozen=True, tag="priority"):
    """What the selector picks has another level; of several such changes the latest counts."""

    selector: Selector
    level: Level


class Move(_Action, frozen=True, tag="reorder"):
    """What the selector picks changes its place in the line; of several such changes the latest counts.

    Attributes:
        before: number of the task, with `Place.BEFORE` only.
    """

    selector: Selector
    place: Place
    before: int = 0


class Skip(_Action, frozen=True, tag="skip"):
    """What the selector picks is left where it is: the source stays, nothing is written."""

    selector: Selector


class Route(_Action, frozen=True, tag="route"):
    """What the selector picks goes below another destination from now on; what is there already stays.

    Attributes:
        destination: absolute path, raw bytes, in place of the plan's.
    """

    selector: Selector
    destination: bytes


class Pause(_Action, frozen=True, tag="pause"):
    """What the selector picks is held; with one that picks everything the whole execution is."""

    selector: Selector = Selector()


class Resume(_Action, frozen=True, tag="resume"):
    """Holds with this very selector are lifted; with one that picks everything, all of them."""

    selector: Selector = Selector()


class Retry(_Action, frozen=True, tag="retry"):
    """Of the entries that failed, those that the selector picks are tried again."""

    selector: Selector = Selector()


class Cancel(_Action, frozen=True, tag="cancel"):
    """The execution ends; what was done stays done."""


class Drain(_Action, frozen=True, tag="drain"):
    """What is in hand is finished, nothing more begins."""


StandingAction: TypeAlias = Throttle | Workers | BatchSize | Reordering | Weight | Prioritise | Move | Skip | Route
"""Those that last until they are taken back or are over. A pause lasts as well; it stands among the holds."""

Action: TypeAlias = StandingAction | Pause | Resume | Retry | Cancel | Drain


class Standing(msgspec.Struct, frozen=True):
    """A change that is in force.

    Attributes:
        id: of the intervention that made it, `i-41`.
        author: user name (or uid) of who made it, or the component (`engine`, `alert NAME`).
        since: wall clock seconds, for people.
        until: wall clock seconds at which it ends by itself, or None.
        reason: one sentence for people, or "".
    """

    id: str
    author: str
    since: float
    until: float | None
    reason: str
    action: StandingAction
