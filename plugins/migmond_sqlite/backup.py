"""Copies of the journal: made while it is in use, kept in number, and put back in its place."""

from __future__ import annotations

import calendar
import contextlib
import os
import re
import time
from pathlib import Path

import apsw

from migmond.domain.journal import JournalBackup
from migmond_sqlite.checksums import RESERVED_BYTES
from migmond_sqlite.log import log_of

_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"journal-(\d{8}T\d{6}Z)(?:-\d+)?\.db")


def directory_of(path: Path) -> Path:
    """Return where backups of the journal at `path` are."""
    return path.parent / "backups"


def copy_to(connection: apsw.Connection, new: Path) -> None:
    """Write all that `connection` sees now to `new`, durably; others may read and write meanwhile.

    Every page is read from the journal on the way, so a backup is also a check of it.
    """
    for leftover in (new, new.with_name(f"{new.name}-journal")):
        leftover.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection.reserve_bytes("main", RESERVED_BYTES)
    list(connection.execute("VACUUM INTO ?", (str(new),)))
    _sync(new, os.O_RDWR)


def put_in_place(new: Path, path: Path) -> None:
    """Rename `new` to `path`, durably."""
    os.rename(new, path)
    _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def make(connection: apsw.Connection, path: Path, keep: int, at: float) -> JournalBackup:
    """Back the journal at `path` up and remove all backups but the newest `keep`.

    Args:
        connection: one that reads it.
        at: wall clock seconds.

    Raises:
        apsw.Error: it is damaged, or there is no room.
    """
    target = _free_name(path, at)
    new = target.with_name("journal.new")
    try:
        copy_to(connection, new)
        put_in_place(new, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        raise
    kept = found(path)
    for old in kept[max(1, keep) :]:
        Path(old.path).unlink(missing_ok=True)
    return next(b for b in kept if b.path == str(target))


def keep_as_backup(path: Path, at: float) -> None:
    """Make the journal at `path`, which is about to be replaced, a backup: a second name, no room."""
    os.link(path, _free_name(path, at))


def _free_name(path: Path, at: float) -> Path:
    directory = directory_of(path)
    directory.mkdir(mode=0o700, exist_ok=True)
    stamp = time.strftime(_STAMP, time.gmtime(at))
    names = [f"journal-{stamp}.db", *(f"journal-{stamp}-{n}.db" for n in range(1, 1000))]
    return next(t for t in (directory / name for name in names) if not t.exists())


def found(path: Path) -> list[JournalBackup]:
    """Return the backups of the journal at `path`, newest first."""
    backups: list[tuple[float, int, str]] = []
    try:
        entries = list(os.scandir(directory_of(path)))
    except FileNotFoundError:
        return []
    for entry in entries:
        name = _NAME.fullmatch(entry.name)
        if name is None:
            continue
        with contextlib.suppress(FileNotFoundError):  # somebody tidies up
            at = float(calendar.timegm(time.strptime(name[1], _STAMP)))
            backups.append((at, entry.stat().st_mtime_ns, entry.path))
    return [JournalBackup(p, at, os.stat(p).st_size) for at, _, p in sorted(backups, reverse=True)]


def restore_hint(path: Path) -> str:
    """Return what to do about damage to the journal at `path`."""
    backups = found(path)
    if not backups:
        return "stop the daemon and copy a backup of yours there; migmond itself has none of it"
    command = f"migmond --state-directory {path.parent} --restore {backups[0].path}"
    return f"stop the daemon and restore its newest backup: {command}"


def set_aside(path: Path, at: float) -> Path | None:
    """Give the journal at `path` and its log another name; returns it, None when there was no journal."""
    aside = path.with_name(f"journal-replaced-{time.strftime(_STAMP, time.gmtime(at))}.db")
    log = log_of(path)
    if log.exists():
        os.rename(log, log_of(aside))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    if not path.exists():
        return None
    os.rename(path, aside)
    return aside


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
