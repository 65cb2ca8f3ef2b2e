"""Sockets that systemd has opened for us (LISTEN_FDS)."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from migmond.domain.errors import ConfigError

_FIRST_FD = 3


def inherited_sockets(environment: MutableMapping[str, str], pid: int) -> list[socket.socket]:
    """Take over the passed sockets and remove the variables, so that no child believes they are its own.

    Raises:
        ConfigError: one of them is no listening Unix stream socket.
    """
    meant_for = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if not count.isdigit() or meant_for != str(pid):
        return []
    sockets: list[socket.socket] = []
    for fd in range(_FIRST_FD, _FIRST_FD + int(count)):
        try:
            os.set_inheritable(fd, False)  # noqa: FBT003
            sock = socket.socket(fileno=fd)
            good = (
                sock.family == socket.AF_UNIX
                and sock.type == socket.SOCK_STREAM
                and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
            )
        except OSError:
            good = False
        if not good:
            raise ConfigError(
                f"inherited file descriptor {fd} is no listening Unix stream socket",
                hint="migmond.socket needs ListenStream= with a path",
            )
        sockets.append(sock)
    return sockets
