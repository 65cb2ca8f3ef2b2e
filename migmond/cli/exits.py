"""Exit codes, and the one place where an error becomes one."""

from __future__ import annotations

import enum
import sys

from migmond.cli.render.text import printable
from migmond.client.errors import ClientError, RemoteError, Unreachable
from migmond.domain.errors import InvalidInput, MigmondError, ProtocolError


class Exit(enum.IntEnum):
    """What `migmon` ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NO_SUCH_ID = 4
    NOT_PERMITTED = 5
    SOME_FILES_FAILED = 6
    INFEASIBLE = 7
    TIMED_OUT = 124
    DETACHED = 130


_BY_KIND = {
    "not_found": Exit.NO_SUCH_ID,
    "ambiguous": Exit.NO_SUCH_ID,
    "not_permitted": Exit.NOT_PERMITTED,
    "plan_infeasible": Exit.INFEASIBLE,
    "invalid_input": Exit.USAGE,
}


def exit_of(error: Exception) -> Exit:
    """Return the exit code that `error` means."""
    if isinstance(error, Unreachable):
        return Exit.UNREACHABLE
    if isinstance(error, RemoteError):
        return _BY_KIND.get(error.kind, Exit.FAILED)
    # A daemon whose answer makes no sense is a failure, not the caller's typing.
    return Exit.USAGE if isinstance(error, InvalidInput) and not isinstance(error, ProtocolError) else Exit.FAILED


def complain(message: str, hint: str = "") -> None:
    """Print an error and what to do next to standard error."""
    print("\n".join(printable(line) for line in f"error: {message}".split("\n")), file=sys.stderr)
    if hint:
        print(f"hint: {printable(hint)}", file=sys.stderr)


def fail(error: ClientError | MigmondError) -> Exit:
    """Say what went wrong and return the exit code."""
    message = getattr(error, "message", str(error))
    complain(message, getattr(error, "hint", ""))
    return exit_of(error)
