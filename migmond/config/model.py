"""Every setting: its section, type, default and help. Sizes and durations are text with a unit in the files."""

from __future__ import annotations

import enum
from typing import Annotated, Any, get_args, get_type_hints

import msgspec


class Kind(enum.Enum):
    """How a setting's text is read."""

    PLAIN = "plain"
    SIZE = "size"
    DURATION = "duration"


class Help(msgspec.Struct, frozen=True):
    """What `migmon config` and conf.d/ say of a setting.

    Attributes:
        text: one sentence.
        kind: how its text is read.
        least, most: bounds of the parsed number, inclusive.
        restart: a change takes effect only when the daemon starts again.
        example: shown where there is no default.
    """

    text: str
    kind: Kind = Kind.PLAIN
    least: float | None = None
    most: float | None = None
    restart: bool = True
    example: float | str | None = None


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class DaemonSection(_Section, frozen=True):
    """The daemon itself."""

    state_directory: Annotated[
        str, Help("Where the journal lives; empty is /var/lib/migmond, a user's own is ~/.local/state/migmond.")
    ] = ""
    log_level: Annotated[str, Help("debug, info, warning or error.", restart=False)] = "info"
    drain_timeout: Annotated[
        str, Help("How long a stop waits for what is being copied.", Kind.DURATION, 0, 86400, restart=False)
    ] = "90s"
    storage: Annotated[str, Help("The storage plugin that keeps the journal.")] = "sqlite"


class JournalSection(_Section, frozen=True):
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


class HistorySection(_Section, frozen=True):
    """Telemetry: what was measured, at four resolutions that are kept for different times."""

    enabled: Annotated[bool, Help("Whether what is measured is kept, by the same plugin as the journal.")] = True
    flush_every: Annotated[str, Help("How often it is written; a crash loses so much.", Kind.DURATION, 1, 600)] = "10s"
    keep_2s: Annotated[str, Help("How long values every 2 s are kept,", Kind.DURATION, 3600, 30 * 86400)] = "6h"
    keep_10s: Annotated[str, Help("every 10 s,", Kind.DURATION, 3600, 365 * 86400)] = "3d"
    keep_1min: Annotated[str, Help("every minute,", Kind.DURATION, 86400, 3650 * 86400)] = "60d"
    keep_1h: Annotated[
        str,
        Help(
            "and every hour; each at least as long as those before.",
            Kind.DURATION,
            86400,
            36500 * 86400,
        ),
    ] = "1095d"
    spare: Annotated[
        str,
        Help(
            "With less room than this where it is, telemetry is dropped: the rest is for the journal.",
            Kind.SIZE,
            0,
            1 << 50,
        ),
    ] = "64MiB"


class MonitorSection(_Section, frozen=True):
    """Looking at what runs."""

    interval: Annotated[
        str, Help("How often executions are looked at, and what was seen is recorded.", Kind.DURATION, 0.1, 60)
    ] = "2s"


class SocketSection(_Section, frozen=True):
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


class RolesSection(_Section, frozen=True):
    """Which groups have which role. root is always admin."""

    admin_group: Annotated[str, Help("Members steer everybody's migrations.")] = "migmond-admin"
    operator_group: Annotated[str, Help("Members run and steer their own, under their own rights.")] = "migmond"
    viewer_group: Annotated[str, Help("Members see everything and change nothing.")] = "migmond-ro"


class ExecutionsSection(_Section, frozen=True):
    """How many migrations run side by side; further ones wait for their turn, first come first served."""

    running: Annotated[int, Help("Migrations and verifications that run at a time.", Kind.PLAIN, 1, 10_000)] = 64
    running_per_user: Annotated[int, Help("Of these, those of one user.", Kind.PLAIN, 1, 10_000)] = 16
    movers: Annotated[
        int, Help("Movers of all of them together: 24 MiB each, and some buffers.", Kind.PLAIN, 1, 10_000)
    ] = 256
    movers_per_user: Annotated[int, Help("Of these, those of one user.", Kind.PLAIN, 1, 10_000)] = 128
    waiting: Annotated[
        int, Help("Migrations that may wait for their turn; further ones are refused.", Kind.PLAIN, 0, 1_000_000)
    ] = 5000
    waiting_per_user: Annotated[int, Help("Of these, those of one user.", Kind.PLAIN, 0, 1_000_000)] = 500


class MoversSection(_Section, frozen=True):
    """The processes that copy."""

    workers: Annotated[
        int, Help("Movers of a migration that names no number; 0 is one per core.", Kind.PLAIN, 0, 256)
    ] = 0
    spare: Annotated[
        int, Help("Mover processes kept ready, so that a migration begins at once: 24 MiB each.", Kind.PLAIN, 0, 16)
    ] = 2
    stall_after: Annotated[
        str, Help("A mover that spends so long in one operation is reported as hanging.", Kind.DURATION, 0.5, 3600)
    ] = "5s"
    restart_limit: Annotated[
        int, Help("Deaths of movers within a minute after which a migration is held.", Kind.PLAIN, 1, 1000)
    ] = 5
    retry_held: Annotated[
        str, Help("After how long a migration held for space or a device tries again.", Kind.DURATION, 1, 86400)
    ] = "30s"
    machine_code: Annotated[
        bool, Help("Whether small files are copied by machine code, where it was built, or all of them by Python.")
    ] = True


class CommitSection(_Section, frozen=True):
    """Commit groups: entries made durable by one sync."""

    entries: Annotated[int, Help("A group is synced when it has so many entries,", Kind.PLAIN, 1, 100_000)] = 2000
    size: Annotated[str, Help("or so much data,", Kind.SIZE, 1 << 20, 1 << 40)] = "256MiB"
    idle: Annotated[str, Help("or when nothing was added for so long,", Kind.DURATION, 0.001, 60)] = "50ms"
    age: Annotated[
        str,
        Help(
            "or when it is so old, looked at between batches: later under a low --io.",
            Kind.DURATION,
            0.01,
            600,
        ),
    ] = "2s"


class RetriesSection(_Section, frozen=True):
    """What is tried again."""

    attempts: Annotated[int, Help("Tries of an entry that met a passing fault.", Kind.PLAIN, 1, 100)] = 5
    changed_attempts: Annotated[
        int, Help("Tries of a file that is being written to while it is copied.", Kind.PLAIN, 1, 100)
    ] = 3


class PricesSection(_Section, frozen=True):
    """What things cost you: with these, reports tell energy and money. What is not set is not told."""

    currency: Annotated[str, Help("What the prices are in.", restart=False, example="EUR")] = ""
    as_of: Annotated[
        str, Help("When they were right; told beside each amount.", restart=False, example="2026-01-01")
    ] = ""
    per_kwh: Annotated[
        float | None, Help("Of electricity, for each kWh.", Kind.PLAIN, 0, 1e9, restart=False, example=0.32)
    ] = None
    per_gb: Annotated[
        float | None,
        Help("Fee for each GB (10^9 bytes) that is moved.", Kind.PLAIN, 0, 1e9, restart=False, example=0.02),
    ] = None
    watts_per_core: Annotated[
        float | None,
        Help("What a busy core takes more than an idle one.", Kind.PLAIN, 0, 10_000, restart=False, example=5.0),
    ] = None


class DiskSection(_Section, frozen=True):
    """What a disk's data sheet says, for wear and energy in reports. What is not set is not told."""

    rated_writes: Annotated[
        str,
        Help("What may be written to it in its life (TBW).", Kind.SIZE, 1, 2**63 - 1, restart=False, example="600TB"),
    ] = ""
    write_amplification: Annotated[
        float | None,
        Help(
            "Bytes written to flash for each byte that is written to it (WAF); 1 for rotating disks.",
            Kind.PLAIN,
            0.01,
            1000,
            restart=False,
            example=2.0,
        ),
    ] = None
    active_watts: Annotated[
        float | None, Help("While it works.", Kind.PLAIN, 0, 10_000, restart=False, example=6.5)
    ] = None
    idle_watts: Annotated[
        float | None, Help("While it does nothing.", Kind.PLAIN, 0, 10_000, restart=False, example=4.0)
    ] = None
    price: Annotated[
        float | None, Help("Of the disk, in prices.currency.", Kind.PLAIN, 0, 1e9, restart=False, example=120.0)
    ] = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All sections. `plugins` is one table per plugin: `enabled`, and whatever settings the plugin has. `disks` is one
    table per disk, by the kernel's name for it or by what identifies it."""

    daemon: DaemonSection = DaemonSection()
    journal: JournalSection = JournalSection()
    history: HistorySection = HistorySection()
    monitor: MonitorSection = MonitorSection()
    socket: SocketSection = SocketSection()
    roles: RolesSection = RolesSection()
    executions: ExecutionsSection = ExecutionsSection()
    movers: MoversSection = MoversSection()
    commit: CommitSection = CommitSection()
    retries: RetriesSection = RetriesSection()
    prices: PricesSection = PricesSection()
    disks: dict[str, DiskSection] = {}
    plugins: dict[str, dict[str, Any]] = {}


def sections() -> dict[str, type[_Section]]:
    """Return the typed sections by name."""
    hints = get_type_hints(Settings)
    return {name: kind for name, kind in hints.items() if isinstance(kind, type) and issubclass(kind, _Section)}


def help_of(section: type[_Section], key: str) -> Help:
    """Return the help of a setting."""
    annotation = get_type_hints(section, include_extras=True)[key]
    found = [a for a in get_args(annotation) if isinstance(a, Help)]
    return found[0]


def type_of(section: type[_Section], key: str) -> type:
    """Return what a setting must be: str, int, bool or float (then an integer will do as well)."""
    kind = get_type_hints(section)[key]
    (wanted,) = [k for k in get_args(kind) or (kind,) if k is not type(None)]
    assert isinstance(wanted, type)
    return wanted
