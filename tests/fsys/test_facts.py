from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from as_user import as_user
from loopfs import LoopFs, missing, mounted
from migmond.fsys.facts import mount_id, target_facts

Opened = Callable[..., int]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_the_figures_of_a_file_system(kind: str, loop_fs: Callable[[str], LoopFs], opened: Opened) -> None:
    fs = loop_fs(kind)
    facts = target_facts(opened(fs.root))
    st = os.statvfs(fs.root)
    assert facts.file_system == kind
    assert facts.total_bytes == st.f_blocks * st.f_frsize
    assert facts.free_bytes == st.f_bavail * st.f_frsize
    assert 0 < facts.free_bytes < facts.total_bytes <= fs.image.stat().st_size
    assert facts.free_inodes == st.f_favail
    assert facts.name_max == 255
    assert (facts.read_only, facts.writable) == (False, True)


@pytest.mark.hazard(13)
def test_the_reserve_of_root_does_not_count_as_free(loop_fs: Callable[[str], LoopFs], opened: Opened) -> None:
    fs = loop_fs("ext4")
    st = os.statvfs(fs.root)
    assert st.f_bfree > st.f_bavail
    assert target_facts(opened(fs.root)).free_bytes < st.f_bfree * st.f_frsize


def test_read_only(tmp_path: Path) -> None:
    if reason := missing("ext4"):
        pytest.skip(reason)
    with mounted(tmp_path, "ext4", size_bytes=16 << 20) as fs:
        fs.remount("ro")
        fd = os.open(fs.root, os.O_RDONLY)
        facts = target_facts(fd)
        os.close(fd)
    assert (facts.read_only, facts.writable) == (True, False)


@needs_root
def test_writable_is_for_the_one_who_asks(tmp_path: Path, opened: Opened) -> None:
    fd = opened(tmp_path)
    assert target_facts(fd).writable
    assert not as_user(lambda: target_facts(fd).writable)


@needs_root
def test_two_mounts_of_one_device_have_two_ids(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before = mount_id(opened(tmp_path / "b"))
    assert mount_id(opened(tmp_path / "a")) == before > 0
    subprocess.run(["mount", "--bind", tmp_path / "a", tmp_path / "b"], check=True)
    try:
        fd = os.open(tmp_path / "b", os.O_RDONLY)
        assert os.fstat(fd).st_dev == (tmp_path / "a").stat().st_dev
        assert mount_id(fd) not in (0, before)
        os.close(fd)
    finally:
        subprocess.run(["umount", "-l", tmp_path / "b"], check=True)
