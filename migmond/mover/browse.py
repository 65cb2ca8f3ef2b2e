"""What is in a directory, for people who choose one: looked at with their own rights, nothing is opened but it."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator

from migmond.domain.entry import EntryType, entry_type
from migmond.domain.fault import Phase
from migmond.domain.names import to_text
from migmond.fsys.root_path import open_root
from migmond.mover.context import fault_of
from migmond.wire.from_mover import Browsed, OpenFailed
from migmond.wire.to_mover import Browse


def browse(message: Browse) -> Browsed | OpenFailed:
    """Return what `message` asks for."""
    try:
        fd = open_root(message.path)
        try:
            found = heapq.nsmallest(message.limit + 1, _after(fd, message.after))
            entries = tuple((name, kind, _size(fd, name, kind)) for _, name, kind in found[: message.limit])
        finally:
            os.close(fd)
    except OSError as e:
        fault = fault_of(Phase.OPEN, e)
        text = f"cannot look into {to_text(message.path)}: {fault.message}"
        return OpenFailed(fault, text, "choose another directory", message.path)
    return Browsed(entries, len(found) > message.limit)


def _after(fd: int, after: tuple[bool, bytes]) -> Iterator[tuple[bool, bytes, EntryType]]:
    """Yield (is no directory, name, type): in this order they are shown."""
    with os.scandir(fd) as entries:
        for entry in entries:
            name, kind = os.fsencode(entry.name), _type(fd, entry)
            key = kind is not EntryType.DIRECTORY, name
            if key > after:
                yield *key, kind


def _type(fd: int, entry: os.DirEntry[str]) -> EntryType:
    """Mostly the directory itself tells; what is neither file, directory nor symlink is looked at."""
    if entry.is_symlink():
        return EntryType.SYMLINK
    if entry.is_dir(follow_symlinks=False):
        return EntryType.DIRECTORY
    if entry.is_file(follow_symlinks=False):
        return EntryType.FILE
    try:
        return entry_type(os.stat(entry.name, dir_fd=fd, follow_symlinks=False).st_mode)
    except OSError:
        return EntryType.FILE  # it is gone


def _size(fd: int, name: bytes, kind: EntryType) -> int:
    """Return the size of a file; 0 when it is none, or is gone."""
    if kind is not EntryType.FILE:
        return 0
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False).st_size
    except OSError:
        return 0
