"""Storage on SQLite: the journal and the history that come with migmond, registered like anybody's plugin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from migmond.plugin_api import StorageSpec, hookimpl
from migmond_sqlite.history import SqliteHistory, open_history
from migmond_sqlite.journal import SqliteJournal, open_journal
from migmond_sqlite.restore import restore


@hookimpl
def migmond_storages(settings: Any) -> Iterable[StorageSpec]:
    """Register the storage `sqlite`: journal.db and history.db in the state directory."""
    return [
        StorageSpec(
            "sqlite",
            lambda context: open_journal(context.state_directory, context.ballast_bytes),
            lambda context, source: restore(context.state_directory, source),
            lambda context: open_history(context.state_directory, context.keep_s, context.spare_bytes),
        )
    ]


__all__ = ["SqliteHistory", "SqliteJournal", "migmond_storages", "open_history", "open_journal", "restore"]
