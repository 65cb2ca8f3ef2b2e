"""Telling systemd how we are (sd_notify). Without NOTIFY_SOCKET every call does nothing."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends datagrams to the service manager.

    The package sdnotify writes Latin-1, which loses UTF-8 names in STATUS=; these few lines do not.

    Args:
        environment: where NOTIFY_SOCKET is looked up.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def send(self, *lines: str) -> None:
        """Send assignments such as `READY=1` in one message. A manager that is not there is no error."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)  # noqa: FBT003
            with contextlib.suppress(OSError):
                sock.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)

    def ready(self, status: str) -> None:
        self.send("READY=1", f"STATUS={status}")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`; newlines would start another assignment."""
        self.send("STATUS=" + text.replace("\n", " "))

    def reloading(self) -> None:
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        self.send("STOPPING=1", f"STATUS={status}")

    def watchdog(self) -> None:
        self.send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> None:
        """Ask for so much more time from now on before the manager kills us."""
        self.send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")
