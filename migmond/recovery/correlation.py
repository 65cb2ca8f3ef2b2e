"""What errors come from: the facts around a group of them, weighed against what each possible cause would show.

A cause has a chance from the error alone (`Cause.errors`) and one from each kind of fact that it would leave
(`Cause.facts`). A fact counts the less, the further it is from the errors and the less sure it is that it is about
their device:

    strength = table · closeness · match
    score    = 1 − (1 − chance of the error) · Π over kinds of facts (1 − the strongest of that kind)

This is a noisy-or (Pearl, Probabilistic Reasoning in Intelligent Systems, 1988, 4.3.2): each fact alone could make the
cause true, independently of the others. The figures of the table are judgements, not measured frequencies: they rank.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import msgspec

from migmond.domain.device import device_text
from migmond.domain.fault import Fault

WINDOW_S = 30.0
"""Facts so long before the first or after the last error of a group count (design page ETA, "Errors")."""
AT_EDGE = 0.5
"""Closeness at the edge of the window; it is 1 between the first and the last error."""
UNNAMED = 0.5
"""Match of a fact that names no device, or one (an ATA port, a mapped device) of which nobody knows what is on it."""
LEAST_SCORE = 0.1
MOST_CAUSES = 3
MOST_EVIDENCE = 5


class FactKind(enum.StrEnum):
    """What was noticed. The first ten are the kinds of notes of the collector `kernel`."""

    IO_ERROR = "io_error"
    TIMEOUT = "timeout"
    RESET = "reset"
    OFFLINE = "offline"
    RAID_ERROR = "raid_error"
    READ_ONLY = "read_only"
    EXT4_ERROR = "ext4_error"
    XFS_ERROR = "xfs_error"
    BTRFS_ERROR = "btrfs_error"
    FS_ERROR = "fs_error"
    SMART = "smart"
    """The disk tells of lost sectors or that it fails."""
    LINK = "link"
    """The disk counts errors between it and its controller."""
    HOT = "hot"
    NO_SPACE = "no_space"
    NO_INODES = "no_inodes"
    QUOTA_USED = "quota_used"
    MOUNTED_READ_ONLY = "mounted_read_only"
    UNMOUNTED = "unmounted"
    """What was mounted there is not, or something else is."""
    MOVER_DIED = "mover_died"
    INTERVENTION = "intervention"
    LIMIT = "limit"
    """What the file system cannot have, by its type: large files, names."""


class Fact(msgspec.Struct, frozen=True):
    """Something noticed.

    Attributes:
        at: wall clock seconds; None for what is so all the time.
        subject: disk, partition or mount point that it is about; "" when it names none.
        text: one sentence for people.
    """

    kind: FactKind
    at: float | None
    subject: str
    text: str


class Where(msgspec.Struct, frozen=True):
    """What the entries of a group are on.

    Attributes:
        disks: names of disks, as the kernel has them.
        mount: where the file system is mounted, as path text.
        file_system: its type.
        devices: what is between it and its disks, as the kernel has it, top down: `loop3`, `dm-0`.
    """

    disks: tuple[str, ...] = ()
    mount: str = ""
    file_system: str = ""
    devices: tuple[str, ...] = ()

    @property
    def device(self) -> str:
        """What people are told had the errors: `sda`, or `loop3 (on sda)`."""
        return device_text(self.devices[0] if self.devices else "", self.disks)


class Cause(msgspec.Struct, frozen=True):
    """What may be behind errors.

    Attributes:
        name: `full`, `bad_sectors`, ...
        title: for people, a few words.
        errors: kinds of errors (see `Fault.kind`) that it makes, with its chance by that alone.
        facts: what it would show, with how much each says.
    """

    name: str
    title: str
    errors: Mapping[str, float]
    facts: Mapping[FactKind, float]


class Found(msgspec.Struct, frozen=True):
    """A cause with how likely it is, 0 to 1, and what speaks for it, the strongest first."""

    cause: Cause
    score: float
    evidence: tuple[str, ...]


K = FactKind
_FS_ERRORS = {K.EXT4_ERROR: 0.6, K.XFS_ERROR: 0.6, K.BTRFS_ERROR: 0.6, K.FS_ERROR: 0.6}


@cache
def causes() -> tuple[Cause, ...]:
    """Return all of them."""
    return (
        Cause("full", "the file system is full", {"ENOSPC": 0.6}, {K.NO_SPACE: 0.9}),
        Cause("no_inodes", "the file system can have no more files", {"ENOSPC": 0.1}, {K.NO_INODES: 0.97}),
        Cause("quota", "the quota is used up", {"EDQUOT": 0.8, "ENOSPC": 0.05}, {K.QUOTA_USED: 0.9}),
        Cause("bad_sectors", "the disk cannot read or write some of its sectors",
              {"EIO": 0.3, "EUCLEAN": 0.2, "ENODATA": 0.4, "EBADMSG": 0.3},
              {K.IO_ERROR: 0.5, K.RESET: 0.3, K.TIMEOUT: 0.2, K.SMART: 0.7}),
        Cause("link", "the cable or the controller fails",
              {"EIO": 0.1, "ETIMEDOUT": 0.3}, {K.RESET: 0.3, K.TIMEOUT: 0.3, K.LINK: 0.6}),
        Cause("unplugged", "the disk has gone",
              {"EIO": 0.1, "ENODEV": 0.6, "ENXIO": 0.6, "ENOMEDIUM": 0.8, "ENOTCONN": 0.2, "ENOENT": 0.05},
              {K.OFFLINE: 0.9, K.UNMOUNTED: 0.7}),
        Cause("read_only", "the file system gave up and is read-only now",
              {"EROFS": 0.6, "EIO": 0.05},
              {K.READ_ONLY: 0.95, K.MOUNTED_READ_ONLY: 0.6, **_FS_ERRORS}),
        Cause("damaged", "the file system is damaged",
              {"EUCLEAN": 0.6, "EBADMSG": 0.4, "EIO": 0.05, "EILSEQ": 0.2}, _FS_ERRORS),
        Cause("raid", "a disk of the array has failed", {"EIO": 0.02, "EREMOTEIO": 0.1}, {K.RAID_ERROR: 0.9}),
        Cause("server", "the server, or the way to it, does not answer",
              {"ETIMEDOUT": 0.5, "EHOSTDOWN": 0.9, "EHOSTUNREACH": 0.9, "ENETUNREACH": 0.9, "ECONNRESET": 0.6,
               "EREMOTEIO": 0.5, "EIO": 0.02},
              {K.TIMEOUT: 0.4}),
        Cause("stale", "the server does not know the directory any more", {"ESTALE": 0.8}, {K.UNMOUNTED: 0.5}),
        Cause("served_no_more", "the process that serves the file system has ended", {"ENOTCONN": 0.7},
              {K.UNMOUNTED: 0.5}),
        Cause("permission", "whoever asked may not do that", {"EACCES": 0.8, "EPERM": 0.8}, {}),
        Cause("name_too_long", "the destination allows shorter names only", {"ENAMETOOLONG": 0.9}, {}),
        Cause("name_refused", "the destination does not allow such a name", {"EINVAL": 0.3, "EILSEQ": 0.5},
              {K.LIMIT: 0.7}),
        Cause("too_large", "the file is larger than the destination can have", {"EFBIG": 0.7}, {K.LIMIT: 0.9}),
        Cause("hot", "the disk is too hot", {"EIO": 0.02, "ETIMEDOUT": 0.02}, {K.HOT: 0.5}),
        Cause("in_use", "somebody writes to the files meanwhile",
              {"source_changed": 0.9, "source_in_use": 0.9, "ETXTBSY": 0.8, "EBUSY": 0.4, "taken_meanwhile": 0.9}, {}),
        Cause("taken", "something else has the name", {"exists": 0.9, "EEXIST": 0.6, "ENOTEMPTY": 0.6}, {}),
        Cause("unfaithful", "the destination does not keep what is written to it", {"hash_mismatch": 0.6},
              {K.IO_ERROR: 0.4, K.SMART: 0.5, K.LINK: 0.4}),
        Cause("mover", "reading it ends the mover", {"mover_died": 0.6}, {K.MOVER_DIED: 0.5}),
        Cause("changed", "somebody changed the migration just before",
              {}, {K.INTERVENTION: 0.25}),
    )  # fmt: skip


def correlate(fault: Fault, first_at: float, last_at: float, where: Where, facts: Iterable[Fact]) -> list[Found]:
    """Return what a group of errors may come from, the likeliest first, at most MOST_CAUSES.

    Args:
        fault: what they have in common.
        first_at, last_at: of them, wall clock seconds.
        where: what they are on.
        facts: all that is known; those of other devices and times are left out here.
    """
    weighed = [(fact, weight) for fact in facts if (weight := _weight(fact, first_at, last_at, where)) > 0]
    found = [f for cause in causes() if (f := _judge(cause, fault, weighed)) is not None]
    return sorted(found, key=lambda f: (-f.score, f.cause.name))[:MOST_CAUSES]


def _judge(cause: Cause, fault: Fault, weighed: Sequence[tuple[Fact, float]]) -> Found | None:
    chance = cause.errors.get(fault.kind, 0.0)
    if not chance and cause.errors:
        return None  # it never makes such errors
    strongest: dict[FactKind, tuple[float, str]] = {}
    counted: dict[FactKind, int] = {}
    for fact, weight in weighed:
        strength = cause.facts.get(fact.kind, 0.0) * weight
        if not strength:
            continue
        counted[fact.kind] = counted.get(fact.kind, 0) + 1
        if strength > strongest.get(fact.kind, (0.0, ""))[0]:
            strongest[fact.kind] = strength, fact.text
    doubt = 1.0 - chance
    for strength, _ in strongest.values():
        doubt *= 1.0 - strength
    score = 1.0 - doubt
    if score < LEAST_SCORE:
        return None
    ranked = sorted(strongest.items(), key=lambda item: -item[1][0])
    texts = [text if counted[kind] == 1 else f"{text} (and {counted[kind] - 1} more)" for kind, (_, text) in ranked]
    return Found(cause, round(score, 3), tuple(texts[:MOST_EVIDENCE]))


def _weight(fact: Fact, first_at: float, last_at: float, where: Where) -> float:
    return _closeness(fact.at, first_at, last_at) * _match(fact.subject, where)


def _closeness(at: float | None, first_at: float, last_at: float) -> float:
    """1 between the first and the last error, or for what is always so; then less and less to the edge; 0 beyond."""
    if at is None:
        return 1.0
    away = max(first_at - at, at - last_at, 0.0)
    return 0.0 if away > WINDOW_S else 1.0 - (1.0 - AT_EDGE) * away / WINDOW_S


_PARTITION = re.compile(r"(?P<disk>[shv]d[a-z]+|xvd[a-z]+)\d*|(?P<numbered>nvme\d+n\d+|mmcblk\d+)(?:p\d+)?")
_MADE = re.compile(r"(?:loop|dm-|md)\d+")
"""Of others or of a file. What has such devices is on no further one."""
_CONTROLLER = re.compile(r"nvme\d+")


def _match(subject: str, where: Where) -> float:
    """1 for what is surely about the group's device, 0 for what is surely about another one."""
    if not subject:
        return UNNAMED
    if subject == where.mount:
        return 1.0
    if subject.startswith("/"):
        return 0.0 if where.mount else UNNAMED
    if subject in where.disks or subject in where.devices:
        return 1.0
    if _MADE.fullmatch(subject):
        return 0.0 if where.devices else UNNAMED
    named = _PARTITION.fullmatch(subject)
    if named is not None:
        disk = named["disk"] or named["numbered"]
        return (1.0 if disk in where.disks else 0.0) if where.disks else UNNAMED
    if _CONTROLLER.fullmatch(subject) and where.disks:
        return 1.0 if any(d.startswith(f"{subject}n") for d in where.disks) else 0.0
    return UNNAMED
