"""Opening the database file: exclusively, with every setting read back, and never silently from zero."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from migmond.domain.errors import JournalDamaged, JournalError, JournalFull
from migmond_sqlite.schema import ADDED_TABLES, APPLICATION_ID, INDEXES, PRAGMAS, SCHEMA_VERSION, TABLES

CACHE_KIB = 32 * 1024
WAL_PAGES = 4000
"""The WAL is checkpointed at 16 MiB."""
_PID_BYTES = 32
WAL_KEPT_BYTES = 64 << 20
"""A WAL that one large transaction made longer is cut back to this."""


class DirectoryLock:
    """Held by the one daemon that owns a state directory, as long as it lives."""

    def __init__(self, directory: Path) -> None:
        self._fd = os.open(directory / "journal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            holder = os.pread(self._fd, _PID_BYTES, 0).decode(errors="replace").strip()
            os.close(self._fd)
            which = f" (pid {holder})" if holder.isdigit() else ""
            raise JournalError(
                f"another daemon{which} uses {directory}",
                hint="use that one (migmon --socket), or stop it; a further one needs another --state-directory",
            ) from e
        with contextlib.suppress(OSError):  # only for the error above; a full disk may well have no room for it
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        os.close(self._fd)


def open_writer(path: Path) -> apsw.Connection:
    """Open the journal for writing, making it when there is none.

    A new one is built under another name and renamed when it is whole: a daemon that dies in its first second leaves
    no half-made journal behind that the next one would have to call damaged.

    Raises:
        JournalDamaged: the file is there but is no intact journal, or it is gone and its write-ahead log is not.
        JournalFull: no room to make or open it.
        JournalError: a setting did not take, or the file is from a newer version.
    """
    if not path.exists():
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise JournalDamaged(
                f"{path} is missing, but {log.name} is there",
                hint="restore both from a backup; or remove the log to start without any history",
            )
        _create(path)
    elif path.stat().st_size == 0:
        raise JournalDamaged(
            f"{path} is empty", hint="restore it from a backup; or remove it to start without any history"
        )
    with translated(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(10_000)
            _configure(connection)
            _check_settings(connection, path)
            for statement in (*ADDED_TABLES, *INDEXES):
                run(connection, statement)
        except BaseException:
            connection.close()
            raise
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """Open a second connection that only reads, so that queries do not wait behind large transactions."""
    with translated(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(10_000)
        run(connection, f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


def run(connection: apsw.Connection, statement: str, parameters: Any = ()) -> list[Any]:
    """Execute to the end: apsw runs only the first statement of a cursor that nobody consumes."""
    return list(connection.execute(statement, parameters))


def damaged_settings(connection: apsw.Connection) -> list[str]:
    """Return one sentence for each setting of the writing connection that is not what it was opened with."""
    found = {name: run(connection, f"PRAGMA {name}")[0][0] for name in PRAGMAS}
    return [f"{n} is {found[n]!r} instead of {wanted!r}" for n, wanted in PRAGMAS.items() if found[n] != wanted]


def _create(path: Path) -> None:
    new = path.with_name(f"{path.name}.new")
    for leftover in (new, new.with_name(f"{new.name}-journal")):
        leftover.unlink(missing_ok=True)
    with translated(path), contextlib.closing(apsw.Connection(str(new))) as connection:
        run(connection, "PRAGMA page_size = 4096")
        run(connection, "PRAGMA synchronous = FULL")
        with connection:
            for statement in TABLES:
                run(connection, statement)
            run(connection, f"PRAGMA application_id = {APPLICATION_ID}")
            run(connection, f"PRAGMA user_version = {SCHEMA_VERSION}")
    os.rename(new, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _configure(connection: apsw.Connection) -> None:
    run(connection, "PRAGMA journal_mode = wal")
    run(connection, "PRAGMA synchronous = FULL")
    run(connection, "PRAGMA foreign_keys = OFF")
    run(connection, f"PRAGMA cache_size = -{CACHE_KIB}")
    run(connection, "PRAGMA temp_store = MEMORY")
    run(connection, f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    run(connection, f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")


def _check_settings(connection: apsw.Connection, path: Path) -> None:
    for name, wanted in PRAGMAS.items():
        (found,) = run(connection, f"PRAGMA {name}")[0]
        if found == wanted:
            continue
        if name == "user_version" and isinstance(found, int) and found > SCHEMA_VERSION:
            raise JournalError(f"{path} was written by a newer migmond", hint="install that version again")
        if name == "application_id":
            raise JournalDamaged(f"{path} is no journal of migmond", hint="restore it from a backup")
        raise JournalError(f"{path}: {name} is {found!r} instead of {wanted!r}", hint="is its file system fit for WAL?")


@contextlib.contextmanager
def translated(path: Path, connection: apsw.Connection | None = None) -> Iterator[None]:
    """Turn SQLite's errors into the journal's.

    Args:
        connection: the one in use, to ask for the errno behind an input/output error.
    """
    try:
        yield
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError) as e:
        if _no_room(e, connection):
            raise JournalFull(f"the file system of {path} is full", hint="make room; migmond goes on by itself") from e
        raise JournalError(f"{path}: {e}", hint="see migmon doctor, and the kernel log for the disk") from e
    except (apsw.CorruptError, apsw.NotADBError) as e:
        raise JournalDamaged(
            f"{path} is damaged: {e}", hint="stop the daemon and restore it from a backup; nothing is deleted meanwhile"
        ) from e
    except apsw.Error as e:
        raise JournalError(f"{path}: {e}", hint="see migmon doctor") from e


def _no_room(error: apsw.Error, connection: apsw.Connection | None) -> bool:
    # Measured: when the shared memory file beside the WAL cannot grow, SQLite calls a full disk an I/O error, and a
    # quota that is used up always.
    return (
        isinstance(error, apsw.FullError)
        or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
        or (connection is not None and connection.system_errno in (errno.ENOSPC, errno.EDQUOT))
    )
