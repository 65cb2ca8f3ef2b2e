"""`migmon dash`: a link that signs its maker in at the dashboard."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

import click

from migmond.cli.connect import connect
from migmond.cli.exits import Exit, complain
from migmond.cli.gateways import listener, safe
from migmond.cli.parse import global_options
from migmond.cli.state import State
from migmond.client.address import SYSTEM_SOCKET, find_socket
from migmond.domain.people import Link, LinkParams

SYSTEM_PORT = 7447
START_TIMEOUT_S = 15.0
_OWN_PORTS = range(7448, 7480)


@click.command()
@click.option("--print", "only_print", is_flag=True, help="Print the link; open no browser.")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), help="The most that it lets one do.")
@click.option("--url", metavar="URL", help="Where the gateway is, when it is not on this machine's usual port.")
@global_options
@click.pass_obj
def dash(state: State, role: str | None, url: str | None, *, only_print: bool) -> None:
    """Open the dashboard, signed in as you. The link works once, for ten minutes: it is as good as a password.

    A daemon of your own gets a gateway of its own, which lives as long as the daemon.
    """
    with connect(state) as client:
        address = find_socket(state.socket).path
        where = url.rstrip("/") if url else _gateway(address)
        made = client.call("session.link", LinkParams(role or ""), Link)
    link = f"{where}/#link={made.link}"
    if state.json:
        state.emit("link", {"url": link, "user": made.user, "role": made.role, "expires_at": made.expires_at})
        return
    state.show([link])
    state.say(f"It signs {made.user} in ({made.role}), once, until {made.expires_at[11:16]} UTC.")
    if not only_print and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        click.launch(link)


def _gateway(socket_path: str) -> str:
    """Return where the gateway of that daemon is; one of the caller's own is started when there is none."""
    if socket_path == SYSTEM_SOCKET:
        found = listener(SYSTEM_PORT)
        if found is None:
            complain("the gateway does not run", "systemctl enable --now migmond-web.socket, or give --url")
            sys.exit(Exit.UNREACHABLE)
        if not safe(found, os.getuid(), system=True):
            complain(f"somebody else (uid {found}) listens at port {SYSTEM_PORT}", "that is not the gateway; --url URL")
            sys.exit(Exit.NOT_PERMITTED)
        return f"http://127.0.0.1:{SYSTEM_PORT}"
    note = Path(socket_path).with_name("gateway")
    try:
        port = int(note.read_text())
    except (OSError, ValueError):
        port = 0
    if port and (found := listener(port)) is not None and safe(found, os.getuid(), system=False):
        return f"http://127.0.0.1:{port}"
    return f"http://127.0.0.1:{_start(socket_path, note)}"


def _start(socket_path: str, note: Path) -> int:
    for port in _OWN_PORTS:
        if listener(port) is None and _serves(socket_path, port, note.with_suffix(".log")):
            note.write_text(str(port))
            return port
    complain(f"no port from {_OWN_PORTS[0]} to {_OWN_PORTS[-1]} is free", "start migmond-web yourself; --url URL")
    sys.exit(Exit.UNREACHABLE)


def _serves(socket_path: str, port: int, log: Path) -> bool:
    """Start a gateway and wait until it serves: by its own word, for at that port somebody else's may listen by now.

    Returns:
        False when somebody else has taken the port meanwhile.
    """
    import subprocess

    command = [sys.executable, "-m", "migmond_web.main", "--bind", f"127.0.0.1:{port}", "--socket", socket_path]
    paths = [os.path.abspath(p) for p in sys.path if p and os.path.isdir(p)]
    with open(log, "ab") as file:
        said_before = file.tell()
        process = subprocess.Popen(
            [*command, "--end-with-daemon"], stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd="/",
            start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        ended = process.poll() is not None
        said = log.read_bytes()[said_before:].decode(errors="replace").strip()
        if said.rpartition("\n")[2].startswith("serving "):
            return True
        if ended and os.strerror(errno.EADDRINUSE) in said:
            return False
        if ended or time.monotonic() > deadline:
            complain(f"the gateway did not start: {said or 'it said nothing'}", "migmond-web --help")
            sys.exit(Exit.UNREACHABLE)
        time.sleep(0.05)
