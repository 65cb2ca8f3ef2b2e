"""`migmon`: the command, its global options, and where errors become exit codes."""

from __future__ import annotations

import io
import os
import signal
import sys

import click

import migmond
from migmond.cli.exits import Exit, complain, fail
from migmond.cli.lazy import LazyGroup, ReaderGone
from migmond.cli.parse import global_options
from migmond.cli.state import State
from migmond.client.errors import ClientError
from migmond.domain import api
from migmond.domain.errors import MigmondError

_CANDIDATES = 3


_COMMANDS: dict[str, tuple[str, ...]] = {
    "migrate": ("plan", "run"),
    "look": ("ls", "show", "why", "files", "errors", "interventions"),
    "live": ("watch", "top"),
    "history": ("history",),
    "receipt": ("receipt",),
    "report": ("report", "compare"),
    "export": ("export",),
    "steer": ("pause", "resume", "cancel", "drain", "verify"),
    "intervene": (
        "throttle",
        "workers",
        "batch",
        "order",
        "weight",
        "priority",
        "reorder",
        "skip",
        "route",
        "retry",
        "undo",
        "stop-all",
    ),
    "rollback": ("rollback", "recover"),
    "forget": ("forget",),
    "salvage": ("salvage",),
    "daemon": ("status", "doctor", "backup", "config", "plugins", "rpc", "completion"),
    "metrics": ("metrics",),
    "dash": ("dash",),
    "alerts": ("alerts",),
    "rules": ("rules",),
}


@click.group(
    cls=LazyGroup,
    lazy={
        name: f"migmond.cli.commands.{module}:{name.replace('-', '_')}"
        for module, names in _COMMANDS.items()
        for name in names
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(migmond.__version__, prog_name="migmon")
@global_options
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Move files durably, and watch and steer every move.

    \b
    Exit codes: 0 done, 1 failed, 2 usage, 3 daemon unreachable, 4 no such id, 5 not permitted,
    6 finished but some files failed, 7 plan infeasible, 124 --timeout is over, 130 detached by Ctrl-C.
    """
    ctx.ensure_object(State)


def main() -> None:
    """Run `migmon`; everything it wrote is flushed at the end, which is SystemExit unless all went well."""
    # A stream that was closed before we started (`>&-`) is None: what is written to it goes nowhere.
    sys.stdout, sys.stderr = (s or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w") for s in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a Latin-1 terminal has no ✓
    try:
        try:
            _run(State())
        finally:
            sys.stdout.flush()
    except (BrokenPipeError, ReaderGone):
        # Ended as any other program is that writes to nobody (`migmon show ID | head`), and as quietly. Not from the
        # beginning: a daemon that goes away in the middle of a question closes a socket, which is told.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    except OSError as e:
        # The interpreter would try to flush what is left once more, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        complain(f"{e.strerror}: {e.filename}" if e.filename else f"cannot write the output: {e.strerror}")
        sys.exit(Exit.FAILED)


def _run(state: State) -> None:
    try:
        cli.main(standalone_mode=False, obj=state, prog_name="migmon")
    except click.exceptions.Exit as e:
        sys.exit(e.exit_code)
    except click.exceptions.NoArgsIsHelpError as e:
        e.show()
        sys.exit(Exit.USAGE)
    except click.UsageError as e:
        where = f"{e.ctx.command_path} --help" if e.ctx is not None else "migmon --help"
        if isinstance(e, click.MissingParameter) and e.param is not None and e.param.name == "id_":
            where = f"migmon ls lists migrations; {where}"
        complain(" ".join(e.format_message().split()), where)
        sys.exit(Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted", "what was started goes on: migmon ls" if state.started else "")
        sys.exit(Exit.DETACHED)
    except UnicodeEncodeError as e:
        complain(f"an argument is not valid UTF-8: {e.object}", "only SRC and DST may be any bytes")
        sys.exit(Exit.USAGE)
    except ClientError as e:
        if getattr(e, "kind", "") == "not_found":
            _suggest(state, e)
        sys.exit(fail(e))
    except MigmondError as e:
        sys.exit(fail(e))


def _suggest(state: State, error: ClientError) -> None:
    """Put names near the one that was not found into the hint."""
    import difflib
    import re

    wanted = re.search(r"matches '(.*)'", str(error))
    if wanted is None:
        return
    from migmond.client.address import find_socket
    from migmond.client.sync import Client

    try:
        with Client(find_socket(state.socket).path, 2.0) as client:
            page = client.call("execution.list", api.ListParams(limit=200), api.ExecutionPage)
    except ClientError:
        return
    names = list(dict.fromkeys(e.name for e in page.executions))
    near = difflib.get_close_matches(wanted.group(1), names, _CANDIDATES)
    if near:
        error.hint = f"did you mean {' or '.join(near)}?  (migmon ls)"  # type: ignore[attr-defined]
