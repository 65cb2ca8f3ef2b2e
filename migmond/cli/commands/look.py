"""Commands that only look: ls, show, files, errors, interventions, watch, top."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any

import click

from migmond.cli.connect import connect
from migmond.cli.exits import Exit
from migmond.cli.follow import detaching, events_of, exit_after, follow
from migmond.cli.parse import global_options, selector_from, selector_options
from migmond.cli.render.execution import details, listing, summary
from migmond.cli.render.other import error_lines, intervention_lines, task_lines
from migmond.cli.state import State
from migmond.domain import api

_PAGE = 1000


def width() -> int:
    """Columns of the terminal; plenty when there is none."""
    return shutil.get_terminal_size((200, 24)).columns


@click.command()
@click.option("--state", "states", multiple=True, metavar="STATE", help="running, paused, completed, failed, ...")
@click.option(
    "--sort", type=click.Choice(["created", "name", "state", "rate", "eta"]), default="created", show_default=True
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@global_options
@click.pass_obj
def ls(state: State, states: tuple[str, ...], sort: str, limit: int) -> None:
    """List migrations, the newest first."""
    with connect(state) as client:
        page = client.call("execution.list", api.ListParams(states, sort, 0, limit), api.ExecutionPage)
    if state.json:
        state.emit("executions", page)
    else:
        print("\n".join(listing(page, width())))


@click.command()
@click.argument("id_", metavar="ID")
@global_options
@click.pass_obj
def show(state: State, id_: str) -> None:
    """Show one migration: how far, how fast, what is in the way."""
    with connect(state) as client:
        view = client.call("execution.get", api.ExecutionParams(id_), api.ExecutionView)
    if state.json:
        state.emit("execution", view)
    else:
        print("\n".join(details(view)))


@click.command()
@click.argument("id_", metavar="ID")
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
                print("\n".join(task_lines(page.tasks, width())))
            if left is not None:
                left -= len(page.tasks)
            if page.next is None or left == 0:
                return
            after = page.next


@click.command()
@click.argument("id_", metavar="ID")
@global_options
@click.pass_obj
def errors(state: State, id_: str) -> None:
    """Show what failed, grouped by cause, with what to do next."""
    with connect(state) as client:
        found = client.call("execution.errors", api.ExecutionParams(id_), api.ErrorGroups)
    if state.json:
        state.emit("errors", found)
    else:
        print("\n".join(error_lines(found)))


@click.command()
@click.argument("id_", metavar="ID")
@global_options
@click.pass_obj
def interventions(state: State, id_: str) -> None:
    """Show who changed what about a migration."""
    with connect(state) as client:
        found = client.call("execution.interventions", api.ExecutionParams(id_), api.InterventionList)
    if state.json:
        state.emit("interventions", found)
    else:
        print("\n".join(intervention_lines(found)))


@click.command()
@click.argument("id_", metavar="ID")
@global_options
@click.pass_obj
def watch(state: State, id_: str) -> None:
    """Follow a migration until it ends. With --json every event is a line."""
    with connect(state, timeout_s=None) as client:
        view = client.call("execution.get", api.ExecutionParams(id_), api.ExecutionView)
        with detaching(state, view):
            if state.json:
                for event in events_of(client, view.id):
                    state.emit("event", event)
                ended = client.call("execution.get", api.ExecutionParams(view.id), api.ExecutionView)
            else:
                found = follow(state, client, view.id)
                assert found is not None
                ended = found
                state.say("\n".join(summary(ended)))
    sys.exit(exit_after(ended))


@click.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--interval", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds.")
@global_options
@click.pass_obj
def top(state: State, id_: str | None, interval: float) -> None:
    """Watch all migrations, worst first. One snapshot when standard output is no terminal."""
    with connect(state) as client:

        def lines() -> list[str]:
            if id_ is not None:
                return details(client.call("execution.get", api.ExecutionParams(id_), api.ExecutionView))
            page = client.call("execution.list", api.ListParams((), "state", 0, 100), api.ExecutionPage)
            live = [e for e in page.executions if e.finished_at is None]
            rate = sum(e.progress.bytes_per_s or 0 for e in live)
            head = (
                f"{len(live)} running or held, {len(page.executions) - len(live)} ended   {rate / (1 << 20):.0f} MiB/s"
            )
            return [head, *listing(page, width())]

        if not sys.stdout.isatty() or state.json:
            if state.json:
                page = client.call("execution.list", api.ListParams((), "state", 0, 100), api.ExecutionPage)
                state.emit("executions", page)
            else:
                print("\n".join(lines()))
            return
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        try:
            with Live(console=Console(highlight=False, markup=False), screen=True, auto_refresh=False) as screen:
                while True:
                    screen.update(Text("\n".join(lines())), refresh=True)
                    time.sleep(interval)
        except KeyboardInterrupt:
            sys.exit(Exit.DONE)
