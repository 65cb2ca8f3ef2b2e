from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import xxhash

from errnos import fails_with
from loopfs import LoopFs
from migmond.fsys.durable import sync_file_system
from migmond.fsys.read_write import CHUNK_BYTES
from migmond.fsys.reread import digest_of, digest_past_cache

BLOCK = 4096
_FIBMAP, _FIGETBSZ = 1, 2


def _place_of(fd: int) -> int:
    """Where on its device the file's first block is, in bytes; 0 while it has none."""
    (block,) = struct.unpack("i", fcntl.ioctl(fd, _FIBMAP, struct.pack("i", 0)))
    (size,) = struct.unpack("i", fcntl.ioctl(fd, _FIGETBSZ, struct.pack("i", 0)))
    return int(block) * int(size)


class OnDisk:
    """A file on a disk whose platters can be touched."""

    def __init__(self, fs: LoopFs, fd: int) -> None:
        self.root, self.fd, self._image = fs.root, fd, fs.image

    def read(self) -> bytes:
        with self._image.open("rb") as image:
            return os.pread(image.fileno(), BLOCK, _place_of(self.fd))

    def rot(self) -> None:
        """Flip a bit behind the file system's back."""
        with self._image.open("r+b") as image:
            place = _place_of(self.fd) + 100
            (byte,) = os.pread(image.fileno(), 1, place)
            os.pwrite(image.fileno(), bytes([byte ^ 1]), place)


@pytest.fixture
def on_disk(loop_fs: Callable[[str], LoopFs]) -> Iterator[OnDisk]:
    fs = loop_fs("ext4")
    fd = os.open(fs.root / "on-disk", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    yield OnDisk(fs, fd)
    os.close(fd)
    (fs.root / "on-disk").unlink()


def test_after_a_sync_the_content_is_on_the_device(on_disk: OnDisk) -> None:
    content = os.urandom(BLOCK)
    os.pwrite(on_disk.fd, content, 0)
    root = os.open(on_disk.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_file_system(root)
    finally:
        os.close(root)
    assert on_disk.read() == content


def test_a_sync_that_fails_says_so() -> None:
    fd = os.open("/", os.O_PATH)
    os.close(fd)
    with fails_with(errno.EBADF):
        sync_file_system(fd)


@pytest.mark.hazard(12, 15)
def test_bit_rot_is_seen_only_past_the_cache(on_disk: OnDisk) -> None:
    content = os.urandom(3 * BLOCK)
    os.pwrite(on_disk.fd, content, 0)
    sync_file_system(on_disk.fd)
    good = xxhash.xxh3_128_digest(content)
    steps: list[int] = []
    assert digest_past_cache(on_disk.fd, steps.append) == (good, len(content))
    assert sum(steps) == len(content)
    assert digest_of(on_disk.fd, steps.append) == (good, len(content))
    on_disk.rot()
    assert digest_of(on_disk.fd, steps.append) == (good, len(content))
    digest, count = digest_past_cache(on_disk.fd, steps.append)
    assert count == len(content)
    assert digest != good


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 9])
@pytest.mark.parametrize("function", [digest_of, digest_past_cache])
def test_digests_of_every_size_whatever_the_offset(
    function: Callable[[int, Callable[[int], None]], tuple[bytes, int]],
    size: int,
    tmp_path: Path,
    opened: Callable[..., int],
) -> None:
    content, steps = os.urandom(size), list[int]()
    (tmp_path / "file").write_bytes(content)
    fd = opened(tmp_path / "file")
    os.lseek(fd, size, os.SEEK_SET)
    assert function(fd, steps.append) == (xxhash.xxh3_128_digest(content), size)
    assert sum(steps) == size
    assert max(steps, default=0) <= CHUNK_BYTES


def test_a_step_may_give_up(tmp_path: Path, opened: Callable[..., int]) -> None:
    (tmp_path / "file").write_bytes(bytes(3 * CHUNK_BYTES))
    steps: list[int] = []

    def step(count: int) -> None:
        steps.append(count)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        digest_past_cache(opened(tmp_path / "file"), step)
    assert steps == [CHUNK_BYTES]
