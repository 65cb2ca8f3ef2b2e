"""What is known of each entry, as rows: what is done here is done for every file that there is."""

from __future__ import annotations

import apsw

from migmond.domain.changes import AddListing
from migmond.domain.entry import EntryType, Lost
from migmond.domain.file_kinds import FileKind
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Task, TaskResult
from migmond_sqlite import beside
from migmond_sqlite.connections import run
from migmond_sqlite.schema import INT64_MAX, INT64_MIN, NUMBER_BITS, UINT64_MASK

INSERT_TASK = "INSERT INTO task VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_INSERT_PENDING = "INSERT INTO task VALUES (?,?,?,?,?,?,?,?,?,?,0,0,0,0,0,NULL,NULL,0)"
_INSERT_SCANNED = "INSERT INTO task VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,0,0,NULL,NULL,0)"
"""What is the same for all is not bound for each."""
INSERT_DIRECTORY = "INSERT INTO directory VALUES (?,?,?,1,0)"
_PENDING, _SKIPPED, _DONE = TaskState.PENDING, TaskState.SKIPPED, TaskState.DONE
_DIRECTORY, _COPIED, _NOTHING = EntryType.DIRECTORY, Outcome.COPIED, Lost.NOTHING
_RECORD = "UPDATE task SET state=?, outcome=?, lost=?, digest=?, target_name=?, target_inode=? WHERE id=?"
_RECORD_COPIED = (
    f"UPDATE task SET state={int(TaskState.DONE)}, outcome={int(Outcome.COPIED)}, lost=0, digest=?, target_name=NULL,"
    " target_inode=? WHERE id=?"
)
"""What nearly all of a copy are: half of it is not bound for each."""


def stored_inode(number: int) -> int:
    """Return an inode's number as it is kept: signed."""
    return number if number <= INT64_MAX else number - UINT64_MASK - 1


def stored_time(time_ns: int) -> int | bytes:
    """Return a time as it is kept: in bytes where 64 bits do not hold it."""
    return time_ns if INT64_MIN <= time_ns <= INT64_MAX else time_ns.to_bytes(16, "big", signed=True)


def row(base: int, t: Task) -> tuple[int | bytes | None, ...]:
    """Return what INSERT_TASK takes. `base`: of the ids of the execution's tasks."""
    return (
        base | t.number, t.directory, t.name, t.type, t.size, stored_time(t.mtime_ns), stored_time(t.ctime_ns),
        stored_inode(t.inode), t.device, t.links, t.state, t.outcome, t.leader, t.attempts, t.lost, t.digest,
        t.target_name, stored_inode(t.target_inode),
    )  # fmt: skip


def add_listing(connection: apsw.Connection, change: AddListing) -> None:
    """Add the entries of a listing."""
    listing, base = change.listing, change.key << NUMBER_BITS
    device, directory, outcomes, leaders = listing.device, listing.directory, listing.outcomes, listing.leaders
    rows: list[tuple[object, ...]] = []
    directories: list[tuple[int, bytes]] = []
    as_they_come = not outcomes and not leaders
    id_ = base | listing.first
    for position, e in enumerate(listing.entries):  # done for every file: nothing twice, and no member of an enum
        mtime_ns: int | bytes = e.mtime_ns
        ctime_ns: int | bytes = e.ctime_ns
        inode = e.inode
        if not (INT64_MIN <= e.mtime_ns <= INT64_MAX and INT64_MIN <= e.ctime_ns <= INT64_MAX and inode <= INT64_MAX):
            mtime_ns, ctime_ns, inode = stored_time(e.mtime_ns), stored_time(e.ctime_ns), stored_inode(inode)
        type_, outcome = e.type, 0
        fresh = (id_, directory, e.name, type_, e.size, mtime_ns, ctime_ns, inode, device, e.links)
        if as_they_come:
            rows.append(fresh)
        else:
            outcome = outcomes.get(position, 0)
            rows.append((*fresh, _SKIPPED if outcome else _PENDING, outcome, leaders.get(position, 0)))
        if type_ is _DIRECTORY and not outcome:
            directories.append((id_, e.name))
        id_ += 1
    if rows:
        connection.executemany(_INSERT_PENDING if as_they_come else _INSERT_SCANNED, rows)
    if directories:
        root, path = run(connection, "SELECT root, path FROM directory WHERE id=?", (base | directory,))[0]
        prefix = path + b"/" if path else b""
        connection.executemany(INSERT_DIRECTORY, [(id_, root, prefix + name) for id_, name in directories])
    if listing.kinds:
        keep_kinds(connection, base, {listing.first + position: kind for position, kind in listing.kinds.items()})
    if listing.complete:
        run(connection, "UPDATE directory SET unread=0 WHERE id=?", (base | directory,))


def record(connection: apsw.Connection, base: int, results: tuple[TaskResult, ...]) -> None:
    """Set state and outcome of tasks, and keep the birth times that are told."""
    _keep_births(connection, base, [(r.number, r.birth_ns) for r in results if r.birth_ns])
    copied: list[tuple[object, ...]] = []
    others: list[tuple[object, ...]] = []
    for r in results:
        inode = r.target_inode if r.target_inode <= INT64_MAX else stored_inode(r.target_inode)
        if r.state is _DONE and r.outcome is _COPIED and r.lost is _NOTHING and r.target_name is None:
            copied.append((r.digest, inode, base | r.number))
        else:
            others.append((r.state, r.outcome, r.lost, r.digest, r.target_name, inode, base | r.number))
    if copied:
        connection.executemany(_RECORD_COPIED, copied)
    if others:
        connection.executemany(_RECORD, others)


def _keep_births(connection: apsw.Connection, base: int, births: list[tuple[int, int]]) -> None:
    # One that 64 bits do not hold (before 1677, after 2262) is kept by itself.
    odd = [(number, at_ns) for number, at_ns in births if not INT64_MIN <= at_ns <= INT64_MAX]
    if odd:
        rows = [(base | number, stored_time(at_ns)) for number, at_ns in odd]
        connection.executemany("INSERT OR REPLACE INTO birth VALUES (?,?)", rows)
        births = [(number, at_ns if INT64_MIN <= at_ns <= INT64_MAX else 0) for number, at_ns in births]
    beside.put(connection, beside.BIRTHS, base, births)


def keep_kinds(connection: apsw.Connection, base: int, kinds: dict[int, FileKind]) -> None:
    """Keep what the contents of files told, by number."""
    beside.put(connection, beside.KINDS, base, [(number, kind + 1) for number, kind in kinds.items()])
