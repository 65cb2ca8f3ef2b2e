"""Rows of a table as Parquet. Needs pyarrow, which comes with `migmond[parquet]` and is loaded when it is used."""

from __future__ import annotations

import datetime
import importlib
import itertools
from collections.abc import Iterable
from typing import Any, BinaryIO

from migmond.analytics.export import plain_row
from migmond.analytics.schemas import Column, Kind, Row, Table
from migmond.domain.errors import Unavailable

GROUP_ROWS = 50_000
"""Rows in memory at a time, and in a row group: some 10 MB of an export of files."""


def write_parquet(table: Table, rows: Iterable[Row], sink: BinaryIO) -> int:
    """Write rows to `sink`; return how many. Unit and meaning of each column are in its metadata.

    Raises:
        Unavailable: pyarrow is not installed; the hint says how to install it.
        InvalidInput: a row does not fit the table.
    """
    pa, pq = _pyarrow()
    schema = pa.schema(
        [_field(pa, column) for column in table.columns], metadata={"table": table.name, "help": table.help}
    )
    count = 0
    source = iter(rows)
    with pq.ParquetWriter(sink, schema) as writer:
        while group := [plain_row(table, row) for row in itertools.islice(source, GROUP_ROWS)]:
            arrays = [
                _array(pa, field, column, [row[i] for row in group])
                for i, (field, column) in enumerate(zip(schema, table.columns, strict=True))
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(group)
    return count


def _pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as e:
        raise Unavailable(
            "Parquet needs pyarrow", hint="pip install 'migmond[parquet]'; CSV and JSON need nothing"
        ) from e


def _field(pa: Any, column: Column) -> Any:
    types = {
        Kind.TEXT: pa.string(),
        Kind.PATH: pa.string(),
        Kind.INTEGER: pa.int64(),
        Kind.NUMBER: pa.float64(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.TIME: pa.timestamp("ms", tz="UTC"),
    }
    return pa.field(column.name, types[column.kind], metadata={"unit": column.unit, "meaning": column.meaning})


def _array(pa: Any, field: Any, column: Column, values: list[Any]) -> Any:
    if column.kind is not Kind.TIME:
        return pa.array(values, type=field.type)

    return pa.array([None if v is None else datetime.datetime.fromisoformat(v) for v in values], type=field.type)
