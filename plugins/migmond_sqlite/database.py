"""Opening the database file: exclusively, with every setting read back, and never silently from zero."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from migmond.domain.errors import JournalDamaged, JournalError, JournalFull
from migmond_sqlite.schema import APPLICATION_ID, PRAGMAS, SCHEMA_VERSION, TABLES

CACHE_KIB = 32 * 1024
WAL_PAGES = 4000
"""The WAL is checkpointed at 16 MiB."""


class DirectoryLock:
    """Held by the one daemon that owns a state directory, as long as it lives."""

    def __init__(self, directory: Path) -> None:
        self._fd = os.open(directory / "journal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(self._fd)
            raise JournalError(
                f"another daemon uses {directory}", hint="stop it first, or give this one another --state-directory"
            ) from e

    def release(self) -> None:
        os.close(self._fd)


def open_writer(path: Path) -> apsw.Connection:
    """Open the journal for writing, making it when there is none.

    Raises:
        JournalDamaged: the file is there but is no intact journal.
        JournalError: a setting did not take, or the file is from a newer version.
    """
    fresh = not path.exists()
    if not fresh and path.stat().st_size == 0:
        raise JournalDamaged(
            f"{path} is empty", hint="restore it from a backup; or remove it to start without any history"
        )
    with translated(path):
        connection = apsw.Connection(str(path), vfs=None)
        try:
            connection.set_busy_timeout(10_000)
            if fresh:
                _create(connection)
            _configure(connection)
            _check_settings(connection, path)
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


def _create(connection: apsw.Connection) -> None:
    run(connection, "PRAGMA page_size = 4096")
    run(connection, "PRAGMA journal_mode = wal")
    with connection:
        for statement in TABLES:
            run(connection, statement)
        run(connection, f"PRAGMA application_id = {APPLICATION_ID}")
        run(connection, f"PRAGMA user_version = {SCHEMA_VERSION}")


def _configure(connection: apsw.Connection) -> None:
    run(connection, "PRAGMA journal_mode = wal")
    run(connection, "PRAGMA synchronous = FULL")
    run(connection, "PRAGMA foreign_keys = OFF")
    run(connection, f"PRAGMA cache_size = -{CACHE_KIB}")
    run(connection, "PRAGMA temp_store = MEMORY")
    run(connection, f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")


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
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the journal's."""
    try:
        yield
    except apsw.FullError as e:
        raise JournalFull(f"the file system of {path} is full", hint="make room; migmond goes on by itself") from e
    except (apsw.CorruptError, apsw.NotADBError) as e:
        raise JournalDamaged(
            f"{path} is damaged: {e}", hint="stop the daemon and restore it from a backup; nothing is deleted meanwhile"
        ) from e
    except apsw.Error as e:
        raise JournalError(f"{path}: {e}", hint="see migmon doctor") from e
