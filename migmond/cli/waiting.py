"""Commands that start what goes on without them: they wait for its end, or do not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from migmond.cli.exits import Exit, complain
from migmond.cli.follow import detaching, exit_after, follow, ways_back
from migmond.cli.parse import DURATION, together
from migmond.cli.render.execution import summary
from migmond.cli.state import State
from migmond.client.sync import Client
from migmond.domain import api

F = TypeVar("F", bound=Callable[..., Any])


class Patience(NamedTuple):
    """How long to wait, in seconds; None for ever."""

    timeout_s: float | None


def waiting_options(command: F) -> F:
    """The flags that say whether, and for how long, to wait; see `patience_from`."""
    return together(
        click.option("--detach/--wait", default=False, help="Return at once, or wait for the end (default)."),
        click.option(
            "--timeout", type=DURATION, metavar="DURATION", help="With --wait: return 124 after that; it goes on."
        ),
    )(command)


def patience_from(values: dict[str, Any]) -> Patience | None:
    """Take the values of these flags out of a command's arguments. Returns None when nobody waits.

    Raises:
        UsageError: both were given.
    """
    detach, timeout = values.pop("detach"), values.pop("timeout")
    if detach and timeout is not None:
        raise click.UsageError("--timeout is how long to wait; with --detach there is no waiting")
    return None if detach else Patience(timeout)


def see_through(state: State, client: Client, started: api.ExecutionView, patience: Patience | None) -> None:
    """Tell that it has started, or wait for its end, and exit as that means."""
    if patience is None:
        if state.json:
            state.emit("execution", started)
        else:
            print(started.id)
            state.say(f"{started.name} started; watch it: migmon watch {started.id[:6]}")
        return
    with detaching(state, started.name, ways_back(started)):
        ended = follow(state, client, started.id, patience.timeout_s)
    if ended is None:
        complain(f"{started.name} is not done yet; it goes on", f"migmon watch {started.id[:6]}")
        sys.exit(Exit.TIMED_OUT)
    if state.json:
        state.emit("execution", ended)
    else:
        state.say(*summary(ended))
    sys.exit(exit_after(ended))
