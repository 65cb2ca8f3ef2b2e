"""What is kept beside the entries, as SQL: executions, commit groups, interventions, plans, how executions went."""

from __future__ import annotations

import apsw

from migmond.domain.changes import (
    AddMilestone,
    CloseGroup,
    KeepBreakdown,
    OpenGroup,
    PruneDeliveries,
    PutDelivery,
    PutExecution,
    PutIntervention,
    PutSession,
    RemovePlan,
    SavePlan,
    SealReceipt,
)
from migmond.domain.packing import pack
from migmond_sqlite.connections import run


def put_execution(connection: apsw.Connection, change: PutExecution) -> None:
    execution = change.execution
    run(
        connection,
        "INSERT INTO execution VALUES (?,?,?,?,?) ON CONFLICT (key) DO UPDATE SET body=excluded.body",
        (execution.key, execution.id, execution.identity.uid, change.request_id or None, pack(execution)),
    )


def open_group(connection: apsw.Connection, change: OpenGroup) -> None:
    run(
        connection,
        "INSERT OR REPLACE INTO commit_group VALUES (?,?,?)",
        (change.key, change.group.id, pack(change.group)),
    )


def close_group(connection: apsw.Connection, change: CloseGroup) -> None:
    run(connection, "DELETE FROM commit_group WHERE key=? AND number=?", (change.key, change.group))


def put_session(connection: apsw.Connection, change: PutSession) -> None:
    run(connection, "INSERT OR REPLACE INTO session VALUES (?,?)", (change.record.key, pack(change.record)))


def seal_receipt(connection: apsw.Connection, change: SealReceipt) -> None:
    seal = change.seal
    run(
        connection,
        "INSERT OR IGNORE INTO receipt_seal VALUES (?,?,?,?,?)",
        (change.key, seal.sha256, seal.format, seal.at, seal.ended_at),
    )


def keep_breakdown(connection: apsw.Connection, change: KeepBreakdown) -> None:
    if change.body:
        run(connection, "INSERT OR REPLACE INTO breakdown VALUES (?,?)", (change.key, change.body))
    else:
        run(connection, "DELETE FROM breakdown WHERE key=?", (change.key,))


def add_milestone(connection: apsw.Connection, change: AddMilestone) -> None:
    told = change.milestone
    run(
        connection,
        "INSERT INTO milestone VALUES (?1, (SELECT ifnull(max(number), 0) + 1 FROM milestone WHERE key=?1),"
        " ?2, ?3, ?4)",
        (change.key, told.at, told.kind.value, told.text),
    )


def put_intervention(connection: apsw.Connection, change: PutIntervention) -> None:
    intervention = change.intervention
    body, id_ = pack(intervention), intervention.id
    found = run(connection, "SELECT number FROM intervention_name WHERE id=?", (id_,))
    if found:
        run(connection, "UPDATE intervention SET body=? WHERE number=?", (body, found[0][0]))
        return
    sql = "INSERT INTO intervention (execution, body) VALUES (?,?) RETURNING number"
    number = run(connection, sql, (intervention.execution, body))[0][0]
    run(connection, "INSERT INTO intervention_name VALUES (?,?)", (id_, number))


def put_delivery(connection: apsw.Connection, change: PutDelivery) -> None:
    it = change.delivery
    run(
        connection,
        "INSERT INTO delivery (id, alert, settled, body) VALUES (?,?,?,?)"
        " ON CONFLICT (id) DO UPDATE SET settled=excluded.settled, body=excluded.body",
        (it.id, it.alert, it.settled, pack(it)),
    )


def prune_deliveries(connection: apsw.Connection, change: PruneDeliveries) -> None:
    run(
        connection,
        "DELETE FROM delivery WHERE settled=1 AND number <="
        " (SELECT number FROM delivery WHERE settled=1 ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (change.keep,),
    )


def save_plan(connection: apsw.Connection, change: SavePlan) -> None:
    run(
        connection,
        "INSERT OR REPLACE INTO plan VALUES (?,?,?,?)",
        (change.uid, change.plan.name, change.at, pack(change.plan)),
    )


def remove_plan(connection: apsw.Connection, change: RemovePlan) -> None:
    run(connection, "DELETE FROM plan WHERE uid=? AND name=?", (change.uid, change.name))
