"""Settings of the daemon itself: where it keeps what, and who may use it."""

from __future__ import annotations

from typing import Annotated

from migmond.config.setting import Help, Kind, Section


class DaemonSection(Section, frozen=True):
    """The daemon itself."""

    state_directory: Annotated[
        str, Help("Where the journal lives; empty is /var/lib/migmond, a user's own is ~/.local/state/migmond.")
    ] = ""
    log_level: Annotated[str, Help("debug, info, warning or error.", restart=False)] = "info"
    drain_timeout: Annotated[
        str, Help("How long a stop waits for what is being copied.", Kind.DURATION, 0, 86400, restart=False)
    ] = "90s"
    storage: Annotated[str, Help("The storage plugin that keeps the journal.")] = "sqlite"


class JournalSection(Section, frozen=True):
    """What is done so that the journal survives."""

    ballast: Annotated[
        str,
        Help("Room kept beside the journal for the moment when its disk is full; 0B for none.", Kind.SIZE, 0, 1 << 40),
    ] = "16MiB"
    backup_every: Annotated[
        str, Help("How often the journal is backed up, if it changed.", Kind.DURATION, 60, 365 * 86400, restart=False)
    ] = "1d"
    backup_keep: Annotated[
        int, Help("How many backups are kept; 0 makes none by itself.", Kind.PLAIN, 0, 1000, restart=False)
    ] = 3
    keep_executions: Annotated[
        int,
        Help(
            "How many migrations that have ended are kept at least, the newest.", Kind.PLAIN, 0, 1_000_000,
            restart=False,
        ),
    ] = 1000  # fmt: skip
    keep_for: Annotated[
        str,
        Help(
            "How long each is kept at least; beyond both, it is forgotten.",
            Kind.DURATION, 3600, 36500 * 86400, restart=False,
        ),
    ] = "400d"  # fmt: skip


class SocketSection(Section, frozen=True):
    """The socket that clients connect to."""

    path: Annotated[
        str,
        Help("Empty: /run/migmond/socket, a user's $XDG_RUNTIME_DIR/migmond/socket. Socket activation overrides it."),
    ] = ""
    mode: Annotated[str, Help("Permissions of the socket, octal. Roles decide what a peer may do, not the mode.")] = (
        "0666"
    )
    backlog: Annotated[int, Help("Connections that may wait to be accepted.", Kind.PLAIN, 1, 65535)] = 1024
    max_connections: Annotated[int, Help("Clients at the same time.", Kind.PLAIN, 1, 1_000_000)] = 12_000
    max_frame: Annotated[str, Help("Longest message.", Kind.SIZE, 4096, 1 << 30)] = "16MiB"
    max_outstanding: Annotated[int, Help("Requests of one client running at a time.", Kind.PLAIN, 1, 10_000)] = 64
    max_write_queue: Annotated[
        str, Help("Unread answers after which a client is cut off.", Kind.SIZE, 65536, 1 << 32)
    ] = "8MiB"
    max_user_memory: Annotated[
        str,
        Help(
            "Unread answers and unfinished messages of all clients of one user together.", Kind.SIZE, 1 << 20, 1 << 40
        ),
    ] = "256MiB"


class RolesSection(Section, frozen=True):
    """Which groups have which role. root is always admin."""

    admin_group: Annotated[str, Help("Members steer everybody's migrations.")] = "migmond-admin"
    operator_group: Annotated[str, Help("Members run and steer their own, under their own rights.")] = "migmond"
    viewer_group: Annotated[str, Help("Members see everything and change nothing.")] = "migmond-ro"


class WebSection(Section, frozen=True):
    """Who may sign in at the web gateway (migmond-web), and for how long."""

    group: Annotated[
        str, Help("The gateway's processes have this group; it lets them sign people in, and nothing else.")
    ] = "migmond-web"
    session: Annotated[
        str, Help("Whoever has signed in stays so for this long.", Kind.DURATION, 60, 366 * 86400, restart=False)
    ] = "12h"
    passwords: Annotated[
        str, Help("File of lines NAME:HASH (migmond-web password); empty: sign in by migmon dash.", restart=False)
    ] = ""
    trust_proxy: Annotated[
        bool, Help("Whether to believe the gateway whom a reverse proxy has let in.", restart=False)
    ] = False
