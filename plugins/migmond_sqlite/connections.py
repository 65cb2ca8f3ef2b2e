"""Connections as both files use them: that of the journal, and that of the telemetry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw

from migmond_sqlite.checksums import VFS


def read_only(path: Path, cache_kib: int) -> apsw.Connection:
    """Open a connection that only reads.

    Args:
        cache_kib: of pages, KiB.

    Raises:
        apsw.Error: it cannot be opened.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=VFS)
    connection.set_busy_timeout(10_000)
    run(connection, f"PRAGMA cache_size = -{cache_kib}")
    return connection


def run(connection: apsw.Connection, statement: str, parameters: Any = ()) -> list[Any]:
    """Execute to the end: apsw runs only the first statement of a cursor that nobody consumes."""
    return list(connection.execute(statement, parameters))
