"""The journal's tables.

A task is one row of about 100 bytes: its key is `execution key << 40 | task number`, so that one b-tree holds all
executions, each a contiguous range in scan order, and no index is needed to walk one.
"""

from __future__ import annotations

APPLICATION_ID = 0x6D69676D  # "migm"
SCHEMA_VERSION = 1

NUMBER_BITS = 40
NUMBER_MASK = (1 << NUMBER_BITS) - 1

TABLES = (
    """CREATE TABLE execution (
        key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, uid INTEGER NOT NULL, request_id TEXT, body BLOB NOT NULL)""",
    """CREATE UNIQUE INDEX execution_request ON execution (request_id, uid) WHERE request_id IS NOT NULL""",
    """CREATE TABLE task (
        id INTEGER PRIMARY KEY, directory INTEGER NOT NULL, name BLOB NOT NULL, type INTEGER NOT NULL,
        size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
        device INTEGER NOT NULL, links INTEGER NOT NULL, state INTEGER NOT NULL, outcome INTEGER NOT NULL,
        leader INTEGER NOT NULL, attempts INTEGER NOT NULL, lost INTEGER NOT NULL, digest BLOB, target_name BLOB,
        target_inode INTEGER NOT NULL)""",
    # Leaders of hard links: only files with several names are in it.
    """CREATE INDEX task_links ON task (device, inode, id) WHERE links > 1 AND type = 0 AND leader = 0""",
    # Followers and leaders' followers, for the pass that links and for Promote.
    """CREATE INDEX task_followers ON task (leader, id) WHERE leader > 0""",
    # Failed, skipped, durable and cancelled tasks are few; listing them must not walk the done ones.
    """CREATE INDEX task_uncommon ON task (state, id) WHERE state NOT IN (0, 3)""",
    # Directories are walked backwards at the end.
    """CREATE TABLE directory (
        id INTEGER PRIMARY KEY, root INTEGER NOT NULL, path BLOB NOT NULL,
        unread INTEGER NOT NULL, touched INTEGER NOT NULL)""",
    """CREATE INDEX directory_unread ON directory (id) WHERE unread = 1""",
    """CREATE INDEX directory_touched ON directory (id) WHERE touched = 1""",
    """CREATE TABLE commit_group (key INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (key, number)) WITHOUT ROWID""",
    """CREATE TABLE fault (
        id INTEGER PRIMARY KEY, phase TEXT NOT NULL, kind TEXT NOT NULL, errno INTEGER NOT NULL,
        message TEXT NOT NULL, first_at REAL NOT NULL, last_at REAL NOT NULL, count INTEGER NOT NULL)""",
    """CREATE TABLE intervention (
        number INTEGER PRIMARY KEY, execution TEXT NOT NULL, body BLOB NOT NULL)""",
    """CREATE INDEX intervention_execution ON intervention (execution, number)""",
    """CREATE TABLE plan (uid INTEGER NOT NULL, name TEXT NOT NULL, saved_at REAL NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (uid, name)) WITHOUT ROWID""",
    # Everything below `number` is settled: a resumed walk over pending tasks starts there.
    """CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID""",
)
"""All statements of schema version 1, in order."""

PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 0,
    "application_id": APPLICATION_ID,
    "user_version": SCHEMA_VERSION,
}
"""What must hold after opening; each is read back. synchronous 2 is FULL: WAL with NORMAL loses acknowledged rows."""
