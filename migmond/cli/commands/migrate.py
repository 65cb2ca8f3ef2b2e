"""plan and run."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

import click

from migmond.cli.connect import connect
from migmond.cli.exits import Exit, complain
from migmond.cli.limits import NO_LIMITS, limit_options, limits_given
from migmond.cli.parse import PATH, absolute, global_options, selector_from, selector_options, together
from migmond.cli.render.execution import verdict
from migmond.cli.render.text import printable, rate_text
from migmond.cli.state import State
from migmond.cli.waiting import patience_from, see_through, waiting_options
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel

_RIGHTS = frozenset({"not_permitted", "not_writable"})
"""Findings that are about who asks."""


def plan_options(command: Any) -> Any:
    """The flags that make a plan."""
    return together(
        click.option("--move", is_flag=True, help="Delete each source once its target is durable, SRC last."),
        click.option("--name", default="", help="Name for people."),
        click.option(
            "--verify", type=click.Choice([v.value for v in VerifyLevel]), default="hash", show_default=True,
            help="read-back reads every target past the cache before it gets its name.",
        ),
        click.option(
            "--conflict", type=click.Choice([c.value for c in ConflictPolicy]), default="fail", show_default=True,
            help="What to do when the destination has a different entry of that name.",
        ),
        click.option("--workers", type=click.IntRange(1, 256), metavar="N", help="Movers (default: one per core)."),
        click.option("--one-file-system/--cross-mounts", default=True, help="Stay on the source's file system."),
        click.option("--reflink/--no-reflink", default=True, help="Share extents where the file system can."),
        click.option("--privileged", is_flag=True, help="Move with root's rights (admins only)."),
        limit_options,
        selector_options(states=False),
    )(command)  # fmt: skip


def _spec(source: str, destination: str, values: dict[str, Any]) -> api.PlanSpec:
    return api.PlanSpec(
        sources=(api.SourceSpec(absolute(source)),),
        destination=absolute(destination),
        name=values["name"],
        operation=Operation.MOVE if values["move"] else Operation.COPY,
        selector=selector_from(values),
        conflict=ConflictPolicy(values["conflict"]),
        verify=VerifyLevel(values["verify"]),
        limits=Limits(**(NO_LIMITS | limits_given(values))),
        one_file_system=values["one_file_system"],
        privileged=values["privileged"],
        workers=values["workers"],
        reflink=values["reflink"],
    )


def _echo(state: State, spec: api.PlanSpec) -> None:
    """Say how a limit was understood."""
    if spec.limits.io_bytes_per_s:
        state.say(f"limit: {rate_text(spec.limits.io_bytes_per_s)}")


def _check(state: State, client: Client, spec: api.PlanSpec) -> Exit:
    found = client.call("plan.check", api.PlanParams(spec), api.PlanVerdict)
    state.put("verdict", found, lambda f: verdict(f, spec.destination), marks=True)
    if found.feasible:
        return Exit.DONE
    # What `run` would end with: somebody else may be permitted to do it.
    blockers = {f.kind for f in found.findings if f.severity == "blocker"}
    return Exit.NOT_PERMITTED if blockers and blockers <= _RIGHTS else Exit.INFEASIBLE


@click.command()
@click.argument("source", metavar="SRC", type=PATH)
@click.argument("destination", metavar="DST", type=PATH)
@click.option("--save", metavar="NAME", help="Keep the plan: migmon run NAME starts it.")
@plan_options
@global_options
@click.pass_obj
def plan(state: State, /, source: str, destination: str, save: str | None, **values: Any) -> None:
    """Look a plan over: can it work, what stands in the way. Nothing is written.

    SRC/x becomes DST/x.
    """
    spec = _spec(source, destination, values)
    _echo(state, spec)
    with connect(state, timeout_s=None) as client:
        result = _check(state, client, spec)
        if save is not None and result is Exit.DONE and not state.dry_run:
            _save(state, client, spec, save)
    sys.exit(result)


def _save(state: State, client: Client, spec: api.PlanSpec, name: str) -> None:
    known = client.call("plan.list", api.Nothing(), api.SavedPlans).plans
    named = api.PlanSpec(**{f: getattr(spec, f) for f in spec.__struct_fields__} | {"name": name})
    client.call("plan.save", api.PlanParams(named), api.SavedPlan)
    replaced = " (an earlier plan of that name is replaced)" if any(p.name == name for p in known) else ""
    state.say(f"saved as {name}{replaced}: migmon run {shlex.quote(name)}")


@click.command()
@click.argument("source", metavar="SRC|PLAN", type=PATH)
@click.argument("destination", metavar="[DST]", required=False, type=PATH)
@waiting_options
@plan_options
@global_options
@click.pass_obj
def run(state: State, /, source: str, destination: str | None, **values: Any) -> None:
    """Copy (or --move) SRC to DST durably, and show how it goes.

    SRC/x becomes DST/x, DST is made when missing. A saved plan's name in place of SRC DST runs that plan.
    """
    patience = patience_from(values)
    if destination is None:
        _refuse_plan_flags(source, values)
        if "/" in source:
            raise click.UsageError(f"where to? {printable(source)} is a path, and there is no DST")
    with connect(state, timeout_s=None) as client:
        if destination is None:
            params = api.StartParams(plan_name=source, name=values["name"], request_id=os.urandom(8).hex())
            if state.dry_run:
                spec = _saved(client, source)
                sys.exit(_check(state, client, spec))
        else:
            spec = _spec(source, destination, values)
            _echo(state, spec)
            if state.dry_run:
                sys.exit(_check(state, client, spec))
            params = api.StartParams(plan=spec, request_id=os.urandom(8).hex())
        state.started = True
        started = client.call("execution.start", params, api.ExecutionView)
        see_through(state, client, started, patience)


def _refuse_plan_flags(name: str, values: dict[str, Any]) -> None:
    """A saved plan is fixed: a flag that would change it must not be left aside in silence (think of --move)."""
    context = click.get_current_context()
    for option in context.command.params:
        if option.name in values and option.name != "name":
            source = context.get_parameter_source(option.name)
            if source is click.core.ParameterSource.COMMANDLINE:
                flags = "/".join([*option.opts, *option.secondary_opts])
                raise click.UsageError(
                    f"{flags} does not go with a saved plan ({printable(name)}); give SRC and DST, or save another plan"
                )


def _saved(client: Client, name: str) -> api.PlanSpec:
    for saved in client.call("plan.list", api.Nothing(), api.SavedPlans).plans:
        if saved.name == name:
            return saved.plan
    complain(f"there is no saved plan {name!r}", "give SRC and DST; or save one: migmon plan SRC DST --save NAME")
    sys.exit(Exit.NO_SUCH_ID)
