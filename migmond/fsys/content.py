"""The content of one file: the chain of mechanisms, fastest first."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import msgspec
import xxhash

from migmond.fsys import reflink
from migmond.fsys.holes import data_ranges, looks_sparse
from migmond.fsys.read_write import Hasher, Writer, copy_range

SMALL_BYTES = 256 * 1024
"""Up to here a file is one read and one write: no fallocate, no hints."""


class Content(msgspec.Struct, frozen=True):
    """What was copied. `digest` is None when no hash was wanted or no byte passed through us (reflink)."""

    bytes_copied: int
    digest: bytes | None
    reflinked: bool


class PairMemory:
    """What a pair of file systems cannot do, learnt once, so that no file pays for finding out again."""

    def __init__(self) -> None:
        self._no_reflink: set[tuple[int, int]] = set()
        self._no_fallocate: set[int] = set()
        self.writer = Writer()

    def may_reflink(self, source_device: int, target_device: int) -> bool:
        return (source_device, target_device) not in self._no_reflink

    def no_reflink(self, source_device: int, target_device: int) -> None:
        self._no_reflink.add((source_device, target_device))

    def allocate(self, fd: int, size: int, device: int) -> None:
        """Reserve the blocks of a large file at once: one extent, and a full disk shows before the copy.

        Raises:
            OSError: ENOSPC, EDQUOT, EFBIG and the like.
        """
        if device in self._no_fallocate:
            return
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as e:
            if e.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            self._no_fallocate.add(device)


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
) -> Content:
    """Copy the whole content into the fresh, empty file `target_fd`.

    Args:
        source: fstat of the source, taken before; a file that grows or shrinks meanwhile is copied to its end as
            found, and the caller's second fstat tells.
        digest: hash on the way (xxh3_128 of the logical content, 16 bytes).
        step: called after each chunk of at most 1 MiB with its length; it may block (pause) or raise (abandon).

    Raises:
        OSError: reading or writing failed; the target is to be thrown away.
    """
    size = source.st_size
    if reflink_wanted and size and memory.may_reflink(source.st_dev, target_device):
        if reflink.clone(source_fd, target_fd):
            return Content(size, None, reflinked=True)
        memory.no_reflink(source.st_dev, target_device)
    if size <= SMALL_BYTES and not looks_sparse(source):
        return _copy_small(source_fd, target_fd, size, digest=digest, step=step)
    return _copy_large(source_fd, target_fd, source, target_device, digest=digest, memory=memory, step=step)


def _copy_small(source_fd: int, target_fd: int, size: int, *, digest: bool, step: Callable[[int], None]) -> Content:
    data = os.read(source_fd, size + 1)
    while len(data) < size and (more := os.read(source_fd, size + 1 - len(data))):
        data += more
    if data:
        written = os.write(target_fd, data)
        while written < len(data):
            written += os.write(target_fd, data[written:])
        step(len(data))
    return Content(len(data), xxhash.xxh3_128_digest(data) if digest else None, reflinked=False)


def _copy_large(
    source_fd: int,
    target_fd: int,
    source: os.stat_result,
    target_device: int,
    *,
    digest: bool,
    memory: PairMemory,
    step: Callable[[int], None],
) -> Content:
    size, sparse = source.st_size, looks_sparse(source)
    hasher, copied, position = Hasher(active=digest), 0, 0
    if sparse:
        os.ftruncate(target_fd, size)
    else:
        memory.allocate(target_fd, size, target_device)
    os.posix_fadvise(source_fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    for start, end in data_ranges(source_fd, size) if sparse else ((0, size),):
        hasher.hole(start - position)
        count = copy_range(source_fd, target_fd, start, end, hasher, memory.writer, step)
        copied += count
        position = start + count
        if position < end:  # it shrank; the caller will see
            os.ftruncate(target_fd, position)
            return Content(copied, hasher.digest(), reflinked=False)
    hasher.hole(size - position)
    return Content(copied, hasher.digest(), reflinked=False)
