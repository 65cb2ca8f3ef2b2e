"""Putting a backup in the journal's place."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import apsw
import msgspec

from migmond.domain.errors import JournalDamaged, JournalError
from migmond.domain.execution import Execution
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.packing import Unpacker, pack
from migmond.domain.states import EXECUTION_TRANSITIONS, LIVE_EXECUTION_STATES, ExecutionState
from migmond_sqlite.backup import copy_to, put_in_place, set_aside
from migmond_sqlite.checksums import VFS, Header, damaged_pages, load
from migmond_sqlite.connections import run
from migmond_sqlite.damage import pages_text, unflag
from migmond_sqlite.database import DirectoryLock, restoring_mark, translated
from migmond_sqlite.migration import migrate
from migmond_sqlite.schema import APPLICATION_ID, SCHEMA_VERSION

EVENTS_SKIPPED = 1 << 36
"""Ids that the lost time may have given out: 16 starts of a daemon. They must not name other events now."""
_AUTHOR = "restore"


def restore(directory: Path, source: Path) -> str:
    """Put the backup `source` in the place of the journal in `directory`, which keeps its files under another name.

    The backup is older than what it tells of: targets that were made since are found and, if they are equal, taken
    as they are. Every execution that it has as running is held, so that somebody looks before it goes on.

    Returns:
        What was done, a few lines for people.

    Raises:
        JournalError: a daemon uses the directory, or `source` is no journal of this version or an older one.
        JournalDamaged: `source` is damaged; nothing was changed.
        JournalFull: no room for a further copy.
    """
    load()
    with translated(source):
        _refuse(source)  # first of all: nothing is made where nothing comes of it
    lock = DirectoryLock(directory)
    try:
        path = directory / "journal.db"
        new = path.with_name("journal.db.new")
        now = time.time()
        with translated(source), contextlib.closing(_opened(source)) as connection:
            copy_to(connection, new)
        with translated(new):
            if _header(new).version < SCHEMA_VERSION:
                migrate(new, None)
            with contextlib.closing(apsw.Connection(str(new), vfs=VFS)) as connection:
                run(connection, "PRAGMA synchronous = FULL")
                with connection:
                    held = _hold_what_ran(connection, now, f"restored from the backup {source.name}")
                    run(connection, "UPDATE counter SET value = value + ? WHERE name = 'event'", (EVENTS_SKIPPED,))
        mark = restoring_mark(path)
        mark.touch(mode=0o600)
        aside = set_aside(path, now)
        put_in_place(new, path)
        unflag(path)
        mark.unlink()
    finally:
        lock.release()
    lines = [f"{path} is now {source}"]
    if aside is not None:
        lines.append(f"the one before is {aside}")
    lines += [f"held: {e.name} ({e.id[:6]}); look at it, then: migmon resume {e.id[:6]}" for e in held]
    return "\n".join(lines)


def _opened(source: Path) -> apsw.Connection:
    """Nothing is made beside the backup, wherever it lies."""
    uri = f"{source.absolute().as_uri()}?immutable=1"
    return apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI, vfs=VFS)


def _header(path: Path) -> Header:
    try:
        with path.open("rb") as file:
            return Header(file.read(Header.BYTES))
    except OSError as e:
        raise JournalError(f"cannot read {path}: {e.strerror}", hint="name a file of backups/") from e


def _refuse(source: Path) -> None:
    header = _header(source)
    if not header.is_database or header.application_id != APPLICATION_ID:
        raise JournalError(f"{source} is no journal of migmond", hint="name a file of backups/")
    if header.version > SCHEMA_VERSION:
        raise JournalError(f"{source} was written by a newer migmond", hint="install that version")
    if header.checksummed and (pages := damaged_pages(source)):
        raise JournalDamaged(f"{source}: {pages_text(pages)} not what was written", hint="take an older backup")


def _hold_what_ran(connection: apsw.Connection, now: float, note: str) -> list[Execution]:
    held: list[Execution] = []
    decoder = Unpacker[Execution](Execution)
    for (body,) in run(connection, "SELECT body FROM execution ORDER BY key"):
        execution = decoder.unpack(body)
        if execution.state not in LIVE_EXECUTION_STATES or execution.state is ExecutionState.CANCELLING:
            continue
        number = max((int(h.id[1:]) for h in execution.holds), default=0) + 1
        hold = Hold(f"h{number}", HoldReason.MAINTENANCE, _AUTHOR, now, None, note)
        paused = ExecutionState.PAUSED in EXECUTION_TRANSITIONS[execution.state]
        execution = msgspec.structs.replace(
            execution,
            holds=(*execution.holds, hold),
            state=ExecutionState.PAUSED if paused else execution.state,
            reason=note,
        )
        run(connection, "UPDATE execution SET body=? WHERE key=?", (pack(execution), execution.key))
        held.append(execution)
    return held
