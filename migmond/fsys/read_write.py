"""Copying by read and write, hashed on the way, without pushing other people's pages out of the cache.

Measured (design page PERF): pwritev2 with RWF_DONTCACHE is the fastest durable way for large files, and drops our own
pages by itself; where the kernel or the file system lacks it, sync_file_range behind the write head starts the
write-back early. The source is read plainly: RWF_DONTCACHE halves the rate of reading (0.15 s against 0.28 s for
512 MiB).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from migmond.domain.activity import Activity
from migmond.fsys import libc
from migmond.fsys.hashing import Hash
from migmond.wire.slots import Meter

CHUNK_BYTES = 1 << 20
_RWF_DONTCACHE = 0x80
_WINDOW_BYTES = 8 << 20
_NOT_HERE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE})


Piece = Callable[[], int]
"""How many bytes may be moved before `step` is called, at least one."""


def chunk() -> int:
    """A Piece: as many as there is a buffer for."""
    return CHUNK_BYTES


class SourceUnreadable(OSError):
    """The source refused to be read; every other error of a copy is the target's."""


def read_at(fd: int, buffer: memoryview, position: int) -> int:
    """Read from a source into `buffer`; returns how much, 0 at its end.

    Raises:
        SourceUnreadable: with the kernel's errno.
    """
    try:
        return os.preadv(fd, [buffer], position)
    except OSError as e:
        raise SourceUnreadable(e.errno, e.strerror) from e


def read_some(fd: int, most: int) -> bytes:
    """Read on from a source, at most so many bytes; b"" at its end. Raises as `read_at`."""
    try:
        return os.read(fd, most)
    except OSError as e:
        raise SourceUnreadable(e.errno, e.strerror) from e


class Hasher:
    """xxh3_128 over the logical content; holes count as the zeros that they read as.

    Args:
        make: of the hash, None when none is wanted.
    """

    def __init__(self, make: Callable[[], Hash] | None) -> None:
        self._hash = make() if make is not None else None

    def data(self, chunk: bytes | memoryview) -> None:
        if self._hash is not None:
            self._hash.update(chunk)

    def hole(self, length: int, step: Callable[[int], None]) -> None:
        """Hash `length` zeros. `step(0)` is called now and then: those of a huge hole take their time."""
        if self._hash is not None:
            self._hash.zeros(length, step)

    def digest(self) -> bytes | None:
        return None if self._hash is None else self._hash.digest()


class Writer:
    """Writes one large file, from its start to its end.

    Attributes:
        uncached: RWF_DONTCACHE is used; False once the target has refused it.
    """

    def __init__(self, fd: int, *, uncached: bool) -> None:
        self.uncached = uncached
        self._fd = fd
        self._window = (0, 0)
        self._before = (0, 0)

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of `data` at `offset`, which only ever grows.

        Raises:
            OSError: also one of an earlier write that came to light only now.
        """
        while data:
            try:
                written = os.pwritev(self._fd, [data], offset, _RWF_DONTCACHE if self.uncached else 0)
            except OSError as e:
                if self.uncached and e.errno in _NOT_HERE:
                    self.uncached = False
                    continue
                raise
            data = data[written:]
            offset += written
        if not self.uncached:
            self._written(offset)

    def _written(self, end: int) -> None:
        """Start the write-back of each full window; drop the one before it, which has reached the device by then."""
        start = self._window[1]
        if end - start < _WINDOW_BYTES:
            return
        self._before, self._window = self._window, (start, end)
        try:
            libc.sync_file_range(self._fd, start, end - start, libc.SYNC_FILE_RANGE_WRITE)
            start, end = self._before
            if end > start:
                wait = libc.SYNC_FILE_RANGE_WAIT_BEFORE | libc.SYNC_FILE_RANGE_WRITE | libc.SYNC_FILE_RANGE_WAIT_AFTER
                libc.sync_file_range(self._fd, start, end - start, wait)
                os.posix_fadvise(self._fd, start, end - start, os.POSIX_FADV_DONTNEED)
        except OSError as e:
            if e.errno not in _NOT_HERE:  # it is but a hint, unless it brings news of a failed write
                raise


def copy_range(
    source_fd: int,
    start: int,
    end: int,
    writer: Writer,
    hasher: Hasher,
    buffer: memoryview,
    step: Callable[[int], None],
    meter: Meter,
    piece: Piece = chunk,
) -> int:
    """Copy bytes `start` to `end`; returns how many there were (fewer when the file shrank).

    Args:
        buffer: reused for all reads: allocating a new megabyte for each costs more than the copy.
        step: called after each chunk of n bytes with n; it may block or raise.
        meter: is told what takes the time.
        piece: says before each how long it may be.
    """
    position = start
    while position < end:
        count = read_at(source_fd, buffer[: min(end - position, piece())], position)
        meter.lap(Activity.SOURCE_READ)
        if count == 0:
            break
        data = buffer[:count]
        writer.write(data, position)
        meter.lap(Activity.TARGET_WRITE)
        hasher.data(data)
        meter.lap(Activity.HASH)
        position += count
        step(count)
    return position - start
