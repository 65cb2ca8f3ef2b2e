"""What can go wrong for a client."""

from __future__ import annotations

from migmond.wire.jsonrpc import METHOD_NOT_FOUND, ErrorObject


class ClientError(Exception):
    """Base of everything the client library raises."""


class Unreachable(ClientError):
    """Nobody answers at the socket, or the daemon closed the connection."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def no_connection(path: str, error: OSError) -> Unreachable:
    """Return what it means that the socket at `path` could not be connected to."""
    if isinstance(error, PermissionError):
        hint = "use a daemon of your own (leave --socket and MIGMOND_SOCKET out), or ask whose it is"
        return Unreachable(f"you may not use the socket {path}: it is another user's ({error.strerror})", hint)
    return Unreachable(f"no daemon answers at {path} ({error.strerror or error})")


class RemoteError(ClientError):
    """The daemon refused. `kind` is stable (`not_found`, `plan_infeasible`, ...), the message is for people. `field`:
    the parameter that it is about, "" for none in particular."""

    def __init__(self, error: ErrorObject) -> None:
        super().__init__(error.message)
        data = error.data or {}
        self.code = error.code
        self.message = error.message
        self.kind = str(data.get("kind") or "error")
        self.hint = str(data.get("hint") or "")
        self.path = data.get("path")
        self.field = str(data.get("field") or "")
        self.retryable = bool(data.get("retryable"))

    @property
    def unknown_method(self) -> bool:
        """Whether the daemon has no such method: it is of an earlier version."""
        return self.code == METHOD_NOT_FOUND
