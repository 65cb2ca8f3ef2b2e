"""Each kind of change as SQL. All of these run inside one transaction in one thread."""

from __future__ import annotations

import apsw

from migmond.domain.changes import (
    AddFault,
    AddIntervention,
    AddListing,
    AddMilestone,
    AddRoot,
    CancelPending,
    CancelSome,
    Change,
    CloseGroup,
    DirectoriesTouched,
    KeepBreakdown,
    OpenGroup,
    Promote,
    PutExecution,
    PutSession,
    Record,
    Refresh,
    RemovePlan,
    Retry,
    SavePlan,
    SealReceipt,
)
from migmond.domain.entry import EntryType
from migmond.domain.packing import pack
from migmond.domain.states import TaskState
from migmond_sqlite.database import run
from migmond_sqlite.schema import INT64_MAX, INT64_MIN, NUMBER_BITS, NUMBER_MASK, UINT64_MASK

_INSERT_TASK = "INSERT INTO task VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_INSERT_DIRECTORY = "INSERT INTO directory VALUES (?,?,?,1,0)"
_RECORD = "UPDATE task SET state=?, outcome=?, lost=?, digest=?, target_name=?, target_inode=? WHERE id=?"


def apply(connection: apsw.Connection, change: Change) -> None:
    """Carry out one change."""
    match change:
        case AddListing():
            _add_listing(connection, change)
        case Record():
            base = change.key << NUMBER_BITS
            births = [
                (base | r.number, r.birth_ns if INT64_MIN <= r.birth_ns <= INT64_MAX else _time(r.birth_ns))
                for r in change.results
                if r.birth_ns
            ]
            if births:
                connection.executemany("INSERT OR REPLACE INTO birth VALUES (?,?)", births)
            connection.executemany(
                _RECORD,
                [
                    (
                        r.state, r.outcome, r.lost, r.digest, r.target_name,
                        r.target_inode if r.target_inode <= INT64_MAX else _inode(r.target_inode), base | r.number,
                    )
                    for r in change.results
                ],
            )  # fmt: skip
        case PutExecution():
            _put_execution(connection, change)
        case DirectoriesTouched():
            base = change.key << NUMBER_BITS
            connection.executemany("UPDATE directory SET touched=1 WHERE id=?", [(base | n,) for n in change.numbers])
        case OpenGroup():
            run(
                connection,
                "INSERT OR REPLACE INTO commit_group VALUES (?,?,?)",
                (change.key, change.group.id, pack(change.group)),
            )
        case CloseGroup():
            run(connection, "DELETE FROM commit_group WHERE key=? AND number=?", (change.key, change.group))
        case AddFault():
            _add_fault(connection, change)
        case AddRoot():
            _add_root(connection, change)
        case Refresh():
            run(
                connection,
                "UPDATE task SET size=?, mtime_ns=?, ctime_ns=?, inode=?, links=? WHERE id=?",
                (
                    change.size,
                    _time(change.mtime_ns),
                    _time(change.ctime_ns),
                    _inode(change.inode),
                    change.links,
                    change.key << NUMBER_BITS | change.number,
                ),
            )
        case PutSession():
            run(connection, "INSERT OR REPLACE INTO session VALUES (?,?)", (change.record.key, pack(change.record)))
        case SealReceipt():
            seal = change.seal
            run(
                connection,
                "INSERT OR IGNORE INTO receipt_seal VALUES (?,?,?,?,?)",
                (change.key, seal.sha256, seal.format, seal.at, seal.ended_at),
            )
        case KeepBreakdown():
            if change.body:
                run(connection, "INSERT OR REPLACE INTO breakdown VALUES (?,?)", (change.key, change.body))
            else:
                run(connection, "DELETE FROM breakdown WHERE key=?", (change.key,))
        case AddMilestone():
            told = change.milestone
            run(
                connection,
                "INSERT INTO milestone VALUES (?1, (SELECT ifnull(max(number), 0) + 1 FROM milestone WHERE key=?1),"
                " ?2, ?3, ?4)",
                (change.key, told.at, told.kind.value, told.text),
            )
        case Retry():
            base = change.key << NUMBER_BITS
            run(
                connection,
                f"UPDATE task SET state={int(TaskState.PENDING)}, attempts=0 WHERE id BETWEEN ? AND ?"
                f" AND state={int(TaskState.FAILED)} AND state NOT IN (0, 3)",
                (base, base | NUMBER_MASK),
            )
        case CancelPending():
            states = (TaskState.PENDING, TaskState.DURABLE, TaskState.FAILED)
            _set_state(connection, change.key, states, TaskState.CANCELLED)
        case CancelSome():
            base = change.key << NUMBER_BITS
            run(
                connection,
                f"UPDATE task SET state={int(TaskState.CANCELLED)} WHERE id > ? AND id <= ? AND state=0",
                (base | change.after, base | change.last),
            )
        case Promote():
            _promote(connection, change)
        case AddIntervention():
            run(
                connection,
                "INSERT INTO intervention (execution, body) VALUES (?,?)",
                (change.intervention.execution, pack(change.intervention)),
            )
        case SavePlan():
            run(
                connection,
                "INSERT OR REPLACE INTO plan VALUES (?,?,?,?)",
                (change.uid, change.plan.name, change.at, pack(change.plan)),
            )
        case RemovePlan():
            run(connection, "DELETE FROM plan WHERE uid=? AND name=?", (change.uid, change.name))


def _inode(number: int) -> int:
    return number if number <= INT64_MAX else number - UINT64_MASK - 1


def _time(time_ns: int) -> int | bytes:
    return time_ns if INT64_MIN <= time_ns <= INT64_MAX else time_ns.to_bytes(16, "big", signed=True)


def _put_execution(connection: apsw.Connection, change: PutExecution) -> None:
    execution = change.execution
    run(
        connection,
        "INSERT INTO execution VALUES (?,?,?,?,?) ON CONFLICT (key) DO UPDATE SET body=excluded.body",
        (execution.key, execution.id, execution.identity.uid, change.request_id or None, pack(execution)),
    )


def _add_root(connection: apsw.Connection, change: AddRoot) -> None:
    t, base = change.task, change.key << NUMBER_BITS
    run(
        connection,
        _INSERT_TASK,
        (
            base | t.number, t.directory, t.name, t.type, t.size, _time(t.mtime_ns), _time(t.ctime_ns),
            _inode(t.inode), t.device, t.links, t.state, t.outcome, t.leader, t.attempts, t.lost, t.digest,
            t.target_name, _inode(t.target_inode),
        ),
    )  # fmt: skip
    if t.type is EntryType.DIRECTORY:
        run(connection, _INSERT_DIRECTORY, (base | t.number, change.root, b""))


def _add_listing(connection: apsw.Connection, change: AddListing) -> None:
    listing, base = change.listing, change.key << NUMBER_BITS
    device, directory, outcomes, leaders = listing.device, listing.directory, listing.outcomes, listing.leaders
    rows: list[tuple[object, ...]] = []
    directories: list[tuple[int, bytes]] = []
    number = listing.first
    for position, e in enumerate(listing.entries):
        mtime_ns: int | bytes = e.mtime_ns
        ctime_ns: int | bytes = e.ctime_ns
        inode = e.inode
        if not (INT64_MIN <= e.mtime_ns <= INT64_MAX and INT64_MIN <= e.ctime_ns <= INT64_MAX and inode <= INT64_MAX):
            mtime_ns, ctime_ns, inode = _time(e.mtime_ns), _time(e.ctime_ns), _inode(inode)
        outcome = outcomes.get(position, 0)
        state = TaskState.SKIPPED if outcome else TaskState.PENDING
        leader = leaders.get(position, 0) if leaders else 0
        rows.append(
            (
                base | number, directory, e.name, e.type, e.size, mtime_ns, ctime_ns, inode, device, e.links,
                state, outcome, leader, 0, 0, None, None, 0,
            )
        )  # fmt: skip
        if e.type is EntryType.DIRECTORY and not outcome:
            directories.append((base | number, e.name))
        number += 1
    if rows:
        connection.executemany(_INSERT_TASK, rows)
    if directories:
        root, path = run(connection, "SELECT root, path FROM directory WHERE id=?", (base | directory,))[0]
        prefix = path + b"/" if path else b""
        connection.executemany(_INSERT_DIRECTORY, [(id_, root, prefix + name) for id_, name in directories])
    if listing.complete:
        run(connection, "UPDATE directory SET unread=0 WHERE id=?", (base | directory,))


def _set_state(connection: apsw.Connection, key: int, before: tuple[TaskState, ...], after: TaskState) -> None:
    base = key << NUMBER_BITS
    for state in before:  # one at a time: each then has an index of its own
        literally = "" if state is TaskState.PENDING else " AND state NOT IN (0, 3)"
        run(
            connection,
            f"UPDATE task SET state=? WHERE id BETWEEN ? AND ? AND state = {int(state)}{literally}",
            (after, base, base | NUMBER_MASK),
        )


def _promote(connection: apsw.Connection, change: Promote) -> None:
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
        failed = f"state={int(TaskState.FAILED)}"
        run(connection, f"UPDATE task SET leader=? WHERE id=? AND {failed}", (new, base | change.leader))
        run(
            connection,
            f"UPDATE task SET leader=? WHERE {theirs} AND {failed}",
            (new, change.leader, base, base | NUMBER_MASK),
        )


def _add_fault(connection: apsw.Connection, change: AddFault) -> None:
    id_, fault = change.key << NUMBER_BITS | change.number, change.fault
    run(
        connection,
        "INSERT INTO fault VALUES (?,?,?,?,?,?,?,1) ON CONFLICT (id) DO UPDATE SET phase=excluded.phase,"
        " kind=excluded.kind, errno=excluded.errno, message=excluded.message, last_at=excluded.last_at, count=count+1",
        (id_, fault.phase, fault.kind, fault.errno, fault.message, change.at, change.at),
    )
    run(connection, "UPDATE task SET attempts=attempts+1 WHERE id=?", (id_,))
