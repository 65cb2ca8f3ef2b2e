"""From a command to a connected client; starts a per-user daemon when nobody answers, as tmux does."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time
from typing import TYPE_CHECKING

from migmond.cli.state import State
from migmond.client.address import SYSTEM_SOCKET, find_socket, make_private, xdg
from migmond.client.errors import Unreachable
from migmond.client.sync import Client

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

START_TIMEOUT_S = 10.0
IDLE_LIFE = "10m"
_SYSTEMCTL = "systemctl status migmond"
_LOG_LINES = 5


def connect(state: State, *, start: bool = True, timeout_s: float | None = 60.0) -> Client:
    """Return a connected client.

    Args:
        start: start a per-user daemon if there is none and no socket was named.

    Raises:
        Unreachable: nobody answers and none could be started.
    """
    address = find_socket(state.socket)
    try:
        return Client(address.path, timeout_s)
    except Unreachable as e:
        if not address.startable or not start:
            if address.startable:
                hint = "none of yours runs now; every command but status and watch starts one, and it resumes"
            else:
                hint = f"is a daemon running there? {_SYSTEMCTL if address.path == SYSTEM_SOCKET else 'check --socket'}"
            raise Unreachable(e.message, e.hint or hint) from e
    directory = os.path.dirname(address.path)
    make_private(directory, os.getuid())
    try:
        with open(os.path.join(directory, "start.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two commands at once start one daemon
            try:
                return Client(address.path, timeout_s)
            except Unreachable:
                _start_daemon(address.path)
    except OSError as e:
        raise Unreachable(f"no daemon could be started: {e.strerror}: {e.filename}") from e
    return Client(address.path, timeout_s)


def _start_daemon(socket_path: str) -> None:
    import subprocess
    from pathlib import Path

    state_home = xdg(os.environ, "XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    log_path = Path(state_home) / "migmond" / "daemon.log"
    try:
        log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise Unreachable(
            f"cannot make {log_path.parent} for the daemon's journal: {e.strerror}", "set XDG_STATE_HOME"
        ) from e
    ready, ready_daemon = os.pipe()
    with open(ready, "rb", buffering=0) as answer, open(log_path, "ab") as log:
        said_before = log.tell()
        arguments = ["--user", "--socket", socket_path, "--exit-when-idle", IDLE_LIFE]
        process = subprocess.Popen(
            [sys.executable, "-m", "migmond.daemon", *arguments, "--foreground-ready-fd", str(ready_daemon)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            pass_fds=(ready_daemon,),
            start_new_session=True,
            env={**os.environ, **_module_path()},
        )
        os.close(ready_daemon)
        # The pipe closes when the daemon dies; a byte comes when it serves.
        if select.select([answer], [], [], START_TIMEOUT_S)[0] and answer.read(1):
            return
    raise Unreachable(_why_not(process, log_path, said_before), f"the whole log is {log_path}")


def _module_path() -> dict[str, str]:
    """A source checkout that is not installed runs too: the daemon's working directory is not ours."""
    paths = [p for p in sys.path if p and os.path.isdir(p)]
    return {"PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in paths)}


def _why_not(process: subprocess.Popen[bytes], log_path: Path, said_before: int) -> str:
    """Return what the daemon itself said; earlier daemons' words, before that offset, would mislead."""
    deadline = time.monotonic() + 1
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if process.returncode is None:
        process.terminate()
        return f"the daemon that was started did not get ready within {START_TIMEOUT_S:.0f} s"
    said = log_path.read_bytes()[said_before:].decode(errors="replace").splitlines()[-_LOG_LINES:]
    return "the daemon could not be started:\n  " + "\n  ".join(said or [f"it ended with {process.returncode}"])
