"""Rows of a table as CSV and as JSON lines. Both are made line by line, so that any number of rows fits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

import msgspec

from migmond.analytics.schemas import Column, Kind, Row, Table, Value
from migmond.analytics.times import time_text
from migmond.domain.errors import InvalidInput
from migmond.domain.names import to_text

_GUARD = "'"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", _GUARD)
"""A cell that begins with one of these may run as a formula in a spreadsheet (OWASP, "CSV Injection"; East Asian
editions read the wide forms as the narrow ones). The guard itself is one of them so that it can be taken off again."""

_QUOTED = re.compile(r'[,"\r\n]|^\s|\s$')
"""What needs quotes; space at either end does because readers may strip it."""

MAX_INTEGER = 2**63 - 1


def plain(column: Column, value: Value) -> str | int | float | bool | None:
    """Return a value as its column has it: path text, RFC 3339 times; None for empty and for what is no number.

    Raises:
        InvalidInput: it is of another type than its column.
    """
    if value is None:
        return None
    kind = column.kind
    if kind is Kind.PATH and isinstance(value, bytes):
        return to_text(value)
    if kind is Kind.TEXT and isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()  # a lone surrogate is no text
    if kind is Kind.BOOLEAN and isinstance(value, bool):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind is Kind.INTEGER and isinstance(value, int) and -MAX_INTEGER <= value <= MAX_INTEGER:
            return value
        if kind in (Kind.NUMBER, Kind.TIME):
            if not math.isfinite(value):
                return None
            return float(value) if kind is Kind.NUMBER else _time(column, value)
    raise InvalidInput(f"column {column.name} holds {kind.value}, not {value!r}")


def _time(column: Column, value: float) -> str:
    try:
        return time_text(value)
    except (ValueError, OverflowError, OSError) as e:
        raise InvalidInput(f"column {column.name}: {value!r} is not in the years 1 to 9999") from e


def plain_row(table: Table, row: Row) -> list[str | int | float | bool | None]:
    """Return a row as its table has it.

    Raises:
        InvalidInput: too few or too many values, or one of another type.
    """
    if len(row) != len(table.columns):
        raise InvalidInput(f"table {table.name} has {len(table.columns)} columns, not {len(row)}")
    return [plain(column, value) for column, value in zip(table.columns, row, strict=True)]


def csv_lines(table: Table, rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield a header and one record for each row, in UTF-8, as RFC 4180 has it: CRLF, quotes doubled.

    Empty is an empty field. Text and paths that a spreadsheet could take for a formula get an apostrophe in front, and
    so do those that have one: `unguarded` takes it off. Numbers stand as they are, negative ones too.

    Raises:
        InvalidInput: a row does not fit the table.
    """
    yield (",".join(_csv_text(name) for name in table.names()) + "\r\n").encode()
    for row in rows:
        yield (",".join(_csv_field(value) for value in plain_row(table, row)) + "\r\n").encode()


def _csv_field(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _csv_text(guarded(value)) if isinstance(value, str) else repr(value)


def _csv_text(text: str) -> str:
    if _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def guarded(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return _GUARD + text if text.startswith(_FORMULA) else text


def unguarded(text: str) -> str:
    """Return what `guarded` was given."""
    return text.removeprefix(_GUARD)


def json_lines(table: Table, rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield one JSON object a row, by names of columns; empty is null.

    Raises:
        InvalidInput: a row does not fit the table.
    """
    names = table.names()
    encoder = msgspec.json.Encoder()
    for row in rows:
        yield encoder.encode(dict(zip(names, plain_row(table, row), strict=True))) + b"\n"
