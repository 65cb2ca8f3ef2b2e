"""The kernel's messages about disks are told apart, counted and kept; a real failing disk is seen."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from as_user import as_user
from loopfs import ENVIRONMENT, LoopFs, missing, mounted
from migmond.fsys.device_graph import read_graph
from migmond.fsys.facts import mount_id
from migmond.plugin_api import NoData, Note, Sample
from migmond_kernel import SETTINGS, migmond_collectors
from migmond_kernel.collector import MAX_DEVICES, KernelLog
from migmond_kernel.messages import KINDS, Finding, Record, classify, parse_record

MESSAGES = [
    ("I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2", "io_error", "sda"),
    ("blk_update_request: I/O error, dev sdb, sector 0 op 0x1:(WRITE) flags 0x0", "io_error", "sdb"),
    ("print_req_error: critical medium error, dev sdc, sector 123", "io_error", "sdc"),
    ("critical medium error, dev nvme0n1, sector 99 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0", "io_error",
     "nvme0n1"),
    ("Buffer I/O error on dev sda1, logical block 7, lost async page write", "io_error", "sda1"),
    ("Buffer I/O error on device dm-0, logical block 7", "io_error", "dm-0"),
    ("sd 2:0:0:0: [sdc] tag#5 Sense Key : Medium Error [current]", "io_error", "sdc"),
    ("sd 2:0:0:0: [sdc] tag#5 FAILED Result: hostbyte=DID_OK driverbyte=DRIVER_OK cmd_age=3s", "io_error", "sdc"),
    ("sd 2:0:0:0: [sdc] tag#5 FAILED Result: hostbyte=DID_TIME_OUT driverbyte=DRIVER_OK", "timeout", "sdc"),
    ("timeout error, dev nvme1n1, sector 5 op 0x0:(READ)", "timeout", "nvme1n1"),
    ("nvme nvme0: I/O 12 QID 3 timeout, aborting", "timeout", "nvme0"),
    ("nvme nvme0: I/O tag 12 (000c) opcode 0x2 (I/O Cmd) QID 3 timeout, aborting req_op:READ(0)", "timeout", "nvme0"),
    ("ata3.00: exception Emask 0x0 SAct 0x40000 SErr 0x0 action 0x6 frozen", "timeout", "ata3"),
    ("ata3.00: failed command: READ FPDMA QUEUED", "timeout", "ata3"),
    ("nfs: server box not responding, still trying", "timeout", "box"),
    ("CIFS: VFS: \\\\box has not responded in 180 seconds. Reconnecting...", None, ""),
    ("CIFS: VFS: Server box has not responded in 180 seconds", "timeout", "box"),
    ("INFO: task cp:4711 blocked for more than 122 seconds.", "timeout", ""),
    ("ata3: hard resetting link", "reset", "ata3"),
    ("nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10", "reset", "nvme0"),
    ("usb 2-1.3: reset SuperSpeed USB device number 4 using xhci_hcd", "reset", "2-1.3"),
    ("sd 6:0:0:0: [sdb] tag#0 uas_eh_abort_handler 0 uas-tag 1 inflight: CMD OUT", "reset", "sdb"),
    ("scsi host6: uas_eh_device_reset_handler start", "reset", "host6"),
    ("usb 2-1.3: USB disconnect, device number 4", "offline", "2-1.3"),
    ("ata3.00: disable device", "offline", "ata3"),
    ("sd 2:0:0:0: rejecting I/O to offline device", "offline", "2:0:0:0"),
    ("device offline error, dev sdd, sector 5 op 0x1:(WRITE)", "offline", "sdd"),
    ("EXT4-fs (sda1): Remounting filesystem read-only", "read_only", "sda1"),
    ("EXT4-fs (loop3): shut down requested (2)", "read_only", "loop3"),
    ("EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0", "ext4_error",
     "sda1"),
    ("EXT4-fs warning (device dm-1): htree_dirblock_to_tree:1083: error -5 reading directory block", "ext4_error",
     "dm-1"),
    ("EXT4-fs (sda1): failed to convert unwritten extents to written extents -- potential data loss!", "ext4_error",
     "sda1"),
    ("JBD2: Detected IO errors while flushing file data on sda1-8", "ext4_error", "sda1"),
    ("Aborting journal on device sda1-8.", "read_only", "sda1"),
    ("XFS (sdb1): metadata I/O error in \"xfs_da_read_buf\" at daddr 0x18 len 8 error 5", "xfs_error", "sdb1"),
    ("XFS (dm-2): Metadata CRC error detected at xfs_agf_read_verify", "xfs_error", "dm-2"),
    ("XFS (sdb1): Log I/O Error (0x2) detected at xlog_ioend_work.  Shutting down filesystem.", "read_only", "sdb1"),
    ("BTRFS error (device sdc): bdev /dev/sdc errs: wr 0, rd 1, flush 0, corrupt 0, gen 0", "btrfs_error", "sdc"),
    ("BTRFS warning (device sdc): csum failed root 5 ino 257 off 0 csum 0x1 expected csum 0x2", "btrfs_error", "sdc"),
    ("BTRFS: error (device sdc state A) in btrfs_commit_transaction:2418: errno=-5 IO failure", "btrfs_error", "sdc"),
    ("BTRFS info (device sdc state EA): forced readonly", "read_only", "sdc"),
    ("FAT-fs (sdd1): Filesystem has been set read-only", "read_only", "sdd1"),
    ("md/raid1:md0: Disk failure on sdb1, disabling device.", "raid_error", "sdb1"),
    ("device-mapper: thin: 253:4: metadata operation 'dm_thin_insert_block' failed: error = -28", "raid_error", ""),
    ("EXT4-fs (sda1): mounted filesystem 1a-2b r/w with ordered data mode. Quota mode: none.", None, ""),
    ("XFS (sdb1): Ending clean mount", None, ""),
    ("BTRFS info (device sdc): using free space tree", None, ""),
    ("usb 2-1: new high-speed USB device number 3 using xhci_hcd", None, ""),
    ("nvme nvme0: 8/0/0 default/read/poll queues", None, ""),
    ("ata3: SATA link up 6.0 Gbps (SStatus 133 SControl 300)", None, ""),
    ("e1000e: eth0 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: None", None, ""),
    ("python[55]: segfault at 0 ip 0 sp 0 error 4 in python3.11", None, ""),
]  # fmt: skip


@pytest.mark.parametrize(("message", "kind", "device"), MESSAGES)
def test_what_a_message_is_about(message: str, kind: str | None, device: str) -> None:
    assert classify(message) == (None if kind is None else Finding(kind, device))


def test_every_kind_is_shown_by_a_message() -> None:
    assert {kind for _, kind, _ in MESSAGES if kind} | {"fs_error"} == set(KINDS)
    assert classify("F2FS-fs (sdd1): f2fs_check_nid_range: out-of-range nid=0, corrupted") == Finding(
        "fs_error", "sdd1"
    )


def test_a_record_with_and_without_tags() -> None:
    data = b"3,1187,5137241,-,caller=T1;sd 2:0:0:0: [sdc] \\x41 bad\n SUBSYSTEM=scsi\n DEVICE=+scsi:2:0:0:0\n"
    tags = {"SUBSYSTEM": "scsi", "DEVICE": "+scsi:2:0:0:0"}
    assert parse_record(data) == Record(0, 3, 1187, 5.137241, "sd 2:0:0:0: [sdc] \\x41 bad", tags)
    assert parse_record(b"14,5,0,-;hello\n") == Record(1, 6, 5, 0.0, "hello")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_none(data: bytes) -> None:
    record = parse_record(data)
    assert (record is None) or (b";" in data and data[:1].isdigit())
    found = None if record is None else classify(record.message)
    assert found is None or (found.kind in KINDS and " " not in found.device)


def counts(told: Iterable[Any]) -> dict[tuple[str, str], float | NoData]:
    samples = [s for s in told if isinstance(s, Sample) and s.metric == "migmond_kernel_io_messages_total"]
    found = {(s.labels["device"], s.labels["kind"]): s.value for s in samples}
    assert len(found) == len(samples)
    return found


def notes(told: Iterable[Any]) -> list[Note]:
    return [note for note in told if isinstance(note, Note)]


class Log:
    """A socket that keeps records apart, as /dev/kmsg does; read as the collector reads it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records: list[bytes | OSError] = []
        self.sequence = 0
        real = os.read

        def read(fd: int, size: int) -> bytes:
            if fd != self.fd:
                return real(fd, size)
            if not self.records:
                raise BlockingIOError
            record = self.records.pop(0)
            if isinstance(record, OSError):
                raise record
            return record

        monkeypatch.setattr(os, "read", read)
        self.collector = KernelLog("/dev/null", wall=lambda: 1000.0, monotonic=lambda: 50.0)
        self.fd = -1

    def write(self, message: str, *, facility: int = 0, at_s: float = 40.0, skip: int = 0) -> None:
        self.sequence += 1 + skip
        self.records.append(f"{facility << 3 | 3},{self.sequence},{int(at_s * 1e6)},-;{message}\n".encode())

    def collect(self) -> list[Any]:
        told = list(trio.run(self.collector.collect))
        assert self.collector._fd is not None
        self.fd = self.collector._fd
        return told


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    log = Log(monkeypatch)
    log.collect()
    yield log
    log.collector.close()


def test_messages_are_counted_by_device_and_kept_with_their_time(log: Log) -> None:
    log.write("I/O error, dev sda, sector 5 op 0x0:(READ)", at_s=42.5)
    log.write("nothing of interest")
    log.write("I/O error, dev sdz, sector 5 op 0x0:(READ) written by a program", facility=1)
    log.write("I/O error, dev sda, sector 6 op 0x0:(READ)", at_s=60.0)
    told = log.collect()
    assert notes(told) == [
        Note(992.5, "io_error", "I/O error, dev sda, sector 5 op 0x0:(READ)", "sda"),
        Note(1000.0, "io_error", "I/O error, dev sda, sector 6 op 0x0:(READ)", "sda"),
    ]
    assert {key: count for key, count in counts(told).items() if count} == {("sda", "io_error"): 2}
    log.write("INFO: task cp:4711 blocked for more than 122 seconds.")
    told = log.collect()
    assert len(notes(told)) == 1
    assert counts(told)["sda", "io_error"] == 2
    assert counts(told)["", "timeout"] == 1


def test_what_was_overwritten_is_counted(log: Log) -> None:
    log.write("one")
    log.write("two", skip=5)
    log.records.insert(1, BrokenPipeError())
    told = log.collect()
    assert [s.value for s in told if isinstance(s, Sample) and s.metric.endswith("lost_total")] == [5]


def test_names_beyond_a_limit_count_together(log: Log) -> None:
    for i in range(MAX_DEVICES + 3):
        log.write(f"I/O error, dev sd{i}, sector 5")
    told = log.collect()
    assert len(counts(told)) == MAX_DEVICES + 1 + len(KINDS)
    assert counts(told)["other", "io_error"] == 3
    assert notes(told)[-1].device == f"sd{MAX_DEVICES + 2}"


@given(st.lists(st.sampled_from(MESSAGES), max_size=60), st.integers(1, 7))
def test_counts_against_a_plain_count(messages: list[tuple[str, str | None, str]], at_a_time: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        log = Log(patch)
        log.collect()
        seen: list[Note] = []
        told: list[Any] = log.collect()
        for start in range(0, len(messages), at_a_time):
            for message, _, _ in messages[start : start + at_a_time]:
                log.write(message)
            told = log.collect()
            seen += notes(told)
        log.collector.close()
    expected = Counter((device, kind) for _, kind, device in messages if kind)
    assert {key: count for key, count in counts(told).items() if count} == dict(expected)
    assert [note.message for note in seen] == [message for message, kind, _ in messages if kind]


async def test_why_there_is_nothing(tmp_path: Path) -> None:
    told = counts(await KernelLog(str(tmp_path / "kmsg")).collect())
    assert told["", "io_error"] == NoData(f"there is no {tmp_path}/kmsg here, as in many containers")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_somebody_without_the_right_is_told_so(tmp_path: Path) -> None:
    secret = tmp_path / "kmsg"
    secret.touch(mode=0o600)
    tmp_path.chmod(0o755)

    def look() -> str:
        log = KernelLog("/dev/kmsg")
        value = counts(trio.run(log.collect))["", "io_error"]
        log.close()
        return value.reason if isinstance(value, NoData) else "read"

    with open("/proc/sys/kernel/dmesg_restrict") as restricted:
        may = restricted.read().strip() == "0" and os.stat("/dev/kmsg").st_mode & 0o004
    said = as_user(look, uid=65534, gid=65534)
    assert said == (
        "read" if may else "/dev/kmsg may not be read: that takes root or CAP_SYSLOG (kernel.dmesg_restrict)"
    )


async def test_the_collector_opens() -> None:
    (spec,) = migmond_collectors(SETTINGS(interval="5s"))
    assert (spec.interval_s, set(spec.note_kinds)) == (5, set(KINDS))
    async with spec.open() as collector:
        assert list(await collector.collect())


@pytest.fixture
def failing_disk(tmp_path: Path) -> Iterator[str]:
    """A loop device whose file has become shorter."""
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
        pytest.skip("a loop device needs root")
    image = tmp_path / "disk"
    image.write_bytes(b"x" * (1 << 20))
    made = subprocess.run(
        ["losetup", "-f", "--show", image], env=ENVIRONMENT, check=True, capture_output=True, text=True
    )
    device = made.stdout.strip()
    try:
        os.truncate(image, 0)
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], env=ENVIRONMENT, check=True)


async def test_a_real_disk_that_fails_is_seen(failing_disk: str) -> None:
    name = os.path.basename(failing_disk)
    with contextlib.closing(KernelLog()) as log:
        told = counts(await log.collect())
        if isinstance(told["", "io_error"], NoData):
            pytest.skip(told["", "io_error"].reason)
        fd = os.open(failing_disk, os.O_RDONLY)
        try:
            with pytest.raises(OSError, match="Input/output error"):
                os.pread(fd, 4096, 512 << 10)
        finally:
            os.close(fd)
        found: list[Note] = []
        with trio.fail_after(10):
            while not found:
                told_now = list(await log.collect())
                found = [note for note in notes(told_now) if note.device == name]
                await trio.sleep(0.01)
        assert {note.kind for note in found} == {"io_error"}
        assert abs(found[0].at - time.time()) < 60
        assert re.search(rf"error.*{name}", found[0].message)
        count = counts(told_now)[name, "io_error"]
        assert isinstance(count, float)
        assert count >= 1


async def noted(log: KernelLog, device: str, kind: str) -> Note:
    """Wait for such a note."""
    with trio.fail_after(20):
        while True:
            for note in notes(await log.collect()):
                if (note.device, note.kind) == (device, kind):
                    return note
            await trio.sleep(0.02)


def device_of(fs: LoopFs) -> str:
    table = read_graph().chain(os.stat(fs.root).st_dev, mount_id_of(fs.root))
    return next(layer.name for layer in table.layers if layer.kind == "loop")


def mount_id_of(directory: Path) -> int:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return mount_id(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
async def test_a_real_file_system_that_is_cut_off_is_told_as_read_only(tmp_path: Path, kind: str) -> None:
    if reason := missing(kind):
        pytest.skip(reason)
    with mounted(tmp_path, kind) as fs, contextlib.closing(KernelLog()) as log:
        if isinstance(counts(await log.collect())["", "io_error"], NoData):
            pytest.skip("the kernel's log cannot be read here")
        device = device_of(fs)
        fs.shut_down()
        with contextlib.suppress(OSError):
            (fs.root / "late").write_bytes(b"x")
        note = await noted(log, device, "read_only")
        assert abs(note.at - time.time()) < 60


@pytest.mark.parametrize(("kind", "told", "times"), [("btrfs", "btrfs_error", 2), ("ext4", "ext4_error", 1)])
async def test_real_damage_is_told_with_its_device(tmp_path: Path, kind: str, told: str, times: int) -> None:
    """btrfs finds by its checksums that contents were overwritten, ext4 that a directory was."""
    if reason := missing(kind):
        pytest.skip(reason)
    mark = b"a-name-that-is-nowhere-else"
    with mounted(tmp_path, kind) as fs, contextlib.closing(KernelLog()) as log:
        if isinstance(counts(await log.collect())["", "io_error"], NoData):
            pytest.skip("the kernel's log cannot be read here")
        (fs.root / os.fsdecode(mark)).write_bytes(mark * 1000)
        fs.unmount()
        with fs.image.open("r+b") as image, mmap.mmap(image.fileno(), 0) as content:
            at = content.find(mark * times)
            while at != -1:
                content[at : at + 5] = b"WRONG"
                at = content.find(mark * times, at + 1)
        fs.mount()
        device = device_of(fs)
        with contextlib.suppress(OSError):
            for name in os.listdir(fs.root):
                if name != "lost+found":
                    (fs.root / name).read_bytes()
        assert (await noted(log, device, told)).message
