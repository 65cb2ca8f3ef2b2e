"""The commit group that copies are added to."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from migmond.domain.plan import VerifyLevel
from migmond.mover.temporaries import numbered
from migmond.wire.items import CopyResult, MoverOptions
from migmond.wire.work import COPY, FILE, PlainFiles


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A member on its way to its final name.

    Attributes:
        root, path: target directory.
        name: final name.
        temporary: where its copy is now; b"" when it has its final name already (`placed` says which).
        placed: the name that it got at once (rename, unchanged), b"" otherwise.
        mtime_ns: of the source, for the policy NEWER.
        digest: to be compared with a read-back, None when there is nothing to compare.
        inode: its copy's at the target.
        as_of_ns: of one that has its name already: its ctime before it was looked at and found to be right, 0 for
            unknown.
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
    as_of_ns: int = 0


class Copied(msgspec.Struct, frozen=True, gc=False):
    """Result for the daemon and, for a member of a group, how it goes on."""

    result: CopyResult
    arrival: Arrival | None


class Block(msgspec.Struct, frozen=True):
    """Members of one directory that machine code made, on their way to their final names: no object of each.

    Attributes:
        root, path: target directory.
        files: what they were copied from, under the same names.
        copies: a `wire.work.COPY` for each.
        hashed: with digests.
        around: of their temporary names, see `temporaries.around_numbers`.
        size: bytes of all of them.
    """

    root: int
    path: bytes
    files: PlainFiles
    copies: bytes
    hashed: bool
    around: tuple[bytes, bytes]
    size: int

    def __len__(self) -> int:
        return len(self.files)

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of their tasks."""
        return (copy[0] for copy in COPY.iter_unpack(self.copies))

    def arrivals(self) -> Iterator[Arrival]:
        """Yield each of them by itself."""
        names = self.files.names.split(b"\0")
        for name, (number, inode, size, _, attempt, digest), (_, _, _, mtime_ns, _, _, _) in zip(
            names, COPY.iter_unpack(self.copies), FILE.iter_unpack(self.files.files), strict=False
        ):
            yield Arrival(
                number, self.root, self.path, name, numbered(self.around, number, attempt), b"", mtime_ns, size,
                digest if self.hashed else None, inode,
            )  # fmt: skip


class Group:
    """Members collected since the last seal."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.arrivals: list[Arrival] = []
        self.blocks: list[Block] = []
        self.entries = 0
        self.bytes = 0
        self.opened_at = time.monotonic()
        self.touched_at = self.opened_at

    def add(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        self._added(1, arrival.size)

    def add_block(self, block: Block) -> None:
        self.blocks.append(block)
        self._added(len(block), block.size)

    def _added(self, entries: int, size: int) -> None:
        self.entries += entries
        self.bytes += size
        self.touched_at = time.monotonic()

    def each(self) -> Iterator[Arrival]:
        """Yield all members."""
        for block in self.blocks:
            yield from block.arrivals()
        yield from self.arrivals

    def due(self, options: MoverOptions, now: float, *, idle: bool) -> bool:
        """Whether it is to be synced: full, old, or nothing was added for a while."""
        if not self.entries:
            return False
        return (
            self.entries >= options.group_entries
            or self.bytes >= options.group_bytes
            or now - self.opened_at >= options.group_age_s
            or (idle and now - self.touched_at >= options.group_idle_s)
        )


def reads_back(options: MoverOptions) -> bool:
    return options.verify is VerifyLevel.READ_BACK
