"""Commands that only look: ls, show, files, errors, interventions, watch, top."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from migmond.cli.connect import connect
from migmond.cli.exits import Exit
from migmond.cli.follow import detaching, events_of, exit_after, follow, reconnected, ways_back
from migmond.cli.parse import execution_argument, global_options, selector_from, selector_options
from migmond.cli.render.execution import details, listing, summary, worst_first
from migmond.cli.render.other import error_lines, intervention_lines, task_lines
from migmond.cli.render.text import painted, printable, rate_text
from migmond.cli.state import State, terminal_columns
from migmond.client.errors import Unreachable
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.states import LIVE_EXECUTION_STATES, ExecutionState

_PAGE = 1000
_NO_EDGE = 1 << 20
_LIVE = tuple(s.value for s in LIVE_EXECUTION_STATES)


def width() -> int:
    """Columns of the terminal. A pipe or file has no edge: nothing is left out for whoever reads it."""
    return terminal_columns() if sys.stdout.isatty() or os.environ.get("COLUMNS") else _NO_EDGE


@click.command()
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([s.value for s in ExecutionState]),
    metavar="STATE",
    help="Only such: running, paused, completed, failed, ...",
)
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
    """List migrations, the worst first, and of equal ones the newest."""
    with connect(state) as client:
        page = _worst(client, states, limit) if sort == "worst" else _list(client, states, sort, limit)
    if state.json:
        state.emit("executions", page)
    else:
        state.show(listing(page, width(), picked=bool(states)), marks=True)


def _list(client: Client, states: tuple[str, ...], sort: str, limit: int) -> api.ExecutionPage:
    return client.call("execution.list", api.ListParams(states, sort, 0, limit), api.ExecutionPage)


def _worst(client: Client, states: tuple[str, ...], limit: int) -> api.ExecutionPage:
    """Return the newest, and what still runs however old it is."""
    page = _list(client, states, "created", limit)
    found = {e.id: e for e in page.executions}
    if page.total > len(found) and not states:
        live = _list(client, _LIVE, "created", limit)
        found |= {e.id: e for e in live.executions}
    return api.ExecutionPage(worst_first(found.values()), page.total)


@click.command()
@execution_argument()
@global_options
@click.pass_obj
def show(state: State, id_: str) -> None:
    """Show one migration: how far, how fast, what is in the way."""
    with connect(state) as client:
        view = client.call("execution.get", api.ExecutionParams(id_), api.ExecutionView)
    if state.json:
        state.emit("execution", view)
    else:
        state.show(details(view))


@click.command()
@execution_argument()
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Show at most so many.")
@selector_options(states=True)
@global_options
@click.pass_obj
def files(state: State, /, id_: str, limit: int | None, **values: Any) -> None:
    """List a migration's entries in scan order, those that the flags pick."""
    selector, after, left = selector_from(values), 0, limit
    with connect(state) as client:
        while True:
            size = _PAGE if left is None else min(_PAGE, left)
            page = client.call("execution.files", api.FilesParams(id_, selector, after, size), api.TaskPage)
            if state.json:
                for task in page.tasks:
                    state.emit("file", task)
            elif page.tasks:
                state.show(task_lines(page.tasks, width()))
            if left is not None:
                left -= len(page.tasks)
            if page.next is None or left == 0:
                return
            after = page.next


@click.command()
@execution_argument()
@global_options
@click.pass_obj
def errors(state: State, id_: str) -> None:
    """Show what failed, grouped by cause, with what to do next."""
    with connect(state) as client:
        found = client.call("execution.errors", api.ExecutionParams(id_), api.ErrorGroups)
    if state.json:
        state.emit("errors", found)
    else:
        state.show(error_lines(found))


@click.command()
@execution_argument()
@global_options
@click.pass_obj
def interventions(state: State, id_: str) -> None:
    """Show who changed what about a migration."""
    with connect(state) as client:
        found = client.call("execution.interventions", api.ExecutionParams(id_), api.InterventionList)
    if state.json:
        state.emit("interventions", found)
    else:
        state.show(intervention_lines(found))


@click.command()
@execution_argument()
@global_options
@click.pass_obj
def watch(state: State, id_: str) -> None:
    """Follow a migration until it ends. With --json every event is a line."""
    with connect(state, timeout_s=None) as client:
        view = client.call("execution.get", api.ExecutionParams(id_), api.ExecutionView)
        with detaching(state, view.name, ways_back(view)):
            if state.json:
                for event in events_of(state, client, view.id):
                    state.emit("event", event)
                with connect(state, start=False) as after:  # the one before may have been lost on the way
                    ended = after.call("execution.get", api.ExecutionParams(view.id), api.ExecutionView)
            else:
                found = follow(state, client, view.id)
                assert found is not None
                ended = found
                state.say(*summary(ended))
    sys.exit(exit_after(ended))


@click.command()
@execution_argument(required=False)
@click.option("--interval", type=click.FloatRange(0.2, 60), default=0.5, show_default=True, help="Seconds.")
@global_options
@click.pass_obj
def top(state: State, id_: str | None, interval: float) -> None:
    """Watch all migrations, worst first. One snapshot when standard output is no terminal."""
    client = connect(state)
    if state.json:
        state.emit(*_snapshot(client, id_))
        return
    if not state.live_output():
        state.show(_top_lines(client, id_), marks=True)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    paint = painted if state.wants_color() else str
    try:
        with Live(console=Console(highlight=False, markup=False), screen=True, auto_refresh=False) as screen:
            while True:
                try:
                    lines = [paint(printable(line)) for line in _top_lines(client, id_)]
                except Unreachable:
                    client.close()
                    client = reconnected(state, lambda text: screen.update(Text(text), refresh=True))
                    continue
                screen.update(Text.from_ansi("\n".join(lines)), refresh=True)
                time.sleep(interval)
    except KeyboardInterrupt:
        sys.exit(Exit.DONE)


def _snapshot(client: Client, id_: str | None) -> tuple[str, api.ExecutionView | api.ExecutionPage]:
    if id_ is not None:
        return "execution", client.call("execution.get", api.ExecutionParams(id_), api.ExecutionView)
    return "executions", _worst(client, (), 100)


def _top_lines(client: Client, id_: str | None) -> list[str]:
    found = _snapshot(client, id_)[1]
    if isinstance(found, api.ExecutionView):
        return details(found)
    live = [e for e in found.executions if e.state in _LIVE]
    failing = sum(1 for e in live if e.progress.failed.entries)
    rate = sum(e.progress.bytes_per_s or 0 for e in live)
    head = f"{len(live)} running or held, {failing} of them with failures, {found.total - len(live)} ended"
    return [f"{head}   {rate_text(rate)}", *listing(found, width())]
