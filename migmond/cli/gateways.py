"""Who listens at a port of this machine: a link is as good as a password, and anybody may listen where nobody does."""

from __future__ import annotations

import contextlib
import os
import pwd

GATEWAY_USER = "migmond-gateway"
"""`User=` of contrib/systemd/migmond-web.service."""
DYNAMIC_USERS = "/run/systemd/dynamic-uid"
"""Where systemd, as root, notes the users that it makes: where its module of the name service is not installed
(libnss-systemd), nobody else tells them."""
_LISTEN = "0A"
_LOOPBACK = ("0100007F", "00000000")
"""127.0.0.1 and all addresses, as /proc/net/tcp writes them on little-endian machines (proc(5))."""


def listener(port: int, table: str | None = None) -> int | None:
    """Return the uid of whoever listens at `port` of 127.0.0.1; None when nobody does.

    Args:
        table: text of /proc/net/tcp, read when it is None.
    """
    if table is None:
        with open("/proc/net/tcp", encoding="ascii") as file:
            table = file.read()
    for line in table.splitlines()[1:]:
        fields = line.split()
        address, _, number = fields[1].partition(":")
        if fields[3] == _LISTEN and address in _LOOPBACK and int(number, 16) == port:
            return int(fields[7])
    return None


def safe(uid: int, own: int, *, system: bool, dynamic_users: str = DYNAMIC_USERS) -> bool:
    """Whether a link may be given to `uid`: root (systemd holds the gateway's socket), the caller, and for the system's
    daemon the gateway's own user."""
    if uid in (0, own):
        return True
    if system:
        with contextlib.suppress(OSError):
            return os.readlink(f"{dynamic_users}/direct:{GATEWAY_USER}") == str(uid)
        with contextlib.suppress(KeyError):
            return uid == pwd.getpwnam(GATEWAY_USER).pw_uid
    return False
