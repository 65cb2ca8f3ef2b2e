"""Copying by read and write, hashed on the way, without pushing other people's pages out of the cache.

Measured (PERF.md): pwritev2 with RWF_DONTCACHE is the fastest durable way for large files, and drops our own pages
by itself; where the kernel lacks it, sync_file_range behind the write head starts the write-back early.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable

import xxhash

from migmond.fsys import libc

CHUNK_BYTES = 1 << 20
_RWF_DONTCACHE = 0x80
_SYNC_FILE_RANGE_WRITE = 2
_FLUSH_EVERY_BYTES = 8 << 20
_ZEROS = bytes(CHUNK_BYTES)


class Hasher:
    """xxh3_128 over the logical content; holes count as the zeros that they read as."""

    def __init__(self, *, active: bool) -> None:
        self._hash = xxhash.xxh3_128() if active else None

    def data(self, chunk: bytes | memoryview) -> None:
        if self._hash is not None:
            self._hash.update(chunk)

    def hole(self, length: int) -> None:
        if self._hash is not None:
            while length > 0:
                self._hash.update(memoryview(_ZEROS)[: min(length, CHUNK_BYTES)])
                length -= CHUNK_BYTES

    def digest(self) -> bytes | None:
        return None if self._hash is None else self._hash.digest()


class Writer:
    """Writes large files by whatever the kernel has. One per mover; it learns once and remembers.

    Attributes:
        buffer: reused for all reads: allocating a new megabyte for each costs more than the copy.
    """

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(CHUNK_BYTES))
        self._flags = _RWF_DONTCACHE

    def write(self, fd: int, data: memoryview, offset: int) -> None:
        """Write all of `data` at `offset`. Raises OSError."""
        while data:
            try:
                written = os.pwritev(fd, [data], offset, self._flags)
            except OSError as e:
                if e.errno in (errno.EOPNOTSUPP, errno.EINVAL) and self._flags:
                    self._flags = 0
                    continue
                raise
            data = data[written:]
            offset += written

    def behind(self, fd: int, offset: int) -> None:
        """Start the write-back of the stretch before `offset` where RWF_DONTCACHE does not do it."""
        if not self._flags and offset % _FLUSH_EVERY_BYTES == 0:
            with contextlib.suppress(OSError):  # a hint: errors of the data itself come with the sync
                libc.sync_file_range(fd, offset - _FLUSH_EVERY_BYTES, _FLUSH_EVERY_BYTES, _SYNC_FILE_RANGE_WRITE)


def copy_range(
    source_fd: int, target_fd: int, start: int, end: int, hasher: Hasher, writer: Writer, step: Callable[[int], None]
) -> int:
    """Copy bytes `start` to `end`; returns how many there were (fewer when the file shrank).

    `step(n)` is called after each chunk of n bytes; it may block or raise.
    """
    position = start
    buffer = writer.buffer
    while position < end:
        count = os.preadv(source_fd, [buffer[: min(CHUNK_BYTES, end - position)]], position)
        if count == 0:
            break
        chunk = buffer[:count]
        writer.write(target_fd, chunk, position)
        hasher.data(chunk)
        position += count
        writer.behind(target_fd, position)
        step(count)
    return position - start
