"""A plan of many entries without a file system that has room for them: real ones first, the rest only journaled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from migmond.domain.changes import (
    AddListing,
    PutExecution,
)
from migmond.domain.entry import EntryType
from migmond.domain.execution import Execution
from migmond.domain.task import Entry, Listing
from migmond_sqlite import open_journal

PER_DIRECTORY = 1000
_AT_ONCE = 50
"""Listings in one transaction."""
_TIME_NS = 1_700_000_000_000_000_000
_FIRST_INODE = 1 << 40


def _directories(count: int) -> tuple[Entry, ...]:
    return tuple(
        Entry(b"z%06d" % n, EntryType.DIRECTORY, 4096, _TIME_NS + n, _TIME_NS + n, _FIRST_INODE + n, 2)
        for n in range(count)
    )


def _files(numbers: range) -> tuple[Entry, ...]:
    return tuple(
        Entry(b"f%07d" % n, EntryType.FILE, 16, _TIME_NS + n, _TIME_NS + n, _FIRST_INODE * 2 + n, 1) for n in numbers
    )


def _listings(first: int, entries: int, device: int) -> Iterator[Listing]:
    """Yield what a scan would tell of `entries` more files in directories below the root, from number `first` on."""
    count = -(-entries // PER_DIRECTORY)
    yield Listing(1, device, first, _directories(count), {}, complete=True)
    number = first + count
    for directory in range(count):
        numbers = range(directory * PER_DIRECTORY, min(entries, (directory + 1) * PER_DIRECTORY))
        yield Listing(first + directory, device, number, _files(numbers), {}, complete=True)
        number += len(numbers)


async def grow(state: Path, entries: int) -> Execution:
    """Add so many files to the only execution of the journal in `state`, which no daemon has open, as if the scan had
    found them behind all others. They do not exist: nobody should come so far as to copy them."""
    async with open_journal(state) as journal:
        (execution,) = await journal.executions()
        last = await journal.last_number(execution.key)
        device = (await journal.get_tasks(execution.key, [last]))[last].device
        waiting: list[AddListing] = []
        added = size = 0
        for listing in _listings(last + 1, entries, device):
            waiting.append(AddListing(execution.key, listing))
            added += len(listing.entries)
            size += sum(e.size for e in listing.entries if e.type is EntryType.FILE)
            if len(waiting) == _AT_ONCE:
                await journal.apply(waiting)
                waiting = []
        totals = execution.totals
        grown = msgspec.structs.replace(
            execution, totals=msgspec.structs.replace(totals, planned=totals.planned.plus(added, size))
        )
        await journal.apply([*waiting, PutExecution(grown)])
        return grown
