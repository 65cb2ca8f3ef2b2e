"""Both histories keep every promise."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from migmond.plugin_api.history_conformance import DurableHistoryConformance, HistoryConformance
from migmond.plugin_api.memory_history import open_memory_history
from migmond.ports import (
    History,
)
from migmond_sqlite import open_history


class TestSqlite(DurableHistoryConformance):
    def open(self, directory: Path) -> AbstractAsyncContextManager[History]:
        return open_history(directory)


class TestMemory(HistoryConformance):
    def open(self, directory: Path) -> AbstractAsyncContextManager[History]:
        return open_memory_history()
