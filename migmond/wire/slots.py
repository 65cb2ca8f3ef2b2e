"""The shared-memory page through which daemon and mover see each other without messages.

One memfd per mover, `SLOT_BYTES` long. The daemon writes the first line, the mover all others; each field
is an aligned 8-byte word, so a reader never sees half of one. The file name is guarded by a sequence count:
odd while it is written. A mover's two threads have a lane each to say what they are in: a copy that hangs must not
be hidden by a sync that ends.

    offset  writer  field
         0  daemon  control         Control
        64  mover   started_ns      CLOCK_MONOTONIC when the present system call group began, 0 when idle
        72  mover   doing           Doing
        80  mover   task            number of the task at hand, 0 for none
        88  mover   file_bytes      its size
        96  mover   file_done       bytes of it copied
       104  mover   bytes_total     bytes copied since the mover started, or re-read when it verifies
       112  mover   entries_total   entries finished since the mover started
       120  mover   paused          1 while it waits because of control
       128  mover   started_ns      of the committing thread
       136  mover   doing           of the committing thread
       144  mover   name_sequence
       152  mover   name_length     0 for no file
       160  mover   spent           16 words: nanoseconds that the copying thread has spent since the mover started, by
                                    Activity
       288  mover   spent           the same of the committing thread
       416  mover   name            path below the source root, cut to NAME_BYTES from the front
      8184  mover   kind            task << 8 | FileKind of the file at hand, once its content has told it; else 0
"""

from __future__ import annotations

import enum
import mmap
import struct
import time

import msgspec

from migmond.domain.activity import Activity, Spent
from migmond.domain.file_kinds import FileKind

SLOT_BYTES = 8192
_SPENT, _SPENT_COMMITTING, _ACTIVITIES = 20, 36, 16
_NAME = 416
_KIND = SLOT_BYTES // 8 - 1
NAME_BYTES = 8 * _KIND - _NAME
_CONTROL = 0
STARTED_WORD, _FILE_DONE, _BYTES_TOTAL, _ENTRIES_TOTAL, _PAUSED, _COMMIT_STARTED, _SEQUENCE, _LENGTH = (
    8, 12, 13, 14, 15, 16, 18, 19,
)  # fmt: skip
"""Fields as indexes of 8-byte words: storing one is one machine store, and takes a tenth of a struct's time."""
_LOOK = struct.Struct("=12Q")
_BEGIN = struct.Struct("=5Q")
_WORD = struct.Struct("=Q")
_FILE_KINDS = tuple(FileKind)


class Control(enum.IntEnum):
    """What the daemon wants of the mover at its next control check (every chunk and every entry)."""

    RUN = 0
    PAUSE = 1
    """Wait at the chunk boundary, keep everything open."""
    ABANDON = 2
    """Give up the file at hand and the rest of the batch: remove temporaries, report them with kind `abandoned`."""
    DRAIN = 3
    """Finish the file at hand; the rest of the batch is reported with kind `abandoned`."""


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


class Meter:
    """Divides a thread's time among its activities. For that thread only.

    Args:
        words: its counters.
        activities: the first of them within `words`.
    """

    def __init__(self, words: memoryview, activities: int) -> None:
        self._words = words
        self._activities = activities
        self._last = time.monotonic_ns()

    def lap(self, activity: Activity) -> None:
        """The time since the last lap was spent with `activity`."""
        now = time.monotonic_ns()
        self._words[self._activities + activity] += now - self._last
        self._last = now

    def total_ns(self) -> int:
        """Return the nanoseconds of all activities so far."""
        return sum(self._words[self._activities : self._activities + len(Activity)])

    def lap_around(self, activity: Activity, before_ns: int) -> None:
        """Of the time since the last lap the machine code has counted some itself; the rest, on the way there and back,
        was spent with `activity`.

        Args:
            before_ns: `total_ns` at the last lap.
        """
        now = time.monotonic_ns()
        counted = self.total_ns() - before_ns
        self._words[self._activities + activity] += max(0, now - self._last - counted)
        self._last = now


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
        struct.pack_into("=Q", self._memory, 8 * _CONTROL, control)

    def look(self) -> Glimpse:
        """Return the mover's present state. A name caught while it was written is left out (None)."""
        m = self._memory
        started, doing, task, size, done, total, entries, paused, commit_started, commit_doing, sequence, length = (
            _LOOK.unpack_from(m, 8 * STARTED_WORD)
        )
        name: bytes | None = None
        if length and not sequence & 1:
            name = m[_NAME : _NAME + min(length, NAME_BYTES)]
            if struct.unpack_from("=Q", m, 8 * _SEQUENCE)[0] != sequence:
                name = None
        return Glimpse(
            started, Doing(doing), task, size, done, total, entries, bool(paused), name,
            commit_started, Doing(commit_doing),
        )  # fmt: skip

    def kind_of(self, task: int) -> FileKind | None:
        """Return what kind of file a task's content has told that it is of, while the mover has it at hand; None when
        it has not (yet), or the name tells."""
        told, kind = divmod(_WORD.unpack_from(self._memory, 8 * _KIND)[0], 256)
        return _FILE_KINDS[kind] if told == task and kind < len(_FILE_KINDS) else None

    def spent(self) -> tuple[Spent, Spent]:
        """Return what its copying thread has spent its time with since it started, and its committing thread."""
        words = struct.unpack_from(f"={2 * _ACTIVITIES}Q", self._memory, 8 * _SPENT)
        return Spent(words[: len(Activity)]), Spent(words[_ACTIVITIES : _ACTIVITIES + len(Activity)])

    def close(self) -> None:
        self._memory.close()


class Lane:
    """Where one thread of a mover says what it is in."""

    def __init__(self, words: memoryview, started: int) -> None:
        self._words = words
        self._started = started

    def began(self, doing: Doing, now_ns: int) -> None:
        """Say that an operation that may block begins at `now_ns` on the monotonic clock."""
        self._words[self._started + 1] = doing
        self._words[self._started] = now_ns

    def goes_on(self, now_ns: int) -> None:
        """Say that what is done, if anything, is not hanging at `now_ns`."""
        if self._words[self._started]:
            self._words[self._started] = now_ns

    @property
    def doing(self) -> int:
        """A `Doing`."""
        return self._words[self._started + 1]

    def ended(self) -> None:
        self._words[self._started] = 0
        self._words[self._started + 1] = Doing.IDLE


class MoverSide(Lane):
    """The mover's end of a slot. Its own lane is the copying thread's, as is `meter`; `commit` and `commit_meter` are
    the committing thread's."""

    def __init__(self, memory: mmap.mmap) -> None:
        self.memory = self._memory = memory
        self.words = memoryview(memory).cast("Q")
        super().__init__(self.words, STARTED_WORD)
        self.commit = Lane(self.words, _COMMIT_STARTED)
        self.meter = Meter(self.words, _SPENT)
        self.commit_meter = Meter(self.words, _SPENT_COMMITTING)

    @property
    def control(self) -> Control:
        return Control(self.words[_CONTROL])

    @property
    def running(self) -> bool:
        """Whether control is RUN: what is asked for every file, without the making of a Control."""
        return not self.words[_CONTROL]

    def file(self, task: int, size: int, name: bytes, doing: Doing, now_ns: int) -> None:
        """Say which file is at hand, and what is done with it since `now_ns`."""
        words, length = self.words, len(name)
        if length > NAME_BYTES:
            name, length = name[-NAME_BYTES:], NAME_BYTES
        sequence = words[_SEQUENCE] + 2  # the machine code counts as well
        words[_SEQUENCE] = sequence - 1
        words[_LENGTH] = length
        words[_KIND] = 0  # an earlier attempt may have read something else
        self._memory[_NAME : _NAME + length] = name
        _BEGIN.pack_into(self._memory, 8 * STARTED_WORD, now_ns, doing, task, size, 0)
        words[_SEQUENCE] = sequence

    def found_kind(self, task: int, kind: FileKind) -> None:
        """Say what kind of file the content of the source at hand tells that it is of. Stays until `file`."""
        self.words[_KIND] = task << 8 | kind

    def no_file(self) -> None:
        """Say that no file is at hand and nothing is done."""
        self.file(0, 0, b"", Doing.IDLE, 0)

    def progress(self, file_done: int, bytes_total: int, now_ns: int) -> None:
        """Say how much is copied, and that the next operation begins at `now_ns`."""
        self.words[_FILE_DONE] = file_done
        self.words[_BYTES_TOTAL] = bytes_total
        self.words[STARTED_WORD] = now_ns

    def count(self, entries_total: int) -> None:
        self.words[_ENTRIES_TOTAL] = entries_total

    def set_paused(self, paused: int) -> None:
        self.words[_PAUSED] = paused
