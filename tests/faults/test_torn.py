"""Disks with torn writes: that they are what a power cut may leave, and that migrations survive them."""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import loopfs
import power_disk
import sickfs
import torn
import torn_image
from judge import Harm
from loopfs import LoopFs, make_image, mounted_image
from migmond.domain.plan import Operation
from power_cut import Layout
from sickfs import sick_fs
from test_faults import faults
from torn_image import SECTOR_SIZES, exposed
from write_log import Event, Flush, Note, Write, WriteLog, read

needs_fuse = pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")

DISK = "/disk.img"
SECTOR = 512
SECTORS = 24
DISK_BYTES = SECTORS * SECTOR


@pytest.fixture(params=power_disk.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    why = loopfs.missing(request.param) or sickfs.missing()
    if why:
        pytest.skip(why)
    return str(request.param)


def written(path: str, first: int, count: int, value: int) -> Write:
    """`count` sectors from the `first` on get bytes of `value`."""
    return Write(path, first * SECTOR, memoryview(bytes([value]) * (count * SECTOR)))


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Writes, flushes and notes of two disks; all writes have different bytes."""
    events: list[Event] = []
    for value in range(1, draw(st.integers(1, 30))):
        path = draw(st.sampled_from([DISK, "/other.img"]))
        match draw(st.sampled_from(["write", "write", "flush", "note"])):
            case "write":
                first = draw(st.integers(0, SECTORS - 1))
                events.append(written(path, first, draw(st.integers(1, SECTORS - first)), value))
            case "flush":
                events.append(Flush(path, draw(st.integers(0, len(events)))))
            case _:
                events.append(Note("n"))
    return events


def values(image: bytes) -> list[int]:
    """What each sector has; all of it must have the same."""
    sectors = [image[at : at + SECTOR] for at in range(0, len(image), SECTOR)]
    assert all(len(set(sector)) == 1 for sector in sectors)
    return [sector[0] for sector in sectors]


@settings(max_examples=60)
@given(history=histories(), seed=st.integers(0, 1 << 32), sector_bytes=st.sampled_from(SECTOR_SIZES))
def test_a_sector_has_what_was_flushed_or_what_came_later(
    tmp_path_factory: pytest.TempPathFactory, history: list[Event], seed: int, sector_bytes: int
) -> None:
    work = tmp_path_factory.mktemp("torn")
    (work / "base").write_bytes(bytes(DISK_BYTES))
    damage = torn_image.torn(work / "base", work / "image", history, DISK, random.Random(seed), sector_bytes)
    flushed = max((e.covers for e in history if isinstance(e, Flush) and e.path == DISK), default=0)
    possible = [{0} for _ in range(SECTORS)]
    loose = 0
    for number, event in enumerate(history):
        if isinstance(event, Write) and event.path == DISK:
            loose += number >= flushed
            for sector in range(event.offset // SECTOR, (event.offset + len(event.data)) // SECTOR):
                possible[sector] = (possible[sector] if number >= flushed else set()) | {event.data[0]}
    found = values((work / "image").read_bytes())
    assert all(value in allowed for value, allowed in zip(found, possible, strict=True))
    assert damage.whole + damage.torn + damage.gone == loose
    assert (len(history) in exposed(history, DISK)) is (loose > 0)


def test_what_was_not_flushed_is_lost_torn_and_kept(tmp_path: Path) -> None:
    (tmp_path / "base").write_bytes(bytes(DISK_BYTES))
    history: list[Event] = [
        written(DISK, 0, SECTORS, 1),
        Flush(DISK, 1),
        *(written(DISK, n * 8, 8, 2) for n in range(3)),
    ]
    seen, together = set(), set()
    for seed in range(40):
        rng = random.Random(seed)
        torn_image.torn(tmp_path / "base", tmp_path / "image", history, DISK, rng, SECTOR)
        found = values((tmp_path / "image").read_bytes())
        together |= set(found)
        seen |= {tuple(sorted(set(found[n * 8 : n * 8 + 8]))) for n in range(3)}
    assert seen == {(1,), (2,), (1, 2)}  # gone, whole, torn
    assert together == {1, 2}  # and what was flushed is never lost
    torn_image.intact(tmp_path / "base", tmp_path / "image", history, DISK)
    assert values((tmp_path / "image").read_bytes()) == [2] * SECTORS


def test_a_flush_does_not_cover_what_comes_while_it_is_at_work(tmp_path: Path) -> None:
    with WriteLog(tmp_path / "log") as log:
        log.write(DISK, 0, b"before", lambda: 6)
        log.flush(DISK, lambda: log.write(DISK, 6, b"meanwhile", lambda: 4))
        assert log.note("done") == 4
    before, meanwhile, flush, note = read(tmp_path / "log")
    assert isinstance(before, Write)
    assert isinstance(meanwhile, Write)
    assert (meanwhile.offset, bytes(meanwhile.data)) == (6, b"mean")  # what was not taken is not there
    assert (flush, note) == (Flush(DISK, 1), Note("done"))


@contextlib.contextmanager
def loop_device(image: Path) -> Iterator[Path]:
    """A block device on an image."""
    done = subprocess.run(
        ["losetup", "--find", "--show", image], env=loopfs.ENVIRONMENT, check=True, capture_output=True, text=True
    )
    device = Path(done.stdout.strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], env=loopfs.ENVIRONMENT, check=True)


@needs_fuse
def test_a_loop_device_passes_on_writes_and_flushes_before_it_answers(tmp_path: Path) -> None:
    if why := loopfs.missing("ext4"):
        pytest.skip(why)
    log = tmp_path / "log"
    with sick_fs(tmp_path / "sick", log=log) as sick:
        image = sick.root / "disk.img"
        image.write_bytes(b"")
        os.truncate(image, 1 << 20)
        with loop_device(image) as device, mmap.mmap(-1, 8192) as block:
            fd = os.open(device, os.O_RDWR | os.O_DIRECT)
            try:
                for number in range(1, 20):
                    block[:] = bytes([number]) * len(block)
                    before = len(read(log))
                    os.pwrite(fd, block, number * len(block))
                    arrived = [e for e in read(log)[before:] if isinstance(e, Write)]  # page by page
                    assert b"".join(e.data for e in sorted(arrived, key=lambda e: e.offset)) == block[:]
                    assert min(e.offset for e in arrived) == number * len(block)
                    os.fsync(fd)
                    events = read(log)
                    assert events[-1] == Flush(DISK, len(events) - 1)
            finally:
                os.close(fd)


def whole(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


def copy_with_care(path: Path, content: bytes) -> None:
    """As it is done right."""
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def copy_and_hope(path: Path, content: bytes) -> None:
    """As most tools do it."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content)
    temporary.rename(path)


def test_a_copy_without_fsync_is_found_lost_and_one_with_it_is_kept(tmp_path: Path, kind: str) -> None:
    base, log, content = tmp_path / "base.img", tmp_path / "log", random.Random(1).randbytes(20_000)
    options = "nouuid" if kind == "xfs" else ""
    make_image(base, kind)
    with sick_fs(tmp_path / "sick", log=log) as sick:
        torn_image.copied(base, sick.backing / "disk.img")
        with mounted_image(LoopFs(tmp_path / "disk", sick.root / "disk.img", kind, options)) as fs:
            for number in range(5):
                copy_and_hope(fs.root / f"hoped-{number}", content)
                copy_with_care(fs.root / f"kept-{number}", content)
            copied = sick.note("copied")
    events = read(log)[:copied]
    found = LoopFs(tmp_path / "found", tmp_path / "found.img", kind, options)
    lost = 0
    for seed in range(3):
        torn_image.torn(base, found.image, events, DISK, random.Random(seed), 4096)
        with mounted_image(found):
            assert [n for n in range(5) if not whole(found.root / f"kept-{n}", content)] == []
            lost += sum(not whole(found.root / f"hoped-{n}", content) for n in range(5))
            found.unmount()
    assert lost > 0


def test_the_laboratory_sees_a_source_deleted_too_early(tmp_path: Path) -> None:
    """The disk of the target is of an earlier moment than that of the source: as if it had not flushed what it said."""
    if why := loopfs.missing("ext4") or sickfs.missing():
        pytest.skip(why)
    layout = Layout(source=False, target=True, journal=False, operation=Operation.MOVE)
    with torn.laboratory(tmp_path / "work", "ext4", 1, files=20) as writes:
        run = writes.run(layout)
        at = (run.accepted + run.completed) // 2
        end = len(run.events)
        honest = writes.cut(layout, run, at, random.Random(1), tear_other=False)
        early = writes.cut(layout, run, at, random.Random(1), tear_other=False, other_at=end)
    assert list(map(str, honest.findings)) == []
    assert {f.harm for f in early.findings} >= {Harm.LOST}


@pytest.mark.hazard(1, 2, 3, 7)
@pytest.mark.parametrize(("kind", "first"), [("ext4", 5), ("xfs", 7), ("btrfs", 9)], indirect=["kind"])
def test_migrations_survive_torn_writes(kind: str, first: int) -> None:
    """Moves to the disk, from it and within it, with the journal on either: of all layouts of moves one image each."""
    done = faults("--torn", "2", "--first", str(first), "--fs", kind)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = (line.split()[2:] for line in done.stdout.splitlines() if line.startswith(f"torn, {kind} "))
    assert row[0] == "2"
    assert int(row[1]) > 0  # a file system may be beyond mounting
    assert row[2:] == ["0"] * 5
