"""Changes and queries of alerts as SQL: see `alert_schema`."""

from __future__ import annotations

from typing import Any

import apsw
import msgspec

from migmond.domain.alert import Alert, AlertFilter, AlertRule, Silence
from migmond.domain.alert_changes import (
    PruneAlerts,
    PutAlert,
    PutRule,
    PutSilence,
    RemoveAlerts,
    RemoveRule,
    RemoveSilence,
)
from migmond.domain.packing import Unpacker, pack
from migmond_sqlite.connections import run


def put_rule(db: apsw.Connection, change: PutRule) -> None:
    rule = change.rule
    run(
        db,
        "INSERT OR REPLACE INTO alert_rules VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            rule.id, rule.name, rule.description, _json(rule.condition), rule.severity.value, _json(rule.actions),
            rule.enabled, int(rule.cooldown_s), int(rule.created_at), pack(rule),
        ),
    )  # fmt: skip


def remove_rule(db: apsw.Connection, change: RemoveRule) -> None:
    run(db, "DELETE FROM alert_rules WHERE id=?", (change.id,))


def put_alert(db: apsw.Connection, change: PutAlert) -> None:
    alert = change.alert
    triggered_at = alert.fired_at if alert.fired_at is not None else alert.pending_at
    context = {
        "state": alert.state.value, "metric": alert.metric, "labels": dict(alert.labels), "value": alert.value,
        "threshold": alert.threshold, "device": alert.device, "note": alert.note,
    }  # fmt: skip
    run(
        db,
        "INSERT OR REPLACE INTO active_alerts VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            alert.id, alert.rule, alert.execution, alert.severity.value, alert.message, int(triggered_at),
            int(alert.updated_at), alert.acknowledged_at is not None,
            None if alert.resolved_at is None else int(alert.resolved_at), _json(context), alert.number, pack(alert),
        ),
    )  # fmt: skip


def remove_alerts(db: apsw.Connection, change: RemoveAlerts) -> None:
    db.executemany("DELETE FROM active_alerts WHERE id=?", [(i,) for i in change.ids])


def prune(db: apsw.Connection, change: PruneAlerts) -> None:
    run(db, "DELETE FROM active_alerts WHERE resolved_at < ?", (change.before,))
    run(
        db,
        "DELETE FROM active_alerts WHERE resolved_at IS NOT NULL AND number <= (SELECT number FROM"
        " active_alerts WHERE resolved_at IS NOT NULL ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (change.keep,),
    )


def put_silence(db: apsw.Connection, change: PutSilence) -> None:
    silence = change.silence
    run(db, "INSERT OR REPLACE INTO silence VALUES (?,?,?)", (silence.id, silence.until, pack(silence)))


def remove_silence(db: apsw.Connection, change: RemoveSilence) -> None:
    run(db, "DELETE FROM silence WHERE id=?", (change.id,))


def _json(data: Any) -> str:
    return msgspec.json.encode(data).decode()


def rules(db: apsw.Connection) -> list[AlertRule]:
    decoder = Unpacker[AlertRule](AlertRule)
    return [decoder.unpack(body) for (body,) in db.execute("SELECT body FROM alert_rules ORDER BY id")]


def open_alerts(db: apsw.Connection) -> list[Alert]:
    found = db.execute("SELECT body FROM active_alerts WHERE resolved_at IS NULL ORDER BY number")
    return [_ALERTS.unpack(body) for (body,) in found]


def past_alerts(db: apsw.Connection, which: AlertFilter, limit: int) -> list[Alert]:
    severity = which.severity.value if which.severity is not None else None
    found = db.execute(
        "SELECT body FROM active_alerts WHERE resolved_at IS NOT NULL AND (?1 = '' OR execution_id = ?1)"
        " AND (?2 = '' OR rule_id = ?2) AND (?3 IS NULL OR severity = ?3) AND (?4 IS NULL OR number < ?4)"
        " ORDER BY number DESC LIMIT ?5",
        (which.execution, which.rule, severity, which.before, limit),
    )
    return [_ALERTS.unpack(body) for (body,) in found]


def silences(db: apsw.Connection) -> list[Silence]:
    decoder = Unpacker[Silence](Silence)
    return [decoder.unpack(body) for (body,) in db.execute("SELECT body FROM silence ORDER BY until, id")]


_ALERTS = Unpacker[Alert](Alert)
