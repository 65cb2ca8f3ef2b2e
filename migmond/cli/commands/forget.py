"""forget."""

from __future__ import annotations

import sys

import click

from migmond.cli.connect import connect
from migmond.cli.exits import Exit, complain
from migmond.cli.meant import named
from migmond.cli.parse import execution_argument, global_options
from migmond.cli.render.text import count
from migmond.cli.state import State
from migmond.domain import api
from migmond.domain.forget_api import ForgetParams, ForgetView


@click.command()
@execution_argument()
@global_options
@click.pass_obj
def forget(state: State, id_: str) -> None:
    """Remove what is on record of a migration that has ended.

    Its files stay as they are. It cannot be looked at, verified, recovered or rolled back any more, and its receipt
    is gone: keep it before (migmon receipt ID --output FILE). The daemon forgets by itself what has ended long ago:
    migmon config journal.
    """
    with connect(state) as client:
        view = named(client, id_)
        short, entries = view.id[:6], count(view.progress.planned.entries, "entry", "entries")
        if state.dry_run:
            state.show([f"{view.name} ({short}): would be forgotten, with what is on record of {entries}"])
            return
        if not state.yes:
            _ask_for_name(view, entries)
        gone = client.call("execution.forget", ForgetParams(view.id, state.reason), ForgetView)
    if state.json:
        state.emit("forgotten", gone)
    else:
        state.show([f"{gone.name} ({short}): forgotten; its files are where they are"])


def _ask_for_name(view: api.ExecutionView, entries: str) -> None:
    """What is forgotten does not come back."""
    short = view.id[:6]
    if not sys.stdin.isatty():
        complain(f"forgetting {view.name} needs its name or -y", f"migmon forget {short} -y")
        sys.exit(Exit.USAGE)
    print(
        f"What became of {entries} is forgotten: {view.name} cannot be verified or rolled back then.\n"
        f"Its receipt can be kept before: migmon receipt {short} --output FILE",
        file=sys.stderr,
    )
    if click.prompt("Type its name to forget it", err=True) != view.name:
        complain("that is not its name: nothing was changed")
        sys.exit(Exit.USAGE)
