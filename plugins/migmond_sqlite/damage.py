"""Finding damage, remembering it over a restart, and saying what it means."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import apsw
import msgspec

from migmond.domain.errors import JournalDamaged
from migmond.domain.execution import Execution
from migmond.domain.packing import Unpacker
from migmond_sqlite.backup import restore_hint
from migmond_sqlite.checksums import damaged_pages
from migmond_sqlite.log import damaged_header, frames_in_use, lost_transactions, pages_in
from migmond_sqlite.schema import NUMBER_BITS, NUMBER_MASK

_SHOWN = 5
_ROWS = {"task": "tasks", "directory": "directories", "fault": "faults"}


def damage(path: Path, what: str) -> JournalDamaged:
    """Return the error that says so."""
    return JournalDamaged(f"{path} is damaged: {what}", hint=restore_hint(path))


# --- over a restart --------------------------------------------------------------------------------


def flag(path: Path, what: str) -> None:
    """Leave word beside the journal that it must be looked at as a whole before it is used again."""
    with contextlib.suppress(OSError):  # a full or broken disk: the page that is damaged will be met again
        fd = os.open(_flag_of(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, f"{what}\n".encode(errors="backslashreplace"))
            os.fsync(fd)
        finally:
            os.close(fd)


def is_flagged(path: Path) -> bool:
    """Whether damage was met since the journal was found whole."""
    return _flag_of(path).exists()


def unflag(path: Path) -> None:
    """It was looked at, or replaced."""
    _flag_of(path).unlink(missing_ok=True)


def _flag_of(path: Path) -> Path:
    return path.with_name("journal.damaged")


# --- finding ---------------------------------------------------------------------------------------


def damaged_log_header(path: Path) -> str:
    """Return "" or what is wrong; to be called before SQLite opens the journal."""
    return "the header of its log does not hold, so acknowledged changes are lost" if damaged_header(path) else ""


def damage_on_disk(path: Path, connection: apsw.Connection, first: int = 1, last: int | None = None) -> list[str]:
    """Return what the checksums of log and pages say; nobody must write meanwhile.

    Args:
        connection: an open one.
        first, last: the pages to look at; None is the last.
    """
    frames = frames_in_use(connection)
    found: list[str] = []
    if first == 1 and lost_transactions(path, frames):
        found.append("its log is damaged, so acknowledged changes are lost")
    pages = damaged_pages(path, first, last, besides=pages_in(path, frames))
    if pages:
        found.append(f"{pages_text(pages)} not what was written")
    return found


def pages_text(pages: Sequence[int]) -> str:
    """Return `page 7 is`, `pages 7, 9 are`, `1,204 pages (7, 9, 10, 11, 12, ...) are`."""
    shown = ", ".join(str(p) for p in pages[:_SHOWN])
    if len(pages) > _SHOWN:
        return f"{len(pages):,} pages ({shown}, ...) are"
    return f"page {shown} is" if len(pages) == 1 else f"pages {shown} are"


def victims(connection: apsw.Connection) -> list[str]:
    """Return one sentence for each execution, and for everything else, that cannot be read completely any more."""
    decoder = Unpacker[Execution](Execution)
    try:
        executions = [decoder.unpack(body) for (body,) in connection.execute("SELECT body FROM execution ORDER BY key")]
    except (apsw.Error, msgspec.MsgspecError, TypeError):
        return ["the list of executions cannot be read"]
    found = []
    for execution in executions:
        base = execution.key << NUMBER_BITS
        bounds = (base, base | NUMBER_MASK)
        # Not by an index: every row itself is to be read.
        lost = [
            word
            for table, word in _ROWS.items()
            if not _readable(connection, f"SELECT sum(length(hex(id))) FROM {table} NOT INDEXED"
                             f" WHERE id BETWEEN ? AND ?", bounds)
        ]  # fmt: skip
        if not _readable(connection, "SELECT sum(length(body)) FROM commit_group WHERE key = ?", (execution.key,)):
            lost.append("open commit groups")
        if lost:
            # Without its name: whoever may ask the doctor may not see everybody's executions.
            what = " and ".join(lost)
            found.append(f"not all {what} of execution {execution.id} ({execution.state}) can be read")
    for sql, what in (
        ("SELECT sum(length(body)) FROM intervention", "interventions"),
        ("SELECT sum(length(body)) FROM plan", "saved plans"),
        ("SELECT sum(value) FROM counter", "counters"),
    ):
        if not _readable(connection, sql, ()):
            found.append(f"not all {what} can be read")
    return found


def _readable(connection: apsw.Connection, sql: str, parameters: Sequence[int]) -> bool:
    try:
        list(connection.execute(sql, parameters))
    except apsw.Error:
        return False
    return True
