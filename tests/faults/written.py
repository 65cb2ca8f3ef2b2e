"""What a journal says of an execution: read from a copy with SQL of our own, by nothing of migmond's code."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PENDING, DURABLE, DONE, SKIPPED, FAILED, CANCELLED = 0, 2, 3, 4, 5, 6
STATES = {
    PENDING: "pending", 1: "running", DURABLE: "durable", DONE: "done", SKIPPED: "skipped", FAILED: "failed",
    CANCELLED: "cancelled",
}  # fmt: skip
"""`migmond.domain.states.TaskState`, as the journal stores it."""

RENAMED, NOT_SELECTED, LEFT_OUT = 3, 9, 17
"""Outcomes (`migmond.domain.states.Outcome`)."""
FILE = 0
"""The type of regular files (`migmond.domain.entry.EntryType`)."""

_NUMBER = (1 << 40) - 1


@dataclass(frozen=True)
class Row:
    """A task. `path` is below its source, b"" the source itself."""

    number: int
    path: bytes
    state: int
    outcome: int
    type: int
    size: int
    leader: int
    target_name: bytes | None
    faults: int

    def __str__(self) -> str:
        leader = f", a name of task {self.leader}" if self.leader else ""
        named = f", there {os.fsdecode(self.target_name)}" if self.target_name else ""
        return f"task {self.number} is {STATES[self.state]} with outcome {self.outcome}{leader}{named}"

    @property
    def bytes(self) -> int:
        """What it counts for: a regular file's content, once for all its names."""
        return self.size if self.type == FILE and not self.leader else 0


@dataclass(frozen=True)
class Written:
    """One execution in a journal."""

    tasks: list[Row] = field(default_factory=list)
    errors: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """How many failed tasks there are of each phase, kind and errno."""
    groups: int = 0
    """Commit groups that are open."""
    unread: int = 0
    """Directories that have not been listed to their end."""

    def states(self) -> dict[bytes, int]:
        """States of tasks by path; of the source itself nothing."""
        return {row.path: row.state for row in self.tasks if row.path}


def written(state: Path, execution: str) -> Written:
    """Return what the journal in `state` says of an execution, of its latest for "": nothing when it does not know it.

    The files are copied: to look must not mend. Whoever may still write must be stopped meanwhile.

    Raises:
        sqlite3.DatabaseError: the journal cannot be read.
    """
    with _copy(state) as database:
        which = ("WHERE id = ?", (execution,)) if execution else ("ORDER BY key DESC", ())
        row = database.execute(f"SELECT key FROM execution {which[0]}", which[1]).fetchone()
        if row is None:
            return Written()
        base, end = row[0] << 40, row[0] << 40 | _NUMBER
        tasks = database.execute(
            "SELECT t.id, coalesce(d.path, x''), t.name, t.state, t.outcome, t.type, t.size, t.leader, t.target_name,"
            " (SELECT count(*) FROM fault f WHERE f.id = t.id)"
            " FROM task t LEFT JOIN directory d ON t.directory > 0 AND d.id = ? + t.directory"
            " WHERE t.id BETWEEN ? AND ? ORDER BY t.id",
            (base, base, end),
        ).fetchall()
        faults = database.execute(
            "SELECT f.phase, f.kind, f.errno, count(*) FROM task t JOIN fault f ON f.id = t.id"
            " WHERE t.id BETWEEN ? AND ? AND t.state = ? GROUP BY 1, 2, 3",
            (base, end, FAILED),
        ).fetchall()
        (groups,) = database.execute("SELECT count(*) FROM commit_group WHERE key = ?", (row[0],)).fetchone()
        (unread,) = database.execute(
            "SELECT count(*) FROM directory WHERE unread AND id BETWEEN ? AND ?", (base, end)
        ).fetchone()
    rows = [Row(id_ & _NUMBER, os.path.join(bytes(d), bytes(name)), *rest) for id_, d, name, *rest in tasks]
    return Written(rows, {(phase, kind, errno): count for phase, kind, errno, count in faults}, groups, unread)


@contextlib.contextmanager
def _copy(state: Path) -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory(prefix="migmond-journal-") as copy:
        for part in state.glob("journal.db*"):
            if not part.name.endswith("-shm"):
                shutil.copy(part, copy)
        with contextlib.closing(sqlite3.connect(Path(copy) / "journal.db")) as database:
            yield database
