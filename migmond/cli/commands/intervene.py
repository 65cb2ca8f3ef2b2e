"""Commands that change how a migration runs: throttle, workers, batch, order, weight, priority, reorder, skip, route,
retry; undo, and stop-all."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from migmond.cli.connect import connect
from migmond.cli.exits import Exit, complain
from migmond.cli.limits import NO_LIMITS, limit_options, limits_given
from migmond.cli.meant import named
from migmond.cli.parse import (
    BELOW,
    DURATION,
    absolute,
    execution_argument,
    global_options,
    selection,
    selector_from,
)
from migmond.cli.render.steering import effect_line, stopped_lines, undo_line
from migmond.cli.state import State
from migmond.domain import api
from migmond.domain.steering import BatchSize, Level, Order, Place, Reordering, Throttle, Weight, Workers
from migmond.domain.steering_api import (
    ActionSpec,
    InterveneParams,
    InterventionResult,
    MoveSpec,
    PrioritiseSpec,
    RetrySpec,
    RouteSpec,
    SkipSpec,
    StopAllParams,
    StopAllResult,
    UndoParams,
)


def intervene(state: State, id_: str, action: ActionSpec, for_s: float | None = None) -> None:
    """Have the daemon change a migration, or preview that, and say what it means."""
    with connect(state) as client:
        view = named(client, id_)
        params = InterveneParams(view.id, action, state.reason, for_s, state.dry_run)
        result = client.call("execution.intervene", params, InterventionResult)
    if state.json:
        state.emit("intervention", result)
        return
    state.show([effect_line(view, result, for_s, dry_run=state.dry_run)])
    if result.intervention is not None and result.intervention.undo:
        state.say(f"Undo: {result.intervention.undo}")


_FOR = click.option("--for", "for_s", type=DURATION, metavar="DURATION", help="Taken back by itself after that.")


@click.command()
@execution_argument()
@limit_options
@click.option("--off", "off", is_flag=True, help="Lift all limits.")
@_FOR
@global_options
@click.pass_obj
def throttle(state: State, /, id_: str, *, off: bool, for_s: float | None, **values: Any) -> None:
    """Limit what a migration takes, while it runs. What is not given stays as it is."""
    given = limits_given(values)
    if bool(given) == off:
        wrong = "give limits or --off, not both" if off else "no limit is given"
        complain(wrong, "e.g. migmon throttle ID --io 50MiB/s; migmon throttle ID --off lifts all")
        sys.exit(Exit.USAGE)
    intervene(state, id_, Throttle(**(NO_LIMITS if off else given)), for_s)


@click.command()
@execution_argument()
@click.argument("count", type=int, metavar="N")
@_FOR
@global_options
@click.pass_obj
def workers(state: State, id_: str, count: int, for_s: float | None) -> None:
    """Let N movers copy from now on. One that is too many finishes the file that it has in hand."""
    intervene(state, id_, Workers(count), for_s)


@click.command()
@execution_argument()
@click.argument("entries", metavar="N|auto")
@_FOR
@global_options
@click.pass_obj
def batch(state: State, id_: str, entries: str, for_s: float | None) -> None:
    """Give movers at most N entries at once.

    auto lets the daemon find out what goes well.
    """
    if entries != "auto" and not (re.fullmatch("[0-9]{1,9}", entries) and int(entries)):
        complain(f"{entries} is no number of entries", "write a number from 1 on, or auto")
        sys.exit(Exit.USAGE)
    intervene(state, id_, BatchSize(0 if entries == "auto" else int(entries)), for_s)


@click.command()
@execution_argument()
@click.argument("order", type=click.Choice([o.value for o in Order]))
@_FOR
@global_options
@click.pass_obj
def order(state: State, id_: str, order: str, for_s: float | None) -> None:
    """Begin what is pending in another order.

    inode and extent are for rotating disks; mixed takes large and small ones by turns.
    """
    intervene(state, id_, Reordering(Order(order)), for_s)


@click.command()
@execution_argument()
@click.argument("weight", type=float, metavar="W")
@_FOR
@global_options
@click.pass_obj
def weight(state: State, id_: str, weight: float, for_s: float | None) -> None:
    """Give a migration another share of what all divide.

    2 gets twice what 1 gets.
    """
    intervene(state, id_, Weight(weight), for_s)


@click.command()
@execution_argument()
@click.argument("level", type=click.Choice([level.value for level in Level]))
@selection
@_FOR
@global_options
@click.pass_obj
def priority(state: State, /, id_: str, level: str, for_s: float | None, **values: Any) -> None:
    """Let some entries begin before others, or after them."""
    intervene(state, id_, PrioritiseSpec(selector_from(values), Level(level)), for_s)


@click.command()
@execution_argument()
@selection
@click.option("--first", is_flag=True, help="Before all others.")
@click.option("--last", is_flag=True, help="After all others.")
@click.option("--before", type=BELOW, metavar="PATH", default="", help="Before this entry; its path below the source.")
@_FOR
@global_options
@click.pass_obj
def reorder(
    state: State, /, id_: str, *, first: bool, last: bool, before: str, for_s: float | None, **values: Any
) -> None:
    """Move some entries to another place in the line."""
    if first + last + bool(before) != 1:
        complain("where to? give one of --first, --last and --before PATH", "migmon reorder --help")
        sys.exit(Exit.USAGE)
    where = Place.FIRST if first else Place.LAST if last else Place.BEFORE
    intervene(state, id_, MoveSpec(selector_from(values), where, before), for_s)


@click.command()
@execution_argument()
@selection
@_FOR
@global_options
@click.pass_obj
def skip(state: State, /, id_: str, for_s: float | None, **values: Any) -> None:
    """Leave some entries where they are.

    Their sources stay, nothing is written. A large file that is being copied is given up; of small ones, those that
    movers have in hand are finished.
    """
    intervene(state, id_, SkipSpec(selector_from(values)), for_s)


@click.command()
@execution_argument()
@selection
@click.argument("destination", metavar="DST")
@_FOR
@global_options
@click.pass_obj
def route(state: State, /, id_: str, destination: str, for_s: float | None, **values: Any) -> None:
    """Send what is pending to another destination.

    With a selector, some of it. What is at the first destination already stays there, and what movers have in hand
    goes there still. The other destination is looked at before: rights, room, what it is.
    """
    intervene(state, id_, RouteSpec(selector_from(values), absolute(destination)), for_s)


@click.command()
@execution_argument()
@selection
@global_options
@click.pass_obj
def retry(state: State, /, id_: str, **values: Any) -> None:
    """Try what failed once more, or some of it. A migration that has ended goes on for it."""
    intervene(state, id_, RetrySpec(selector_from(values)))


@click.command()
@click.argument("intervention", required=False, default="")
@global_options
@click.pass_obj
def undo(state: State, intervention: str) -> None:
    """Take a change back, your last one or i-41.

    Without an argument, the last one of yours that is in force.
    """
    with connect(state) as client:
        params = UndoParams(intervention, state.reason, state.dry_run)
        result = client.call("execution.undo", params, InterventionResult)
        name = intervention or "your last change"
        if result.intervention is not None and not state.json:
            view = client.call("execution.get", api.ExecutionParams(result.intervention.execution), api.ExecutionView)
            name = f"{view.name} ({view.id[:6]})"
    state.put("intervention", result, lambda r: [undo_line(name, r, dry_run=state.dry_run)])


@click.command("stop-all")
@global_options
@click.pass_obj
def stop_all(state: State) -> None:
    """Emergency: stop every byte of every migration.

    It says what is where; each keeps its place.

    An admin stops everybody's, others their own. `migmon resume ID` lets one go on.
    """
    with connect(state) as client:
        if state.dry_run:
            live = ("running", "paused", "waiting", "draining", "cancelling")
            page = client.call("execution.list", api.ListParams(live, limit=1000), api.ExecutionPage)
            state.show([f"{e.name} ({e.id[:6]}) would be stopped" for e in page.executions] or ["nothing is running"])
            return
        found = client.call("system.stop_all", StopAllParams(state.reason), StopAllResult)
    if state.json:
        state.emit("stopped", found)
        return
    state.show(stopped_lines(found))
    for one in found.stopped:
        if one.undo:
            state.say(f"Undo: migmon resume {one.id[:6]}")
