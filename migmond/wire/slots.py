"""The shared-memory page through which daemon and mover see each other without messages.

One memfd per mover, `SLOT_BYTES` long. The daemon writes the control half, the mover the progress half; each field
is an aligned 8-byte word, so a reader never sees half of one. The file name is guarded by a sequence count:
odd while it is written.

    offset  writer  field
         0  daemon  control         Control
         8  daemon  bytes_per_s     0 = unlimited; this mover's share
        16  daemon  ops_per_s       float64; 0 = unlimited; this mover's share
        24  mover   commit_started_ns, commit_operation: what the committing thread does; as started_ns and operation
        64  mover   started_ns      CLOCK_MONOTONIC when the present system call group began, 0 when idle
        72  mover   operation       Operation
        80  mover   task            number of the task at hand, 0 for none
        88  mover   file_bytes      its size
        96  mover   file_done       bytes of it copied
       104  mover   bytes_total     bytes copied since the mover started (hash re-reads not included)
       112  mover   entries_total   entries finished since the mover started
       120  mover   paused          1 while it waits because of control
       128  mover   name_sequence
       136  mover   name_length     0 for no file
       144  mover   name            path below the source root, cut to NAME_BYTES from the front
"""

from __future__ import annotations

import enum
import mmap
import struct

import msgspec

SLOT_BYTES = 8192
NAME_BYTES = SLOT_BYTES - 144
_WORD = struct.Struct("<Q")
_DOUBLE = struct.Struct("<d")


class Control(enum.IntEnum):
    """What the daemon wants of the mover at its next control check (every chunk and every entry)."""

    RUN = 0
    PAUSE = 1
    """Wait at the chunk boundary, keep everything open."""
    ABANDON = 2
    """Give up the file at hand and the rest of the batch: remove temporaries, report them with kind `abandoned`."""


class Doing(enum.IntEnum):
    """What a mover is doing, for people."""

    IDLE = 0
    SCANNING = 1
    COPYING = 2
    SYNCING = 3
    PUBLISHING = 4
    DELETING = 5
    VERIFYING = 6
    DIRECTORIES = 7
    PAUSED = 8


class Glimpse(msgspec.Struct, frozen=True):
    """One look at a mover. `started_ns` is on the monotonic clock, 0 when idle; `commit_...` is its other thread."""

    started_ns: int
    doing: Doing
    task: int
    file_bytes: int
    file_done: int
    bytes_total: int
    entries_total: int
    paused: bool
    name: bytes | None
    commit_started_ns: int = 0
    commit_doing: Doing = Doing.IDLE

    @property
    def longest(self) -> tuple[int, Doing]:
        """Since when the thread that has been busy for longest is so, and with what; (0, IDLE) when none is."""
        commit = (self.commit_started_ns, self.commit_doing)
        if not self.started_ns or 0 < self.commit_started_ns < self.started_ns:
            return commit
        return self.started_ns, self.doing


class ControlSide:
    """The daemon's end of a slot."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    def set_control(self, control: Control) -> None:
        _WORD.pack_into(self._memory, 0, control)

    def set_limits(self, bytes_per_s: int, ops_per_s: float) -> None:
        """Set this mover's share; 0 is unlimited."""
        _WORD.pack_into(self._memory, 8, bytes_per_s)
        _DOUBLE.pack_into(self._memory, 16, ops_per_s)

    def look(self) -> Glimpse:
        """Return the mover's present state. A name caught while it was written is left out (None)."""
        m = self._memory
        started, doing, task, size, done, total, entries, paused, sequence, length = struct.unpack_from("<10Q", m, 64)
        name: bytes | None = None
        if length and not sequence & 1:
            name = m[144 : 144 + min(length, NAME_BYTES)]
            if _WORD.unpack_from(m, 128)[0] != sequence:
                name = None
        commit_started, commit = struct.unpack_from("<2Q", m, 24)
        return Glimpse(
            started, Doing(doing), task, size, done, total, entries, bool(paused), name, commit_started, Doing(commit)
        )

    def close(self) -> None:
        self._memory.close()


class MoverSide:
    """The mover's end of a slot. For the copying thread; the committing one has `commit` to itself."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._sequence = 0
        self.commit = CommitSide(memory)

    @property
    def control(self) -> Control:
        return Control(_WORD.unpack_from(self._memory, 0)[0])

    @property
    def limits(self) -> tuple[int, float]:
        """(bytes per second, entries per second), 0 for unlimited."""
        return _WORD.unpack_from(self._memory, 8)[0], _DOUBLE.unpack_from(self._memory, 16)[0]

    def began(self, doing: Doing, now_ns: int) -> None:
        """Say that an operation that may block begins at `now_ns` on the monotonic clock."""
        struct.pack_into("<2Q", self._memory, 64, now_ns, doing)

    def ended(self) -> None:
        struct.pack_into("<2Q", self._memory, 64, 0, Doing.IDLE)

    def file(self, task: int, size: int, name: bytes) -> None:
        """Say which file is at hand; b"" for none."""
        m, name = self._memory, name[-NAME_BYTES:]
        self._sequence += 2
        _WORD.pack_into(m, 128, self._sequence - 1)
        struct.pack_into("<3Q", m, 80, task, size, 0)
        _WORD.pack_into(m, 136, len(name))
        m[144 : 144 + len(name)] = name
        _WORD.pack_into(m, 128, self._sequence)

    def progress(self, file_done: int, bytes_total: int) -> None:
        struct.pack_into("<2Q", self._memory, 96, file_done, bytes_total)

    def count(self, entries_total: int) -> None:
        _WORD.pack_into(self._memory, 112, entries_total)

    def set_paused(self, paused: int) -> None:
        _WORD.pack_into(self._memory, 120, paused)


class CommitSide:
    """The committing thread's part of a slot: a sync that hangs must not be hidden by a copy that ends."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    def began(self, doing: Doing, now_ns: int) -> None:
        struct.pack_into("<2Q", self._memory, 24, now_ns, doing)

    def ended(self) -> None:
        struct.pack_into("<2Q", self._memory, 24, 0, Doing.IDLE)
