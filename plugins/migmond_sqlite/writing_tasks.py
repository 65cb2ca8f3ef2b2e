"""Entries as SQL: how each change puts tasks and directories on record, and alters them."""

from __future__ import annotations

from collections.abc import Iterable

import apsw

from migmond.domain.changes import (
    AddFault,
    AddRoot,
    AddTasks,
    BringBack,
    CancelPending,
    CancelSome,
    DirectoriesTouched,
    KeepKinds,
    LeaveOut,
    Promote,
    Record,
    Refresh,
    Retry,
    RetrySome,
    SendTo,
)
from migmond.domain.entry import EntryType
from migmond.domain.states import Outcome, TaskState
from migmond_sqlite import entries
from migmond_sqlite.connections import run
from migmond_sqlite.schema import NUMBER_BITS, NUMBER_MASK


def add_root(connection: apsw.Connection, change: AddRoot) -> None:
    t, base = change.task, change.key << NUMBER_BITS
    run(connection, entries.INSERT_TASK, entries.row(base, t))
    if t.type is EntryType.DIRECTORY:
        run(connection, entries.INSERT_DIRECTORY, (base | t.number, change.root, b""))


def add_tasks(connection: apsw.Connection, change: AddTasks) -> None:
    base = change.key << NUMBER_BITS
    connection.executemany(entries.INSERT_TASK, [entries.row(base, t) for t in change.tasks])
    connection.executemany(
        "INSERT INTO directory VALUES (?,?,?,0,0)", [(base | d.number, d.root, d.path) for d in change.places]
    )


def touch_directories(connection: apsw.Connection, change: DirectoriesTouched) -> None:
    connection.executemany("UPDATE directory SET touched=1 WHERE id=?", _ids(change.key, change.numbers))


def record(connection: apsw.Connection, change: Record) -> None:
    entries.record(connection, change.key << NUMBER_BITS, change.results)


def send_to(connection: apsw.Connection, change: SendTo) -> None:
    base = change.key << NUMBER_BITS
    if not change.destination:
        connection.executemany("DELETE FROM sent_to WHERE id=?", [(base | n,) for n in change.numbers])
        return
    connection.executemany(
        "INSERT OR REPLACE INTO sent_to VALUES (?,?)", [(base | n, change.destination) for n in change.numbers]
    )
    connection.executemany(
        "INSERT OR IGNORE INTO sent_directory SELECT ?, ?, directory FROM task WHERE id=? AND directory > 0",
        [(change.key, change.destination, base | n) for n in change.numbers],
    )


def keep_kinds(connection: apsw.Connection, change: KeepKinds) -> None:
    entries.keep_kinds(connection, change.key << NUMBER_BITS, change.kinds)


def refresh(connection: apsw.Connection, change: Refresh) -> None:
    run(
        connection,
        "UPDATE task SET size=?, mtime_ns=?, ctime_ns=?, inode=?, links=? WHERE id=?",
        (
            change.size,
            entries.stored_time(change.mtime_ns),
            entries.stored_time(change.ctime_ns),
            entries.stored_inode(change.inode),
            change.links,
            change.key << NUMBER_BITS | change.number,
        ),
    )


def retry(connection: apsw.Connection, change: Retry) -> None:
    _set_state(connection, change.key, TaskState.FAILED, f"{_again(change)}, attempts=0")


def retry_some(connection: apsw.Connection, change: RetrySome) -> None:
    connection.executemany(
        f"UPDATE task SET state={_again(change)}, attempts=0 WHERE id=? AND state={int(TaskState.FAILED)}",
        _ids(change.key, change.numbers),
    )


def cancel_pending(connection: apsw.Connection, change: CancelPending) -> None:
    # One at a time: each then has an index of its own.
    for state in (TaskState.PENDING, TaskState.DURABLE, TaskState.FAILED):
        _set_state(connection, change.key, state, str(int(TaskState.CANCELLED)))


def cancel_some(connection: apsw.Connection, change: CancelSome) -> None:
    base = change.key << NUMBER_BITS
    run(
        connection,
        f"UPDATE task SET state={int(TaskState.CANCELLED)} WHERE id > ? AND id <= ? AND state=0",
        (base | change.after, base | change.last),
    )


def leave_out(connection: apsw.Connection, change: LeaveOut) -> None:
    base = change.key << NUMBER_BITS
    pending = f"id=? AND state={int(TaskState.PENDING)}"
    connection.executemany(
        f"INSERT OR REPLACE INTO left_out SELECT id, ? FROM task WHERE {pending}",
        [(change.by, base | n) for n in change.numbers],
    )
    connection.executemany(
        f"UPDATE task SET state={int(TaskState.SKIPPED)}, outcome={int(Outcome.LEFT_OUT)} WHERE {pending}",
        _ids(change.key, change.numbers),
    )


def bring_back(connection: apsw.Connection, change: BringBack) -> None:
    connection.executemany(
        f"UPDATE task SET state={int(TaskState.PENDING)}, outcome={int(Outcome.NONE)}"
        f" WHERE id=? AND state={int(TaskState.SKIPPED)} AND outcome={int(Outcome.LEFT_OUT)}",
        _ids(change.key, change.numbers),
    )
    connection.executemany("DELETE FROM left_out WHERE id=?", _ids(change.key, change.numbers))


def promote(connection: apsw.Connection, change: Promote) -> None:
    base = change.key << NUMBER_BITS
    # "leader > 0" lets the index of followers be used.
    theirs = "leader=? AND leader > 0 AND id BETWEEN ? AND ?"
    found = run(
        connection,
        f"SELECT id FROM task WHERE {theirs} AND state=0 ORDER BY id",
        (change.leader, base, base | NUMBER_MASK),
    )
    ids = [row[0] for row in found]
    if ids:
        new = ids[0] - base
        run(connection, "UPDATE task SET leader=0 WHERE id=?", (ids[0],))
        connection.executemany("UPDATE task SET leader=? WHERE id=?", [(new, i) for i in ids[1:]])
        left_out = f"state={int(TaskState.SKIPPED)} AND outcome={int(Outcome.LEFT_OUT)}"
        again = f"(state={int(TaskState.FAILED)} OR {left_out})"
        run(connection, f"UPDATE task SET leader=? WHERE id=? AND {again}", (new, base | change.leader))
        run(
            connection,
            f"UPDATE task SET leader=? WHERE {theirs} AND {again}",
            (new, change.leader, base, base | NUMBER_MASK),
        )


def add_fault(connection: apsw.Connection, change: AddFault) -> None:
    id_, fault = change.key << NUMBER_BITS | change.number, change.fault
    run(
        connection,
        "INSERT INTO fault VALUES (?,?,?,?,?,?,?,1) ON CONFLICT (id) DO UPDATE SET phase=excluded.phase,"
        " kind=excluded.kind, errno=excluded.errno, message=excluded.message, last_at=excluded.last_at, count=count+1",
        (id_, fault.phase, fault.kind, fault.errno, fault.message, change.at, change.at),
    )
    run(connection, "UPDATE task SET attempts=attempts+1 WHERE id=?", (id_,))


def _ids(key: int, numbers: Iterable[int]) -> list[tuple[int]]:
    base = key << NUMBER_BITS
    return [(base | n,) for n in numbers]


def _again(change: Retry | RetrySome) -> int:
    return int(TaskState.DURABLE if change.durable else TaskState.PENDING)


def _set_state(connection: apsw.Connection, key: int, before: TaskState, after: str) -> None:
    """Set the state of all tasks of an execution that have `before`; `after` is SQL."""
    base = key << NUMBER_BITS
    # Said literally, so that the index of what is neither pending nor done is used.
    literally = "" if before is TaskState.PENDING else " AND state NOT IN (0, 3)"
    run(
        connection,
        f"UPDATE task SET state={after} WHERE id BETWEEN ? AND ? AND state={int(before)}{literally}",
        (base, base | NUMBER_MASK),
    )
