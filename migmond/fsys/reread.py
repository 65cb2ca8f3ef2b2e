"""Reading content again, to compare hashes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import xxhash

from migmond.fsys.read_write import CHUNK_BYTES, Piece, chunk


def digest_past_cache(fd: int, step: Callable[[int], None], piece: Piece = chunk) -> tuple[bytes, int]:
    """Drop the file's own pages from the cache, then hash it from the device.

    The file must be clean (synced): dirty pages cannot be dropped (design page HAZARDS row 12).
    Returns digest and bytes.
    """
    with contextlib.suppress(OSError):  # not every file system can drop pages; tmpfs has no device at all
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    result = digest_of(fd, step, piece)
    with contextlib.suppress(OSError):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return result


def digest_of(fd: int, step: Callable[[int], None], piece: Piece = chunk) -> tuple[bytes, int]:
    """Hash the file from its start to its end (xxh3_128). Returns digest and bytes read.

    Args:
        step: called after each chunk with its length; it may block or raise.
        piece: says before each how long it may be.
    """
    hasher, position = xxhash.xxh3_128(), 0
    buffer = memoryview(bytearray(CHUNK_BYTES))
    while count := os.preadv(fd, [buffer[: piece()]], position):
        hasher.update(buffer[:count])
        position += count
        step(count)
    return hasher.digest(), position
