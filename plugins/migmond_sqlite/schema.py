"""The journal's tables.

A task is one row of 85 to 115 bytes: its key is `execution key << 40 | task number`, so that one b-tree holds all
executions, each a contiguous range in scan order, and no index is needed to walk one.

Inode numbers are unsigned 64-bit and stored as the signed number with the same bits. Times that no signed 64-bit
number of nanoseconds holds (before 1677, after 2262: there are such files) are stored as blobs of 16 bytes.
"""

from __future__ import annotations

from migmond_sqlite import alert_schema

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
    # Birth times of sources that 64 bits do not hold, and all that were kept before `births` was there.
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
    # Calls of alert actions, in the order in which they were made.
    """CREATE TABLE IF NOT EXISTS delivery (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, alert TEXT NOT NULL, settled INTEGER NOT NULL,
        body BLOB NOT NULL)""",
    # Which row an intervention is, by its id, to say there that it is over. Older rows have none: they never are.
    """CREATE TABLE IF NOT EXISTS intervention_name (id TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID""",
    *alert_schema.TABLES,
    # Tasks that a change to the running execution has skipped, and which one.
    """CREATE TABLE IF NOT EXISTS left_out (id INTEGER PRIMARY KEY, by TEXT NOT NULL)""",
    # What the contents of files told whose names tell nothing, as it was kept before `file_kinds` was there.
    """CREATE TABLE IF NOT EXISTS file_kind (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL)""",
    # See `beside`: birth times of sources, of files that were copied from file systems that tell them, and kinds of
    # files (`domain.file_kinds.FileKind`, and one more) whose contents were read as their names tell nothing.
    """CREATE TABLE IF NOT EXISTS births (id INTEGER PRIMARY KEY, body BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS file_kinds (id INTEGER PRIMARY KEY, body BLOB NOT NULL)""",
    # When copies got their names: many in a row, whose id is that of the first. 4 to 6 bytes each.
    """CREATE TABLE IF NOT EXISTS copy_time (
        id INTEGER NOT NULL, base_ns INTEGER NOT NULL, after BLOB NOT NULL, numbers BLOB NOT NULL,
        PRIMARY KEY (id, base_ns)) WITHOUT ROWID""",
    # Tasks that go to a further destination of their execution, and to which one.
    """CREATE TABLE IF NOT EXISTS sent_to (id INTEGER PRIMARY KEY, destination INTEGER NOT NULL)""",
    # Directories of which something may be at a further destination.
    """CREATE TABLE IF NOT EXISTS sent_directory (
        key INTEGER NOT NULL, destination INTEGER NOT NULL, number INTEGER NOT NULL,
        PRIMARY KEY (key, destination, number)) WITHOUT ROWID""",
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
    # What is still to be delivered is looked for at every start, and what is done is pruned.
    """CREATE INDEX IF NOT EXISTS delivery_settled ON delivery (settled, number)""",
    """CREATE INDEX IF NOT EXISTS delivery_alert ON delivery (alert, number)""",
    """CREATE INDEX IF NOT EXISTS intervention_execution ON intervention (execution, number)""",
    *alert_schema.INDEXES,
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
