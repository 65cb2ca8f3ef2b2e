"""Alerts as tables: `alert_rules` and `active_alerts` have the columns that the outside world was promised, for whoever
looks with SQL. What migmond reads is `body`, the whole of it; the columns are written with it, and are the index.

Rules that nobody has changed are not here, and alerts outlive their rules: so no table refers to another.
"""

from __future__ import annotations

TABLES = (
    # Times and the cooldown are whole seconds here, exact in the body.
    """CREATE TABLE IF NOT EXISTS alert_rules (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT, condition TEXT NOT NULL,
        severity TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')),
        actions TEXT NOT NULL, enabled BOOLEAN NOT NULL DEFAULT true, cooldown INTEGER NOT NULL DEFAULT 300,
        created_on INTEGER NOT NULL, body BLOB NOT NULL)""",
    # triggered_at: when it fired; of one that is pending, when its condition was first met.
    """CREATE TABLE IF NOT EXISTS active_alerts (
        id TEXT PRIMARY KEY, rule_id TEXT NOT NULL, execution_id TEXT NOT NULL, severity TEXT NOT NULL,
        message TEXT NOT NULL, triggered_at INTEGER NOT NULL, last_update INTEGER NOT NULL,
        acknowledged BOOLEAN NOT NULL DEFAULT false, resolved_at INTEGER, context TEXT NOT NULL,
        number INTEGER NOT NULL, body BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS silence (id TEXT PRIMARY KEY, until REAL NOT NULL, body BLOB NOT NULL)""",
)
INDEXES = (
    "CREATE INDEX IF NOT EXISTS idx_active_alerts_execution_id ON active_alerts (execution_id)",
    "CREATE INDEX IF NOT EXISTS idx_active_alerts_severity ON active_alerts (severity)",
    "CREATE INDEX IF NOT EXISTS idx_active_alerts_resolved ON active_alerts (resolved_at)",
    "CREATE INDEX IF NOT EXISTS active_alerts_number ON active_alerts (number)",
)
