"""The error table: which error, in which step, on which kind of device, leads to what.

Every pair of an error and a step has exactly one row for each kind of device; what is in none of the written rows falls
into the last one. `python -m migmond.recovery.reference` prints it.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Mapping
from functools import cache

import msgspec

from migmond.domain.fault import SOURCE_PHASES, Disposition, Fault, Phase


class DeviceKind(enum.StrEnum):
    """What a file system stands on, as far as its errors go."""

    LOCAL = "local"
    """A disk of this machine, or its memory; also what nobody knows."""
    NETWORK = "network"
    """NFS, SMB, Ceph and the like: what fails may be the way to it."""
    FUSE = "fuse"
    """A process of this machine answers for it, and may die."""


class Side(enum.StrEnum):
    """Which end of the execution an error is about."""

    SOURCE = "source"
    TARGET = "target"
    NONE = ""
    """Neither, or nobody knows."""


ANY_PHASE = frozenset(Phase)
ANY_DEVICE = frozenset(DeviceKind)
_SYNC = frozenset({Phase.SYNC})
_NOT_SYNC = ANY_PHASE - _SYNC

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "9p", "afs", "glusterfs", "lustre", "gpfs", "ocfs2", "gfs2",
        "orangefs", "beegfs", "fuse.sshfs", "fuse.rclone", "fuse.glusterfs", "fuse.s3fs", "fuse.davfs",
    }
)  # fmt: skip
"""Types whose content is on another machine."""

ONE_TRY_MORE = 2
"""Attempts at what the medium refuses: the drive has tried for seconds by itself (design page ETA, "Errors")."""


class Row(msgspec.Struct, frozen=True):
    """One row of the table.

    Attributes:
        kinds: errno names, or the engine's own words for an error (see `Fault.kind`).
        phases: steps that it is for.
        devices: kinds of devices that it is for, each the one of the side that the step is about.
        disposition: what is done.
        reason: why, one sentence.
        attempts: how often it is tried at most, None for as often as the configuration says; for RETRY only.
        device: it counts against the device: many of them hold the execution instead of failing entries.
        load: to try again costs the device something, so that it comes out of the retry budget.
    """

    kinds: frozenset[str]
    phases: frozenset[Phase]
    devices: frozenset[DeviceKind]
    disposition: Disposition
    reason: str
    attempts: int | None = None
    device: bool = False
    load: bool = True


_RETRY, _HOLD, _FAIL = Disposition.RETRY, Disposition.HOLD, Disposition.FAIL
_LOCAL, _REMOTE = frozenset({DeviceKind.LOCAL}), frozenset({DeviceKind.NETWORK, DeviceKind.FUSE})


def _row(kinds: str, disposition: Disposition, reason: str, **more: object) -> Row:
    fields: dict[str, object] = {"phases": ANY_PHASE, "devices": ANY_DEVICE} | more
    return Row(frozenset(kinds.split()), disposition=disposition, reason=reason, **fields)  # type: ignore[arg-type]


@cache
def rows() -> tuple[Row, ...]:
    """Return the written rows. No two of them are for the same error, step and kind of device."""
    return (
        _row("EAGAIN EWOULDBLOCK EINTR EBUSY EDEADLK EDEADLOCK ETXTBSY ENOLCK", _RETRY,
             "Somebody else is using it at the moment."),
        _row("ENOMEM EMFILE ENFILE ENOBUFS", _RETRY, "The machine is short of memory or of open files for a moment."),
        _row("ETIMEDOUT ECONNRESET ECONNABORTED ECONNREFUSED ENETRESET EPIPE", _RETRY,
             "The connection broke; it mostly comes back within seconds.", devices=_REMOTE, device=True),
        _row("ETIMEDOUT ECONNRESET ECONNABORTED ECONNREFUSED ENETRESET EPIPE", _RETRY,
             "The disk did not answer in time; the kernel resets it and goes on.", devices=_LOCAL, device=True),
        _row("ENETDOWN ENETUNREACH EHOSTDOWN EHOSTUNREACH ENONET ENOLINK ECOMM", _HOLD,
             "There is no way to the server: no file can be copied until there is.", device=True),
        _row("ENOSPC", _HOLD, "The file system is full, for this file and for all others.", device=True),
        _row("EDQUOT", _HOLD, "The owner's quota is used up, for all further files.", device=True),
        _row("EROFS", _HOLD, "The file system is read-only now, mostly because it met an error.", device=True),
        _row("ENODEV ENXIO ENOMEDIUM", _HOLD, "The device has gone.", device=True),
        _row("ENOTCONN ESHUTDOWN", _HOLD, "What serves the file system has ended or was cut off.", device=True),
        _row("ESTALE", _HOLD, "The server does not know the file system, or the directory, any more.", device=True),
        _row("EREMOTEIO EPROTO EREMCHG", _HOLD, "The server, or the controller, does not work as it should.",
             device=True),
        _row("EIO", _RETRY, "A write that was thought done was lost: it is copied again, into a new inode.",
             phases=_SYNC, device=True),
        _row("EIO", _RETRY, "The medium, the cable or the controller failed; once more, later, may do.",
             phases=_NOT_SYNC, devices=_LOCAL | {DeviceKind.FUSE}, attempts=ONE_TRY_MORE, device=True),
        _row("EIO", _RETRY, "The server failed, or did not answer a soft mount in time.",
             phases=_NOT_SYNC, devices=frozenset({DeviceKind.NETWORK}), device=True),
        _row("EUCLEAN EBADMSG EILSEQ ENODATA EBADE EBADFD", _RETRY,
             "What the file system or the medium holds there is damaged; once more, later, shows whether it stays so.",
             phases=_NOT_SYNC, attempts=ONE_TRY_MORE, device=True),
        _row("EACCES EPERM", _FAIL, "Whoever asked for the migration may not do that to this entry.",
             phases=_NOT_SYNC),
        _row("ENAMETOOLONG EINVAL EOVERFLOW ELOOP ENOTDIR EISDIR EMLINK EOPNOTSUPP ENOTSUP ENOSYS EXDEV ENOTEMPTY",
             _FAIL, "This entry cannot be there, or not in this way, however often it is tried.", phases=_NOT_SYNC),
        _row("EFBIG", _FAIL, "The file is larger than the file system, or a limit, allows.", phases=_NOT_SYNC),
        _row("ENOENT EEXIST", _FAIL, "Somebody else changes the names there.", phases=_NOT_SYNC),
        _row("source_changed taken_meanwhile copy_replaced", _RETRY,
             "Somebody changes the files meanwhile: it is taken up as it is found then.", load=False,
             phases=_NOT_SYNC),
        _row("mover_died", _RETRY, "A mover died; another one takes its work up.", phases=_NOT_SYNC),
        _row("hash_mismatch", _RETRY, "What was written reads back as something else: it is copied again.",
             phases=_NOT_SYNC),
        _row("exists same_file source_in_use unsupported_type", _FAIL, "The plan does not say what to do then.",
             phases=_NOT_SYNC),
        _row("destination_away", _FAIL, "Its disk was not there, and nothing else was to go there: resume when it is."),
        _row("target_missing target_changed kept_aside left_aside source_unreachable", _FAIL,
             "The names are not as they were left: nothing is deleted or replaced on a guess.", phases=_NOT_SYNC),
    )  # fmt: skip


_UNSYNCED = Row(
    frozenset(), _SYNC, ANY_DEVICE, _RETRY, "A write that was thought done may be lost: it is copied again."
)
_OTHER = Row(frozenset(), _NOT_SYNC, ANY_DEVICE, _FAIL, "Nothing is known that would make it go away by itself.")


def others() -> tuple[Row, Row]:
    """Return the two rows for all that is in none of the written ones."""
    return _UNSYNCED, _OTHER


@cache
def _table() -> Mapping[tuple[str, Phase, DeviceKind], Row]:
    return {(k, p, d): row for row in rows() for k in row.kinds for p in row.phases for d in row.devices}


def row_for(kind: str, phase: Phase, device: DeviceKind = DeviceKind.LOCAL) -> Row:
    """Return the row of an error. `device`: of the side that the step is about."""
    found = _table().get((kind, phase, device))
    if found is not None:
        return found
    return _UNSYNCED if phase is Phase.SYNC else _OTHER


def row_of(fault: Fault, device: DeviceKind = DeviceKind.LOCAL) -> Row:
    """Return the row of a fault. Where the engine has a word of its own for what the kernel refused, the
    kernel's number decides, unless that word says that it is worth another try."""
    own = row_for(fault.kind, fault.phase, device)
    if own.disposition is Disposition.RETRY or fault.errno not in errno.errorcode:
        return own
    return row_for(errno.errorcode[fault.errno], fault.phase, device)


def disposition_of(fault: Fault, device: DeviceKind = DeviceKind.LOCAL) -> Disposition:
    """Return what is done about a fault."""
    return row_of(fault, device).disposition


_NEITHER = frozenset({Phase.MOVER, Phase.OPEN})


def side_of(phase: Phase) -> Side:
    """Return which end a step works on."""
    if phase in SOURCE_PHASES:
        return Side.SOURCE
    return Side.NONE if phase in _NEITHER else Side.TARGET


def device_kind(file_system: str) -> DeviceKind:
    """Return what kind of device a file system of that type (as in /proc/mounts) stands on."""
    if file_system in NETWORK_FILE_SYSTEMS:
        return DeviceKind.NETWORK
    if file_system.startswith("fuse.") or file_system in ("fuse", "fuseblk"):
        return DeviceKind.LOCAL if file_system == "fuseblk" else DeviceKind.FUSE
    return DeviceKind.LOCAL
