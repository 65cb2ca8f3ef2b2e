"""Storage on SQLite: the journal that comes with migmond, registered like anybody's plugin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from migmond.plugin_api import StorageSpec, hookimpl
from migmond_sqlite.journal import SqliteJournal, open_journal
from migmond_sqlite.restore import restore


@hookimpl
def migmond_storages(settings: Any) -> Iterable[StorageSpec]:
    """Register the storage `sqlite`: journal.db in the state directory."""
    return [
        StorageSpec(
            "sqlite",
            lambda context: open_journal(context.state_directory, context.ballast_bytes),
            lambda context, source: restore(context.state_directory, source),
        )
    ]


__all__ = ["SqliteJournal", "migmond_storages", "open_journal", "restore"]
