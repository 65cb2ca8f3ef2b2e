"""The program `migmond-web`."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import click
import trio

from migmond.client.address import find_socket
from migmond_web.security import Site

DEFAULT_BIND = "127.0.0.1:7447"
GRACE_S = 3.0
"""How long a stop waits for answers; streams are cut off, browsers come again."""
_FIRST_INHERITED = 3
LOOK_S, SILENT_S = 10.0, 60.0


@click.group(invoke_without_command=True)
@click.option(
    "--bind",
    "binds",
    multiple=True,
    metavar="ADDRESS",
    help=f"Where to listen: HOST:PORT of this machine, or unix:PATH behind a proxy (repeatable). [{DEFAULT_BIND}]",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="How browsers reach it, such as https://nas.example; the address itself without one (repeatable).",
)
@click.option(
    "--proxy-header",
    default="",
    metavar="NAME",
    help="Header in which a reverse proxy says who somebody is: X-Remote-User. Only with Unix sockets.",
)
@click.option(
    "--address-header",
    default="",
    metavar="NAME",
    help="Header in which a reverse proxy says where a request comes from: X-Forwarded-For, of which the last entry "
    "counts. Without it all who come by the proxy share the limit on tries to sign in.",
)
@click.option("--socket", "socket_path", metavar="PATH", help="Of the daemon.")
@click.option("--end-with-daemon", is_flag=True, help="End when no daemon has answered for a minute.")
@click.pass_context
def main(
    context: click.Context,
    binds: Sequence[str],
    origins: Sequence[str],
    proxy_header: str,
    address_header: str,
    socket_path: str | None,
    *,
    end_with_daemon: bool,
) -> None:
    """Serve the dashboard and the HTTP API. It has no rights of its own: people sign in (migmon dash)."""
    if context.invoked_subcommand is not None:
        return
    try:
        from migmond_web.app import Gateway
        from migmond_web.daemon import Daemon
    except ModuleNotFoundError as e:
        print(f"error: {e.name} is missing\nhint: pip install 'migmond[web]'", file=sys.stderr)
        sys.exit(1)
    inherited = inherited_sockets(os.environ, os.getpid())
    binds = list(binds) or ([] if inherited else [DEFAULT_BIND])
    unix = all(bind.startswith("unix:") for bind in binds) and all(map(_is_unix, inherited))
    if proxy_header and not unix:
        raise click.UsageError("--proxy-header is for Unix sockets alone: whoever reaches a port could be anybody")
    for bind in binds:
        _check_bind(bind)
    if not origins:
        addresses = [bind for bind in binds if not bind.startswith("unix:")] or [DEFAULT_BIND]
        origins = [f"http://{name}" for address in addresses for name in _names(address)]
    site = Site(tuple(origin.rstrip("/") for origin in origins), proxy_header.lower(), address_header.lower())
    path = find_socket(socket_path).path
    gateway = Gateway(Daemon(path), site)
    listen = [*binds, *(f"fd://{fd}" for fd in inherited)]
    trio.run(_serve, gateway, listen, site, path if end_with_daemon else "")


@main.command()
def password() -> None:
    """Ask for a password and print what the file of [web] passwords holds of it, after NAME: ."""
    from migmond.domain.passwords import hash_password

    print(hash_password(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)))


def inherited_sockets(environment: Any, pid: int) -> list[int]:
    """Return the sockets that systemd hands over (sd_listen_fds(3))."""
    if environment.get("LISTEN_PID") != str(pid):
        return []
    try:
        count = int(environment.get("LISTEN_FDS", "0"))
    except ValueError:
        return []
    return list(range(_FIRST_INHERITED, _FIRST_INHERITED + count))


def _is_unix(fd: int) -> bool:
    with socket.socket(fileno=os.dup(fd)) as sock:
        return sock.family == socket.AF_UNIX


def _check_bind(bind: str) -> None:
    if bind.startswith("unix:"):
        return
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.UsageError(f"{bind!r} is no HOST:PORT and no unix:PATH")
    if host.strip("[]") not in ("127.0.0.1", "::1", "localhost"):
        raise click.UsageError(
            f"{host} is not this machine's own: the gateway speaks plain HTTP. Put a proxy with TLS in front of it, "
            "see contrib/nginx"
        )


def _names(address: str) -> list[str]:
    """What a browser may call an address of this machine's own."""
    host, _, port = address.rpartition(":")
    return [address] + ([f"localhost:{port}"] if host == "127.0.0.1" else [])


async def _serve(gateway: Any, listen: list[str], site: Site, daemon: str) -> None:
    """`daemon`: socket of the one to end with, "" for none."""
    from hypercorn.config import Config
    from hypercorn.trio import serve

    config = Config()
    config.bind = listen
    config.accesslog = None
    config.errorlog = logging.getLogger("migmond-web")
    config.graceful_timeout = GRACE_S
    config.keep_alive_timeout = 75
    config.include_server_header = False
    config.h11_max_incomplete_size = 32 * 1024
    config.websocket_max_message_size = 4096
    config.backlog = 512
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    stopping = trio.Event()
    async with gateway.running() as application, trio.open_nursery() as nursery:
        nursery.start_soon(_watch_signals, stopping)
        if daemon:
            nursery.start_soon(_end_with, daemon, stopping)
        served = await nursery.start(partial(serve, application, config, shutdown_trigger=stopping.wait, mode="asgi"))
        _tell_ready()
        print(f"serving {', '.join(map(str, served))} as {site.origins[0]}", file=sys.stderr)
        await stopping.wait()
        nursery.cancel_scope.deadline = trio.current_time() + GRACE_S + 1


async def _end_with(daemon: str, stopping: trio.Event) -> None:
    """A daemon that ends because nobody needs it must not be started again by a gateway that nobody looks at."""
    silent_s = 0.0
    while silent_s < SILENT_S:
        await trio.sleep(LOOK_S)
        try:
            await (await trio.open_unix_socket(daemon)).aclose()
            silent_s = 0.0
        except OSError:
            silent_s += LOOK_S
    stopping.set()


async def _watch_signals(stopping: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            stopping.set()


def _tell_ready() -> None:
    if os.environ.get("NOTIFY_SOCKET"):
        import sdnotify

        with contextlib.suppress(OSError):
            sdnotify.SystemdNotifier().notify("READY=1")


if __name__ == "__main__":
    main()
