"""Executions, roots and listings to put into a journal: for the checks of storages."""

from __future__ import annotations

from typing import Any

import msgspec

from migmond.domain.changes import AddListing, AddRoot
from migmond.domain.entry import EntryType
from migmond.domain.execution import Execution
from migmond.domain.file_kinds import FileKind
from migmond.domain.identity import Identity
from migmond.domain.plan import Plan, Source
from migmond.domain.states import ExecutionState, Outcome
from migmond.domain.task import Entry, Listing, Task

PLAN = Plan("photos", (Source(b"/src/\xff"),), b"/dst")


FILE, DIRECTORY = EntryType.FILE, EntryType.DIRECTORY


def execution(key: int = 1, **fields: Any) -> Execution:
    """Return an execution to put into a journal."""
    made = Execution(f"{key:012x}", key, "photos", PLAN, Identity(1000, 100, (1, 2)), ExecutionState.CREATED, 5.0)
    return msgspec.structs.replace(made, **fields)


def root(key: int = 1) -> AddRoot:
    """Return the root of an execution's only source, a directory."""
    return AddRoot(key, 0, Task(1, 0, b"", DIRECTORY, 0, 1, 1, 99, 7, 2))


def entry(name: bytes, kind: EntryType = FILE, inode: int = 1, links: int = 1, size: int = 10) -> Entry:
    return Entry(name, kind, size, 1_000_000_001, 2_000_000_002, inode, links)


def listing(
    directory: int,
    first: int,
    *entries: Entry,
    outcomes: dict[int, Outcome] | None = None,
    complete: bool = True,
    key: int = 1,
    leaders: dict[int, int] | None = None,
    kinds: dict[int, FileKind] | None = None,
) -> AddListing:
    """Return a listing on device 7."""
    told = (outcomes or {}, complete, leaders or {}, kinds or {})
    return AddListing(key, Listing(directory, 7, first, entries, *told))
