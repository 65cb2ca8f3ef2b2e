"""Commands that look once: ls, show, files, errors, interventions."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from migmond.cli.commands.alerts import firing_alerts
from migmond.cli.connect import connect
from migmond.cli.meant import meant
from migmond.cli.parse import execution_argument, global_options, selector_from, selector_options, states_option
from migmond.cli.render.alerts import alerts_of
from migmond.cli.render.execution import details, listing, worst_first
from migmond.cli.render.monitoring import session_lines, why_lines
from migmond.cli.render.other import error_lines, intervention_lines, task_lines
from migmond.cli.render.parts import batch_lines, breakdown_lines, large_file_lines, timeline_lines
from migmond.cli.state import State, terminal_columns
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.analysis import SessionView, WhyParams, WhyView
from migmond.domain.breakdown import (
    BY,
    MAX_ROWS,
    Batches,
    Breakdown,
    BreakdownParams,
    LargeFiles,
    LargeFilesParams,
    TimelineView,
)
from migmond.domain.error_api import ErrorGroups
from migmond.domain.states import LIVE_EXECUTION_STATES, TERMINAL_EXECUTION_STATES, ExecutionState
from migmond.domain.steering_api import InterventionList

_PAGE = 1000
_PATIENCE = 10
"""Seconds without any progress after which what is being counted is not waited for."""
_NO_EDGE = 1 << 20
_OVER = frozenset(s.value for s in TERMINAL_EXECUTION_STATES - {ExecutionState.DRAINED})
"""Nothing of what was done to such a migration can be undone; a drain can."""
LIVE = tuple(s.value for s in LIVE_EXECUTION_STATES)


def width() -> int:
    """Columns of the terminal. A pipe or file has no edge: nothing is left out for whoever reads it."""
    return terminal_columns() if sys.stdout.isatty() or os.environ.get("COLUMNS") else _NO_EDGE


@click.command()
@states_option("running, paused, completed, failed, ...")
@click.option(
    "--sort",
    type=click.Choice(["worst", "created", "name", "state", "rate", "eta"]),
    default="worst",
    show_default=True,
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@global_options
@click.pass_obj
def ls(state: State, states: tuple[str, ...], sort: str, limit: int) -> None:
    """List migrations, the worst first, then the newest."""
    with connect(state) as client:
        page = worst(client, states, limit) if sort == "worst" else _list(client, states, sort, limit)
    state.put("executions", page, lambda p: listing(p, width(), picked=bool(states)), marks=True)


def _list(client: Client, states: tuple[str, ...], sort: str, limit: int) -> api.ExecutionPage:
    return client.call("execution.list", api.ListParams(states, sort, 0, limit), api.ExecutionPage)


def worst(client: Client, states: tuple[str, ...], limit: int) -> api.ExecutionPage:
    """Return the newest, and what still runs however old it is."""
    page = _list(client, states, "created", limit)
    found = {e.id: e for e in page.executions}
    if page.total > len(found) and not states:
        live = _list(client, LIVE, "created", limit)
        found |= {e.id: e for e in live.executions}
    return api.ExecutionPage(worst_first(found.values()), page.total)


@click.command()
@execution_argument()
@click.option(
    "--by", multiple=True, type=click.Choice(BY), help="Show progress by this; several times for each combination."
)
@click.option("--limit", type=click.IntRange(1, MAX_ROWS), default=50, show_default=True, help="Rows of --by at most.")
@click.option("--batches", is_flag=True, help="Compare the batches that movers were given.")
@click.option("--large", is_flag=True, help="Show files of 64 MiB and more one by one, and the slowest files.")
@click.option("--timeline", is_flag=True, help="Show what happened and when.")
@global_options
@click.pass_obj
def show(
    state: State, id_: str, by: tuple[str, ...], limit: int, *, batches: bool, large: bool, timeline: bool
) -> None:
    """Show one migration: how far, how fast, what is in the way."""
    with connect(state) as client:
        view = meant(state, client, id_)
        one = api.ExecutionParams(view.id)
        if by:
            parts = _counted(state, client, BreakdownParams(view.id, by, limit))
            state.put("breakdown", parts, breakdown_lines)
        if batches:
            state.put("batches", client.call("execution.batches", one, Batches), batch_lines)
        if large:
            found = client.call("execution.large_files", LargeFilesParams(view.id, limit=limit), LargeFiles)
            state.put("large_files", found, large_file_lines)
        if timeline:
            state.put("timeline", client.call("execution.timeline", one, TimelineView), timeline_lines)
        picked = by or batches or large or timeline
        lines = [] if state.json or picked else [*alerts_of(firing_alerts(client, view.id)), *_monitored(client, one)]
    if picked:
        return
    state.put("execution", view, lambda v: [*details(v), *lines])


@click.command()
@execution_argument()
@click.argument("path", default="")
@global_options
@click.pass_obj
def why(state: State, id_: str, path: str) -> None:
    """Say why a migration is not faster.

    With PATH, below its source: why that entry waits, is held, or failed.
    """
    with connect(state) as client:
        view = meant(state, client, id_)
        found = client.call("execution.why", WhyParams(view.id, path), WhyView)
    state.put("why", found, why_lines)


def _monitored(client: Client, one: api.ExecutionParams) -> list[str]:
    """A daemon of an earlier version knows nothing of that; what it does know is shown all the same."""
    try:
        return session_lines(client.call("execution.session", one, SessionView))
    except RemoteError as e:
        if not e.unknown_method:
            raise
        return []


def _counted(state: State, client: Client, params: BreakdownParams) -> Breakdown:
    """Ask until it is counted, which the daemon does in the background when it has to."""
    before, tries = "", 0
    while True:
        found = client.call("execution.breakdown", params, Breakdown)
        tries = tries + 1 if found.reason == before else 0
        if found.complete or tries >= _PATIENCE:
            return found
        if not tries:
            state.say(found.reason)
        before = found.reason


@click.command()
@execution_argument()
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Show at most so many.")
@selector_options(states=True)
@global_options
@click.pass_obj
def files(state: State, /, id_: str, limit: int | None, **values: Any) -> None:
    """List a migration's entries that the flags pick. In the order in which they were found."""
    selector, after, left, shown = selector_from(values), 0, limit, 0
    with connect(state) as client:
        id_ = meant(state, client, id_).id
        while True:
            size = _PAGE if left is None else min(_PAGE, left)
            page = client.call("execution.files", api.FilesParams(id_, selector, after, size), api.TaskPage)
            if state.json:
                for task in page.tasks:
                    state.emit("file", task)
            elif page.tasks:
                state.show(task_lines(page.tasks, width()))
            shown += len(page.tasks)
            if left is not None:
                left -= len(page.tasks)
            if page.next is None or left == 0:
                break
            after = page.next
    if not shown:
        state.say("no entry is picked by these flags" if selector != api.SelectorSpec() else "there is no entry yet")


@click.command()
@execution_argument()
@global_options
@click.pass_obj
def errors(state: State, id_: str) -> None:
    """Show what failed, grouped by cause, with what to do next."""
    with connect(state) as client:
        view = meant(state, client, id_)
        found = client.call("execution.errors", api.ExecutionParams(view.id), ErrorGroups)
    state.put("errors", found, error_lines)


@click.command()
@execution_argument()
@global_options
@click.pass_obj
def interventions(state: State, id_: str) -> None:
    """Show who changed what about a migration."""
    with connect(state) as client:
        view = meant(state, client, id_)
        found = client.call("execution.interventions", api.ExecutionParams(view.id), InterventionList)
    state.put("interventions", found, lambda f: intervention_lines(f, ended=view.state in _OVER))
