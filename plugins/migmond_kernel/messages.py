"""Which of the kernel's messages are about disks and file systems, and what of.

The patterns are for what the block layer, SCSI, libata, NVMe, USB, md, device mapper and the file systems write in
kernels of the last years (4.19 to 6.18; they rarely change it, and a test has examples of every kind). What they write
tomorrow is missed until it is added here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

KINDS: Mapping[str, str] = {
    "io_error": "A request to a disk failed.",
    "timeout": "A disk or a server did not answer in time, or a task waited for one for minutes.",
    "reset": "A disk, its link or its controller was reset.",
    "offline": "A disk was taken out of use, or has gone.",
    "raid_error": "A disk has failed in an array, or a device mapper target has.",
    "read_only": "A file system was made read-only or was shut down because of errors.",
    "ext4_error": "ext2, ext3 or ext4 met an error.",
    "xfs_error": "XFS met an error.",
    "btrfs_error": "btrfs met an error.",
    "fs_error": "Another file system met an error.",
}

_DEVICE = r"(?P<device>[\w!./-]{1,64}?)"
_PATTERNS: tuple[tuple[str, str], ...] = (
    # A file system that gives up comes before its errors: the more serious of two kinds counts.
    ("read_only", rf"EXT[234]-fs \({_DEVICE}\): (?:Remounting filesystem read-only|shut down requested)"),
    ("read_only", rf"XFS \({_DEVICE}\): .*(Shutting down filesystem|has been shut down|Filesystem has been shut)"),
    ("read_only", rf"BTRFS\b.*\(device {_DEVICE}(?: state \S+)?\).*: forced readonly"),
    ("read_only", rf"(?:FAT-fs|exFAT-fs|F2FS-fs) \({_DEVICE}\):.*set read-only"),
    ("read_only", rf"Aborting journal on device {_DEVICE}(?:-\d+)?\."),
    ("ext4_error", rf"EXT[234]-fs (?:error|warning|critical) \(device {_DEVICE}\)"),
    ("ext4_error", rf"EXT[234]-fs \({_DEVICE}\): .*(?i:error|corrupt|fail)"),
    ("ext4_error", rf"JBD2: (?:Detected|Error|I/O error|Failed).*\bon {_DEVICE}(?:-\d+)?\.?$"),
    ("xfs_error", rf"XFS \({_DEVICE}\): .*(?i:error|corrupt|fail)"),
    ("btrfs_error", rf"BTRFS:? (?:error|critical|warning) \(device {_DEVICE}(?: state \S+)?\)"),
    ("fs_error", rf"(?:FAT-fs|exFAT-fs|F2FS-fs|NTFS-fs|ntfs3) \({_DEVICE}\):.*(?i:error|corrupt|fail)"),
    ("raid_error", rf"md/\S+: (?:Disk failure on|.*read error.*\bon) {_DEVICE}[,. ]"),
    ("raid_error", rf"md/\S+?:{_DEVICE}: .*(?:Disk failure|read error|Operation continuing|not enough operational)"),
    ("raid_error", r"device-mapper: \S+: .*(?:[Ff]ail|[Ee]rror)"),
    ("timeout", rf"nvme {_DEVICE}: I/O .*timeout"),
    ("timeout", rf"^{_DEVICE}(?:\.\d\d)?: (?:exception Emask|failed command:|qc timeout|SATA link down|link is slow)"),
    ("timeout", rf"sd \S+: \[{_DEVICE}\] .*(?:timing out command|DID_TIME_OUT|hostbyte=DID_NO_CONNECT|task abort)"),
    ("timeout", r"nfs: server (?P<device>\S+) (?:not responding|timed out)"),
    ("timeout", r"CIFS: .*[Ss]erver (?P<device>\S+) has not responded"),
    ("timeout", r"INFO: task \S+ blocked for more than \d+ seconds"),
    ("reset", rf"^{_DEVICE}(?:\.\d\d)?: (?:hard|soft) resetting link"),
    ("reset", rf"nvme {_DEVICE}: .*(?:resetting controller|will reset|reset controller|Abort status)"),
    ("reset", rf"usb {_DEVICE}: reset \S+ USB device"),
    ("reset", rf"sd \S+: \[{_DEVICE}\] .*(?:device reset|Device reset|Power-on or device reset)"),
    ("reset", rf"sd \S+: \[{_DEVICE}\] .*uas_eh_"),
    ("reset", r"scsi (?P<device>host\d+): uas_eh_"),
    ("offline", rf"nvme {_DEVICE}: (?:Removing after probe failure|Device not ready|Disabling device)"),
    ("offline", rf"^{_DEVICE}\.\d\d: (?:disable device|disabled|detaching)"),
    ("offline", rf"sd \S+: \[{_DEVICE}\] .*(?:offline|Synchronize Cache.* failed)"),
    ("offline", r"sd (?P<device>\S+): (?:rejecting I/O to offline device|Device offlined)"),
    ("offline", rf"usb {_DEVICE}: USB disconnect"),
    ("offline", rf"device offline error, dev {_DEVICE},"),
    ("timeout", rf"timeout error, dev {_DEVICE},"),
    ("io_error", rf"(?:I/O|[\w ]{{1,40}}) error, dev {_DEVICE}, sector"),
    ("io_error", rf"Buffer I/O error on dev(?:ice)? {_DEVICE},"),
    ("io_error", rf"lost (?:async|sync) page write due to I/O error on {_DEVICE}\b"),
    ("io_error", rf"sd \S+: \[{_DEVICE}\] .*(?:Sense Key : (?:Medium|Hardware|Aborted|Not Ready)|FAILED Result)"),
    ("io_error", rf"nvme\S*: {_DEVICE}: .*(?:I/O Error|Media Error|Unrecovered)"),
)
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in _PATTERNS)
_WORTH_A_LOOK = re.compile(
    r"EXT|XFS|BTRFS|FAT-fs|F2FS|NTFS|ntfs3|JBD2|journal|md/|device-mapper|nvme|ata\d|sd \d|usb |uas|nfs:|CIFS"
    r"|blocked for|rror"
)
"""One pass instead of thirty over what is about something else."""


class Record(msgspec.Struct, frozen=True):
    """One record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg).

    Attributes:
        facility: 0 when the kernel wrote it, something else when a program did.
        at_s: seconds of the kernel's clock, which is about CLOCK_MONOTONIC.
        tags: what follows the message, such as SUBSYSTEM and DEVICE.
    """

    facility: int
    level: int
    sequence: int
    at_s: float
    message: str
    tags: Mapping[str, str] = {}


class Finding(msgspec.Struct, frozen=True):
    """What a message is about; `device` is "" when it names none."""

    kind: str
    device: str


def parse_record(data: bytes) -> Record | None:
    """Return a record, None when it is none."""
    prefix, separator, rest = data.decode("utf-8", "replace").partition(";")
    fields = prefix.split(",")
    if not separator or len(fields) < 3 or not all(field.isdigit() for field in fields[:3]):
        return None
    priority, sequence, at_us = map(int, fields[:3])
    message, *lines = rest.split("\n")
    tags = dict(line[1:].partition("=")[::2] for line in lines if line.startswith(" ") and "=" in line)
    return Record(priority >> 3, priority & 7, sequence, at_us / 1e6, message, tags)


def classify(message: str) -> Finding | None:
    """Return what a message says of a disk or file system, None when it is about something else."""
    if not _WORTH_A_LOOK.search(message):
        return None
    for kind, pattern in _COMPILED:
        found = pattern.search(message)
        if found:
            device = found.groupdict().get("device") or ""
            return Finding(kind, device.removeprefix("/dev/"))
    return None
