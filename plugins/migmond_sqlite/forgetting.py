"""Forgetting executions, as SQL: at once what is on record of them as a whole, in parts their entries."""

from __future__ import annotations

import apsw

from migmond.domain.changes import ForgetExecution, ForgetSome, PruneSessions
from migmond.domain.intervention import Intervention
from migmond.domain.packing import Unpacker
from migmond_sqlite import beside
from migmond_sqlite.connections import run
from migmond_sqlite.schema import NUMBER_BITS, NUMBER_MASK


def forget(connection: apsw.Connection, change: ForgetExecution) -> None:
    found = run(connection, "DELETE FROM execution WHERE key=? RETURNING id", (change.key,))
    if not found:
        return
    bodies = run(connection, "SELECT body FROM intervention WHERE execution=?", found[0])
    decoder = Unpacker[Intervention](Intervention)
    ids = [(decoder.unpack(body).id,) for (body,) in bodies]
    connection.executemany("DELETE FROM intervention_name WHERE id=?", ids)
    run(connection, "DELETE FROM intervention WHERE execution=?", found[0])
    run(connection, "DELETE FROM active_alerts WHERE execution_id=? AND resolved_at IS NOT NULL", found[0])
    _forget_whole(connection, change.key)


def _forget_whole(connection: apsw.Connection, key: int) -> None:
    """What is on record of an execution as a whole."""
    for table in ("commit_group", "receipt_seal", "breakdown", "milestone", "sent_directory"):
        run(connection, f"DELETE FROM {table} WHERE key=?", (key,))


def forget_some(connection: apsw.Connection, change: ForgetSome) -> None:
    if run(connection, "SELECT 1 FROM execution WHERE key=?", (change.key,)):
        return
    base = change.key << NUMBER_BITS
    end = base | NUMBER_MASK
    sql = "SELECT id FROM task WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1 OFFSET ?"
    staying = run(connection, sql, (base, end, change.rows))
    after = staying[0][0] if staying else base - 1
    for table in ("directory", "fault", "birth", "left_out", "sent_to", "file_kind", "copy_time", "task"):
        run(connection, f"DELETE FROM {table} WHERE id > ? AND id <= ?", (after, end))
    for column in (beside.BIRTHS, beside.KINDS):
        beside.cut(connection, column, after, end)
    _forget_whole(connection, change.key)  # what was on its way when the execution went


def prune_sessions(connection: apsw.Connection, change: PruneSessions) -> None:
    sql = "SELECT key FROM session ORDER BY key DESC LIMIT 1 OFFSET ?"
    old = run(connection, sql, (change.keep,))
    if old:
        sql = (
            "DELETE FROM session WHERE key IN (SELECT key FROM session WHERE key <= ? AND NOT EXISTS"
            " (SELECT 1 FROM execution WHERE execution.key = session.key) ORDER BY key LIMIT ?)"
        )
        run(connection, sql, (*old[0], change.rows))
