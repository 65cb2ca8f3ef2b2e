"""The content of one file: the chain of mechanisms, fastest first."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable

import msgspec
import xxhash

from migmond.domain.activity import Activity
from migmond.fsys import libc
from migmond.fsys.hashing import Hash, PlainHash
from migmond.fsys.holes import data_ranges, looks_sparse
from migmond.fsys.read_write import CHUNK_BYTES, Hasher, Piece, Writer, chunk, copy_range, read_some
from migmond.fsys.reflink import Clone, clone
from migmond.wire.slots import Meter

SMALL_BYTES = 256 * 1024
"""Up to here a file is one read and one write: no fallocate, no hints."""

ALLOCATE_BYTES = 16 << 20
"""The first piece of a large file that is allocated."""
QUICK_S = 0.002

_CANNOT_ALLOCATE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


class Content(msgspec.Struct, frozen=True):
    """What was copied.

    Attributes:
        bytes_copied: bytes that passed through us, or that are shared now; holes do not count.
        digest: None when no hash was wanted or no byte passed through us (reflink).
        holes_kept: False when the source has holes that the target's file system filled with zeros.
    """

    bytes_copied: int
    digest: bytes | None
    reflinked: bool = False
    holes_kept: bool = True


class PairMemory:
    """What the file systems at hand cannot do, learnt once, so that no file pays for finding out again.

    For one thread: it also holds the buffer that large files are copied through.

    Attributes:
        hash: makes hashes.
    """

    def __init__(self, hash_: Callable[[], Hash] = PlainHash) -> None:
        self.hash = hash_
        self._no_reflink: set[tuple[int, int]] = set()
        self._no_fallocate: set[int] = set()
        self._no_uncached: set[int] = set()
        self.buffer = memoryview(bytearray(CHUNK_BYTES))

    def may_reflink(self, source_device: int, target_device: int) -> bool:
        """Whether these two are not known to be unable to share content."""
        return (source_device, target_device) not in self._no_reflink

    def reflink(self, source_fd: int, target_fd: int, source_device: int, target_device: int) -> bool:
        """Share the content if these two can; see `migmond.fsys.reflink.clone`. Raises OSError."""
        if not self.may_reflink(source_device, target_device):
            return False
        result = clone(source_fd, target_fd)
        if result is Clone.NOT_THIS_PAIR:
            self._no_reflink.add((source_device, target_device))
        return result is Clone.DONE

    def allocate(self, fd: int, size: int, device: int, step: Callable[[int], None]) -> None:
        """Reserve the blocks of a large file before the copy: few extents, and a full disk shows at once.

        In pieces, which grow while they are quick: most file systems note an extent of any length in microseconds, but
        tmpfs finds every page (2 GiB: up to 2 s), and nobody could pause that.

        Args:
            step: called with 0 between two pieces; it may block or raise.

        Raises:
            OSError: ENOSPC, EDQUOT, EFBIG and the like.
        """
        if device in self._no_fallocate:
            return
        start, piece = 0, ALLOCATE_BYTES
        try:
            while start < size:
                if start:
                    step(0)
                began = time.monotonic()
                libc.fallocate(fd, 0, start, min(piece, size - start))
                start += piece
                if time.monotonic() - began < QUICK_S:
                    piece *= 2
        except OSError as e:
            if e.errno not in _CANNOT_ALLOCATE:
                raise
            self._no_fallocate.add(device)

    def writer(self, fd: int, device: int) -> Writer:
        """Return what writes a large file there in the best known way."""
        return Writer(fd, uncached=device not in self._no_uncached)

    def learn(self, writer: Writer, device: int) -> None:
        """Remember what a file's writer found out."""
        if not writer.uncached:
            self._no_uncached.add(device)


def copy_content(
    source_fd: int,
    target_fd: int,
    source: os.stat_result,
    target_device: int,
    *,
    digest: bool,
    reflink_wanted: bool,
    memory: PairMemory,
    step: Callable[[int], None],
    meter: Meter,
    piece: Piece = chunk,
) -> Content:
    """Copy the whole content into the fresh, empty file `target_fd`. Both fds stand at offset 0.

    Args:
        source: fstat of the source, taken before. A file that grows meanwhile is copied at least up to the size in
            it, one that shrinks up to its new end; the caller's second fstat tells. A file of size 0 is read to its
            end all the same: pseudo files have a content without a size.
        digest: hash on the way (xxh3_128 of the logical content, 16 bytes).
        step: called after each chunk of at most 1 MiB with its length, and with 0 now and then while none is
            copied; it may block (pause) or raise (abandon).
        meter: is told what takes the time.
        piece: says how long a chunk may be.

    Raises:
        SourceUnreadable: reading failed; the target is to be thrown away.
        OSError: writing did, likewise.
    """
    size = source.st_size
    if reflink_wanted and size and memory.reflink(source_fd, target_fd, source.st_dev, target_device):
        return Content(size, None, reflinked=True)
    if reflink_wanted and not size:
        _try_sharing(source_fd, target_fd, source.st_dev, target_device, memory)
    if size <= min(SMALL_BYTES, piece()) and not looks_sparse(source):
        return _copy_small(source_fd, target_fd, size, digest=digest, step=step, meter=meter)
    return _copy_large(
        source_fd, target_fd, source, target_device,
        digest=digest, memory=memory, step=step, meter=meter, piece=piece,
    )  # fmt: skip


def _try_sharing(source_fd: int, target_fd: int, source_device: int, target_device: int, memory: PairMemory) -> None:
    """An empty file has nothing to share, but tells as well whether these two can: else trees of them would never
    learn. Nothing of it may count against the file, nor stay: it may have grown in this moment."""
    with contextlib.suppress(OSError):
        if memory.reflink(source_fd, target_fd, source_device, target_device):
            os.ftruncate(target_fd, 0)


def _copy_small(
    source_fd: int, target_fd: int, size: int, *, digest: bool, step: Callable[[int], None], meter: Meter
) -> Content:
    meter.lap(Activity.METADATA)
    # One byte more than there should be: a read that comes back short of it has met the end.
    data = read_some(source_fd, size + 1)
    if size == 0 and data:
        return _copy_unsized(source_fd, target_fd, data, digest=digest, step=step)
    while len(data) < size and (more := read_some(source_fd, size + 1 - len(data))):
        data += more
    meter.lap(Activity.SOURCE_READ)
    if data:
        _write_all(target_fd, data)
        meter.lap(Activity.TARGET_WRITE)
        step(len(data))
    found = xxhash.xxh3_128_digest(data) if digest else None
    meter.lap(Activity.HASH)
    return Content(len(data), found)


def _copy_unsized(
    source_fd: int, target_fd: int, first: bytes, *, digest: bool, step: Callable[[int], None]
) -> Content:
    hasher, copied, chunk = Hasher(PlainHash if digest else None), 0, first
    while chunk:
        _write_all(target_fd, chunk)
        hasher.data(chunk)
        copied += len(chunk)
        step(len(chunk))
        chunk = read_some(source_fd, CHUNK_BYTES)
    return Content(copied, hasher.digest())


def _write_all(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def _copy_large(
    source_fd: int,
    target_fd: int,
    source: os.stat_result,
    target_device: int,
    *,
    digest: bool,
    memory: PairMemory,
    step: Callable[[int], None],
    meter: Meter,
    piece: Piece,
) -> Content:
    size, sparse = source.st_size, looks_sparse(source)
    hasher, writer = Hasher(memory.hash if digest else None), memory.writer(target_fd, target_device)
    copied = position = 0
    largest_hole = (0, 0)
    if sparse:
        os.ftruncate(target_fd, size)
    else:
        memory.allocate(target_fd, size, target_device, step)
    meter.lap(Activity.METADATA)
    os.posix_fadvise(source_fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    for start, end in data_ranges(source_fd, size) if sparse else ((0, size),):
        largest_hole = max(largest_hole, (start - position, position))
        hasher.hole(start - position, step)
        count = copy_range(source_fd, start, end, writer, hasher, memory.buffer, step, meter, piece)
        copied += count
        position = start + count
        if position < end:  # it shrank, or never had what its size says (sysfs)
            size = position
            os.ftruncate(target_fd, size)
            break
    memory.learn(writer, target_device)
    largest_hole = max(largest_hole, (size - position, position))
    hasher.hole(size - position, step)
    return Content(copied, hasher.digest(), holes_kept=_has_hole(target_fd, *largest_hole))


def _has_hole(fd: int, length: int, start: int) -> bool:
    """Whether there is a hole somewhere in that stretch, unless it is empty."""
    if not length:
        return True
    try:
        return os.lseek(fd, start, os.SEEK_HOLE) < start + length
    except OSError as e:
        if e.errno != errno.EINVAL:  # the file system knows no holes
            raise
        return False
