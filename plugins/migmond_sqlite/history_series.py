"""Which series a history.db has: the table, and what the writer remembers of it."""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Sequence

import apsw
import msgspec

from migmond.analytics.rates import Counters
from migmond.domain.decoding import from_json
from migmond.domain.errors import LimitExceeded
from migmond.domain.telemetry import MetricKind, Selection, Series, SeriesInfo, is_shown, is_sound
from migmond_sqlite.connections import run
from migmond_sqlite.history_rows import MAX_NUMBER

SEEN_S = 600.0
"""The time of the last reading is written so often only: else every append wrote a row of every series."""
MAX_SERIES = 200_000
"""A collector that puts something unbounded into a label must not fill the disk."""
_ROOM = 0.9
"""When more of them are there than this part, those that were not read for longest make room for new ones: years of
executions have many series, and the limit is not for them."""
_IDLE_S = 86_400.0
_MADE_ROOM_AT_ONCE = 500

_COLUMNS = "id, metric, labels, kind, unit, every_s, first_at, last_at"


class Known(msgspec.Struct):
    """What the writer remembers of a series."""

    number: int
    weighted: bool
    unit: str
    every_s: float
    first_at: float
    last_at: float


class Register:
    """The writer's view of the table: numbers by series, and the totals of counters. Of one connection; what a
    transaction that failed had made is dropped with the Register."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._known: dict[Series, Known] = {}
        self._count = int(run(connection, "SELECT count(*) FROM series")[0][0])
        self.counters: Counters[int] = Counters(_carried(connection))

    def find(self, series: Series, at: float, every_s: float) -> Known | None:
        """Return the record of a series that is read at `at`, made if there is none; None if it cannot be kept."""
        known = self._known.get(series)
        if known is None:
            if not is_sound(series):
                return None
            known = self._load(series) or self._make(series, at, every_s)
            if known is None:
                return None
            self._known[series] = known
        stale = at >= known.last_at + SEEN_S or at < known.first_at
        if stale or known.every_s != every_s or known.unit != series.unit:
            known.first_at, known.last_at = min(at, known.first_at), max(at, known.last_at)
            known.every_s, known.unit = every_s, series.unit
            run(
                self._connection,
                "UPDATE series SET unit = ?, every_s = ?, first_at = ?, last_at = ? WHERE id = ?",
                (known.unit, every_s, known.first_at, known.last_at, known.number),
            )
        return known

    def _load(self, series: Series) -> Known | None:
        sql = "SELECT id, unit, every_s, first_at, last_at FROM series WHERE metric = ? AND labels = ? AND kind = ?"
        found = run(self._connection, sql, (series.metric, _packed(series), series.kind.value))
        if not found:
            return None
        number, unit, every_s, first_at, last_at = found[0]
        return Known(number, series.kind is MetricKind.COUNTER, unit, every_s, first_at, last_at)

    def _make(self, series: Series, at: float, every_s: float) -> Known | None:
        if self._count >= MAX_SERIES:
            return None
        sql = (
            "INSERT INTO series (metric, labels, kind, execution, unit, every_s, first_at, last_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
        )
        values = (series.metric, _packed(series), series.kind.value, series.execution, series.unit, every_s, at, at)
        (number,) = run(self._connection, sql, values)[0]
        if number > MAX_NUMBER:
            raise ValueError("it has had more series than it can number")
        self._count += 1
        return Known(number, series.kind is MetricKind.COUNTER, series.unit, every_s, at, at)

    def excess(self, now: float) -> list[tuple[int, float, float]]:
        """Return number, first and last time of some series that should make room, those read last the last.

        Args:
            now: wall clock seconds; what was read within a day stays.
        """
        count = min(_MADE_ROOM_AT_ONCE, self._count - int(MAX_SERIES * _ROOM))
        if count <= 0:
            return []
        sql = "SELECT id, first_at, last_at FROM series WHERE last_at < ? ORDER BY last_at LIMIT ?"
        return run(self._connection, sql, (now - _IDLE_S, count))

    def carry(self) -> None:
        """Write the totals of counters; within the transaction that books what they have counted."""
        carried = self.counters.carried()
        body = b"".join(
            (
                array("q", [number for number, _, _ in carried]).tobytes(),
                array("d", [at for _, at, _ in carried]).tobytes(),
                array("d", [total for _, _, total in carried]).tobytes(),
            )
        )
        run(self._connection, "INSERT OR REPLACE INTO carried VALUES (1, ?)", (body,))

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove series whose rows are gone; within a transaction."""
        gone = set(numbers)
        for number in gone:
            run(self._connection, "DELETE FROM series WHERE id = ?", (number,))
        self._count -= len(gone)
        self.counters.forget(gone)
        self._known = {s: known for s, known in self._known.items() if known.number not in gone}

    def tidy(self, than: float) -> None:
        """Forget, in memory, series that were not seen since wall clock `than`."""
        self._known = {s: known for s, known in self._known.items() if known.last_at >= than}


def _carried(connection: apsw.Connection) -> list[tuple[int, float, float]]:
    found = run(connection, "SELECT body FROM carried WHERE id = 1")
    if not found:
        return []
    body: bytes = found[0][0]
    n, rest = divmod(len(body), 24)
    if rest:
        raise ValueError("the totals of its counters are cut off")
    numbers, times, totals = array("q"), array("d"), array("d")
    for column, part in ((numbers, 0), (times, 1), (totals, 2)):
        column.frombytes(body[part * n * 8 : (part + 1) * n * 8])
    return list(zip(numbers, times, totals, strict=True))


def select(
    connection: apsw.Connection,
    selections: Sequence[Selection],
    start: float,
    end: float,
    most: int,
    executions: Container[str] | None,
) -> list[SeriesInfo]:
    """Return the series that are selected and have readings in about that range, by metric and labels.

    Raises:
        LimitExceeded: more than `most`.
    """
    found: dict[int, SeriesInfo] = {}
    for selection in selections:
        sql = f"SELECT {_COLUMNS} FROM series WHERE metric = ? AND first_at <= ? AND last_at >= ?"
        values: list[object] = [selection.metric, end, start - SEEN_S]
        # One execution among those of years: by its own index.
        execution = dict(selection.labels).get("execution", "")
        if execution:
            sql += " AND execution = ?"
            values.append(execution)
        for row in connection.execute(sql, tuple(values)):
            info = _info(row)
            if selection.picks(info.series) and is_shown(info.series.execution, executions):
                found[info.number] = info
                if len(found) > most:
                    raise LimitExceeded(
                        f"more than {most} series match", hint="name labels, or one execution (see history.series)"
                    )
    return sorted(found.values(), key=lambda i: (i.series.metric, i.series.labels))


def page(
    connection: apsw.Connection, metric: str, execution: str, after: int, limit: int, executions: Container[str] | None
) -> list[SeriesInfo]:
    """Return series by ascending number, as `migmond.ports.History.series` has it."""
    sql, values = f"SELECT {_COLUMNS} FROM series WHERE id > ?", [after]
    more: list[str] = []
    for column, wanted in (("metric", metric), ("execution", execution)):
        if wanted:
            sql += f" AND {column} = ?"
            more.append(wanted)
    found: list[SeriesInfo] = []
    for row in connection.execute(sql + " ORDER BY id", (*values, *more)):
        info = _info(row)
        if is_shown(info.series.execution, executions):
            found.append(info)
            if len(found) >= limit:
                break
    return found


def _packed(series: Series) -> str:
    return msgspec.json.encode(series.labels).decode()


def _info(row: tuple[int, str, str, str, str, float, float, float]) -> SeriesInfo:
    number, metric, labels, kind, unit, every_s, first_at, last_at = row
    pairs = from_json(labels, tuple[tuple[str, str], ...])
    return SeriesInfo(number, Series(metric, pairs, MetricKind(kind), unit), every_s, first_at, last_at)
