"""What a disk was told, in order: every write, every flush, and notes of whoever looks on. One file, appended to.

A write stands in the log before it is answered, so whatever follows from it comes later, on other disks of the same log
too. A flush stands there when it has been done, with how much of the log it covers: what came in while it was at work
may be lost all the same.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

_HEAD = struct.Struct("<cHQI")
_WRITE, _FLUSH, _NOTE = b"w", b"f", b"n"


@dataclass(frozen=True)
class Write:
    """`data` was to be at `offset` bytes of `path`."""

    path: str
    offset: int
    data: memoryview


@dataclass(frozen=True)
class Flush:
    """Of the first `covers` events, all writes to `path` are on the medium."""

    path: str
    covers: int


@dataclass(frozen=True)
class Note:
    """Something happened that the disk does not know of."""

    text: str


Event: TypeAlias = Write | Flush | Note


class WriteLog:
    """The side that writes. Any thread may. A context manager that closes the file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._lock = threading.Lock()
        self._events = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, k: type[BaseException] | None, e: BaseException | None, t: TracebackType | None) -> None:
        self._file.close()

    def write(self, path: str, offset: int, data: bytes, do: Callable[[], int]) -> int:
        """`do` the write and record it, before or after any other as a whole; returns what `do` returns, bytes."""
        with self._lock:
            written = do()
            self._add(_WRITE, path, offset, data[:written])
            return written

    def flush(self, path: str, do: Callable[[], int]) -> int:
        """`do` the flush, then record it; returns what `do` returns."""
        with self._lock:
            covers = self._events
        done = do()
        with self._lock:
            self._add(_FLUSH, path, covers)
        return done

    def note(self, text: str) -> int:
        """Record a note; returns how many events there are with it."""
        with self._lock:
            self._add(_NOTE, text, 0)
            return self._events

    def _add(self, kind: bytes, name: str, number: int, data: bytes = b"") -> None:
        encoded = os.fsencode(name)
        self._file.write(_HEAD.pack(kind, len(encoded), number, len(data)) + encoded + data)
        self._events += 1


def read(path: Path) -> list[Event]:
    """Return every event that is there; the log may be written on meanwhile."""
    whole = memoryview(path.read_bytes())
    events: list[Event] = []
    at = 0
    while at + _HEAD.size <= len(whole):
        kind, name_bytes, number, data_bytes = _HEAD.unpack_from(whole, at)
        start = at + _HEAD.size
        data = start + name_bytes
        at = data + data_bytes
        if at > len(whole):
            break
        name = os.fsdecode(bytes(whole[start:data]))
        match kind:
            case b"w":
                events.append(Write(name, number, whole[data:at]))
            case b"f":
                events.append(Flush(name, number))
            case b"n":
                events.append(Note(name))
            case unknown:
                raise ValueError(f"{path} has {unknown!r} at byte {start - _HEAD.size}: that is no log of writes")
    return events
