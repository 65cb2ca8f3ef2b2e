"""Journals with something of everything in them, what is in them as plain rows, and ways to spoil them."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import msgspec

from migmond.domain.changes import (
    AddFault,
    Change,
    OpenGroup,
    PutExecution,
    Record,
    SavePlan,
)
from migmond.domain.entry import EntryType
from migmond.domain.fault import Fault, Phase
from migmond.domain.plan import Source
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.task import CommitGroup, TaskResult
from migmond.plugin_api.conformance import PLAN, entry, execution, listing, root
from migmond_sqlite import open_journal
from migmond_sqlite.checksums import PAGE_BYTES
from migmond_sqlite.connections import run
from migmond_sqlite.database import open_reader

TABLES = ("execution", "task", "directory", "commit_group", "fault", "intervention", "plan", "counter")
Rows = dict[str, list[tuple[Any, ...]]]


def history() -> list[list[Change]]:
    """Return transactions; one execution's own row is longer than a page."""
    long = msgspec.structs.replace(PLAN, sources=tuple(Source(b"/src/%04d" % i) for i in range(600)))
    files = [entry(b"name-%04d" % i, inode=i + 1) for i in range(400)]
    done = tuple(TaskResult(n, TaskState.DONE, Outcome.COPIED, digest=b"%16d" % n) for n in range(2, 200))
    fault = Fault(Phase.COPY, "EIO", 5, "Input/output error")
    return [
        [PutExecution(execution(state=ExecutionState.RUNNING), "request"), root()],
        [PutExecution(execution(2, plan=long, state=ExecutionState.PAUSED)), root(2)],
        [listing(1, 2, *files)],
        [Record(1, done)],
        [listing(1, 2, *files[:50], entry(b"d", EntryType.DIRECTORY), key=2), SavePlan(1000, PLAN, 1.0)],
        [AddFault(1, 201, 10.0, fault), Record(1, (TaskResult(201, TaskState.FAILED),))],
        [OpenGroup(1, CommitGroup(1, ()))],
        [Record(1, (TaskResult(300, TaskState.DONE, Outcome.COPIED),))],
    ]


async def write(directory: Path, copy_to: Path | None = None) -> list[Rows]:
    """Write the history; returns what was in the journal after each transaction.

    Args:
        copy_to: where to put a copy as a SIGKILL after the last one would leave it, with its write-ahead log.
    """
    states: list[Rows] = []
    async with open_journal(directory) as journal:
        await journal.next_event(5)
        for changes in history():
            await journal.apply(changes)
            states.append(rows_of(directory))
        if copy_to is not None:
            copy(directory, copy_to)
    return states


def rows_of(directory: Path) -> Rows:
    """Return every row of every table."""
    with contextlib.closing(open_reader(directory / "journal.db")) as reader:
        return {table: run(reader, f"SELECT * FROM {table} NOT INDEXED ORDER BY 1, 2") for table in TABLES}


def copy(source: Path, target: Path) -> None:
    """Copy journal and log."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def spoil(path: Path) -> None:
    """Flip a bit of every page: of some the log has a newer version, of others not."""
    for page in range(path.stat().st_size // PAGE_BYTES):
        flip(path, (page * PAGE_BYTES + 2001) * 8)


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))
