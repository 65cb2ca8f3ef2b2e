"""Command-line values parsed to types, and the option groups that several commands share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from migmond.cli.render.text import printable
from migmond.cli.state import State
from migmond.domain import api
from migmond.domain.errors import InvalidInput
from migmond.domain.names import to_text
from migmond.domain.states import ExecutionState
from migmond.domain.units import parse_duration, parse_rate, parse_size

F = TypeVar("F", bound=Callable[..., Any])


class Parsed(click.ParamType[Any]):
    """A value read by one of the domain's parsers."""

    def __init__(self, name: str, parser: Callable[[str], Any]) -> None:
        self.name = name
        self.parser = parser

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.parser(value)
        except InvalidInput as e:
            self.fail(f"{e.message} ({e.hint})", param, ctx)


class Seconds(click.FloatRange):
    """A number of seconds within bounds; what is no number is within none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if math.isnan(found := super().convert(value, param, ctx)):
            self.fail(f"{value!r} is not a number", param, ctx)
        return found


def absolute(text: str) -> str:
    """Return a path of the caller as absolute path text, symlinks as they are.

    Raises:
        InvalidInput: it is empty, as an unset variable of a script is; it must not mean the working directory.
            Or it looks like HOST:PATH, which nobody means to be a directory. Or it is relative and the working
            directory is gone.
    """
    raw = os.fsencode(text)
    if not raw:
        raise InvalidInput("a path is empty", hint="is a variable unset? write . for the working directory")
    first = raw.partition(b"/")[0]
    if b":" in first and not os.path.lexists(first):
        raise InvalidInput(
            f"{printable(text)} would be another machine's in rsync; migmond moves on this one",
            hint=f"mount it here first; for a directory of that name write ./{printable(text)}",
        )
    try:
        path = raw if raw.startswith(b"/") else os.path.join(os.getcwdb(), raw)
    except FileNotFoundError as e:
        raise InvalidInput("the working directory does not exist any more", hint="give the full path") from e
    return to_text(os.path.normpath(_without_up(path)))


def _without_up(path: bytes) -> bytes:
    """Resolve as much of `path` as `..` needs: what it leaves may be a symlink. The rest stays as it is."""
    parts = path.split(b"/")
    if b".." not in parts:
        return path
    last = len(parts) - 1 - parts[::-1].index(b"..")
    return os.path.join(os.path.realpath(b"/".join(parts[: last + 1])), *parts[last + 1 :])


def _relative(text: str) -> str:
    return to_text(os.fsencode(text).strip(b"/"))


SIZE = Parsed("size", parse_size)
RATE = Parsed("rate", lambda text: parse_rate(text) or "off")
DURATION = Parsed("duration", parse_duration)
PATH = click.Path(readable=False)
"""One that the shell completes. Whether it may be read is known to whoever opens it: not the caller, mostly."""
BELOW = Parsed("dir", _relative)


def execution_argument(*, required: bool = True) -> Callable[[F], F]:
    """The argument `id_` that names a migration; completed from what the daemon has, if one answers."""
    metavar = "ID" if required else "[ID]"
    return click.argument("id_", metavar=metavar, required=required, shell_complete=_known_executions)


def _known_executions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from migmond.client.address import find_socket
    from migmond.client.errors import ClientError
    from migmond.client.sync import Client

    try:
        with Client(find_socket(ctx.ensure_object(State).socket).path, 1.0) as client:
            page = client.call("execution.list", api.ListParams(limit=1000), api.ExecutionPage)
    except ClientError:
        return []
    names = dict.fromkeys(name for e in page.executions for name in (e.name, e.id))
    return [name for name in names if name.startswith(incomplete)]


def global_options(command: F) -> F:
    """The options that stand before or after the command."""

    def store(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
        def callback(ctx: click.Context, param: click.Parameter, value: Any) -> None:
            if value not in (None, False):
                setattr(ctx.ensure_object(State), name, value)

        return callback

    for decorate in (
        click.option("--json", is_flag=True, expose_value=False, callback=store("json"), help="JSON on stdout."),
        click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=store("quiet"), help="No prose."),
        click.option(
            "-n", "--dry-run", is_flag=True, expose_value=False, callback=store("dry_run"), help="Change nothing."
        ),
        click.option("-y", "--yes", is_flag=True, expose_value=False, callback=store("yes"), help="Do not ask."),
        click.option("--reason", expose_value=False, callback=store("reason"), help="Recorded with the change."),
        click.option(
            "--socket",
            metavar="PATH",
            type=PATH,
            expose_value=False,
            callback=store("socket"),
            help="The daemon's socket.",
        ),
        click.option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            expose_value=False,
            callback=store("color"),
            help="Colour on stdout.",
        ),
    ):
        command = decorate(command)
    return command


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that gives a command all these options, in this order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def states_option(examples: str) -> Callable[[F], F]:
    """`--state`: migrations of these states; the command gets them as `states`. `examples`: shown in its help."""
    return click.option(
        "--state", "states", multiple=True, type=click.Choice([s.value for s in ExecutionState]), metavar="STATE",
        help=f"Only such: {examples}",
    )  # fmt: skip


def selector_options(*, states: bool) -> Callable[[F], F]:
    """The flags of a selector; the command gets them as one `selector` argument of type SelectorSpec."""
    options = [
        click.option("--include", multiple=True, metavar="GLOB", help="Only what matches (rclone's patterns)."),
        click.option("--exclude", multiple=True, metavar="GLOB", help="Not what matches."),
        click.option("--type", "types", multiple=True, metavar="TYPE", help="file, symlink, video, image, text, ..."),
        click.option("--larger-than", type=SIZE, metavar="SIZE", help="Only files larger than that, e.g. 1GiB."),
        click.option("--smaller-than", type=SIZE, metavar="SIZE", help="Only files smaller than that, e.g. 4KiB."),
        click.option(
            "--newer", "newer_than", type=DURATION, metavar="AGE", help="Modified within that time, e.g. 7d or 12h."
        ),
        click.option("--older", "older_than", type=DURATION, metavar="AGE", help="Not modified within that time."),
        click.option("--under", type=BELOW, default="", metavar="DIR", help="Below this directory of the source."),
    ]
    if states:
        options += [
            click.option("--state", "states", multiple=True, metavar="STATE", help="pending, failed, done, ..."),
            click.option("--error", "errors", multiple=True, metavar="KIND", help="EIO, source_changed, ..."),
        ]
    return together(*options)


def selection(command: F) -> F:
    """Patterns as arguments, and the flags of a selector: which entries are meant. See `selector_from`."""
    globs = click.argument("globs", nargs=-1, metavar="[GLOB]...")
    return globs(selector_options(states=True)(command))


def selector_from(values: dict[str, Any]) -> api.SelectorSpec:
    """Take a selector's values out of a command's arguments. Patterns that were arguments are includes."""
    values["include"] = (*values.pop("globs", ()), *values.get("include", ()))
    names = [f for f in api.SelectorSpec.__struct_fields__ if f in values]
    return api.SelectorSpec(**{name: values.pop(name) for name in names})
