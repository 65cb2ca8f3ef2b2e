"""Commands that change a running migration: pause, resume, cancel, drain; and verify."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from migmond.cli.commands.intervene import intervene
from migmond.cli.connect import connect
from migmond.cli.exits import Exit, complain
from migmond.cli.follow import ENDED, wait_verified
from migmond.cli.meant import meant, named
from migmond.cli.parse import DURATION, execution_argument, global_options, selection, selector_from
from migmond.cli.render.execution import verification
from migmond.cli.render.text import count, percent_text
from migmond.cli.state import State
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.states import EXECUTION_TRANSITIONS, ExecutionState
from migmond.domain.steering_api import PauseSpec, ResumeSpec
from migmond.domain.units import show_duration

_CANCEL_WAIT_S = 15.0
"""A cancel gives movers 10 s to let go before it kills them."""


def _done(state: State, view: api.ExecutionView, text: str, undo: str = "") -> None:
    if state.json:
        state.emit("execution", view)
        return
    state.show([f"{view.name} ({view.id[:6]}): {text}"])
    if undo:
        state.say(f"Undo: {undo}")


@click.command()
@execution_argument()
@selection
@click.option("--for", "for_s", type=DURATION, metavar="DURATION", help="Go on by itself after that.")
@global_options
@click.pass_obj
def pause(state: State, /, id_: str, for_s: float | None, **values: Any) -> None:
    """Hold a migration, or some of its entries.

    It keeps its place, and stops within a tenth of a second.
    """
    if (selector := selector_from(values)) != api.SelectorSpec():
        intervene(state, id_, PauseSpec(selector), for_s)
        return
    with connect(state) as client:
        if state.dry_run:
            view = named(client, id_)
            _done(state, view, f"would be paused at {percent_text(view.progress.percent_done)}")
            return
        view = client.call("execution.pause", api.PauseParams(id_, for_s, state.reason), api.ExecutionView)
    until = f" for {show_duration(for_s)}" if for_s is not None else ""
    _done(state, view, f"paused{until} at {percent_text(view.progress.percent_done)}", f"migmon resume {view.id[:6]}")


@click.command()
@execution_argument()
@selection
@global_options
@click.pass_obj
def resume(state: State, /, id_: str, **values: Any) -> None:
    """Go on: lift all holds, or go on from where it ended.

    A drained, failed or partly failed migration tries what is not done; one that drains goes on after all. With a
    selector, only what was paused with just that one goes on.
    """
    if (selector := selector_from(values)) != api.SelectorSpec():
        intervene(state, id_, ResumeSpec(selector))
        return
    with connect(state) as client:
        if state.dry_run:
            view = named(client, id_)
            _done(state, view, f"would be resumed (it is {view.state})")
            return
        view = client.call("execution.resume", api.ReasonParams(id_, state.reason), api.ExecutionView)
    if view.state == ExecutionState.DRAINING:
        _done(state, view, "nothing stops it any more; it drains as before (resume it once more to take that back)")
        return
    _done(state, view, "goes on", f"migmon pause {view.id[:6]}")


@click.command()
@execution_argument()
@global_options
@click.pass_obj
def cancel(state: State, id_: str) -> None:
    """End a migration. What was done stays done; no partial file is left."""
    with connect(state) as client:
        view = named(client, id_)
        if state.dry_run:
            _done(state, view, f"would be cancelled at {percent_text(view.progress.percent_done)}")
            return
        if view.operation == "move" and not state.yes and _cancellable(view):
            _ask_for_name(view)
        view = client.call("execution.cancel", api.ReasonParams(view.id, state.reason), api.ExecutionView)
        view = _ended(client, view)
    if view.state in ENDED:
        stays = count(view.progress.done.entries, "entry stays", "entries stay")
        _done(state, view, f"cancelled; {stays} there{f'; {view.why}' if view.why else ''}")
    else:
        _done(state, view, f"is being cancelled; watch it: migmon watch {view.id[:6]}")


def _cancellable(view: api.ExecutionView) -> bool:
    """Nobody is asked whether to do what the daemon will refuse."""
    after = EXECUTION_TRANSITIONS[ExecutionState(view.state)]
    return not after.isdisjoint((ExecutionState.CANCELLING, ExecutionState.CANCELLED))


def _ended(client: Client, view: api.ExecutionView) -> api.ExecutionView:
    """Wait a moment for the end, which alone knows what stays."""
    deadline = time.monotonic() + _CANCEL_WAIT_S
    while view.state not in ENDED and time.monotonic() < deadline:
        time.sleep(0.05)
        view = named(client, view.id)
    return view


def _ask_for_name(view: api.ExecutionView) -> None:
    """A cancelled move leaves files in two places: that is worth a moment's thought."""
    if not sys.stdin.isatty():
        complain(f"cancelling the move {view.name} needs its name or -y", f"migmon cancel {view.id[:6]} -y")
        sys.exit(Exit.USAGE)
    done = view.progress.done.entries
    stay = count(done, "entry; it stays", "entries; they stay")
    print(f"{view.name} has moved {stay} at {view.destination}.", file=sys.stderr)
    if click.prompt("Type its name to cancel it", err=True) != view.name:
        complain("that is not its name: nothing was changed")
        sys.exit(Exit.USAGE)


@click.command()
@execution_argument()
@global_options
@click.pass_obj
def drain(state: State, id_: str) -> None:
    """Finish what is being copied, start nothing more."""
    with connect(state) as client:
        if state.dry_run:
            view = named(client, id_)
            _done(state, view, "would be drained")
            return
        view = client.call("execution.drain", api.ReasonParams(id_, state.reason), api.ExecutionView)
    _done(state, view, "finishes what it has in hand", f"migmon resume {view.id[:6]}")


@click.command()
@execution_argument()
@click.option("--cancel", "cancelling", is_flag=True, help="End the one that is under way.")
@global_options
@click.pass_obj
def verify(state: State, id_: str, *, cancelling: bool) -> None:
    """Read every target again and compare it with the journal. Past the cache; Ctrl-C ends it.

    Exit: 0 all are as they were written, 6 some differ or are missing, 1 some could not be read (and none differs),
    or it did not end.
    """
    with connect(state, timeout_s=None) as client:
        view = meant(state, client, id_)
        if cancelling:
            view = client.call("execution.cancel_verification", api.ExecutionParams(view.id), api.ExecutionView)
            _done(state, view, "its verification was ended")
            return
        try:
            view = wait_verified(state, client, view.id)
        except KeyboardInterrupt:
            _end_verification(state, view)
            sys.exit(Exit.DETACHED)
    found = view.verification
    if found is not None and state.json:
        state.emit("verification", found)
    if found is None or found.failure:
        why = found.failure if found is not None else "the daemon knows nothing of it any more"
        complain(f"the verification of {view.name} did not end: {why}", f"try again: migmon verify {view.id[:6]}")
        sys.exit(Exit.FAILED)
    if not state.json:
        unread = (f"  could not be read: {example}" for example in found.unreadable_examples)
        state.show([verification(found), *(f"  {example}" for example in found.examples), *unread])
        if view.state == "completed" and view.why:
            state.show([f"  {view.why}"])
    if found.mismatches:
        sys.exit(Exit.SOME_FILES_FAILED)
    if found.unreadable:  # nothing is known to be wrong with them, nor right
        again = f"see why, then check again: migmon verify {view.id[:6]}"
        complain(f"{count(found.unreadable, 'entry', 'entries')} of {view.name} could not be read", again)
        sys.exit(Exit.FAILED)


def _end_verification(state: State, view: api.ExecutionView) -> None:
    """Nobody wants the result: the disks need not be read on. The connection may be in the middle of a message."""
    with connect(state, start=False) as client:
        try:
            client.call("execution.cancel_verification", api.ExecutionParams(view.id), api.ExecutionView)
        except RemoteError as e:
            if e.kind != "conflict":
                raise
    state.say("", f"interrupted: {view.name} is not verified any more; what was found: migmon show {view.id[:6]}")
