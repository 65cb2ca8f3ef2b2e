"""What an export holds: each table as data, so that encoders and the reference page come from one place."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec


class Kind(enum.StrEnum):
    """What a column holds. An empty value is allowed in all of them."""

    TEXT = "text"
    PATH = "path"
    """Bytes of a path; written as the path text of `migmond.domain.names`, which is lossless."""
    INTEGER = "integer"
    """Of 64 bits."""
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    """Wall clock seconds; written as RFC 3339 in UTC."""


class Column(msgspec.Struct, frozen=True):
    """`unit`: a base unit, "" for none."""

    name: str
    kind: Kind
    unit: str
    meaning: str


class Table(msgspec.Struct, frozen=True):
    name: str
    help: str
    columns: tuple[Column, ...]

    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)


Value = str | bytes | int | float | bool | None
Row = Sequence[Value]
"""One value for each column of its table, in their order."""


def tables() -> tuple[Table, ...]:
    """Return every table that can be exported."""
    return (_executions(), _files(), _errors(), _history(), _findings())


def table(name: str) -> Table | None:
    """Return the table of that name."""
    return next((t for t in tables() if t.name == name), None)


def markdown() -> str:
    """Return the reference of all tables."""
    lines: list[str] = []
    for one in tables():
        lines += [f"## {one.name}", "", one.help, "", "| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [f"| {c.name} | {c.kind.value} | {c.unit or '–'} | {c.meaning} |" for c in one.columns]
        lines.append("")
    return "\n".join(lines)


def _executions() -> Table:
    return Table(
        "executions",
        "One row for each execution.",
        (
            Column("id", Kind.TEXT, "", "Short id, unique for ever."),
            Column("name", Kind.TEXT, "", "Name given to it; need not be unique."),
            Column("state", Kind.TEXT, "", "State at the time of the export."),
            Column("operation", Kind.TEXT, "", "`copy` or `move`."),
            Column("source", Kind.PATH, "", "First source of the plan."),
            Column("destination", Kind.PATH, "", "Destination of the plan."),
            Column("source_device", Kind.TEXT, "", "Disk that the source is on; empty when unknown."),
            Column("target_device", Kind.TEXT, "", "Disk that the destination is on; empty when unknown."),
            Column("created_at", Kind.TIME, "", "When it was asked for."),
            Column("started_at", Kind.TIME, "", "When it began; empty before."),
            Column("finished_at", Kind.TIME, "", "When it ended; empty before."),
            Column("active_s", Kind.NUMBER, "seconds", "Time in which it ran and was not held."),
            Column("planned_entries", Kind.INTEGER, "", "Directory entries that were found."),
            Column("planned_bytes", Kind.INTEGER, "bytes", "Size of their files."),
            Column("done_entries", Kind.INTEGER, "", "Entries that are complete and durable at the target."),
            Column("done_bytes", Kind.INTEGER, "bytes", "Size of their files."),
            Column("failed_entries", Kind.INTEGER, "", "Entries that failed for good."),
            Column("skipped_entries", Kind.INTEGER, "", "Entries that were left alone on purpose."),
            Column("average_bytes_per_s", Kind.NUMBER, "bytes per second", "Mean rate over the active time."),
            Column("peak_bytes_per_s", Kind.NUMBER, "bytes per second", "Best ten seconds."),
            Column("score", Kind.NUMBER, "", "Efficiency, 0 to 100; empty while nothing is known to compare with."),
            Column("speed", Kind.NUMBER, "", "Attainable ÷ active time, 0 to 100."),
            Column("resources", Kind.NUMBER, "", "Useful ÷ moved bytes, 0 to 100."),
            Column("success", Kind.NUMBER, "", "Done ÷ tried entries, 0 to 100."),
            Column("bottleneck", Kind.TEXT, "", "Cause with the largest share of the movers' time, if one bound."),
            Column("energy_j", Kind.NUMBER, "joules", "Energy above idle."),
            Column("energy_method", Kind.TEXT, "", "`measured`, `modelled` or `unknown`."),
        ),
    )


def _files() -> Table:
    return Table(
        "files",
        "One row for each directory entry of an execution, in scan order.",
        (
            Column("execution", Kind.TEXT, "", "Id of the execution."),
            Column("number", Kind.INTEGER, "", "Counts from 1 in scan order."),
            Column("path", Kind.PATH, "", "Below its source."),
            Column("type", Kind.TEXT, "", "`file`, `directory`, `symlink`, ..."),
            Column("size", Kind.INTEGER, "bytes", "Of the content."),
            Column("state", Kind.TEXT, "", "`pending`, `done`, `failed`, ..."),
            Column("outcome", Kind.TEXT, "", "How it ended, or why it was left alone."),
            Column("attempts", Kind.INTEGER, "", "How often a mover took it up and failed."),
            Column("fault", Kind.TEXT, "", "Why it failed."),
            Column("digest", Kind.TEXT, "", "xxh3_128 of the content, hexadecimal; empty when not hashed."),
            Column("target_path", Kind.PATH, "", "Where it is when that is another name."),
        ),
    )


def _errors() -> Table:
    return Table(
        "errors",
        "One row for each group of faults of the same kind in the same phase.",
        (
            Column("execution", Kind.TEXT, "", "Id of the execution."),
            Column("phase", Kind.TEXT, "", "Step of the copy in which they happened."),
            Column("kind", Kind.TEXT, "", "Name of the errno, or of what else went wrong."),
            Column("message", Kind.TEXT, "", "What the system says to it."),
            Column("count", Kind.INTEGER, "", "How many."),
            Column("first_at", Kind.TIME, "", "When the first one happened."),
            Column("last_at", Kind.TIME, "", "When the last one happened."),
            Column("example", Kind.PATH, "", "Path of one of them."),
        ),
    )


def _history() -> Table:
    return Table(
        "history",
        "One row for each point of each series. Values of counters (`..._total`) are rates: their unit per second.",
        (
            Column("at", Kind.TIME, "", "Begin of the interval."),
            Column("seconds", Kind.NUMBER, "seconds", "Length of the interval."),
            Column("metric", Kind.TEXT, "", "Name of the metric; its unit is the end of it."),
            Column("labels", Kind.TEXT, "", "`name=value`, in order of names, separated by commas."),
            Column("min", Kind.NUMBER, "of the metric", "Least value in the interval; empty where there was none."),
            Column("mean", Kind.NUMBER, "of the metric", "Mean of the values in the interval."),
            Column("max", Kind.NUMBER, "of the metric", "Largest value in the interval."),
        ),
    )


def _findings() -> Table:
    return Table(
        "findings",
        "One row for each finding about a disk.",
        (
            Column("device", Kind.TEXT, "", "Disk."),
            Column("kind", Kind.TEXT, "", "What it is."),
            Column("severity", Kind.TEXT, "", "`note`, `warning` or `critical`."),
            Column("title", Kind.TEXT, "", "In words."),
            Column("value", Kind.NUMBER, "of the finding", "What was read."),
            Column("threshold", Kind.NUMBER, "of the finding", "From where on it is a finding."),
            Column("unit", Kind.TEXT, "", "Unit of value and threshold."),
            Column("since", Kind.TIME, "", "First reading that shows it."),
            Column("evidence", Kind.TEXT, "", "The figures."),
            Column("action", Kind.TEXT, "", "What to do."),
        ),
    )
