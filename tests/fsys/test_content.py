from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from loopfs import LoopFs
from migmond.fsys import libc, reflink
from migmond.fsys.content import SMALL_BYTES, Content, PairMemory, copy_content
from migmond.fsys.holes import data_ranges, looks_sparse
from migmond.fsys.read_write import CHUNK_BYTES, Writer
from migmond.wire.slots import Meter

BLOCK = 4096
MIB = 1 << 20


class Pair:
    """A source and a fresh target, copied as movers do."""

    def __init__(self, source: Path, target: Path, memory: PairMemory | None = None) -> None:
        self.source_path, self.target_path = source, target
        self.memory = memory or PairMemory()
        self.steps: list[int] = []
        self.spent = memoryview(bytearray(8 * 16)).cast("Q")
        self.meter = Meter(self.spent, 0)

    def copy(
        self, *, digest: bool = True, reflink_wanted: bool = False, step: Callable[[int], None] | None = None
    ) -> Content:
        source = os.open(self.source_path, os.O_RDONLY)
        target = os.open(self.target_path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            return copy_content(
                source,
                target,
                os.fstat(source),
                os.fstat(target).st_dev,
                digest=digest,
                reflink_wanted=reflink_wanted,
                memory=self.memory,
                step=step or self.steps.append,
                meter=self.meter,
            )
        finally:
            os.close(source)
            os.close(target)

    def same(self) -> bool:
        return self.source_path.read_bytes() == self.target_path.read_bytes()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path / "source", tmp_path / "target")


def ranges(path: Path) -> list[tuple[int, int]]:
    with path.open("rb") as file:
        return list(data_ranges(file.fileno(), path.stat().st_size))


def write_sparse(path: Path, size: int, data: list[tuple[int, bytes]]) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, content in data:
            os.pwrite(file.fileno(), content, offset)
        os.fsync(file.fileno())


@pytest.mark.parametrize(
    "size", [0, 1, BLOCK, SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 17]
)
@pytest.mark.parametrize("digest", [True, False])
def test_files_of_every_size(pair: Pair, size: int, digest: bool) -> None:
    content = os.urandom(size)
    pair.source_path.write_bytes(content)
    copied = pair.copy(digest=digest)
    assert pair.target_path.read_bytes() == content
    assert copied == Content(size, xxhash.xxh3_128_digest(content) if digest else None)
    assert sum(pair.steps) == size
    assert max(pair.steps, default=0) <= CHUNK_BYTES
    if size <= SMALL_BYTES:
        assert len(pair.steps) == (1 if size else 0)


@pytest.mark.hazard(30)
@pytest.mark.parametrize(
    ("size", "data"),
    [
        (MIB, [(512 * 1024, b"m" * BLOCK)]),
        (MIB, [(0, b"h" * BLOCK)]),
        (MIB, [(MIB - BLOCK, b"t" * BLOCK)]),
        (MIB + 5, [(0, b"h" * BLOCK), (MIB, b"tail!")]),
        (BLOCK * 4, [(BLOCK, b"s" * BLOCK)]),
        (MIB, []),
        (1, []),
        (40 * MIB + 1, [(17 * MIB, b"x" * 3 * BLOCK)]),
    ],
    ids=["middle", "trailing", "leading", "both ends", "small", "nothing but a hole", "one byte", "large"],
)
def test_holes_stay_holes(pair: Pair, size: int, data: list[tuple[int, bytes]]) -> None:
    write_sparse(pair.source_path, size, data)
    assert looks_sparse(pair.source_path.stat())
    copied = pair.copy()
    assert pair.same()
    assert ranges(pair.target_path) == ranges(pair.source_path)
    assert pair.target_path.stat().st_blocks == pair.source_path.stat().st_blocks
    assert copied.digest == xxhash.xxh3_128_digest(pair.source_path.read_bytes())
    assert copied.holes_kept
    assert copied.bytes_copied == sum(end - start for start, end in ranges(pair.source_path))


def test_a_huge_hole_can_be_given_up_while_it_is_hashed(pair: Pair) -> None:
    write_sparse(pair.source_path, 1 << 40, [])

    class Abandon(Exception):
        pass

    def step(count: int) -> None:
        assert count == 0
        raise Abandon

    with pytest.raises(Abandon):
        pair.copy(step=step)


def test_data_beyond_the_promised_size_is_not_reported(tmp_path: Path, opened: Callable[..., int]) -> None:
    write_sparse(tmp_path / "file", MIB, [(MIB // 2, b"d" * BLOCK), (MIB // 4, b"d" * 2 * BLOCK)])
    fd = opened(tmp_path / "file")
    assert list(data_ranges(fd, MIB // 4)) == []
    assert list(data_ranges(fd, MIB // 4 + 100)) == [(MIB // 4, MIB // 4 + 100)]


@pytest.mark.parametrize("size", [1000, 2 * MIB + 5])
def test_writes_that_come_back_short_are_continued(pair: Pair, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.source_path.write_bytes(os.urandom(size))
    write, pwritev = os.write, os.pwritev

    def half_write(fd: int, data: bytes | memoryview) -> int:
        return write(fd, memoryview(data)[: (len(data) + 1) // 2])

    def half_pwritev(fd: int, buffers: list[memoryview], offset: int, flags: int) -> int:
        return pwritev(fd, [buffers[0][: (len(buffers[0]) + 1) // 2]], offset, flags)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half_write)
        patched.setattr(os, "pwritev", half_pwritev)
        copied = pair.copy()
    assert pair.same()
    assert copied.bytes_copied == size


@st.composite
def _layouts(draw: st.DrawFn) -> tuple[list[tuple[bool, int]], int]:
    """Runs of blocks, each of data or a hole, and bytes in a last partial block of data."""
    runs = draw(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=12))
    if draw(st.booleans()):
        runs.append((draw(st.booleans()), draw(st.integers(200, 700))))
    return runs, draw(st.integers(0, BLOCK - 1))


@pytest.mark.hazard(30)
@settings(max_examples=60, deadline=None)
@given(layout=_layouts(), seed=st.binary(min_size=1, max_size=8))
def test_any_layout_arrives_byte_for_byte_and_hole_for_hole(
    tmp_path_factory: pytest.TempPathFactory, layout: tuple[list[tuple[bool, int]], int], seed: bytes
) -> None:
    directory = tmp_path_factory.mktemp("layout")
    pair, expected, position = Pair(directory / "source", directory / "target"), bytearray(), 0
    runs, tail = layout
    data: list[tuple[int, bytes]] = []
    for is_data, blocks in runs:
        content = (seed * (blocks * BLOCK))[: blocks * BLOCK] if is_data else bytes(blocks * BLOCK)
        if is_data:
            data.append((position, content))
        expected += content
        position += len(content)
    if tail:
        data.append((position, b"t" * tail))
        expected += b"t" * tail
    write_sparse(pair.source_path, len(expected), data)
    copied = pair.copy()
    assert pair.target_path.read_bytes() == expected
    assert copied.digest == xxhash.xxh3_128_digest(bytes(expected))
    assert ranges(pair.target_path) == ranges(pair.source_path)
    assert copied.holes_kept
    pair.source_path.unlink()
    pair.target_path.unlink()


@pytest.mark.hazard(25)
def test_a_file_that_grows_meanwhile_is_copied_up_to_its_size(pair: Pair) -> None:
    content = os.urandom(2 * MIB)
    pair.source_path.write_bytes(content)

    def step(_: int) -> None:
        with pair.source_path.open("ab") as file:
            file.write(b"more")

    copied = pair.copy(step=step)
    assert pair.target_path.read_bytes() == content
    assert copied == Content(len(content), xxhash.xxh3_128_digest(content))


@pytest.mark.hazard(25)
@pytest.mark.parametrize("sparse", [True, False])
def test_a_file_that_shrinks_meanwhile_leaves_no_zeros_behind(pair: Pair, sparse: bool) -> None:
    content = os.urandom(4 * MIB)
    pair.source_path.write_bytes(content)
    if sparse:
        os.truncate(pair.source_path, 8 * MIB)

    def step(_: int) -> None:
        os.truncate(pair.source_path, MIB + 100)

    copied = pair.copy(step=step)
    kept = content[: MIB + 100]
    assert pair.target_path.read_bytes() == kept
    assert copied == Content(len(kept), xxhash.xxh3_128_digest(kept))


@pytest.mark.parametrize("size", [BLOCK, 5 * MIB])
def test_a_step_that_raises_ends_the_copy_at_once(pair: Pair, size: int) -> None:
    pair.source_path.write_bytes(os.urandom(size))

    class Abandon(Exception):
        pass

    def step(count: int) -> None:
        pair.steps.append(count)
        raise Abandon

    with pytest.raises(Abandon):
        pair.copy(step=step)
    assert pair.steps == [min(size, CHUNK_BYTES)]


@pytest.mark.hazard(37)
@pytest.mark.parametrize(
    "path", ["/proc/self/mountinfo", "/proc/filesystems", "/sys/kernel/mm/transparent_hugepage/enabled"]
)
def test_pseudo_files_are_read_to_their_end(path: str, tmp_path: Path) -> None:
    if not os.path.exists(path):
        pytest.skip(f"there is no {path} here")
    pair = Pair(Path(path), tmp_path / "target")
    copied = pair.copy()
    content = Path(path).read_bytes()
    assert len(content) > 1
    assert pair.target_path.read_bytes() == content
    assert copied.digest == xxhash.xxh3_128_digest(content)


def test_another_file_system_and_one_without_uncached_writes(tmp_path: Path, other_fs: Path) -> None:
    """tmpfs refuses RWF_DONTCACHE: it is asked once, and everything arrives."""
    memory = PairMemory()
    for number in range(2):
        pair = Pair(tmp_path / f"{number}", other_fs / f"{number}", memory)
        pair.source_path.write_bytes(os.urandom(20 * MIB + 3))
        pair.copy(reflink_wanted=True)
        assert pair.same()
        with pair.target_path.open("rb") as target:
            device = os.fstat(target.fileno()).st_dev
            assert memory.writer(target.fileno(), device).uncached is False
            here = tmp_path.stat().st_dev
            assert memory.writer(target.fileno(), here).uncached is True


def _cached(fd: int, offset: int) -> bool:
    try:
        return os.preadv(fd, [bytearray(BLOCK)], offset, os.RWF_NOWAIT) > 0
    except BlockingIOError:
        return False
    except OSError as e:
        if e.errno != errno.EOPNOTSUPP:
            raise
        pytest.skip("this file system cannot tell what is cached")


def test_without_uncached_writes_pages_are_dropped_behind_the_write_head(loop_fs: Callable[[str], LoopFs]) -> None:
    root, memory = loop_fs("ext4").root, PairMemory()
    pair = Pair(root / "behind-source", root / "behind-target", memory)
    pair.source_path.write_bytes(os.urandom(40 * MIB))
    with pair.source_path.open("rb") as source:
        memory.learn(Writer(source.fileno(), uncached=False), os.fstat(source.fileno()).st_dev)
    pair.copy()
    with pair.target_path.open("rb") as target:
        assert not _cached(target.fileno(), MIB)
        assert _cached(target.fileno(), 39 * MIB)
    assert pair.same()
    pair.source_path.unlink()
    pair.target_path.unlink()


@pytest.mark.hazard(13)
def test_a_full_disk_shows_before_anything_is_copied(loop_fs: Callable[[str], LoopFs]) -> None:
    root = loop_fs("ext4").root
    pair = Pair(root / "big", root / "copy")
    pair.source_path.write_bytes(b"x" * (200 * MIB))
    with pytest.raises(OSError, match="No space") as caught:
        pair.copy()
    assert caught.value.errno == errno.ENOSPC
    assert not any(pair.steps)
    pair.source_path.unlink()
    pair.target_path.unlink()


def test_a_file_system_without_fallocate_is_asked_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
        calls.append(length)
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(libc, "fallocate", fallocate)
    pair.source_path.write_bytes(os.urandom(2 * MIB))
    pair.copy()
    assert pair.same()
    pair.target_path.unlink()
    pair.copy()
    assert pair.same()
    assert calls == [2 * MIB]


@pytest.fixture
def clones(monkeypatch: pytest.MonkeyPatch) -> list[reflink.Clone]:
    """What became of every attempt to clone."""
    seen: list[reflink.Clone] = []

    def clone(source_fd: int, target_fd: int) -> reflink.Clone:
        result = reflink.clone(source_fd, target_fd)
        seen.append(result)
        return result

    monkeypatch.setattr("migmond.fsys.content.clone", clone)
    return seen


@pytest.mark.parametrize("kind", ["btrfs", "xfs"])
def test_reflinks_where_they_work(kind: str, loop_fs: Callable[[str], LoopFs], clones: list[reflink.Clone]) -> None:
    root = loop_fs(kind).root
    pair = Pair(root / "reflink-source", root / "reflink-target")
    pair.source_path.write_bytes(os.urandom(3 * MIB + 5))
    assert pair.copy(reflink_wanted=True) == Content(3 * MIB + 5, None, reflinked=True)
    assert pair.same()
    assert clones == [reflink.Clone.DONE]
    pair.target_path.unlink()
    assert pair.copy(reflink_wanted=False).reflinked is False
    assert pair.same()
    assert len(clones) == 1


def test_reflinks_are_tried_once_where_they_do_not_work(
    loop_fs: Callable[[str], LoopFs], clones: list[reflink.Clone]
) -> None:
    ext4, xfs, memory = loop_fs("ext4").root, loop_fs("xfs").root, PairMemory()
    for source, target in ((ext4, ext4), (ext4, xfs)):
        for number in range(2):
            pair = Pair(source / f"from{number}", target / f"to{number}", memory)
            pair.source_path.write_bytes(os.urandom(BLOCK))
            assert pair.copy(reflink_wanted=True).reflinked is False
            assert pair.same()
            pair.source_path.unlink()
            pair.target_path.unlink()
    assert clones == [reflink.Clone.NOT_THIS_PAIR] * 2


def test_an_empty_file_tells_whether_contents_can_be_shared(
    loop_fs: Callable[[str], LoopFs], clones: list[reflink.Clone]
) -> None:
    """Files that may be shared are not copied by machine code: a tree of empty ones would all go the long way."""
    for kind, can in (("ext4", False), ("xfs", True)):
        root, memory = loop_fs(kind).root, PairMemory()
        pair = Pair(root / "empty", root / "copy", memory)
        pair.source_path.touch()
        assert pair.copy(reflink_wanted=True).reflinked is False
        assert pair.same()
        device = root.stat().st_dev
        assert memory.may_reflink(device, device) is can
    assert clones == [reflink.Clone.NOT_THIS_PAIR, reflink.Clone.DONE]


def test_what_comes_of_an_empty_files_try_does_not_count_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may answer anything; and a file that grew for a moment is empty all the same."""

    def grown(source_fd: int, target_fd: int) -> reflink.Clone:
        os.write(target_fd, b"for a moment")
        return reflink.Clone.DONE

    def broken(source_fd: int, target_fd: int) -> reflink.Clone:
        raise OSError(errno.EIO, "as some servers say")

    for number, clone in enumerate((grown, broken)):
        monkeypatch.setattr("migmond.fsys.content.clone", clone)
        pair = Pair(tmp_path / f"empty{number}", tmp_path / f"copy{number}", PairMemory())
        pair.source_path.touch()
        assert pair.copy(reflink_wanted=True) == Content(0, xxhash.xxh3_128_digest(b""))
        assert pair.target_path.read_bytes() == b""


def test_one_file_that_cannot_be_shared_does_not_spoil_it_for_the_others(
    loop_fs: Callable[[str], LoopFs], clones: list[reflink.Clone]
) -> None:
    """btrfs shares nothing between a file with and one without copy on write."""
    root, memory = loop_fs("btrfs").root, PairMemory()
    odd, even = Pair(root / "nocow", root / "odd", memory), Pair(root / "cow", root / "even", memory)
    odd.source_path.touch()
    set_nocow(odd.source_path)
    odd.source_path.write_bytes(os.urandom(MIB))
    even.source_path.write_bytes(os.urandom(MIB))
    assert odd.copy(reflink_wanted=True).reflinked is False
    assert even.copy(reflink_wanted=True).reflinked is True
    assert odd.same()
    assert even.same()
    assert clones == [reflink.Clone.NOT_THIS_FILE, reflink.Clone.DONE]


def set_nocow(path: Path) -> None:
    set_flags, no_copy_on_write = 0x40086602, 0x00800000
    with path.open("rb") as file:
        fcntl.ioctl(file.fileno(), set_flags, struct.pack("l", no_copy_on_write))


def test_space_is_allocated_in_pieces_that_a_pause_can_come_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, seconds_each = 200 * MIB + 5, [0.0] * 2 + [1.0] * 100
    pieces: list[tuple[int, int]] = []
    clock = [0.0]

    def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
        pieces.append((offset, length))
        clock[0] += seconds_each[len(pieces) - 1]

    monkeypatch.setattr(libc, "fallocate", fallocate)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    stops: list[int] = []
    PairMemory().allocate(-1, size, 1, stops.append)
    assert [length // MIB for _, length in pieces] == [16, 32, 64, 64, 24]  # twice as much while it is quick
    assert [offset for offset, _ in pieces] == [sum(n for _, n in pieces[:i]) for i in range(len(pieces))]
    assert sum(length for _, length in pieces) == size
    assert stops == [0] * (len(pieces) - 1)

    class GivenUp(Exception):
        pass

    def gives_up(_: int) -> None:
        raise GivenUp

    with pytest.raises(GivenUp):
        PairMemory().allocate(-1, size, 1, gives_up)
    assert len(pieces) == 6
