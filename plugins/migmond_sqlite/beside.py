"""Numbers about tasks, side by side: one row holds those of many neighbours.

What nearly every file has one of is written so a batch at a time: a thousand files touch a few rows, where a row for
each costs more than the file's own. 0 stands for none.

A row's id is the execution's key and the number of the first of the neighbours, as a task's is; its body is an array,
little-endian, which may end before the last of them.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence

import apsw
import msgspec

from migmond_sqlite.connections import run
from migmond_sqlite.schema import NUMBER_MASK

_MANY = 500
"""Ids in one IN list."""


class Column(msgspec.Struct, frozen=True):
    """Attributes:
    table: where it is.
    typecode: of the array: b for one byte, q for eight.
    neighbours: tasks that a row holds, a power of two: a row is 1 or 2 KiB, so that few bytes are written for what
        comes alone, and several rows fit a page.
    """

    table: str
    typecode: str
    neighbours: int


BIRTHS = Column("births", "q", 256)
"""Nanoseconds since the epoch."""
KINDS = Column("file_kinds", "B", 1024)
"""A FileKind and one more."""


def put(db: apsw.Connection, column: Column, base: int, numbers: Iterable[tuple[int, int]]) -> None:
    """Keep, for each task number of the execution whose ids begin at `base`, what goes with it; the last word counts.

    Raises:
        OverflowError: the column's type does not hold one; nothing is kept.
    """
    rows: dict[int, array[int]] = {}
    whole, end, first = column.neighbours, -1, 0
    row = array(column.typecode)
    for number, value in numbers:  # they come in runs
        if not first <= number < end:
            first = number - number % whole
            end = first + whole
            if first not in rows:
                rows[first] = _row(db, column, base | first)
            row = rows[first]
        row[number - first] = value
    if rows:
        sql = f"INSERT OR REPLACE INTO {column.table} VALUES (?,?)"
        db.executemany(sql, [(base | first, _as_bytes(row)) for first, row in rows.items()])


def get(db: apsw.Connection, column: Column, base: int, numbers: Sequence[int]) -> dict[int, int]:
    """Return what is kept of these tasks, by number."""
    whole = column.neighbours
    firsts = sorted({number - number % whole for number in numbers})
    rows: dict[int, array[int]] = {}
    for start in range(0, len(firsts), _MANY):
        ids = [base | first for first in firsts[start : start + _MANY]]
        sql = f"SELECT id, body FROM {column.table} WHERE id IN ({','.join('?' * len(ids))})"
        rows |= {id_ & NUMBER_MASK: _as_array(column, body) for id_, body in db.execute(sql, ids)}
    found: dict[int, int] = {}
    for number in numbers:
        at = number % whole
        row = rows.get(number - at)
        if row is not None and at < len(row) and row[at]:
            found[number] = row[at]
    return found


def cut(db: apsw.Connection, column: Column, after: int, end: int) -> None:
    """Forget what is kept of the tasks with `after` < id <= `end`, the highest that there are."""
    run(db, f"DELETE FROM {column.table} WHERE id > ? AND id <= ?", (after, end))
    at = (after & NUMBER_MASK) % column.neighbours
    length = (at + 1) * array(column.typecode).itemsize
    run(db, f"UPDATE {column.table} SET body = substr(body, 1, ?) WHERE id = ?", (length, after - at))


def _row(db: apsw.Connection, column: Column, id_: int) -> array[int]:
    found = run(db, f"SELECT body FROM {column.table} WHERE id=?", (id_,))
    row = _as_array(column, found[0][0]) if found else array(column.typecode)
    row.extend([0] * (column.neighbours - len(row)))
    return row


def _as_array(column: Column, body: bytes) -> array[int]:
    row = array(column.typecode, body)
    if sys.byteorder == "big":
        row.byteswap()
    return row


def _as_bytes(row: array[int]) -> bytes:
    if sys.byteorder == "big":
        row = row[:]
        row.byteswap()
    body = row.tobytes().rstrip(b"\0")  # a migration of three files keeps three
    return body + bytes(-len(body) % row.itemsize)
