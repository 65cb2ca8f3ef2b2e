"""The command export: tables and metrics for other programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from migmond.cli.connect import connect
from migmond.cli.exits import Exit, complain
from migmond.cli.meant import meant
from migmond.cli.output import writing
from migmond.cli.parse import DURATION, PATH, execution_argument, global_options
from migmond.cli.render.text import count, printable
from migmond.cli.state import State
from migmond.client.sync import Client
from migmond.domain.history import MAX_POINTS
from migmond.domain.report import MAX_EXPORT_ROWS, ExportParams

_TIMEOUT_S = 600.0
"""A page of executions rests on the records of thousands."""


@click.command()
@execution_argument(required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "json", "prometheus", "parquet"]),
    required=True,
    help="json has one object a line; prometheus is the newest metrics; parquet needs -o and migmond[parquet].",
)
@click.option(
    "--table",
    "table",
    type=click.Choice(["executions", "files", "errors", "history", "findings"]),
    help="What to export.  [default: executions; with ID files]",
)
@click.option("--since", type=DURATION, metavar="AGE", help="Only what ran or was measured within that time, e.g. 30d.")
@click.option(
    "--points", type=click.IntRange(2, MAX_POINTS), default=600, show_default=True, help="Of each series of history."
)
@click.option("--output", "-o", type=PATH, metavar="FILE", help="Write it to FILE, whole or not at all.")
@global_options
@click.pass_obj
def export(
    state: State,
    id_: str | None,
    format_: str,
    table: str | None,
    since: float | None,
    points: int,
    output: str | None,
) -> None:
    """Export tables and metrics for other programs.

    A table of one migration or of all, or the newest metrics as Prometheus reads them.

    Every column is documented: python -m migmond.plugin_host.reference. Cells of CSV that a spreadsheet could take for
    a formula have an apostrophe in front.
    """
    if format_ == "prometheus" and (table or id_ or since is not None):
        raise click.UsageError("prometheus is of all newest metrics: leave ID, --table and --since out")
    if format_ == "parquet" and output is None:
        raise click.UsageError("parquet is no text: give -o FILE")
    chosen = "" if format_ == "prometheus" else table or ("executions" if id_ is None else "files")
    if chosen in ("files", "errors") and id_ is None:
        raise click.UsageError(f"{chosen} are of one migration: give its ID")
    if output is not None and not state.yes and os.path.lexists(output):
        complain(f"{output} exists", "choose another name, or replace it with -y")
        sys.exit(Exit.USAGE)
    with connect(state, timeout_s=_TIMEOUT_S) as client:
        execution = "" if id_ is None else meant(state, client, id_).id
        params = ExportParams(
            chosen,
            "json" if format_ == "parquet" else format_,
            execution,
            span_s=since,
            points=points,
            limit=MAX_EXPORT_ROWS,
        )
        if output is None:
            for text in _texts(client, params):
                sys.stdout.buffer.write(text)
        elif state.dry_run:
            state.say(f"{chosen or 'metrics'} would be written to {output}")
        else:
            rows = _write(client, params, output, parquet=format_ == "parquet")
            state.say(f"{output}: {count(rows, 'line' if format_ == 'prometheus' else 'row')}")


def _write(client: Client, params: ExportParams, output: str, *, parquet: bool) -> int:
    from migmond.client.exports import pages, parquet_of

    with writing(output) as file:
        if parquet:
            return parquet_of(client, params, file)
        rows = 0
        for page in pages(client, params):
            file.write(page.text.encode())
            rows += page.rows
        return rows


def _texts(client: Client, params: ExportParams) -> Iterator[bytes]:
    from migmond.client.exports import pages

    for page in pages(client, params):
        if not sys.stdout.isatty():
            yield page.text.encode()
            continue
        for line in filter(None, page.text.split("\n")):  # a terminal would obey what others put into a name
            yield printable(line.removesuffix("\r")).encode() + b"\n"
