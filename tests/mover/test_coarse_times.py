"""Moves to and from file systems whose clock is so coarse that a change may move no time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import xxhash

import loopfs
from migmond.fsys import machine_code
from migmond.mover.delete import Remover
from migmond.wire.from_mover import Deleted, Published
from migmond.wire.items import DeleteDirectory, DeleteItem
from migmond.wire.to_mover import Delete, Publish
from parts import Mover, item_of

NAMES = ("kept", "overwritten", "kept too")
CONTENT = b"the only copy"
DIGEST = xxhash.xxh3_128_digest(CONTENT)


@pytest.fixture(params=["ext4-128", "exfat-fuse"])
def coarse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system with times of whole seconds, and one with hundredths that has no ctime of its own."""
    kind: str = request.param
    if why := loopfs.missing(kind):
        pytest.skip(why)
    with loopfs.mounted(tmp_path / "disk", kind) as disk:
        yield disk.root


def delete(
    mover: Mover, names: tuple[str, ...], target: Path, said: Published, digest: bytes = DIGEST
) -> dict[str, str]:
    """Delete sources whose copies were published as `said`; returns kinds of faults."""
    items, by_number = list[DeleteItem](), dict[int, str]()
    for name in names:
        seen, copy = os.lstat(mover.source / name), os.lstat(target / name)
        number = seen.st_ino % 1_000_000
        scanned = item_of(number, os.fsencode(name), seen)
        by_number[number] = name
        items.append(
            DeleteItem(
                number, scanned.name, scanned.type, scanned.size, scanned.mtime_ns, scanned.ctime_ns, scanned.inode,
                scanned.device, scanned.links, scanned.name, copy.st_ino, digest, said.as_of_ns.get(number, 0),
            )
        )  # fmt: skip
    remover = Remover(mover.context)
    remover.delete(Delete(1, (DeleteDirectory(0, b"", tuple(items)),)))
    remover.sync()
    answer = mover.said[-1]
    assert isinstance(answer, Deleted)
    return {by_number[f.number]: f.fault.kind for f in answer.failures}


@pytest.mark.parametrize("quick", [False, True])
def test_a_copy_overwritten_within_a_step_of_the_clock_is_not_taken_for_the_published_one(
    tmp_path: Path, coarse: Path, quick: bool
) -> None:
    if quick and not machine_code.built():
        pytest.skip("there was no C compiler when .venv was set up")
    source, target = tmp_path / "source", coarse / "target"
    source.mkdir()
    for name in NAMES:
        (source / name).write_bytes(CONTENT)
        os.utime(source / name, ns=(10**18, 10**18))
    mover = Mover(source, target, move=True, machine_code=quick)
    mover.context.no_rename(0)
    mover.publish(1, *NAMES)
    said = mover.said[-1]
    assert isinstance(said, Published)
    theirs = target / "overwritten"
    theirs.write_bytes(b"THE only copy")
    os.utime(theirs, ns=(10**18, 10**18))
    assert delete(mover, NAMES, target, said) == {"overwritten": "target_changed"}
    assert os.listdir(source) == ["overwritten"]
    mover.copier.forget_directories()
    mover.committer._targets.clear()


@pytest.mark.parametrize("quick", [False, True])
def test_a_source_saved_again_within_a_step_of_the_clock_is_not_deleted(
    tmp_path: Path, coarse: Path, quick: bool
) -> None:
    """Nobody sets any time: it was saved, copied, and saved again within a second."""
    if quick and not machine_code.built():
        pytest.skip("there was no C compiler when .venv was set up")
    source, target = coarse / "source", tmp_path / "target"
    source.mkdir()
    for name in NAMES:
        (source / name).write_bytes(b"version 1")
    mover = Mover(source, target, move=True, machine_code=quick)
    mover.context.no_rename(0)
    ours = source / "overwritten"
    for _ in range(20):  # until it happens within one step
        ours.write_bytes(b"version 1")
        scanned = item_of(9, b"overwritten", ours.stat())
        copied = mover.group(1, "overwritten")
        with ours.open("r+b") as file:
            file.write(b"version 2")
        if item_of(9, b"overwritten", ours.stat()) == scanned:
            break
        os.unlink(target / os.fsdecode(copied.arrivals[0].temporary))
    assert item_of(9, b"overwritten", ours.stat()) == scanned
    mover.committer._sync(copied)
    mover.committer._publish(Publish(1))
    assert (target / "overwritten").read_bytes() == b"version 1"
    mover.publish(2, "kept", "kept too")
    later = mover.said[-1]
    assert isinstance(later, Published)
    digest = xxhash.xxh3_128_digest(b"version 1")
    assert delete(mover, NAMES, target, later, digest) == {"overwritten": "source_changed"}
    assert {p.name: p.read_bytes() for p in source.iterdir()} == {"overwritten": b"version 2"}
    mover.copier.forget_directories()
    mover.committer._targets.clear()
