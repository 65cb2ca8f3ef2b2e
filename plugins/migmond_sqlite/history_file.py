"""The file history.db: opened, made, and set aside when it is damaged.

Unlike the journal's, its transactions are not synced one by one (synchronous = NORMAL): in WAL mode a power cut then
takes the newest ones and never the file's wholeness, and ten seconds of telemetry are not worth an fsync that waits
behind the migration whose disk it shares. Unlike the journal, it is replaced when it cannot be trusted.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec

from migmond.analytics.tiers import WIDTHS_S
from migmond.domain.errors import HistoryError, JournalError
from migmond_sqlite.checksums import RESERVED_BYTES, VFS, Header, load
from migmond_sqlite.connections import read_only, run

APPLICATION_ID = 0x6D696774  # "migt"
SCHEMA_VERSION = 1

_PAGE_BYTES = 8192
"""Rows of the coarser tiers have 1 to 3 KiB: of smaller pages a third would stay empty."""
_CACHE_KIB = 8 * 1024
_WAL_PAGES = 500
_WAL_KEPT_BYTES = 8 << 20

TABLES = (
    # Numbers are never used again (AUTOINCREMENT): rows of a series that is gone must not become another's.
    """CREATE TABLE series (
        id INTEGER PRIMARY KEY AUTOINCREMENT, metric TEXT NOT NULL, labels TEXT NOT NULL, kind TEXT NOT NULL,
        execution TEXT NOT NULL, unit TEXT NOT NULL, every_s REAL NOT NULL, first_at REAL NOT NULL,
        last_at REAL NOT NULL)""",
    "CREATE UNIQUE INDEX series_identity ON series (metric, labels, kind)",
    "CREATE INDEX series_execution ON series (execution)",
    # Of a metric's series of years, those that have anything in the range of a query.
    "CREATE INDEX series_last ON series (metric, last_at)",
    *(f"CREATE TABLE tier_{width} (key INTEGER PRIMARY KEY, body BLOB NOT NULL)" for width in WIDTHS_S),
    # How far each tier was rolled up, from when on it is kept, the newest time of all.
    "CREATE TABLE mark (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE carried (id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    """CREATE TABLE annotation (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, execution TEXT NOT NULL, text TEXT NOT NULL)""",
    "CREATE INDEX annotation_at ON annotation (at)",
    "CREATE INDEX annotation_execution ON annotation (execution)",
)


class HistoryDamaged(HistoryError):
    """It cannot be trusted; whoever meets this sets it aside."""


class HistoryLock:
    """Held by the one process that writes to the history of a directory, which is made when it is missing.

    Raises:
        HistoryError: another one holds it, or the directory cannot be written to.
    """

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(directory / "history.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise HistoryError(f"no history can be kept in {directory}: {e.strerror}") from e
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(self._fd)
            raise HistoryError(f"another process writes to the history in {directory}") from e

    def release(self) -> None:
        os.close(self._fd)


def open_writer(path: Path) -> apsw.Connection:
    """Open the history for writing; one that is not there is made.

    Raises:
        HistoryDamaged: it is there and is no history of this version.
        HistoryError: it cannot be opened or made now: no room, no right, a broken disk.
    """
    try:
        load()
    except JournalError as e:
        raise HistoryError(e.message, hint=e.hint) from e
    with translated(path):
        _refuse_at_first_sight(path)
        # The file is no secret, but whose migrations ran when is: as private as the journal.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=VFS)
        try:
            connection.set_busy_timeout(10_000)
            if not run(connection, "PRAGMA user_version")[0][0]:
                _create(connection)
            for name, value in (
                ("journal_mode", "wal"),
                ("synchronous", "NORMAL"),
                ("cache_size", -_CACHE_KIB),
                ("temp_store", "MEMORY"),
                ("wal_autocheckpoint", _WAL_PAGES),
                ("journal_size_limit", _WAL_KEPT_BYTES),
            ):
                run(connection, f"PRAGMA {name} = {value}")
            run(connection, "SELECT count(*) FROM mark")
        except BaseException:
            connection.close()
            raise
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """Open a second connection, so that queries do not wait behind the roll-up."""
    with translated(path):
        return read_only(path, _CACHE_KIB)


def set_aside(path: Path) -> Path:
    """Rename the files of a damaged history, whose connections are closed; of several in a row the last one stays.

    Raises:
        HistoryError: they cannot be renamed.
    """
    aside = path.with_name(f"{path.name}.damaged")
    try:
        for suffix in ("-wal", ""):
            old = path.with_name(path.name + suffix)
            new = aside.with_name(aside.name + suffix)
            new.unlink(missing_ok=True)
            if old.exists():
                old.rename(new)
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
    except OSError as e:
        raise HistoryError(f"{path} is damaged and cannot be set aside: {e.strerror}") from e
    return aside


def _refuse_at_first_sight(path: Path) -> None:
    """By its first bytes, before SQLite touches it. One of no bytes was being made when its maker ended."""
    try:
        with path.open("rb") as file:
            start = file.read(Header.BYTES)
    except FileNotFoundError:
        if path.with_name(path.name + "-wal").exists():
            raise HistoryDamaged(f"{path} is missing, but its log is there") from None
        return
    except OSError as e:
        raise HistoryError(f"{path}: {e.strerror}") from e
    if not start:
        return
    header = Header(start)
    if not header.is_database or not header.checksummed:
        raise HistoryDamaged(f"{path} is no database with checksums")
    if header.application_id != APPLICATION_ID:
        raise HistoryDamaged(f"{path} is no history of migmond")
    if header.version != SCHEMA_VERSION:
        raise HistoryDamaged(f"{path} is of version {header.version}, not {SCHEMA_VERSION}")


def _create(connection: apsw.Connection) -> None:
    # The daemon waits for this when it starts. A power cut now leaves something that is damaged, or nothing.
    run(connection, "PRAGMA synchronous = OFF")
    run(connection, f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.reserve_bytes("main", RESERVED_BYTES)
    # Retention that is made shorter shall make the file smaller.
    run(connection, "PRAGMA auto_vacuum = INCREMENTAL")
    with connection:
        for statement in TABLES:
            run(connection, statement)
        run(connection, f"PRAGMA application_id = {APPLICATION_ID}")
        run(connection, f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextlib.contextmanager
def translated(path: Path, connection: apsw.Connection | None = None) -> Iterator[None]:
    """Turn SQLite's errors, and those of rows that make no sense, into the history's.

    Args:
        connection: the one in use, to ask for the errno behind an input/output error.
    """
    try:
        yield
    except (ValueError, msgspec.MsgspecError) as e:
        raise HistoryDamaged(f"{path} is damaged: {e}") from e
    except OSError as e:
        raise HistoryError(f"{path}: {e.strerror}") from e
    except apsw.Error as e:
        extended = getattr(e, "extendedresult", 0)
        if isinstance(e, apsw.CorruptError | apsw.NotADBError) or extended == apsw.SQLITE_IOERR_DATA:
            raise HistoryDamaged(f"{path} is damaged: {e}") from e
        full = connection is not None and connection.system_errno in (errno.ENOSPC, errno.EDQUOT)
        if full or isinstance(e, apsw.FullError) or extended == apsw.SQLITE_IOERR_SHMSIZE:
            raise HistoryError(f"the file system of {path} is full") from e
        raise HistoryError(f"{path}: {e}") from e
