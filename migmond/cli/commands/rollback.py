"""rollback and recover."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from migmond.cli.connect import connect
from migmond.cli.exits import Exit, complain
from migmond.cli.meant import named
from migmond.cli.parse import execution_argument, global_options, selector_from, selector_options
from migmond.cli.render.rollback import outlook, undoes_nothing
from migmond.cli.state import State
from migmond.cli.waiting import patience_from, see_through, waiting_options
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.rollback_api import RecoverParams, RollbackOutlook, RollbackParams, RollbackPlanParams


@click.command()
@execution_argument()
@waiting_options
@click.option(
    "--list",
    "fate",
    metavar="FATE",
    default="",
    help="List all entries of one fate (restore, changed, last_copy, ...); nothing is changed.",
)
@selector_options(states=True)
@global_options
@click.pass_obj
def rollback(state: State, /, id_: str, fate: str, **values: Any) -> None:
    """Undo what a migration did, or the part that flags pick.

    What was moved is moved back, what was copied is removed: if it is still what was brought there, if nothing has the
    place that it came from, and never the last copy of anything. Everything else stays as it is, and is told.
    It is a migration of its own: watch, pause, cancel and resume it as any other. -n shows what it would do.
    """  # fmt: skip
    patience = patience_from(values)
    selector = selector_from(values)
    with connect(state, timeout_s=None) as client:
        view = named(client, id_)
        if fate:
            _list(state, client, RollbackPlanParams(view.id, selector, fate, limit=1000))
            return
        if state.dry_run or not state.yes:
            found = client.call("execution.rollback_plan", RollbackPlanParams(view.id, selector), RollbackOutlook)
            _show(state, found)
            if state.dry_run:
                return
            if undoes_nothing(found):
                complain(f"there is nothing to roll back of {view.name}", f"see why: migmon rollback {view.id[:6]} -n")
                sys.exit(Exit.FAILED)
            _ask_for_name(view)
        params = RollbackParams(view.id, selector, state.reason, os.urandom(8).hex())
        state.started = True
        started = client.call("execution.rollback", params, api.ExecutionView)
        see_through(state, client, started, patience)


@click.command()
@execution_argument()
@waiting_options
@selector_options(states=True)
@global_options
@click.pass_obj
def recover(state: State, /, id_: str, **values: Any) -> None:
    """Copy again what is missing or different at the target.

    Of an ended copy, or the part of it that the flags pick.

    Everything there is read. What is different is kept as a backup (NAME.~1~) beside the new copy. A source that was
    changed since is left alone: it is another version. What was moved has no source any more: roll it back.
    """
    patience = patience_from(values)
    selector = selector_from(values)
    with connect(state, timeout_s=None) as client:
        view = named(client, id_)
        if state.dry_run:
            state.show([f"{view.name} ({view.id[:6]}): would be read and recovered; to read it only: migmon verify"])
            return
        state.started = True
        params = RecoverParams(view.id, selector, state.reason, os.urandom(8).hex())
        started = client.call("execution.recover", params, api.ExecutionView)
        see_through(state, client, started, patience)


def _show(state: State, found: RollbackOutlook) -> None:
    if state.json and state.dry_run:
        state.emit("rollback_plan", found)
    elif state.dry_run:
        state.show(outlook(found))
    elif not state.json:
        print(*outlook(found), sep="\n", file=sys.stderr)


def _list(state: State, client: Client, params: RollbackPlanParams) -> None:
    while True:
        found = client.call("execution.rollback_plan", params, RollbackOutlook)
        if state.json:
            state.emit("rollback_plan", found)
        else:
            state.show([f"{e.path}{f'  ({e.message})' if e.message else ''}" for e in found.examples])
        if found.next is None:
            return
        params = RollbackPlanParams(params.id, params.selector, params.fate, found.next, params.limit)


def _ask_for_name(view: api.ExecutionView) -> None:
    """What was removed does not come back by itself."""
    if not sys.stdin.isatty():
        complain(f"rolling back {view.name} needs its name or -y", f"migmon rollback {view.id[:6]} -y")
        sys.exit(Exit.USAGE)
    if click.prompt("Type its name to roll it back", err=True) != view.name:
        complain("that is not its name: nothing was changed")
        sys.exit(Exit.USAGE)
