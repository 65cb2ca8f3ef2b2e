"""Fetches exports, page by page: memory does not grow with the table. Parquet is made here, from JSON lines."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from migmond.analytics.parquet import write_parquet
from migmond.analytics.schemas import Column, Kind, Row, Table, Value, table, tables
from migmond.client.sync import Client
from migmond.domain.decoding import from_json
from migmond.domain.errors import InvalidInput, ProtocolError
from migmond.domain.names import from_text
from migmond.domain.report import ExportPage, ExportParams


def table_names() -> tuple[str, ...]:
    """Return the names of what can be exported."""
    return tuple(t.name for t in tables())


def pages(client: Client, params: ExportParams) -> Iterator[ExportPage]:
    """Yield all pages, from `params.after` on.

    Raises:
        RemoteError: the daemon refused.
        Unreachable: the connection broke.
    """
    while True:
        page = client.call("report.export", params, ExportPage)
        yield page
        if page.next is None:
            return
        params = msgspec.structs.replace(params, after=page.next)


def parquet_of(client: Client, params: ExportParams, sink: BinaryIO) -> int:
    """Write a table as Parquet; return how many rows.

    Raises:
        Unavailable: pyarrow is not installed.
        InvalidInput: there is no such table.
        ProtocolError: what the daemon sent is no such table.
        RemoteError, Unreachable: as `pages`.
    """
    chosen = table(params.table)
    if chosen is None:
        raise InvalidInput(f"there is no table {params.table!r}", hint=f"tables are {', '.join(table_names())}")
    texts = (page.text for page in pages(client, msgspec.structs.replace(params, format="json")))
    return write_parquet(chosen, rows_of(chosen, texts), sink)


def rows_of(chosen: Table, texts: Iterable[str]) -> Iterator[Row]:
    """Yield the rows that JSON lines stand for: what `migmond.analytics.export.json_lines` was given.

    Raises:
        ProtocolError: a line is no row of that table.
    """
    for text in texts:
        for line in filter(None, text.split("\n")):  # `splitlines` would split at what may stand in a name
            try:
                found: dict[str, Any] = from_json(line, dict[str, Any])
                row = tuple(_value(column, found[column.name]) for column in chosen.columns)
            except (msgspec.DecodeError, KeyError, ValueError) as e:
                raise ProtocolError(f"the daemon sent no row of {chosen.name}: {e}") from e
            yield row


def _value(column: Column, value: Any) -> Value:
    if isinstance(value, str) and column.kind is Kind.PATH:
        return from_text(value)
    if isinstance(value, str) and column.kind is Kind.TIME:
        return datetime.datetime.fromisoformat(value).timestamp()
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    raise ValueError(f"{column.name} is {type(value).__name__}")
