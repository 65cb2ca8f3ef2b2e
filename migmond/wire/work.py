"""What a mover is given to copy.

Small files without any peculiarity, which are nearly all there are, are packed, so that neither side makes an object of
each on the way, and the machine code of the mover reads and writes them as they are. The layouts are those of `struct
file` and `struct copy` in fsys/small_files.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import msgspec

from migmond.domain.entry import EntryType
from migmond.domain.states import Outcome
from migmond.domain.task import Task
from migmond.wire.items import WorkItem

LARGEST_BYTES = 1 << 20
"""As long as a chunk of a large file: so long a pause waits."""
EARLIEST_NS, LATEST_NS = -(1 << 62), 1 << 62
"""Times beyond (1823, 2116) are not plain."""

FILE = struct.Struct("=QQqqqII")
"""Task number, inode, size, mtime_ns, ctime_ns, links."""
COPY = struct.Struct("=QQqqQ16s")
"""Task number, inode of the copy, size, birth_ns (0: unknown), attempt (see `items.CopyResult`), digest."""
_DIGEST_AT = COPY.size - 16
_FILE_TYPE = EntryType.FILE
_NO_OUTCOME = Outcome.NONE


class PlainFiles(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Tasks of one directory.

    Attributes:
        names: each ended by NUL.
        files: a `FILE` for each.
        device: of all of them (see `domain.task.Listing`).
    """

    names: bytes
    files: bytes
    device: int

    def items(self) -> list[WorkItem]:
        """Return them as anything else is told."""
        return list(self._items(self.names.split(b"\0")))

    def _items(self, names: list[bytes]) -> Iterator[WorkItem]:
        for name, (number, inode, size, mtime_ns, ctime_ns, links, _) in zip(
            names, FILE.iter_unpack(self.files), strict=False
        ):
            yield WorkItem(number, name, _FILE_TYPE, size, mtime_ns, ctime_ns, inode, self.device, links)

    def __len__(self) -> int:
        return len(self.files) // FILE.size

    def split(self, count: int, names_bytes: int) -> tuple[PlainFiles, PlainFiles]:
        """Return the first `count`, whose names take `names_bytes`, and the rest."""
        at = count * FILE.size
        return (
            PlainFiles(self.names[:names_bytes], self.files[:at], self.device),
            PlainFiles(self.names[names_bytes:], self.files[at:], self.device),
        )

    def pick(self, positions: Sequence[int]) -> PlainFiles:
        """Return some of them."""
        names, size = self.names.split(b"\0"), FILE.size
        return PlainFiles(
            b"".join([names[i] + b"\0" for i in positions]),
            b"".join([self.files[i * size : (i + 1) * size] for i in positions]),
            self.device,
        )

    def check(self) -> None:
        """Raise ValueError when names and records do not go together."""
        count, rest = divmod(len(self.files), FILE.size)
        names = self.names.count(b"\0")
        if rest or names != count or (count and not self.names.endswith(b"\0")):
            raise ValueError(f"{count} plain files with {names} names")


class WorkDirectory(msgspec.Struct, frozen=True, array_like=True):
    """Items that lie in one directory. `path` is below root `root`; the same relative path at the target.

    `tidy`: attempts that are over may have left temporaries there; they are removed first, to make room.
    `plain`: further items, packed.
    """

    root: int
    path: bytes
    items: tuple[WorkItem, ...]
    tidy: bool = False
    plain: PlainFiles | None = None

    def numbers(self) -> set[int]:
        """Return the numbers of all tasks in it."""
        plain = self.plain.items() if self.plain is not None else []
        return {item.number for item in (*self.items, *plain)}


class PlainCopies(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Copies that became members of a commit group.

    Attributes:
        copies: a `COPY` for each.
        hashed: the digests are there.
    """

    group: int
    copies: bytes
    hashed: bool


def is_plain(task: Task) -> bool:
    """Whether a task may be told so, unless something is known of earlier attempts."""
    return (
        task.type is _FILE_TYPE
        and task.size <= LARGEST_BYTES
        and not task.leader
        and not task.target_inode
        and task.target_name is None
        and task.outcome is _NO_OUTCOME
        and EARLIEST_NS < task.mtime_ns < LATEST_NS
        and EARLIEST_NS < task.ctime_ns < LATEST_NS
    )


def plain_item(task: Task) -> WorkItem:
    """Return what is plain as anything else is told."""
    return WorkItem(
        task.number, task.name, task.type, task.size, task.mtime_ns, task.ctime_ns, task.inode, task.device, task.links
    )


def plain_files(tasks: Sequence[Task]) -> PlainFiles | None:
    """Pack tasks of one directory and device, at least one; None when a name has a NUL in it: it would end there."""
    pack = FILE.pack
    names = b"\0".join([*[t.name for t in tasks], b""])
    if names.count(b"\0") != len(tasks):
        return None
    files = [pack(t.number, t.inode, t.size, t.mtime_ns, t.ctime_ns, t.links, 0) for t in tasks]
    return PlainFiles(names, b"".join(files), tasks[0].device)


def set_digest(copies: bytearray, position: int, digest: bytes) -> None:
    """Fill in the digest of the copy at `position`."""
    start = position * COPY.size + _DIGEST_AT
    copies[start : start + 16] = digest
