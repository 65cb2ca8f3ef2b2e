"""The commit group that copies are added to."""

from __future__ import annotations

import time

import msgspec

from migmond.domain.plan import VerifyLevel
from migmond.wire.items import CopyResult, MoverOptions


class Arrival(msgspec.Struct, frozen=True):
    """A member on its way to its final name.

    Attributes:
        root, path: target directory.
        name: final name.
        temporary: where its copy is now; b"" when it has its final name already (`placed` says which).
        placed: the name that it got at once (rename, unchanged), b"" otherwise.
        mtime_ns: of the source, for the policy NEWER.
        digest: to be compared with a read-back, None when there is nothing to compare.
        inode: its copy's at the target.
    """

    number: int
    root: int
    path: bytes
    name: bytes
    temporary: bytes
    placed: bytes
    mtime_ns: int
    size: int
    digest: bytes | None
    inode: int


class Copied(msgspec.Struct, frozen=True):
    """Result for the daemon and, for a member of a group, how it goes on."""

    result: CopyResult
    arrival: Arrival | None


class Group:
    """Members collected since the last seal."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.arrivals: list[Arrival] = []
        self.bytes = 0
        self.opened_at = time.monotonic()
        self.touched_at = self.opened_at

    def add(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        self.bytes += arrival.size
        self.touched_at = time.monotonic()

    def due(self, options: MoverOptions, now: float, *, idle: bool) -> bool:
        """Whether it is to be synced: full, old, or nothing was added for a while."""
        if not self.arrivals:
            return False
        return (
            len(self.arrivals) >= options.group_entries
            or self.bytes >= options.group_bytes
            or now - self.opened_at >= options.group_age_s
            or (idle and now - self.touched_at >= options.group_idle_s)
        )


def reads_back(options: MoverOptions) -> bool:
    return options.verify is VerifyLevel.READ_BACK
