"""The write-ahead log, read beside SQLite: which pages are in it, and whether it lost something that was acknowledged.

When SQLite opens a log it takes it up to the first frame whose checksum is wrong and forgets the rest. That is right
for a transaction that a power cut tore; but a bit that flipped in an older one takes every later one with it, and
those were acknowledged. A transaction is only begun when the one before it is durable: frames of a second one after
the end that SQLite found are the proof.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import apsw

from migmond_sqlite.checksums import PAGE_BYTES

_MAGIC = 0x377F0682
"""The lowest bit says in which byte order the checksums were made."""
_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MASK = 0xFFFFFFFF


def log_of(path: Path) -> Path:
    """Return the log's path beside the database at `path`."""
    return path.with_name(f"{path.name}-wal")


def frames_in_use(connection: apsw.Connection) -> int:
    """Return how many frames of the log SQLite goes by; opens and recovers it if that was not done yet."""
    list(connection.execute("SELECT count(*) FROM sqlite_schema"))
    ((_, frames, _),) = connection.execute("PRAGMA wal_checkpoint(NOOP)")
    return max(0, int(frames))


def pages_in(path: Path, frames: int) -> set[int]:
    """Return the numbers of the pages in the first `frames` frames of the log of `path`."""
    if not frames:
        return set()
    with log_of(path).open("rb", buffering=0) as log:
        return {page for page, *_ in _frames(log.fileno(), 0, frames)}


def damaged_header(path: Path) -> bool:
    """Whether the log has content but no valid header: SQLite would start it anew without a word."""
    log = log_of(path)
    if not log.exists() or log.stat().st_size == 0:
        return False
    with log.open("rb") as file:
        start = file.read(_HEADER.size + _FRAME.size)
    if not any(start):
        return False  # made by a daemon that lost power before it wrote anything: the header is synced first
    if len(start) < _HEADER.size:
        return True
    magic, _, page_bytes, _, _, _, *sums = _HEADER.unpack(start[: _HEADER.size])
    if magic & ~1 != _MAGIC or page_bytes != PAGE_BYTES:
        return True
    return list(_checksum((0, 0), start[:24], magic)) != sums


def lost_transactions(path: Path, frames: int) -> bool:
    """Whether the log of `path` has acknowledged transactions after the `frames` frames that SQLite goes by."""
    log = log_of(path)
    if not log.exists() or log.stat().st_size < _HEADER.size + _FRAME.size + PAGE_BYTES:
        return False
    with log.open("rb", buffering=0) as file:
        fd = file.fileno()
        magic, *_, salt1, salt2, _, _ = _HEADER.unpack(os.pread(fd, _HEADER.size, 0))
        total = (log.stat().st_size - _HEADER.size) // (_FRAME.size + PAGE_BYTES)
        ended: tuple[int, int] | None = None  # checksum of a frame that ends a transaction
        for number, (page, commit, *salts, sum1, sum2) in enumerate(_frames(fd, frames, total), frames):
            if salts != [salt1, salt2]:
                ended = None
                continue
            if ended is not None:
                offset = _HEADER.size + number * (_FRAME.size + PAGE_BYTES) + _FRAME.size
                data = struct.pack(">II", page, commit) + os.pread(fd, PAGE_BYTES, offset)
                if _checksum(ended, data, magic) == (sum1, sum2):
                    return True
            ended = (sum1, sum2) if commit else None
    return False


def _frames(fd: int, first: int, last: int) -> Iterator[tuple[int, ...]]:
    for number in range(first, last):
        yield _FRAME.unpack(os.pread(fd, _FRAME.size, _HEADER.size + number * (_FRAME.size + PAGE_BYTES)))


def _checksum(start: tuple[int, int], data: bytes, magic: int) -> tuple[int, int]:
    """The log's running checksum: each frame goes on from the one before."""
    one, two = start
    words = struct.unpack(f"{'>' if magic & 1 else '<'}{len(data) // 4}I", data)
    for a, b in zip(words[::2], words[1::2], strict=True):
        one = (one + a + two) & _MASK
        two = (two + b + one) & _MASK
    return one, two
