"""Which file system it is: the same at each mount, another one for another one of the same kind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import loopfs
from loopfs import mounted, tmpfs
from migmond.domain.file_system import FileSystemId
from migmond.fsys.file_system_id import file_system_id

KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(bool(loopfs.missing(kind)), reason=loopfs.missing(kind) or "-"))
    for kind in ("ext4", "xfs", "btrfs", "vfat")
]


def id_of(path: Path) -> FileSystemId:
    fd = os.open(path, os.O_RDONLY)
    try:
        return file_system_id(fd)
    finally:
        os.close(fd)


@pytest.mark.hazard(18)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_when_mounted_again_and_another_for_another(tmp_path: Path, kind: str) -> None:
    with mounted(tmp_path / "one", kind) as one, mounted(tmp_path / "two", kind) as two:
        assert one.root.stat().st_ino == two.root.stat().st_ino
        before, other = id_of(one.root), id_of(two.root)
        assert before.own
        assert before.is_another(other)
        one.unmount()
        two.unmount()
        two.mount()  # on the device that the first one had
        one.mount()
        assert (id_of(one.root), id_of(two.root)) == (before, other)
        assert not before.is_another_volume(id_of(one.root))


@pytest.mark.skipif(bool(loopfs.missing("btrfs")), reason=loopfs.missing("btrfs") or "-")
def test_subvolumes_of_one_btrfs_are_two_volumes(tmp_path: Path) -> None:
    with mounted(tmp_path / "fs", "btrfs") as fs:
        for name in ("one", "two"):
            subprocess.run(["btrfs", "subvolume", "create", fs.root / name], check=True, capture_output=True)
        one, two = id_of(fs.root / "one"), id_of(fs.root / "two")
        assert not one.is_another(two)
        assert one.is_another_volume(two)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_what_is_unknown_differs_from_nothing(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "one", "size=1m") as one:
        known = id_of(one)
    assert not FileSystemId().is_another_volume(known)
    assert not known.is_another_volume(FileSystemId())
    assert not FileSystemId().is_another_volume(FileSystemId())
