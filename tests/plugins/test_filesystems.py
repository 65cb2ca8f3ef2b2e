"""File systems are told as they are, and one that does not answer keeps nobody waiting."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import sickfs
from loopfs import ENVIRONMENT, LoopFs, make_image, missing, mounted, mounted_image
from migmond.domain.errors import PluginError
from migmond.plugin_api import NoData, Sample
from migmond_filesystems import SETTINGS, migmond_collectors
from migmond_filesystems.collector import MAX_LEFT_BEHIND, FileSystems
from migmond_filesystems.look import Answer, Quota, look_at
from recorded_machine import parent_of

FINE = Answer(100, 50, 60, 10, 5, False, 0.001)


def table(tmp_path: Path, *mounts: tuple[str, str, str, str], options: str = "rw") -> str:
    """Each: number, point, kind, source."""
    lines: list[str] = []
    points: list[str] = []
    for i, (number, point, kind, source) in enumerate([("0:1", "/", "rootfs", "rootfs"), *mounts], 1):
        parent = parent_of(points, point)
        lines.append(f"{i} {parent} {number} / {point} {options} - {kind} {source} rw\n")
        points.append(point)
    (tmp_path / "mountinfo").write_text("".join(lines))
    return str(tmp_path / "mountinfo")


def by_mount(samples: Iterable[Any], metric: str) -> dict[str, float | NoData]:
    found = {}
    for sample in samples:
        assert isinstance(sample, Sample)
        if sample.metric == f"migmond_filesystem_{metric}":
            assert sample.labels["mount"] not in found
            found[sample.labels["mount"]] = sample.value
    return found


async def test_each_file_system_once_and_only_those_that_hold_files(tmp_path: Path) -> None:
    looked: list[bytes] = []

    def look(point: bytes, uids: tuple[int, ...]) -> Answer:
        looked.append(point)
        return FINE

    path = table(
        tmp_path,
        ("8:1", "/", "ext4", "/dev/sda1"),
        ("8:1", "/var/bound", "ext4", "/dev/sda1"),
        ("8:2", "/covered", "xfs", "/dev/sda2"),
        ("8:3", "/covered", "xfs", "/dev/sda3"),
        ("0:5", "/proc", "proc", "proc"),
        ("7:1", "/snap/x", "squashfs", "/dev/loop1"),
        ("0:9", "/net/a\\040b", "nfs4", "box:/x"),
        ("0:8", "/net/left/out", "nfs4", "box:/y"),
        ("0:7", "/run", "tmpfs", "tmpfs"),
    )
    found = await FileSystems(1.0, table=path, look=look, leave_out=("/net/left",)).collect()
    assert by_mount(found, "size_bytes") == dict.fromkeys(("/", "/covered", "/net/a b", "/run"), 100)
    assert sorted(looked) == [b"/", b"/covered", b"/net/a b", b"/run"]
    only = await FileSystems(1.0, table=path, look=look, kinds=("nfs4",)).collect()
    assert list(by_mount(only, "size_bytes")) == ["/net/a b", "/net/left/out"]
    nothing = by_mount(await FileSystems(1.0, table=path, look=look, kinds=("zfs",)).collect(), "size_bytes")
    assert nothing == {"": NoData("nothing is mounted here")}


async def test_a_dead_one_is_left_behind_once_and_others_are_told(tmp_path: Path) -> None:
    release, looked = threading.Event(), []

    def look(point: bytes, uids: tuple[int, ...]) -> Answer:
        looked.append(point)
        if point == b"/dead" and len(looked) <= 2:
            release.wait(30)
        return FINE

    path = table(tmp_path, ("8:1", "/", "ext4", "/dev/sda1"), ("0:9", "/dead", "nfs4", "box:/x"))
    collector = FileSystems(0.05, table=path, look=look)
    started = time.monotonic()
    first = by_mount(await collector.collect(), "available_bytes")
    assert time.monotonic() - started < 5
    assert first == {"/": 50, "/dead": NoData("does not answer within 0.05 s")}
    second = by_mount(await collector.collect(), "available_bytes")
    assert second == {"/": 50, "/dead": NoData("does not answer, for 0 s now")}
    assert looked.count(b"/dead") == 1
    release.set()
    with trio.fail_after(10):
        while by_mount(await collector.collect(), "available_bytes")["/dead"] != 50:  # noqa: ASYNC110 (nobody tells)
            await trio.sleep(0.01)
    assert looked.count(b"/dead") == 2


async def test_no_more_than_so_many_are_left_behind(tmp_path: Path) -> None:
    release, looked = threading.Event(), []

    def look(point: bytes, uids: tuple[int, ...]) -> Answer:
        looked.append(point)
        release.wait(30)
        return FINE

    dead = [(f"0:{i}", f"/d{i}", "nfs4", f"box:/{i}") for i in range(MAX_LEFT_BEHIND)]
    path = table(tmp_path, *dead)
    collector = FileSystems(0.2, table=path, look=look)
    try:
        await collector.collect()
        table(tmp_path, *dead, ("0:999", "/late", "nfs4", "box:/late"))
        found = by_mount(await collector.collect(), "size_bytes")
        assert len(looked) == MAX_LEFT_BEHIND
        assert found["/late"] == NoData(f"{MAX_LEFT_BEHIND} others do not answer; no more are asked")
    finally:
        release.set()


async def test_inodes_that_are_not_fixed_read_only_and_quotas(tmp_path: Path) -> None:
    answer = Answer(1, 1, 1, None, None, False, 0.0, (Quota(5, 1024, 7, None, 2),))
    path = table(tmp_path, ("8:1", "/", "btrfs", "/dev/sda1"), options="ro,noatime")
    found = {
        s.metric.removeprefix("migmond_filesystem_"): s.value
        for s in await FileSystems(1.0, table=path, look=lambda point, uids: answer).collect()
    }
    assert found["inodes"] == NoData("the number of files is not fixed there")
    assert found["read_only"] == 1.0
    assert (found["quota_limit_bytes"], found["quota_used_bytes"]) == (1024, 7)
    assert (found["quota_limit_inodes"], found["quota_used_inodes"]) == (NoData("there is no such limit"), 2)


def test_settings_are_checked() -> None:
    (spec,) = migmond_collectors(SETTINGS(interval="1m", answer_within="5s"))
    assert (spec.interval_s, spec.deadline_s) == (60, 8)
    with pytest.raises(PluginError, match="answer_within is 0s"):
        list(migmond_collectors(SETTINGS(answer_within="0s")))


# --- real ones -------------------------------------------------------------------------------------


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[LoopFs]:
    if reason := missing("ext4"):
        pytest.skip(reason)
    with mounted(tmp_path, "ext4", size_bytes=16 << 20) as fs:
        yield fs


async def test_a_real_one_is_told_as_df_tells_it_and_read_only_when_it_is(ext4: LoopFs) -> None:
    collector, name = FileSystems(10.0, kinds=("ext4",)), str(ext4.root)
    found = list(await collector.collect())
    out = subprocess.run(
        ["df", "-B1", "--output=size,avail,itotal,iavail", name], check=True, capture_output=True, text=True
    )
    size, available, inodes, free_inodes = map(int, out.stdout.splitlines()[1].split())
    assert by_mount(found, "size_bytes")[name] == size
    assert by_mount(found, "available_bytes")[name] == available
    assert by_mount(found, "inodes")[name] == inodes
    assert by_mount(found, "free_inodes")[name] == free_inodes
    assert by_mount(found, "read_only")[name] == 0
    ext4.remount("ro")
    assert by_mount(await collector.collect(), "read_only")[name] == 1


async def test_a_real_fuse_file_system_that_hangs_does_not_block(tmp_path: Path) -> None:
    if reason := sickfs.missing():
        pytest.skip(reason)
    with sickfs.sick_fs(tmp_path) as sick:
        name = str(sick.root)
        collector = FileSystems(0.3)
        assert isinstance(by_mount(await collector.collect(), "size_bytes")[name], int)
        sick.fall_ill("statfs", hang=True)
        found = by_mount(await collector.collect(), "size_bytes")
        assert found[name] == NoData("does not answer within 0.3 s")
        assert isinstance(found["/"], int)
        assert by_mount(await collector.collect(), "size_bytes")[name] == NoData("does not answer, for 0 s now")
        sick.heal()
        with trio.fail_after(30):
            while not isinstance(by_mount(await collector.collect(), "size_bytes")[name], int):  # noqa: ASYNC110 (nobody tells)
                await trio.sleep(0.05)


def test_a_file_system_without_quotas_tells_of_none(ext4: LoopFs) -> None:
    answer = look_at(os.fsencode(ext4.root), (12345,))
    assert isinstance(answer, Answer)
    assert answer.quotas == ()


def test_a_real_quota(tmp_path: Path) -> None:
    if reason := missing("ext4"):
        pytest.skip(reason)
    image = tmp_path / "disk.img"
    make_image(image, "ext4", 16 << 20)
    subprocess.run(["tune2fs", "-O", "quota", str(image)], env=ENVIRONMENT, check=True, capture_output=True)
    with contextlib.ExitStack() as stack:
        try:
            fs = stack.enter_context(mounted_image(LoopFs(tmp_path / "disk", image, "ext4", "usrquota")))
        except subprocess.CalledProcessError:
            pytest.skip("this kernel has no quotas (CONFIG_QFMT_V2)")
        set_quota(fs.root, 12345, hard_kib=4096, soft_kib=0, inodes=100)
        set_quota(fs.root, 777, hard_kib=0, soft_kib=64, inodes=0)
        (fs.root / "theirs").write_bytes(b"x" * 65536)
        os.chown(fs.root / "theirs", 12345, 12345)
        os.sync()
        answer = look_at(os.fsencode(fs.root), (12345, 54321, 777))
        assert isinstance(answer, Answer)
        assert answer.quotas == (Quota(12345, 4 << 20, 65536, 100, 1), Quota(777, 65536, 0, None, 0))


def set_quota(root: Path, uid: int, *, hard_kib: int, soft_kib: int, inodes: int) -> None:
    """quotactl_fd(2), Q_SETQUOTA with QIF_LIMITS."""
    block = struct.pack("=8QI4x", hard_kib, soft_kib, 0, inodes, 0, 0, 0, 0, 0b101)
    fd = os.open(root, os.O_RDONLY)
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
        call.argtypes = [ctypes.c_long, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.c_char_p]
        assert call(443, fd, 0x800008 << 8, uid, block) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(fd)


def test_a_mount_point_that_is_gone() -> None:
    assert look_at(b"/nonexistent/point", ()) == NoData("No such file or directory")
