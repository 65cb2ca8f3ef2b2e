"""Every error migmond raises on purpose.

    MigmondError
    ├── InvalidInput              something from outside could not be parsed or is out of range
    │   ├── ConfigError           a configuration file or key
    │   └── ProtocolError         bytes on a socket that are no valid frame or message
    │       └── FrameTooLarge
    ├── NotFound                  no execution, plan, task, plugin or method has that name
    │   └── Ambiguous             more than one has
    ├── NotPermitted              the peer may not do that
    ├── Conflict                  the request does not fit the present state
    │   └── IllegalTransition     a state change that the state table does not have
    ├── PlanInfeasible            the plan can never work as it stands (missing source, nested target, ...)
    ├── LimitExceeded             a per-connection or per-daemon limit
    ├── Unavailable               try again later: shutting down, starting, daemon unreachable
    ├── MoverError                a mover could not start or died
    ├── JournalError              the journal cannot be trusted or written
    │   ├── JournalDamaged
    │   └── JournalFull
    ├── HistoryError              telemetry cannot be kept or read; no migration suffers from it
    └── PluginError               a plugin is missing, invalid, conflicting or quarantined

What happened to one *task* is data, not an exception: see `migmond.domain.fault.Fault`.
The mapping of these classes to wire codes lives in one place, `migmond.rpc.faults`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import ClassVar


class MigmondError(Exception):
    """Root of the tree.

    Args:
        message: what is wrong and why, one sentence, no trailing full stop.
        hint: what to do next; "" when there is nothing sensible to say.
        path: the file concerned, as raw bytes.
        errno: the operating system's number, when it caused this.
    """

    kind: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", path: bytes | None = None, errno: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = path
        self.errno = errno


class InvalidInput(MigmondError):
    """Something from outside could not be parsed or is out of range."""

    kind = "invalid_input"

    def __init__(
        self, message: str, *, hint: str = "", path: bytes | None = None, errno: int | None = None, field: str = ""
    ) -> None:
        """`field`: which parameter it is about, as msgspec names those of the wrong type: `plan.sources[0].path`; ""
        when it is none in particular, or nobody asked with parameters. The others are as of every error."""
        super().__init__(message, hint=hint, path=path, errno=errno)
        self.field = field


def inside(outer: str, field: str) -> str:
    """Return how a field is called from outside of `outer`, which it is in; either may be ""."""
    return f"{outer}.{field}" if outer and field and not field.startswith("[") else outer + field


@contextlib.contextmanager
def about(field: str) -> Iterator[None]:
    """What is refused in here is that parameter, or the part of it that the error names: whoever checks the inside of
    one need not know where it comes from."""
    try:
        yield
    except InvalidInput as e:
        e.field = inside(field, e.field)
        raise


class ConfigError(InvalidInput):
    """A configuration file or key is wrong; the message names file and line or key path."""

    kind = "config"


class ProtocolError(InvalidInput):
    """Bytes on a socket that are no valid frame or message."""

    kind = "protocol"


class FrameTooLarge(ProtocolError):
    """A frame's announced length is over the limit; the connection cannot go on."""

    kind = "frame_too_large"


class NotFound(MigmondError):
    """No execution, plan, task, plugin or method has that name."""

    kind = "not_found"


class Ambiguous(NotFound):
    """More than one execution has that name."""

    kind = "ambiguous"


class NotPermitted(MigmondError):
    """The peer may not do that."""

    kind = "not_permitted"


class Conflict(MigmondError):
    """The request does not fit the present state."""

    kind = "conflict"


class IllegalTransition(Conflict):
    """A state change that the state table does not have."""

    kind = "illegal_transition"


class PlanInfeasible(MigmondError):
    """The plan can never work as it stands."""

    kind = "plan_infeasible"


class LimitExceeded(MigmondError):
    """A per-connection or per-daemon limit was hit."""

    kind = "limit_exceeded"
    retryable = True


class Unavailable(MigmondError):
    """Not now: starting, shutting down, or nobody answers."""

    kind = "unavailable"
    retryable = True


class MoverError(MigmondError):
    """A mover could not start or died."""

    kind = "mover"
    retryable = True


class JournalError(MigmondError):
    """The journal cannot be trusted or written."""

    kind = "journal"


class JournalDamaged(JournalError):
    """A row or page failed its check; deletes stop."""

    kind = "journal_damaged"


class JournalFull(JournalError):
    """The journal's file system is full; nothing more is acted upon until there is room."""

    kind = "journal_full"
    retryable = True


class HistoryError(MigmondError):
    """Telemetry cannot be kept or read; no migration suffers from it."""

    kind = "history"
    retryable = True


class PluginError(MigmondError):
    """A plugin is missing, invalid, in conflict with another, or quarantined."""

    kind = "plugin"
