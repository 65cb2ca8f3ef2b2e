"""Where the daemon's socket is."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

import msgspec

from migmond.client.errors import Unreachable

SYSTEM_SOCKET = "/run/migmond/socket"


class Address(msgspec.Struct, frozen=True):
    """A socket path, and whether a per-user daemon may be started there when nobody answers."""

    path: str
    startable: bool


def xdg(environment: Mapping[str, str], name: str) -> str:
    """Return one of the XDG base directories, "" when it is unset or relative (then it is to be ignored)."""
    value = environment.get(name, "")
    return value if value.startswith("/") else ""


def runtime_directory(environment: Mapping[str, str], uid: int) -> str:
    """Return the per-user daemon's directory: `$XDG_RUNTIME_DIR/migmond`, else `/tmp/migmond-<uid>`."""
    base = xdg(environment, "XDG_RUNTIME_DIR")
    if base and os.path.isdir(base):
        return os.path.join(base, "migmond")
    return f"/tmp/migmond-{uid}"


def make_private(directory: str, uid: int) -> None:
    """Make the per-user directory, or check that nobody else could have made or can enter it.

    Raises:
        Unreachable: it belongs to somebody else, is a symlink, or others may enter it.
    """
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    except OSError as e:
        raise Unreachable(f"cannot make {directory}: {e.strerror}") from e
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise Unreachable(f"{directory} is not a private directory of yours", hint="remove it, or set XDG_RUNTIME_DIR")


def find_socket(explicit: str | None, environment: Mapping[str, str] | None = None) -> Address:
    """Return where to connect: `explicit`, `$MIGMOND_SOCKET`, the system daemon's socket if it is there and may be
    opened, else the per-user daemon's.

    Raises:
        Unreachable: the per-user directory is not safe.
    """
    environment = os.environ if environment is None else environment
    if explicit:
        return Address(explicit, startable=False)
    if environment.get("MIGMOND_SOCKET"):
        return Address(environment["MIGMOND_SOCKET"], startable=False)
    if os.access(SYSTEM_SOCKET, os.R_OK | os.W_OK):
        return Address(SYSTEM_SOCKET, startable=False)
    directory = runtime_directory(environment, os.getuid())
    if os.path.exists(directory):
        make_private(directory, os.getuid())
    return Address(os.path.join(directory, "socket"), startable=True)
