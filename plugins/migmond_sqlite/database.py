"""Opening the database file: exclusively, with every setting read back, and never silently from zero."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from migmond.domain.errors import JournalError, JournalFull
from migmond_sqlite.backup import put_in_place
from migmond_sqlite.checksums import PAGE_BYTES, RESERVED_BYTES, VFS, Header, damaged_pages, load
from migmond_sqlite.connections import read_only, run
from migmond_sqlite.damage import (
    damage,
    damage_on_disk,
    damaged_log_header,
    flag,
    is_flagged,
    pages_text,
    unflag,
)
from migmond_sqlite.log import log_of
from migmond_sqlite.migration import migrate
from migmond_sqlite.schema import (
    ADDED_TABLES,
    APPLICATION_ID,
    CHECKSUMMED_SINCE,
    INDEXES,
    PRAGMAS,
    SCHEMA_VERSION,
    TABLES,
)

CACHE_KIB = 32 * 1024
WAL_PAGES = 4000
"""The WAL is checkpointed at 16 MiB."""
_PID_BYTES = 32
WAL_KEPT_BYTES = 64 << 20
"""A WAL that one large transaction made longer is cut back to this."""


class DirectoryLock:
    """Held by the one daemon that owns a state directory, as long as it lives. Makes the directory when it is missing.

    Raises:
        JournalError: another daemon holds it, or it cannot be made or written to.
    """

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(directory / "journal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise JournalError(
                f"the journal cannot be kept in {directory}: {e.strerror}: {e.filename}",
                hint="give another --state-directory; without root's rights, start migmond --user",
            ) from e
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
    """Open the journal for writing, making it when there is none, and bringing an older one to the present schema.

    A new one is built under another name and renamed when it is whole: a daemon that dies in its first second leaves
    no half-made journal behind that the next one would have to call damaged. Every page of an old one is read first
    (0.3 s per GB in the cache): what is decided from it must not depend on whether somebody came across the damage.

    Raises:
        JournalDamaged: the file is there but is no intact journal, or it is gone and its write-ahead log is not.
        JournalFull: no room to make or open it.
        JournalError: a setting did not take, the file is from a newer version, or a restore was cut off.
    """
    if restoring_mark(path).exists():
        raise JournalError(f"a restore of {path} was cut off", hint="run it again: migmond --restore BACKUP")
    load()
    if not path.exists():
        if log_of(path).exists() and log_of(path).stat().st_size:
            raise damage(path, f"it is missing, but {log_of(path).name} is there")
        if is_flagged(path):
            raise damage(path, "it is missing, and was damaged before")
        _create(path)
    with translated(path):
        _refuse_at_first_sight(path)
        if _header(path).version < SCHEMA_VERSION:
            migrate(path, time.time())
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=VFS)
        try:
            connection.set_busy_timeout(10_000)
            # Until it is known to be whole, nothing in it is changed: not even its log is written back.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            _refuse_damage(path, connection)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
            _configure(connection)
            _check_settings(connection, path)
            for statement in (*ADDED_TABLES, *INDEXES):
                run(connection, statement)
        except BaseException:
            connection.close()
            raise
    return connection


def restoring_mark(path: Path) -> Path:
    """Return the file that is there while the journal at `path` is being replaced by a backup."""
    return path.with_name("journal.restoring")


def _header(path: Path) -> Header:
    with path.open("rb") as file:
        return Header(file.read(Header.BYTES))


def _refuse_at_first_sight(path: Path) -> None:
    """By its first bytes and those of its log, before SQLite touches either."""
    header = _header(path)
    if not header.is_database:
        raise damage(path, "it is empty" if path.stat().st_size == 0 else "it is no database")
    if header.checksummed and damaged_pages(path, 1, 1) and not log_of(path).exists():
        raise damage(path, f"{pages_text([1])} not what was written")
    if header.application_id != APPLICATION_ID:
        raise damage(path, "it is no journal of migmond")
    if header.version > SCHEMA_VERSION:
        raise JournalError(f"{path} was written by a newer migmond", hint="install that version again")
    if header.checksummed != (header.version >= CHECKSUMMED_SINCE):
        raise damage(path, "its header contradicts itself")
    if why := damaged_log_header(path):
        raise damage(path, why)


def _refuse_damage(path: Path, connection: apsw.Connection) -> None:
    found = damage_on_disk(path, connection)
    if not found and is_flagged(path):
        # Met while running, but every page is as it was written: what was it then?
        found = [str(row[0]) for row in run(connection, "PRAGMA integrity_check(3)") if row[0] != "ok"]
    if found:
        flag(path, "; ".join(found))
        raise damage(path, "; ".join(found))
    unflag(path)


def open_reader(path: Path) -> apsw.Connection:
    """Open a second connection that only reads, so that queries do not wait behind large transactions."""
    with translated(path):
        return read_only(path, CACHE_KIB)


def damaged_settings(connection: apsw.Connection) -> list[str]:
    """Return one sentence for each setting of the writing connection that is not what it was opened with."""
    found = {name: run(connection, f"PRAGMA {name}")[0][0] for name in PRAGMAS}
    return [f"{n} is {found[n]!r} instead of {wanted!r}" for n, wanted in PRAGMAS.items() if found[n] != wanted]


def _create(path: Path) -> None:
    new = path.with_name(f"{path.name}.new")
    for leftover in (new, new.with_name(f"{new.name}-journal")):
        leftover.unlink(missing_ok=True)
    with translated(path), contextlib.closing(apsw.Connection(str(new), vfs=VFS)) as connection:
        run(connection, f"PRAGMA page_size = {PAGE_BYTES}")
        connection.reserve_bytes("main", RESERVED_BYTES)
        run(connection, "PRAGMA synchronous = FULL")
        with connection:
            for statement in TABLES:
                run(connection, statement)
            run(connection, f"PRAGMA application_id = {APPLICATION_ID}")
            run(connection, f"PRAGMA user_version = {SCHEMA_VERSION}")
    put_in_place(new, path)


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
        raise JournalError(f"{path}: {name} is {found!r} instead of {wanted!r}", hint="is its file system fit for WAL?")


@contextlib.contextmanager
def translated(path: Path, connection: apsw.Connection | None = None) -> Iterator[None]:
    """Turn SQLite's errors into the journal's.

    Args:
        connection: the one in use, to ask for the errno behind an input/output error.
    """
    try:
        yield
    except apsw.Error as e:
        if isinstance(e, apsw.CorruptError | apsw.NotADBError) or _extended(e) == apsw.SQLITE_IOERR_DATA:
            what = "a page is not what was written" if isinstance(e, apsw.IOError) else str(e)
            raise damage(path, what) from e
        if not isinstance(e, apsw.FullError | apsw.IOError | apsw.CantOpenError):
            raise JournalError(f"{path}: {e}", hint="see migmon doctor") from e
        if _no_room(e, connection):
            raise JournalFull(f"the file system of {path} is full", hint="make room; migmond goes on by itself") from e
        raise JournalError(f"{path}: {e}", hint="see migmon doctor, and the kernel log for the disk") from e


def _extended(error: apsw.Error) -> int:
    return getattr(error, "extendedresult", 0)


def _no_room(error: apsw.Error, connection: apsw.Connection | None) -> bool:
    # Measured: when the shared memory file beside the WAL cannot grow, SQLite calls a full disk an I/O error, and a
    # quota that is used up always.
    return (
        isinstance(error, apsw.FullError)
        or _extended(error) == apsw.SQLITE_IOERR_SHMSIZE
        or (connection is not None and connection.system_errno in (errno.ENOSPC, errno.EDQUOT))
    )
