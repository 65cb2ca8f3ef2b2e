"""The commands report and compare: how migrations went."""

from __future__ import annotations

import os
import sys

import click
from msgspec.structs import replace

from migmond.cli.commands.look import width
from migmond.cli.connect import connect
from migmond.cli.exits import Exit, complain
from migmond.cli.meant import meant
from migmond.cli.output import writing
from migmond.cli.parse import DURATION, PATH, execution_argument, global_options, states_option
from migmond.cli.state import State
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.analysis import ComparisonView
from migmond.domain.report import MAX_REPORT_ROWS, CompareParams, PeriodReport, ReportSinceParams, ReportView


@click.command()
@execution_argument(required=False)
@click.option("--since", type=DURATION, metavar="AGE", help="All that ran within that time, e.g. 30d.  [default: 30d]")
@click.option(
    "--until",
    default="",
    metavar="TIME",
    help="The end of that time, as RFC 3339 has it: 2026-11-01T00:00:00Z.  [default: now]",
)
@states_option("completed, failed, ...")
@click.option("--name", default="", metavar="TEXT", help="Only those whose name contains it.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Rows at most.")
@click.option("--html", "output", type=PATH, metavar="FILE", help="Write one HTML file that needs nothing else.")
@global_options
@click.pass_obj
def report(
    state: State,
    id_: str | None,
    since: float | None,
    until: str,
    states: tuple[str, ...],
    name: str,
    limit: int,
    output: str | None,
) -> None:
    """Report how a migration went, or all of a time.

    Rates, score, where the time went, errors, cost, similar runs and trends; without ID sums of all that ran.

    Scores and trends rest on the migrations that you may see. What is unknown says why.
    """
    if id_ is not None and (since is not None or until or states or name):
        raise click.UsageError(
            "ID is one migration; --since, --until, --state and --name pick from all: give one or the other"
        )
    if output is not None and not state.yes and os.path.lexists(output):
        complain(f"{output} exists", "choose another name, or replace it with -y")
        sys.exit(Exit.USAGE)
    if id_ is not None:
        _one(state, id_, output)
    else:
        asked = ReportSinceParams(until=until, states=states, name=name, limit=limit)
        _period(state, asked if since is None else ReportSinceParams("", until, since, states, name, limit), output)


def _one(state: State, id_: str, output: str | None) -> None:
    with connect(state) as client:
        params = api.ExecutionParams(meant(state, client, id_).id)
        view = client.call("execution.report", params, ReportView)
    if output is not None:
        from migmond.cli.render.report_html import report_page

        _write(state, output, report_page(view))
    elif state.json:
        state.emit("report", view)
    else:
        from migmond.cli.render.report import report_lines

        state.show(report_lines(view, width()))


def _period(state: State, params: ReportSinceParams, output: str | None) -> None:
    with connect(state) as client:
        view = with_rows(client, params)
    if output is not None:
        from migmond.cli.render.report_html import period_page

        _write(state, output, period_page(view))
    elif state.json:
        state.emit("report_since", view)
    else:
        from migmond.cli.render.report import period_lines

        state.show(period_lines(view, width()), marks=True)


def with_rows(client: Client, params: ReportSinceParams) -> PeriodReport:
    """Return the report with as many rows as `params` asks for, from as many pages as that takes."""
    wanted = params.limit
    view = client.call("report.since", replace(params, limit=min(wanted, MAX_REPORT_ROWS)), PeriodReport)
    while view.next is not None and (more := wanted - len(view.executions)) > 0:
        following = replace(
            params, since=view.since, until=view.until, before=view.next, limit=min(more, MAX_REPORT_ROWS)
        )
        page = client.call("report.since", following, PeriodReport)
        view = replace(view, executions=view.executions + page.executions, next=page.next, left=page.left)
    return view


def _write(state: State, output: str, page: str) -> None:
    if state.dry_run:
        state.say(f"the report would be written to {output}")
        return
    with writing(output) as file:
        file.write(page.encode("utf-8", "backslashreplace"))
    state.say(f"{output} is written")


@click.command()
@click.argument("ids", metavar="ID ID...", nargs=-1, required=True)
@global_options
@click.pass_obj
def compare(state: State, ids: tuple[str, ...]) -> None:
    """Compare 2 to 5 migrations.

    Rates by percent done, and a table of differences from the first.
    """
    from migmond.cli.render.comparison import comparison_lines

    with connect(state) as client:
        found = tuple(meant(state, client, id_).id for id_ in ids)
        view = client.call("execution.compare", CompareParams(found), ComparisonView)
    state.put("comparison", view, lambda v: comparison_lines(v, width()))
