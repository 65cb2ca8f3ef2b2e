"""Storage on SQLite: the journal that comes with migmond, registered like anybody's plugin."""

from migmond_sqlite.journal import SqliteJournal, open_journal

__all__ = ["SqliteJournal", "open_journal"]
