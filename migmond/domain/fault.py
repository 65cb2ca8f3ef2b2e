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
    READ = "read"
    """Opening or reading the source."""
    COPY = "copy"
    METADATA = "metadata"
    SYNC = "sync"
    VERIFY = "verify"
    PUBLISH = "publish"
    DELETE = "delete"
    DIRECTORY = "directory"
    MOVER = "mover"


SOURCE_PHASES = (Phase.SCAN, Phase.READ, Phase.DELETE)
"""Steps that work on the source only."""


SALVAGED = "; salvaged "
"""In the message of a fault, what follows is a remark on what was saved of the file."""


class Disposition(enum.StrEnum):
    """What the engine does about a fault; `migmond.recovery.dispositions` says about which."""

    RETRY = "retry"
    """Transient: the task goes back to pending, a bounded number of times."""
    HOLD = "hold"
    """Environmental (no space, read-only, device gone): the execution is held, the task stays pending."""
    FAIL = "fail"
    """Permanent for this file: the task fails, the rest goes on."""


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """One failure. `errno` is 0 when no system call failed (then `kind` says what did).

    `kind` is an errno name (`EIO`) or one of: `source_changed`, `source_in_use`, `exists`, `hash_mismatch`,
    `target_missing`, `target_changed`, `kept_aside`, `left_aside`, `source_unreachable`, `unsupported_type`,
    `destination_away`, `mover_died`, `copy_replaced`, `taken_meanwhile`.
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
    def fingerprint(self) -> str:
        """Return what equal faults have in common, as selectors take it: `read:EIO:5`."""
        return f"{self.phase.value}:{self.kind}:{self.errno}"
