"""From an older schema to the present one: on a copy, which takes the journal's place when it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import apsw

from migmond.domain.errors import JournalDamaged, JournalError
from migmond_sqlite.backup import RESTORE_HINT, copy_to, keep_as_backup, put_in_place
from migmond_sqlite.checksums import VFS
from migmond_sqlite.log import damaged_header, frames_in_use, lost_transactions
from migmond_sqlite.schema import SCHEMA_VERSION, STEPS

_REPORTED = 3


def migrate(path: Path, at: float | None, steps: Sequence[tuple[int, Sequence[str]]] = STEPS) -> None:
    """Bring the journal at `path` to SCHEMA_VERSION; nobody else has it open. The old one becomes a backup.

    A crash leaves the old one or the new one. As the copy is written anew, every journal ends with page checksums.

    Args:
        at: wall clock seconds, for the old one's name as a backup; None makes it none.
        steps: from which version, and the statements that lead to the next: one transaction each, in this order.

    Raises:
        JournalDamaged: the old one is not whole; it is left as it is.
        JournalError: its log cannot be written back.
        apsw.Error: for instance no room for the copy.
    """
    new = path.with_name(f"{path.name}.new")
    with contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=VFS)) as old:
        old.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        _refuse_damage(path, old)
        copy_to(old, new)
        with contextlib.closing(apsw.Connection(str(new), vfs=VFS)) as connection:
            list(connection.execute("PRAGMA synchronous = FULL"))
            ((version,),) = connection.execute("PRAGMA user_version")
            for before, statements in steps:
                if before < version:
                    continue
                with connection:
                    for statement in (*statements, f"PRAGMA user_version = {before + 1}"):
                        list(connection.execute(statement))
            ((reached,),) = connection.execute("PRAGMA user_version")
            assert reached == SCHEMA_VERSION
        # The old log must not outlive the old file: SQLite would apply it to the new one.
        ((mode,),) = old.execute("PRAGMA journal_mode = DELETE")
        if mode != "delete":
            raise JournalError(f"the log of {path} cannot be written back", hint="make room and start again")
    if at is not None:
        keep_as_backup(path, at)
    put_in_place(new, path)


def _refuse_damage(path: Path, old: apsw.Connection) -> None:
    """Old versions have no page checksums: SQLite's own check is what there is."""
    found = [str(row[0]) for row in old.execute(f"PRAGMA integrity_check({_REPORTED})") if row[0] != "ok"]
    if damaged_header(path) or lost_transactions(path, frames_in_use(old)):
        found.append("its log is damaged")
    if found:
        raise JournalDamaged(f"{path} is damaged: {'; '.join(found)}", hint=RESTORE_HINT)
