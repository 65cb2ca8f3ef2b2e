"""What kinds of file the sources are whose names do not tell: by what is read of them while they are copied."""

from __future__ import annotations

import os
import struct

from migmond.domain.file_kinds import LISTED, FileKind, tells_kind
from migmond.planning.magic import HEAD_BYTES, MARKS, kind_of_content

_MARK = struct.Struct("=HH28s")
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Kinds:
    """What was found out since somebody asked. For one thread."""

    def __init__(self) -> None:
        self._found: dict[int, FileKind] = {}

    def of_open(self, number: int, name: bytes, fd: int, size: int) -> FileKind | None:
        """Look into an open source, unless its name tells what it is or nothing is in it: one call, of what is copied
        next or was just now.

        Raises:
            OSError: it cannot be read.
        """
        if size == 0 or tells_kind(name):
            return None
        head = os.pread(fd, HEAD_BYTES, 0)
        if not head:
            return None
        kind = self._found[number] = kind_of_content(head)
        return kind

    def of_closed(self, number: int, name: bytes, directory: int, source_name: bytes) -> FileKind | None:
        """Open a source for that alone, unless its name tells; None also when it cannot be known: see `look_into`."""
        kind = None if tells_kind(name) else look_into(directory, source_name)
        if kind is not None:
            self._found[number] = kind
        return kind

    def of_content(self, number: int, head: bytes | memoryview) -> None:
        """Look at what was read of a source: nothing, when there is nothing in it to be known."""
        self._found[number] = kind_of_content(bytes(head)) if head else FileKind.OTHER

    def take(self) -> dict[int, FileKind]:
        """Return what was found out, by number, and forget it."""
        found, self._found = self._found, {}
        return found


def untold(names: list[bytes]) -> list[int]:
    """Return the positions of names that do not tell what kind of file they are of. 0.1 µs each, as nearly all do."""
    return [
        i
        for i, name in enumerate(names)
        if (extension := name[name.rfind(b".") :]) not in LISTED and extension.lower() not in LISTED
    ]


def marks() -> bytes:
    """Return `magic.MARKS` as machine code reads them (`struct mark` of small_files.c)."""
    return b"".join([_MARK.pack(offset, len(mark), mark) for offset, mark in MARKS])


def look_into(directory: int, name: bytes) -> FileKind | None:
    """Open a file for its kind alone; None when that cannot be known: it cannot be read, or is empty.

    Args:
        directory: open descriptor.
    """
    try:
        try:
            fd = os.open(name, _LOOK | os.O_NOATIME, dir_fd=directory)
        except PermissionError:  # somebody else's file
            fd = os.open(name, _LOOK, dir_fd=directory)
    except OSError:  # whoever copies it meets the same, and says so
        return None
    try:
        head = os.pread(fd, HEAD_BYTES, 0)
    except OSError:
        return None
    finally:
        os.close(fd)
    return kind_of_content(head) if head else None
