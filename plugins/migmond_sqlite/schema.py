"""The journal's tables.

A task is one row of 85 to 115 bytes: its key is `execution key << 40 | task number`, so that one b-tree holds all
executions, each a contiguous range in scan order, and no index is needed to walk one.

Inode numbers are unsigned 64-bit and stored as the signed number with the same bits. Times that no signed 64-bit
number of nanoseconds holds (before 1677, after 2262: there are such files) are stored as blobs of 16 bytes.
"""

from __future__ import annotations

APPLICATION_ID = 0x6D69676D  # "migm"
SCHEMA_VERSION = 2
CHECKSUMMED_SINCE = 2

NUMBER_BITS = 40
NUMBER_MASK = (1 << NUMBER_BITS) - 1

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
UINT64_MASK = (1 << 64) - 1

TABLES = (
    """CREATE TABLE execution (
        key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, uid INTEGER NOT NULL, request_id TEXT, body BLOB NOT NULL)""",
    """CREATE TABLE task (
        id INTEGER PRIMARY KEY, directory INTEGER NOT NULL, name BLOB NOT NULL, type INTEGER NOT NULL,
        size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
        device INTEGER NOT NULL, links INTEGER NOT NULL, state INTEGER NOT NULL, outcome INTEGER NOT NULL,
        leader INTEGER NOT NULL, attempts INTEGER NOT NULL, lost INTEGER NOT NULL, digest BLOB, target_name BLOB,
        target_inode INTEGER NOT NULL)""",
    # Directories are walked backwards at the end.
    """CREATE TABLE directory (
        id INTEGER PRIMARY KEY, root INTEGER NOT NULL, path BLOB NOT NULL,
        unread INTEGER NOT NULL, touched INTEGER NOT NULL)""",
    """CREATE TABLE commit_group (key INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (key, number)) WITHOUT ROWID""",
    """CREATE TABLE fault (
        id INTEGER PRIMARY KEY, phase TEXT NOT NULL, kind TEXT NOT NULL, errno INTEGER NOT NULL,
        message TEXT NOT NULL, first_at REAL NOT NULL, last_at REAL NOT NULL, count INTEGER NOT NULL)""",
    """CREATE TABLE intervention (
        number INTEGER PRIMARY KEY, execution TEXT NOT NULL, body BLOB NOT NULL)""",
    """CREATE TABLE plan (uid INTEGER NOT NULL, name TEXT NOT NULL, saved_at REAL NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (uid, name)) WITHOUT ROWID""",
    # Ids given out so far (`key`, `event`): never given twice, whatever is deleted.
    """CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID""",
)
"""The tables of the present schema version, in order."""

STEPS: tuple[tuple[int, tuple[str, ...]], ...] = (
    # Page checksums. The tables are the same: what changes is made by the copying itself.
    (1, ()),
)
"""How an older schema becomes the present one: the version before, and the statements that lead to the next."""

ADDED_TABLES = (
    # Birth times of sources: of files that were copied from file systems that tell them. 15 bytes each.
    """CREATE TABLE IF NOT EXISTS birth (id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL)""",
    # Hashes of receipts of executions that have ended, made when they are first asked for.
    """CREATE TABLE IF NOT EXISTS receipt_seal (
        key INTEGER NOT NULL, sha256 BLOB NOT NULL, format INTEGER NOT NULL, at REAL NOT NULL, ended_at REAL,
        PRIMARY KEY (key, sha256)) WITHOUT ROWID""",
    # Progress by parts, as the engine keeps it.
    """CREATE TABLE IF NOT EXISTS breakdown (key INTEGER PRIMARY KEY, body BLOB NOT NULL)""",
    # What happened to executions, in this order.
    """CREATE TABLE IF NOT EXISTS milestone (
        key INTEGER NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,
        PRIMARY KEY (key, number)) WITHOUT ROWID""",
    # How executions went, by their key.
    """CREATE TABLE IF NOT EXISTS session (key INTEGER PRIMARY KEY, body BLOB NOT NULL)""",
)
"""Made whenever one is missing: a journal that had none yet only knows less, and an older migmond does not mind."""

INDEXES = (
    """CREATE UNIQUE INDEX IF NOT EXISTS execution_request ON execution (request_id, uid)
        WHERE request_id IS NOT NULL""",
    # What is left to hand out. Without it the first page after a resume walks every settled task: 48 ms per million of
    # them instead of 1 ms, and again with each poll while nothing is found. It costs an insert 0.5 µs and 9 bytes,
    # which the digest takes over when the task is done.
    """CREATE INDEX IF NOT EXISTS task_pending ON task (id) WHERE state = 0 AND leader = 0""",
    """CREATE INDEX IF NOT EXISTS task_pending_followers ON task (id) WHERE state = 0 AND leader > 0""",
    # Leaders of hard links: only files with several names are in it.
    """CREATE INDEX IF NOT EXISTS task_links ON task (device, inode, id)
        WHERE links > 1 AND type = 0 AND leader = 0""",
    # The followers of one leader, for Promote.
    """CREATE INDEX IF NOT EXISTS task_followers ON task (leader, id) WHERE leader > 0""",
    # Failed, skipped, durable and cancelled tasks are few; listing them must not walk the done ones.
    """CREATE INDEX IF NOT EXISTS task_uncommon ON task (state, id) WHERE state NOT IN (0, 3)""",
    """CREATE INDEX IF NOT EXISTS directory_unread ON directory (id) WHERE unread = 1""",
    """CREATE INDEX IF NOT EXISTS directory_touched ON directory (id) WHERE touched = 1""",
    """CREATE INDEX IF NOT EXISTS intervention_execution ON intervention (execution, number)""",
)
"""Made whenever one is missing: they follow from the rows and are no part of the schema version."""

PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 0,
    "application_id": APPLICATION_ID,
    "user_version": SCHEMA_VERSION,
}
"""What must hold after opening; each is read back. synchronous 2 is FULL: WAL with NORMAL loses acknowledged rows."""
