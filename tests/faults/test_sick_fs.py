"""The sick file system itself: healthy it is as any other, and every fault does what it says."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import sickfs
import trees
from errnos import fails_with
from oracle import differences
from sickfs import SickFs, sick_fs

pytestmark = pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")

PAGE = 4096


@pytest.fixture
def sick(tmp_path: Path) -> Iterator[SickFs]:
    with sick_fs(tmp_path) as mounted:
        yield mounted


def drop_pages(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def test_healthy_it_passes_everything_through(sick: SickFs) -> None:
    trees.random_tree(sick.root / "tree", random.Random(1), 80)
    trees.sparse_and_links(sick.root / "links", 2, random.Random(2))
    assert differences(sick.root, sick.backing) == []
    one = sick.root / "one"
    one.write_bytes(b"hello")
    assert one.stat().st_ino == (sick.backing / "one").stat().st_ino
    one.rename(sick.root / "renamed")
    assert (sick.backing / "renamed").read_bytes() == b"hello"


def test_ranges_fail_and_bits_flip(sick: SickFs) -> None:
    file = sick.root / "file"
    content = random.Random(1).randbytes(64 * PAGE)
    file.write_bytes(content)
    rule = sick.fall_ill("read", path="/file", start=40 * PAGE, end=41 * PAGE, error="EIO")
    drop_pages(file)
    with file.open("rb") as opened:
        assert opened.read(8 * PAGE) == content[: 8 * PAGE]
        with fails_with(errno.EIO):
            opened.seek(40 * PAGE)
            opened.read(PAGE)
    sick.heal(rule)
    sick.fall_ill("read", flip_at=5000)
    drop_pages(file)
    read = file.read_bytes()
    assert [i for i in range(len(content)) if read[i] != content[i]] == [5000]
    assert (sick.backing / "file").read_bytes() == content


def test_an_error_that_comes_once(sick: SickFs) -> None:
    rule = sick.fall_ill("fsync", error="EIO", times=1)
    with (sick.root / "file").open("wb") as file:
        file.write(b"x")
        file.flush()
        with fails_with(errno.EIO):
            os.fsync(file.fileno())
        os.fsync(file.fileno())
    assert sick.struck(rule) == 1


def test_hanging_until_it_is_healed_and_slow(sick: SickFs) -> None:
    (sick.root / "file").write_bytes(b"content")
    drop_pages(sick.root / "file")
    sick.fall_ill("open", hang=True)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((sick.root / "file").read_bytes()))
    reader.start()
    sick.until_hanging()
    assert read == []
    sick.heal()
    reader.join()
    assert (read, sick.hanging) == ([b"content"], 0)
    sick.fall_ill("open", delay_s=0.3)
    began = time.monotonic()
    assert (sick.root / "file").read_bytes() == b"content"
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("error", ["ESTALE", "ENOSPC", "EROFS", "EDQUOT"])
def test_any_error_of_any_operation(sick: SickFs, error: str) -> None:
    sick.fall_ill("create", path="/a/*", error=error)
    (sick.root / "a").mkdir()
    with fails_with(getattr(errno, error)):
        (sick.root / "a" / "file").write_bytes(b"")
    (sick.root / "b").write_bytes(b"")
