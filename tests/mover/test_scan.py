"""What a scan asks the kernel: mount points are found without a question for every file."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel
from migmond.fsys import libc
from migmond.mover.context import Context
from migmond.mover.control import Controls
from migmond.mover.roots import open_roots
from migmond.mover.scan import Walker
from migmond.wire.from_mover import FromMover, ScanFinished, Scanned
from migmond.wire.items import MoverOptions, RootSpec, ScanDirectory
from migmond.wire.slots import SLOT_BYTES, MoverSide
from migmond.wire.to_mover import Open, Scan


def walk(source: Path, target: Path) -> list[FromMover]:
    """Return what a scanning mover says of a tree."""
    options = MoverOptions(
        "a" * 12, Operation.COPY, ConflictPolicy.FAIL, VerifyLevel.HASH,
        one_file_system=True, reflink=False, rename=False,
    )  # fmt: skip
    roots = open_roots(Open((RootSpec(bytes(source), bytes(target)),), options, make_targets=True))
    said: list[FromMover] = []
    walker = Walker(Context(roots, options, Controls(MoverSide(mmap.mmap(-1, SLOT_BYTES))), said.append))
    assert walker.add(Scan((ScanDirectory(1, 0, b""),), 2, last=True))
    walker.run()
    return said


def test_files_are_not_asked_whether_something_is_mounted_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, asked = tmp_path / "source", list[bytes]()
    for directory in ("one", "two", "two/three"):
        (source / directory).mkdir(parents=True)
        for number in range(50):
            (source / directory / f"f{number}").touch()
    statx = libc.statx

    def counted(directory: int, name: bytes) -> libc.Stat:
        asked.append(name)
        return statx(directory, name)

    monkeypatch.setattr(libc, "statx", counted)
    said = walk(source, tmp_path / "target")
    assert sorted(asked) == [b"one", b"three", b"two"]
    assert isinstance(said[-1], ScanFinished)
    listed = sum(len(li.entries) for message in said if isinstance(message, Scanned) for li in message.listings)
    assert listed == 153
