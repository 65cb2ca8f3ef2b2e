"""What a daemon is told when it begins."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from migmond.daemon.live_config import LiveConfig
from migmond.daemon.notify import Notifier


class Setup(msgspec.Struct, frozen=True):
    """Where this daemon lives and what it was given.

    Attributes:
        root_owned: it is root's: what it trusts must be writable by root only.
        inherited: listening sockets from systemd; if there are any, `socket_path` is only shown.
        watchdog_s: how often to feed the watchdog, None for never.
        exit_when_idle_s: end when no client and no running migration needed us for so long.
        ready: called once everything is serving.
    """

    config: LiveConfig
    user_daemon: bool
    root_owned: bool
    state_directory: Path
    config_directories: tuple[Path, ...]
    socket_path: str
    inherited: tuple[socket.socket, ...]
    notifier: Notifier
    log: Callable[..., None]
    watchdog_s: float | None
    exit_when_idle_s: float | None
    ready: Callable[[], None]
