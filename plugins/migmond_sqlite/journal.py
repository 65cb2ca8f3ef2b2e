"""The Journal on SQLite: one connection writes, one reads, both in worker threads."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw
import trio

from migmond.domain.execution import Execution
from migmond.domain.intervention import Intervention
from migmond.domain.plan import Plan
from migmond.domain.states import TaskState
from migmond.domain.task import CommitGroup, Directory, Task
from migmond.ports import Change, FaultGroup, FaultRecord
from migmond_sqlite import reading, writing
from migmond_sqlite.database import DirectoryLock, damaged_settings, open_reader, open_writer, run, translated

T = TypeVar("T")


class SqliteJournal:
    """Implements `migmond.ports.Journal`. Made by `open_journal`."""

    def __init__(self, path: Path, writer: apsw.Connection, reader: apsw.Connection) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._write_lock = trio.Lock()
        self._read_lock = trio.Lock()

    async def apply(self, changes: Sequence[Change]) -> None:
        def transaction() -> None:
            with translated(self._path, self._writer):
                run(self._writer, "BEGIN IMMEDIATE")
                try:
                    for change in changes:
                        writing.apply(self._writer, change)
                    run(self._writer, "COMMIT")
                except BaseException:
                    if self._writer.in_transaction:
                        run(self._writer, "ROLLBACK")
                    raise

        async with self._write_lock:
            # The thread always runs to its end: a cancelled caller finds the transaction done or not begun.
            await trio.to_thread.run_sync(transaction)

    async def _read(self, query: Callable[..., T], *args: Any) -> T:
        def call() -> T:
            with translated(self._path, self._reader):
                return query(self._reader, *args)

        async with self._read_lock:
            return await trio.to_thread.run_sync(call)

    async def executions(self) -> list[Execution]:
        return await self._read(reading.executions)

    async def find_request(self, request_id: str, uid: int) -> str | None:
        return await self._read(reading.find_request, request_id, uid)

    async def next_key(self) -> int:
        return await self._reserve("key", 1)

    async def next_event(self, reserve: int) -> int:
        return await self._reserve("event", reserve)

    async def _reserve(self, name: str, count: int) -> int:
        def transaction() -> int:
            sql = (
                "INSERT INTO counter VALUES (?1, 1 + ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2"
                " RETURNING value"
            )
            with translated(self._path, self._writer):
                return int(run(self._writer, sql, (name, count))[0][0]) - count

        async with self._write_lock:
            return await trio.to_thread.run_sync(transaction)

    async def last_number(self, key: int) -> int:
        return await self._read(reading.last_number, key)

    async def tasks(
        self,
        key: int,
        *,
        after: int = 0,
        limit: int = 1000,
        states: tuple[TaskState, ...] = (),
        followers: bool | None = None,
        directories: bool | None = None,
    ) -> list[Task]:
        query = functools.partial(reading.tasks, followers=followers, directories=directories)
        return await self._read(query, key, after, limit, states)

    async def directories_backwards(self, key: int, *, before: int, limit: int) -> list[Task]:
        return await self._read(reading.directories_backwards, key, before, limit)

    async def get_tasks(self, key: int, numbers: Sequence[int]) -> dict[int, Task]:
        return await self._read(reading.get_tasks, key, numbers)

    async def places(self, key: int, numbers: Sequence[int]) -> dict[int, Directory]:
        return await self._read(reading.places, key, numbers)

    async def unread_directories(self, key: int, *, after: int = 0, limit: int = 1000) -> list[Directory]:
        return await self._read(reading.marked_directories, key, "unread", after, limit)

    async def touched_directories(self, key: int, *, after: int = 0, limit: int = 1000) -> list[Directory]:
        return await self._read(reading.marked_directories, key, "touched", after, limit)

    async def names_in(self, key: int, directory: int) -> list[bytes]:
        return await self._read(reading.names_in, key, directory)

    async def open_groups(self, key: int) -> list[CommitGroup]:
        return await self._read(reading.open_groups, key)

    async def births(self, key: int, numbers: Sequence[int]) -> dict[int, int]:
        return await self._read(reading.births, key, numbers)

    async def faults(self, key: int, numbers: Sequence[int]) -> dict[int, FaultRecord]:
        return await self._read(reading.faults, key, numbers)

    async def fault_groups(self, key: int) -> list[FaultGroup]:
        return await self._read(reading.fault_groups, key)

    async def interventions(self, execution: str) -> list[Intervention]:
        return await self._read(reading.interventions, execution)

    async def plans(self, uid: int) -> list[tuple[Plan, float]]:
        return await self._read(reading.plans, uid)

    async def check(self) -> list[str]:
        def settings() -> list[str]:
            with translated(self._path, self._writer):
                return damaged_settings(self._writer)

        def rows() -> list[str]:
            # On a connection of its own: it reads the whole file, and the engine's queries must not wait for that.
            with translated(self._path), contextlib.closing(open_reader(self._path)) as connection:
                return reading.check(connection)

        async with self._write_lock:
            found = await trio.to_thread.run_sync(settings)
        return found + await trio.to_thread.run_sync(rows)


@contextlib.asynccontextmanager
async def open_journal(directory: Path) -> AsyncIterator[SqliteJournal]:
    """Open `journal.db` in `directory` (made when missing) for this daemon alone.

    Raises:
        JournalError: another daemon has it, it was written by a newer version, or a setting did not take.
        JournalDamaged: it is there but not whole; nothing is replaced.
        JournalFull: no room.
    """

    def opening() -> tuple[DirectoryLock, apsw.Connection, apsw.Connection]:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = DirectoryLock(directory)
        try:
            path = directory / "journal.db"
            writer = open_writer(path)
            try:
                return lock, writer, open_reader(path)
            except BaseException:
                writer.close()
                raise
        except BaseException:
            lock.release()
            raise

    lock, writer, reader = await trio.to_thread.run_sync(opening)
    try:
        yield SqliteJournal(directory / "journal.db", writer, reader)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_close, lock, writer, reader)


def _close(lock: DirectoryLock, writer: apsw.Connection, reader: apsw.Connection) -> None:
    reader.close()
    writer.close()
    lock.release()
