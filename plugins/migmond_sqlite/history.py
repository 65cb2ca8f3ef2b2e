"""The History on SQLite: history.db, one connection that writes, one that reads, both in worker threads."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import apsw
import trio

from migmond.analytics import rollup, tiers
from migmond.analytics.rates import CARRY_S
from migmond.domain.errors import HistoryError
from migmond.domain.telemetry import (
    MAX_AT,
    MAX_TEXT,
    Annotation,
    Batch,
    Chart,
    HistoryCondition,
    HistorySize,
    Selection,
    SeriesInfo,
    is_shown,
    is_value,
)
from migmond.domain.units import show_size
from migmond_sqlite import history_rows as rows
from migmond_sqlite import history_series
from migmond_sqlite.connections import run
from migmond_sqlite.history_file import HistoryDamaged, HistoryLock, open_reader, open_writer, set_aside, translated
from migmond_sqlite.history_series import SEEN_S, Register

_FORGOTTEN_S = 3600.0
"""A series not seen for so long is looked up again when it comes back."""
_VACUUM_AT = 4
"""When a quarter of the file is unused, it is made smaller; less is filled again soon."""
_VACUUMED_PAGES = 2000

T = TypeVar("T")


class _Files:
    """The open file: both connections and what the writer remembers."""

    def __init__(self, path: Path) -> None:
        self.lock = HistoryLock(path.parent)
        try:
            self.writer = open_writer(path)
            try:
                with translated(path, self.writer):
                    self.register = Register(self.writer)
                    self.marks = rows.read_marks(self.writer)
                self.reader = open_reader(path)
            except BaseException:
                self.writer.close()
                raise
        except BaseException:
            self.lock.release()
            raise

    def close(self) -> None:
        for connection in (self.reader, self.writer):
            # By force: what a broken disk or a damaged file does not take now, it never will.
            connection.close(True)  # noqa: FBT003 (apsw's own signature)
        self.lock.release()


class SqliteHistory:
    """Implements `migmond.ports.History`. Made by `open_history`.

    Its file is opened when it is first needed and again after it failed: a disk that is full when the daemon starts
    costs telemetry only until there is room.
    """

    def __init__(self, path: Path, keep_s: Mapping[int, float], spare_bytes: int) -> None:
        self._path = path
        self._keep_s = keep_s
        self._spare_bytes = spare_bytes
        self._files: _Files | None = None
        self._write_lock = trio.Lock()
        self._read_lock = trio.Lock()
        self._trouble = ""
        self._lost = ""

    # --- writing -----------------------------------------------------------------------------------

    async def append(self, batches: Sequence[Batch], annotations: Sequence[Annotation] = ()) -> int:
        def call(files: _Files) -> int:
            self._look_for_room()
            left_out = self._transaction(files, lambda: _book(files, batches, annotations))
            while (piece := rows.next_piece(files.writer, files.marks)) is not None:
                self._transaction(files, lambda p=piece: rows.roll_up(files.writer, *p))  # type: ignore[misc]
            return left_out

        return await self._write(call)

    async def forget(self, execution: str) -> None:
        def call(files: _Files) -> None:
            writer = files.writer
            sql = "SELECT id, first_at, last_at FROM series WHERE execution = ?"
            for found in run(writer, sql, (execution,)):
                self._transaction(files, functools.partial(_remove_series, files, *found))
            self._transaction(
                files, lambda: run(writer, "DELETE FROM annotation WHERE execution = ?", (execution,)) and None
            )

        await self._write(call)

    async def prune(self, now: float) -> None:
        more = True
        while more:
            more = await self._write(
                lambda files: self._transaction(
                    files, lambda: rows.prune_piece(files.writer, files.marks, self._keep_s, now)
                )
            )

        def rest(files: _Files) -> None:
            self._transaction(files, lambda: _prune_series(files, now))
            for found in files.register.excess(now):
                self._transaction(files, functools.partial(_remove_series, files, *found))
            unused, pages = (run(files.writer, f"PRAGMA {p}")[0][0] for p in ("freelist_count", "page_count"))
            if unused * _VACUUM_AT > pages:
                run(files.writer, f"PRAGMA incremental_vacuum({_VACUUMED_PAGES})")

        await self._write(rest)

    def _look_for_room(self) -> None:
        if self._spare_bytes:
            stat = os.statvfs(self._path.parent)
            if stat.f_bavail * stat.f_frsize < self._spare_bytes:
                raise HistoryError(
                    f"telemetry is not kept: less than {show_size(self._spare_bytes)} are free in {self._path.parent}",
                    hint="make room there; what is left is for the journal",
                )

    def _transaction(self, files: _Files, change: Callable[[], T]) -> T:
        run(files.writer, "BEGIN IMMEDIATE")
        try:
            result = change()
            run(files.writer, "COMMIT")
        except BaseException:
            if files.writer.in_transaction:
                run(files.writer, "ROLLBACK")
            # What it remembers may speak of what was rolled back.
            files.register = Register(files.writer)
            raise
        files.marks = rows.read_marks(files.writer)
        return result

    async def _write(self, call: Callable[[_Files], T]) -> T:
        def attempt() -> T:
            try:
                files = self._opened()
                with translated(self._path, files.writer):
                    result = call(files)
            except HistoryError as e:
                self._trouble = e.message
                raise
            self._trouble = ""
            return result

        async with self._write_lock:
            try:
                # The thread always runs to its end: a cancelled caller finds the transaction done or not begun.
                return await trio.to_thread.run_sync(attempt)
            except HistoryDamaged as e:
                with trio.CancelScope(shield=True):
                    async with self._read_lock:
                        await trio.to_thread.run_sync(self._begin_afresh, e)
                raise

    # --- reading -----------------------------------------------------------------------------------

    async def query(
        self,
        selections: Sequence[Selection],
        start: float,
        end: float,
        points: int,
        *,
        most_series: int,
        executions: Container[str] | None = None,
    ) -> Chart:
        def call(reader: apsw.Connection) -> Chart:
            found = history_series.select(reader, selections, start, end, most_series, executions)
            return _chart(reader, found, start, end, points)

        return await self._read(call)

    async def series(
        self,
        *,
        metric: str = "",
        execution: str = "",
        after: int = 0,
        limit: int = 1000,
        executions: Container[str] | None = None,
    ) -> list[SeriesInfo]:
        return await self._read(lambda reader: history_series.page(reader, metric, execution, after, limit, executions))

    async def annotations(
        self, start: float, end: float, *, limit: int, executions: Container[str] | None = None
    ) -> list[Annotation]:
        def call(reader: apsw.Connection) -> list[Annotation]:
            sql = "SELECT at, kind, execution, text FROM annotation WHERE at >= ? AND at < ? ORDER BY at DESC, id DESC"
            found: list[Annotation] = []
            for row in reader.execute(sql, (start, end)):
                if is_shown(row[2], executions):
                    found.append(Annotation(*row))
                    if len(found) >= limit:
                        break
            return found[::-1]

        return await self._read(call)

    async def size(self) -> HistorySize:
        def call(reader: apsw.Connection) -> HistorySize:
            on_disk = 0
            for suffix in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    on_disk += os.stat(f"{self._path}{suffix}").st_size
            (series,) = run(reader, "SELECT count(*) FROM series")[0]
            return HistorySize(on_disk, series, rows.counts(reader))

        return await self._read(call)

    async def _read(self, call: Callable[[apsw.Connection], T]) -> T:
        if self._files is None:
            # Opening is the writer's work: as a transaction that does nothing.
            await self._write(lambda files: None)

        def attempt(files: _Files) -> T:
            with translated(self._path, files.reader):
                run(files.reader, "BEGIN")  # marks and rows of one moment
                try:
                    return call(files.reader)
                finally:
                    if files.reader.in_transaction:
                        run(files.reader, "COMMIT")

        async with self._read_lock:
            files = self._files
            if files is None:
                raise HistoryError(self._trouble or "the history is closed")
            try:
                return await trio.to_thread.run_sync(attempt, files)
            except HistoryDamaged as e:
                damage = e
        with trio.CancelScope(shield=True):
            async with self._write_lock, self._read_lock:
                if self._files is files:  # nobody else has met it meanwhile
                    await trio.to_thread.run_sync(self._begin_afresh, damage)
        raise damage

    # --- the file ----------------------------------------------------------------------------------

    def condition(self) -> HistoryCondition:
        return HistoryCondition(self._trouble, self._lost)

    def _opened(self) -> _Files:
        if self._files is None:
            try:
                self._files = _Files(self._path)
            except HistoryDamaged as e:
                self._begin_afresh(e)
        assert self._files is not None
        return self._files

    def _begin_afresh(self, damage: HistoryDamaged) -> None:
        """Set the damaged file aside and make a new one; both locks are held.

        Raises:
            HistoryError: that cannot be done now.
        """
        self._close()
        aside = set_aside(self._path)
        self._lost = f"{damage.message}; it was set aside as {aside} and the history begun afresh"
        self._files = _Files(self._path)
        self._trouble = ""

    def _close(self) -> None:
        if self._files is not None:
            self._files.close()
            self._files = None

    async def opening(self) -> None:
        """Open the file; what is in the way is told by `condition` and by whoever needs it."""
        with contextlib.suppress(HistoryError):
            await self._write(lambda files: None)

    async def closing(self) -> None:
        """Close the file. Nothing may be called any more."""
        async with self._write_lock, self._read_lock:
            await trio.to_thread.run_sync(self._close)


def _book(files: _Files, batches: Sequence[Batch], annotations: Sequence[Annotation]) -> int:
    register, left_out = files.register, 0
    buckets: defaultdict[int, list[tuple[int, rollup.Stat]]] = defaultdict(list)
    weighted: dict[int, bool] = {}
    newest = files.marks.newest
    for batch in batches:
        if not batch.has_time:
            left_out += len(batch.readings)
            continue
        at, every_s = batch.at, batch.every_s
        index = int(at // tiers.WIDTHS_S[0])
        newest = max(newest, at)
        for reading in batch.readings:
            value = reading.value
            known = register.find(reading.series, at, every_s) if is_value(value) else None
            if known is None:
                left_out += 1
                continue
            number = known.number
            weighted[number] = known.weighted
            if not known.weighted:
                buckets[number].append((index, (value, value, value, 1.0, 1)))
            elif (rate := register.counters.rate(number, at, value, every_s)) is not None:
                buckets[number].append((index, rollup.of_value(*rate)))
    for number, stats in buckets.items():
        rows.record(files.writer, files.marks, number, rollup.points_of(stats), weighted=weighted[number])
    if any(weighted.values()):
        register.carry()
    if newest != files.marks.newest:
        rows.write_mark(files.writer, "newest", newest)
    for note in annotations:
        if math.isfinite(note.at) and 0 <= note.at < MAX_AT:
            values = (note.at, note.kind, note.execution, note.text[:MAX_TEXT])
            run(files.writer, "INSERT INTO annotation (at, kind, execution, text) VALUES (?, ?, ?, ?)", values)
        else:
            left_out += 1
    return left_out


def _remove_series(files: _Files, number: int, first_at: float, last_at: float) -> None:
    for tier, kept in enumerate(files.marks.kept):
        rows.remove(files.writer, tier, number, max(first_at, kept), last_at + SEEN_S)
    files.register.remove([number])
    files.register.carry()


def _prune_series(files: _Files, now: float) -> None:
    horizon = rows.read_marks(files.writer).kept[-1]
    gone = run(files.writer, "SELECT id FROM series WHERE last_at < ?", (horizon - SEEN_S,))
    files.register.remove(number for (number,) in gone)
    files.register.counters.drop_older(now - CARRY_S)
    files.register.carry()
    files.register.tidy(now - _FORGOTTEN_S)
    run(files.writer, "DELETE FROM annotation WHERE at < ?", (horizon,))


def _chart(reader: apsw.Connection, found: Sequence[SeriesInfo], start: float, end: float, points: int) -> Chart:
    marks = rows.read_marks(reader)
    tier = tiers.choose(start, end, points, tiers.WIDTHS_S, marks.kept)
    width = tiers.WIDTHS_S[tier]
    on = tiers.grid(start, end, points, width)
    curves = []
    for info in found:
        # Beyond the ends as far as what is there may say what is within; not where it has nothing.
        far = rollup.reach(info.every_s, on.step_s)
        first = max(on.first - far, int(info.first_at // on.step_s))
        last = min(on.first + on.count + far, int((info.last_at + SEEN_S) // on.step_s) + 1)
        if first >= last:
            continue
        there = rows.read_on(reader, tier, info.number, tiers.Grid(first, on.step_s, last - first), marks)
        drawn = rollup.curve(info.series, there, on, info.every_s, min(end, marks.newest))
        if drawn is not None:
            curves.append(drawn)
    return Chart(float(on.start), float(on.step_s), float(width), on.count, tuple(curves))


@contextlib.asynccontextmanager
async def open_history(
    directory: Path, keep_s: Mapping[int, float] | None = None, spare_bytes: int = 0
) -> AsyncIterator[SqliteHistory]:
    """Open `history.db` in `directory` (made when missing). What is in the way is no error: see `condition`.

    Args:
        keep_s: seconds that each tier is kept, by its width; None for the defaults.
        spare_bytes: with less room than this on the file system nothing is recorded.
    """
    kept = keep_s or dict(zip(tiers.WIDTHS_S, tiers.KEEP_S, strict=True))
    history = SqliteHistory(directory / "history.db", kept, spare_bytes)
    await history.opening()
    try:
        yield history
    finally:
        with trio.CancelScope(shield=True):
            await history.closing()
