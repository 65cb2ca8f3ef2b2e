"""The Journal on SQLite: one connection writes, one reads, both in worker threads."""

from __future__ import annotations

import contextlib
import functools
import time
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec
import trio

from migmond.domain.alert import Alert, AlertFilter, AlertRule, Delivery, Silence
from migmond.domain.changes import (
    Change,
    ReceiptSeal,
)
from migmond.domain.columns import Columns
from migmond.domain.errors import JournalDamaged, JournalFull
from migmond.domain.execution import Execution
from migmond.domain.file_kinds import FileKind
from migmond.domain.intervention import Intervention
from migmond.domain.journal import FaultGroup, FaultRecord, JournalBackup, JournalCondition, Sift
from migmond.domain.plan import Plan
from migmond.domain.session import SessionRecord
from migmond.domain.states import TaskState
from migmond.domain.steering import Order
from migmond.domain.task import CommitGroup, Directory, Task
from migmond.domain.timeline import Milestone
from migmond_sqlite import alerts, backup, copy_times, reading, writing
from migmond_sqlite.ballast import Ballast
from migmond_sqlite.checksums import page_count
from migmond_sqlite.connections import run
from migmond_sqlite.damage import damage, damage_on_disk, flag, victims
from migmond_sqlite.database import DirectoryLock, damaged_settings, open_reader, open_writer, translated

_PAGES_AT_A_TIME = 4096
"""16 MiB, 5 ms when they are in the cache: so long a transaction may wait for a check."""

T = TypeVar("T")


class SqliteJournal:
    """Implements `migmond.ports.Journal`. Made by `open_journal`."""

    def __init__(self, path: Path, writer: apsw.Connection, reader: apsw.Connection, ballast: Ballast) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._ballast = ballast
        self._write_lock = trio.Lock()
        self._read_lock = trio.Lock()
        self._backup_lock = trio.Lock()
        self._damage: JournalDamaged | None = None
        self._damaged = trio.Event()
        self._changed = True

    async def apply(self, changes: Sequence[Change]) -> None:
        def transaction() -> None:
            run(self._writer, "BEGIN IMMEDIATE")
            try:
                for change in changes:
                    writing.apply(self._writer, change)
                run(self._writer, "COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    run(self._writer, "ROLLBACK")
                raise

        await self._write(transaction)

    async def _write(self, transaction: Callable[[], T]) -> T:
        """Carry `transaction` out, with the ballast's room if there is no other."""

        def attempt() -> T:
            with translated(self._path, self._writer):
                return transaction()

        def call() -> T:
            try:
                return attempt()
            except JournalFull as e:
                if not self._ballast.give_up(e.message):
                    raise
                return attempt()

        async with self._write_lock:
            if self._damage is not None:
                raise self._met_damage()
            self._changed = True
            # The thread always runs to its end: a cancelled caller finds the transaction done or not begun.
            return await self._in_thread(call)

    async def _read(self, query: Callable[..., T], *args: Any) -> T:
        def call() -> T:
            with translated(self._path, self._reader):
                try:
                    return query(self._reader, *args)
                except (msgspec.MsgspecError, IndexError) as e:  # what no checksum covered: an older version wrote it
                    raise damage(self._path, f"a row makes no sense: {e}") from e

        async with self._read_lock:
            return await self._in_thread(call)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread; whoever meets damage there tells everybody, and the next start."""

        def noting() -> T:
            try:
                return call()
            except JournalDamaged as e:
                flag(self._path, e.message)
                raise

        try:
            return await trio.to_thread.run_sync(noting)
        except JournalDamaged as e:
            self._damage = self._damage or e
            self._damaged.set()
            raise

    async def executions(self) -> list[Execution]:
        return await self._read(reading.executions)

    async def find_request(self, request_id: str, uid: int) -> str | None:
        return await self._read(reading.find_request, request_id, uid)

    async def next_key(self) -> int:
        return await self._reserve("key", 1)

    async def next_event(self, reserve: int) -> int:
        return await self._reserve("event", reserve)

    async def next_id(self, kind: str, reserve: int) -> int:
        return await self._reserve(f"id {kind}", reserve)

    async def _reserve(self, name: str, count: int) -> int:
        def transaction() -> int:
            sql = (
                "INSERT INTO counter VALUES (?1, 1 + ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2"
                " RETURNING value"
            )
            return int(run(self._writer, sql, (name, count))[0][0]) - count

        return await self._write(transaction)

    async def forgotten(self) -> list[int]:
        return await self._read(reading.forgotten)

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
        sift: Sift | None = None,
    ) -> list[Task]:
        query = functools.partial(reading.tasks, followers=followers, directories=directories, sift=sift)
        return await self._read(query, key, after, limit, states)

    async def pending(self, key: int, *, after: int = 0, limit: int = 1000, followers: bool = False) -> Columns:
        return await self._read(functools.partial(reading.pending, followers=followers), key, after, limit)

    async def line_up(self, key: int, order: Order) -> array[int]:
        def call() -> array[int]:
            # On a connection of its own: it sorts millions, and the engine's queries must not wait for that.
            with translated(self._path), contextlib.closing(open_reader(self._path)) as connection:
                return reading.line_up(connection, key, order)

        return await self._in_thread(call)

    async def left_out(self, key: int) -> dict[str, int]:
        return await self._read(reading.left_out, key)

    async def left_out_by(self, key: int, by: str, *, after: int = 0, limit: int = 1000) -> list[Task]:
        return await self._read(reading.left_out_by, key, by, after, limit)

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

    async def sent_to(self, key: int, numbers: Sequence[int]) -> dict[int, int]:
        return await self._read(reading.sent_to, key, numbers)

    async def sent_directories(
        self, key: int, *, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> list[tuple[int, int]]:
        return await self._read(reading.sent_directories, key, after, limit)

    async def sent_unfinished(self, key: int, of: int) -> list[tuple[int, int]]:
        return await self._read(reading.sent_unfinished, key, of)

    async def leaders(self, key: int, device: int, inodes: Sequence[int]) -> dict[int, int]:
        return await self._read(reading.leaders, key, device, inodes)

    async def names_in(self, key: int, directory: int) -> list[bytes]:
        return await self._read(reading.names_in, key, directory)

    async def open_groups(self, key: int) -> list[CommitGroup]:
        return await self._read(reading.open_groups, key)

    async def births(self, key: int, numbers: Sequence[int]) -> dict[int, int]:
        return await self._read(reading.births, key, numbers)

    async def kinds(self, key: int, numbers: Sequence[int]) -> dict[int, FileKind]:
        return await self._read(reading.kinds, key, numbers)

    async def copy_times(self, key: int, numbers: Sequence[int]) -> dict[int, int]:
        return await self._read(copy_times.read, key, numbers)

    async def sessions(self, *, after: int = 0, limit: int = 1000) -> list[SessionRecord]:
        return await self._read(reading.sessions, after, limit)

    async def session(self, key: int) -> SessionRecord | None:
        return await self._read(reading.session, key)

    async def seals(self, key: int) -> list[ReceiptSeal]:
        return await self._read(reading.seals, key)

    async def breakdown(self, key: int) -> bytes:
        return await self._read(reading.breakdown, key)

    async def milestones(self, key: int) -> list[Milestone]:
        return await self._read(reading.milestones, key)

    async def faults(self, key: int, numbers: Sequence[int]) -> dict[int, FaultRecord]:
        return await self._read(reading.faults, key, numbers)

    async def fault_groups(self, key: int) -> list[FaultGroup]:
        return await self._read(reading.fault_groups, key)

    async def interventions(self, execution: str) -> list[Intervention]:
        return await self._read(reading.interventions, execution)

    async def deliveries(self, alert: str = "", *, settled: bool | None = None, limit: int = 1000) -> list[Delivery]:
        return await self._read(reading.deliveries, alert, settled, limit)

    async def plans(self, uid: int) -> list[tuple[Plan, float]]:
        return await self._read(reading.plans, uid)

    async def alert_rules(self) -> list[AlertRule]:
        return await self._read(alerts.rules)

    async def open_alerts(self) -> list[Alert]:
        return await self._read(alerts.open_alerts)

    async def past_alerts(self, which: AlertFilter, limit: int) -> list[Alert]:
        return await self._read(alerts.past_alerts, which, limit)

    async def silences(self) -> list[Silence]:
        return await self._read(alerts.silences)

    def condition(self) -> JournalCondition:
        return JournalCondition(
            self._damage.message if self._damage is not None else "", self._ballast.short, self._ballast.missing
        )

    async def room(self) -> str:
        if self._ballast.short:
            async with self._write_lock:
                await trio.to_thread.run_sync(self._ballast.make)
        return self._ballast.short

    async def until_damaged(self) -> JournalDamaged:
        await self._damaged.wait()
        return self._met_damage()

    async def backup(self, keep: int) -> JournalBackup:
        def call() -> JournalBackup:
            # On a connection of its own: the engine's queries must not wait for it.
            with translated(self._path), contextlib.closing(open_reader(self._path)) as connection:
                return backup.make(connection, self._path, keep, time.time())

        async with self._backup_lock:
            self._changed = False
            try:
                return await self._in_thread(call)
            except BaseException:
                self._changed = True
                raise

    async def backups(self) -> list[JournalBackup]:
        return await trio.to_thread.run_sync(backup.found, self._path)

    def changed_since_backup(self) -> bool:
        return self._changed

    async def check(self) -> list[str]:
        found = await self._on_disk()

        def rows() -> list[str]:
            # On a connection of its own: it reads the whole file, and the engine's queries must not wait for that.
            with translated(self._path), contextlib.closing(open_reader(self._path)) as connection:
                try:
                    wrong = reading.check(connection)
                except (apsw.CorruptError, apsw.IOError) as e:
                    wrong = [f"SQLite: {e}"]
                except (msgspec.MsgspecError, TypeError) as e:  # a whole page is where another should be
                    wrong = [f"a row makes no sense: {e}"]
                return wrong + (victims(connection) if found or wrong else [])

        wrong = await trio.to_thread.run_sync(rows)
        if found:
            await self._met(damage(self._path, "; ".join(found)))
        async with self._write_lock:
            settings = await trio.to_thread.run_sync(damaged_settings, self._writer)
        return [*settings, *found, *wrong]

    async def _on_disk(self) -> list[str]:
        """Look at every page, a piece at a time: writers wait, as a checkpoint must not write while they are read."""
        found: list[str] = []
        with translated(self._path), contextlib.closing(open_reader(self._path)) as connection:
            last: int | None = 0
            while last is not None:
                first, last = last + 1, last + _PAGES_AT_A_TIME
                async with self._write_lock:
                    if last >= page_count(self._path):
                        last = None
                    found += await trio.to_thread.run_sync(damage_on_disk, self._path, connection, first, last)
        return found

    def _met_damage(self) -> JournalDamaged:
        """Return an error of its own for whoever raises it."""
        assert self._damage is not None
        return JournalDamaged(self._damage.message, hint=self._damage.hint)

    async def _met(self, error: JournalDamaged) -> None:
        await trio.to_thread.run_sync(flag, self._path, error.message)
        self._damage = self._damage or error
        self._damaged.set()


@contextlib.asynccontextmanager
async def open_journal(directory: Path, ballast_bytes: int = 0) -> AsyncIterator[SqliteJournal]:
    """Open `journal.db` in `directory` (made when missing) for this daemon alone.

    Args:
        ballast_bytes: how much room to keep for a full disk.

    Raises:
        JournalError: another daemon has it, it cannot be made, it was written by a newer version, or a setting did not
            take.
        JournalDamaged: it is there but not whole; nothing is replaced.
        JournalFull: no room.
    """
    path = directory / "journal.db"
    ballast = Ballast(directory / "journal.ballast", ballast_bytes)

    def opening() -> tuple[DirectoryLock, apsw.Connection, apsw.Connection]:
        lock = DirectoryLock(directory)
        try:
            try:
                writer = open_writer(path)
            except JournalFull as e:
                if not ballast.give_up(e.message):
                    raise
                writer = open_writer(path)
            try:
                ballast.make()
                return lock, writer, open_reader(path)
            except BaseException:
                writer.close()
                raise
        except BaseException:
            lock.release()
            raise

    lock, writer, reader = await trio.to_thread.run_sync(opening)
    try:
        yield SqliteJournal(path, writer, reader, ballast)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_close, lock, writer, reader)


def _close(lock: DirectoryLock, writer: apsw.Connection, reader: apsw.Connection) -> None:
    reader.close()
    writer.close()
    lock.release()
