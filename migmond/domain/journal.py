"""What a journal is asked with, and what it answers, beside what it keeps."""

from __future__ import annotations

import msgspec

from migmond.domain.entry import EntryType
from migmond.domain.fault import Fault


class FaultRecord(msgspec.Struct, frozen=True):
    """What a task met last. `number`: the task's; `at`: wall clock seconds."""

    number: int
    at: float
    fault: Fault


class Sift(msgspec.Struct, frozen=True):
    """What a storage can tell of tasks without their paths: one that it passes over costs it nearly nothing.

    Attributes:
        last: the highest number that is looked at: one that finds little ends in time.
        types: only these; empty for all.
        larger_than, smaller_than: bytes, exclusive; None for any size.
        directory: number of the one they lie in; None for any.
        name: at the source; None for any.
    """

    last: int
    types: tuple[EntryType, ...] = ()
    larger_than: int | None = None
    smaller_than: int | None = None
    directory: int | None = None
    name: bytes | None = None


class FaultGroup(msgspec.Struct, frozen=True):
    """Faults with equal phase, kind and errno, of entries that have failed or are to be tried again.

    Those of the source are also told apart by its device.

    Attributes:
        count: entries; `waiting` is how many of them are pending.
        examples: up to three task numbers, the latest first.
        device: number of the source's device, 0 when the fault is not about the source.
        root: index of the source that all of them are in; -1 when they are in several.
        under: directory below it that all of them lie in, the deepest; b"" for the source itself.
    """

    fault: Fault
    count: int
    first_at: float
    last_at: float
    examples: tuple[int, ...]
    waiting: int = 0
    device: int = 0
    root: int = -1
    under: bytes = b""


class JournalCondition(msgspec.Struct, frozen=True):
    """How a journal is. Each is one sentence, "" when all is well.

    Attributes:
        damage: what was met that cannot be trusted; it stays until the journal is opened again.
        short: why nothing new should be begun: the disk is full, and what is written now uses the room kept for that.
        reserve: why there is no room kept for a full disk.
    """

    damage: str = ""
    short: str = ""
    reserve: str = ""


class JournalBackup(msgspec.Struct, frozen=True):
    """A copy of the whole journal at wall clock `at`, which the daemon's `--restore` takes."""

    path: str
    at: float
    size_bytes: int
