"""Walks the sources, depth first, and streams what it sees. Memory holds unread directories only."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import msgspec

from migmond.domain.entry import EntryType
from migmond.domain.fault import Phase
from migmond.domain.file_kinds import FileKind, tells_kind
from migmond.domain.states import Outcome
from migmond.domain.task import Entry, Listing
from migmond.fsys.beneath import open_directory
from migmond.fsys.closing import close_unwritten
from migmond.fsys.mounts import MountTable, is_mount_point
from migmond.mover.context import Context, fault_of
from migmond.mover.control import Abandoned
from migmond.mover.kinds import look_into
from migmond.mover.temporaries import is_temporary
from migmond.wire.from_mover import ScanFailed, ScanFinished, Scanned
from migmond.wire.items import ScanDirectory
from migmond.wire.slots import Doing
from migmond.wire.to_mover import Scan

LISTING_ENTRIES = 2000
MESSAGE_ENTRIES = 1000
MESSAGE_S = 0.05
_PAID_ENTRIES = 200
"""So many are looked at before they count against a limit, fewer when it is low."""


class Walker:
    """One scan. Directories to read are given by `Scan` messages; the first one given is read first."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._todo: list[ScanDirectory] = []
        self._next_number = 0
        self._listings: list[Listing] = []
        self._entries = 0
        self._sent_at = time.monotonic()
        self._mounts: dict[int, MountTable] = {}

    def add(self, message: Scan) -> bool:
        """Take in what is to be read; True when that was all and the walk can begin."""
        self._todo.extend(message.directories)
        self._next_number = message.next_number
        return message.last

    def run(self) -> None:
        """Walk to the end and say ScanFinished; on ABANDON just stop."""
        stack = self._todo[::-1]
        try:
            while stack:
                self._context.controls.check()
                directory = stack.pop()
                # Deepest first: reversed, so that they are popped in the order of the listing.
                stack.extend(reversed(list(self._read(directory))))
        except Abandoned:
            return
        finally:
            for table in self._mounts.values():
                table.close()
            self._mounts.clear()
        self._send()
        self._context.controls.slot.ended()
        self._context.send(ScanFinished())

    def _read(self, directory: ScanDirectory) -> Iterator[ScanDirectory]:
        """List one directory completely; yield the directories in it that are to be walked."""
        context = self._context
        context.controls.slot.file(directory.number, 0, directory.path, Doing.SCANNING, time.monotonic_ns())
        context.controls.looked_at(0, directory=True)
        known = frozenset(directory.known)
        try:
            fd = open_directory(
                context.roots[directory.root].source_fd,
                directory.path,
                cross_mounts=not context.options.one_file_system,
            )
        except OSError as e:
            self._send()
            context.send(ScanFailed(directory.number, fault_of(Phase.SCAN, e)))
            return
        entries: list[Entry] = []
        outcomes: dict[int, Outcome] = {}
        kinds: dict[int, FileKind] = {}
        unpaid, every = 0, context.controls.looks_at_once(_PAID_ENTRIES)
        try:
            device = os.fstat(fd).st_dev
            recorded = context.device_numbers.recorded(device)
            mounted = self._mounts_of(directory.root).names_in(fd)
            for entry, entry_device in context.list_directory(fd):
                unpaid += 1
                if unpaid >= every:
                    context.controls.looked_at(unpaid)
                    unpaid, every = 0, context.controls.looks_at_once(_PAID_ENTRIES)
                if known and entry.name in known:
                    continue  # a directory among them is in the journal as an unread one of its own
                ours = entry.name.startswith(b".migmond-")
                if ours and context.is_aside(entry.name):
                    continue  # it has a task of its own
                if len(entries) >= LISTING_ENTRIES:
                    context.controls.check()
                    self._list(directory, recorded, entries, outcomes, kinds, complete=False)
                    entries, outcomes, kinds = [], {}, {}
                directory_there = entry.type is EntryType.DIRECTORY
                mount = (directory_there or entry.name in mounted) and (
                    (directory_there and entry_device != device) or is_mount_point(fd, entry.name)
                )
                if mount and context.options.one_file_system:
                    outcomes[len(entries)] = Outcome.OTHER_FILE_SYSTEM
                elif directory_there:
                    path = directory.path + b"/" + entry.name if directory.path else entry.name
                    yield ScanDirectory(self._next_number + len(entries), directory.root, path)
                elif mount:  # the number of its inode may be that of another file of this directory's device
                    entry = msgspec.structs.replace(entry, links=1)
                elif ours and is_temporary(entry.name):
                    outcomes[len(entries)] = Outcome.TEMPORARY
                if context.options.kinds and (kind := _kind_of(fd, entry)) is not None:
                    kinds[len(entries)] = kind
                entries.append(entry)
        except OSError as e:
            self._list(directory, recorded, entries, outcomes, kinds, complete=False)
            self._send()
            context.send(ScanFailed(directory.number, fault_of(Phase.SCAN, e)))
            return
        finally:
            close_unwritten(fd)
        self._list(directory, recorded, entries, outcomes, kinds, complete=True)
        context.controls.looked_at(unpaid)

    def _mounts_of(self, root: int) -> MountTable:
        if root not in self._mounts:
            self._mounts[root] = MountTable(self._context.roots[root].source_fd)
        return self._mounts[root]

    def _list(
        self,
        directory: ScanDirectory,
        device: int,
        entries: list[Entry],
        outcomes: dict[int, Outcome],
        kinds: dict[int, FileKind],
        *,
        complete: bool,
    ) -> None:
        """Number the entries and queue them; send when enough has come together."""
        first = self._next_number
        self._next_number += len(entries)
        listing = Listing(directory.number, device, first, tuple(entries), outcomes, complete, kinds=kinds)
        self._listings.append(listing)
        self._entries += len(entries) + 1
        if self._entries >= MESSAGE_ENTRIES or time.monotonic() - self._sent_at >= MESSAGE_S:
            self._send()

    def _send(self) -> None:
        if self._listings:
            self._context.send(Scanned(tuple(self._listings)))
        self._listings, self._entries, self._sent_at = [], 0, time.monotonic()


def _kind_of(directory: int, entry: Entry) -> FileKind | None:
    """Return what only the content of an entry tells."""
    if entry.type is not EntryType.FILE or not entry.size or tells_kind(entry.name):
        return None
    return look_into(directory, entry.name)
