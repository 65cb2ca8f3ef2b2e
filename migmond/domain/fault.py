"""What went wrong with one task: data that travels, is journaled, grouped and shown."""

from __future__ import annotations

import enum
import errno as _errno
import os

import msgspec


class Phase(enum.StrEnum):
    """The step of the durable protocol in which a task failed."""

    OPEN = "open"
    SCAN = "scan"
    COPY = "copy"
    METADATA = "metadata"
    SYNC = "sync"
    VERIFY = "verify"
    PUBLISH = "publish"
    DELETE = "delete"
    DIRECTORY = "directory"
    MOVER = "mover"


class Disposition(enum.StrEnum):
    """What the engine does about a fault."""

    RETRY = "retry"
    """Transient: the task goes back to pending, a bounded number of times."""
    HOLD = "hold"
    """Environmental (no space, read-only, device gone): the execution is held, the task stays pending."""
    FAIL = "fail"
    """Permanent for this file: the task fails, the rest goes on."""


_TRANSIENT = frozenset(
    {_errno.EAGAIN, _errno.EINTR, _errno.ETIMEDOUT, _errno.ECONNRESET, _errno.EBUSY, _errno.ENOMEM, _errno.EMFILE}
)
_ENVIRONMENTAL = frozenset(
    {_errno.ENOSPC, _errno.EDQUOT, _errno.ENODEV, _errno.ENOTCONN, _errno.ESTALE, _errno.EROFS, _errno.ENXIO}
)

_WORTH_ANOTHER_TRY = frozenset({"source_changed", "mover_died", "hash_mismatch", "copy_replaced", "taken_meanwhile"})


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """One failure. `errno` is 0 when no system call failed (then `kind` says what did).

    `kind` is an errno name (`EIO`) or one of: `source_changed`, `source_in_use`, `exists`, `hash_mismatch`,
    `target_missing`, `target_changed`, `kept_aside`, `left_aside`, `source_unreachable`, `unsupported_type`,
    `mover_died`, `copy_replaced`, `taken_meanwhile`.
    """

    phase: Phase
    kind: str
    errno: int
    message: str

    @classmethod
    def from_oserror(cls, phase: Phase, error: OSError) -> Fault:
        number = error.errno or 0
        return cls(phase, _errno.errorcode.get(number, "EUNKNOWN"), number, os.strerror(number))

    @property
    def disposition(self) -> Disposition:
        """The error table (errno × phase): see design page ETA, "Errors". ENXIO is a hole's end only inside SEEK_*."""
        if self.errno in _TRANSIENT or self.kind in _WORTH_ANOTHER_TRY:
            return Disposition.RETRY
        if self.errno in _ENVIRONMENTAL:
            return Disposition.HOLD
        if self.phase is Phase.SYNC:  # what the failed write-back lost is copied again, into a new inode
            return Disposition.RETRY
        return Disposition.FAIL
