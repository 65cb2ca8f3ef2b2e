"""The composition root: everything is made here, in order, each thing a scope inside the one before it.

Stops from the outside in: accept loop, connections, movers to a safe boundary, journal.
"""

from __future__ import annotations

import contextlib
import gc
import grp
import itertools
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from migmond.analytics.tiers import WIDTHS_S
from migmond.config.load import DEFAULT_ORIGIN, Config
from migmond.daemon.descriptors import clients_allowed, raise_limit, reserved_for
from migmond.daemon.exports import Exports
from migmond.daemon.history import Telemetry, opened
from migmond.daemon.journal_care import keep_backups
from migmond.daemon.lifecycle import Lifecycle
from migmond.daemon.live_config import LiveConfig
from migmond.daemon.monitoring import Monitoring, parts_of, recording
from migmond.daemon.notify import Notifier
from migmond.daemon.own import own_places
from migmond.daemon.reports import Reports
from migmond.daemon.service import Facts, Service
from migmond.daemon.watchdog import LoopLag, feed
from migmond.domain.errors import ConfigError
from migmond.domain.events import DaemonStopping, PluginQuarantined
from migmond.domain.units import show_duration, show_size
from migmond.engine.bus import EventBus
from migmond.engine.manager import Engine
from migmond.engine.pool import MoverPool
from migmond.engine.settings import EngineSettings, Surroundings
from migmond.monitor.sampler import Sampler, Sinks
from migmond.planning.turns import TurnLimits
from migmond.plugin_api.specs import HistoryContext, StorageContext
from migmond.plugin_host.discovery import installed
from migmond.plugin_host.host import PluginHost
from migmond.rpc.budget import Budget
from migmond.rpc.connection import Limits
from migmond.rpc.methods import standard_registry
from migmond.rpc.peer import RoleGroups
from migmond.rpc.server import Server, bind_socket

BUILTIN_PLUGINS = {name: f"migmond_{name}" for name in ("filesystems", "kernel", "psutil", "smart", "sqlite")}
EVENT_IDS_PER_START = 1 << 32
"""Event ids reserved at each start: enough for a start's life, and 2**21 starts stay exact in a browser's numbers."""

_STATUS_S = 2.0
_ANSWER_GRACE_S = 2.0
_EXTENSION_S = 30.0


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


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


async def serve(setup: Setup) -> None:
    """Run the daemon until it is told to stop.

    Raises:
        MigmondError: it cannot start: configuration, journal, socket.
    """
    clock, lag = SystemClock(), LoopLag()
    config = setup.config.started
    host = PluginHost(installed(BUILTIN_PLUGINS), config.settings.plugins, clock.wall, root_owned=setup.root_owned)
    storage = host.storage(config.settings.daemon.storage)
    async with trio.open_nursery() as background:
        if setup.watchdog_s is not None:
            background.start_soon(feed, setup.notifier, setup.watchdog_s)
        async with (
            storage.open(storage_context(setup.state_directory, config)) as journal,
            opened(storage, history_context(setup.state_directory, config), config, clock, setup.log) as telemetry,
        ):
            bus = EventBus(await journal.next_event(EVENT_IDS_PER_START), clock.wall)

            def tell_quarantine(name: str, why: str) -> None:
                setup.log("plugin quarantined", plugin=name, why=why)
                bus.publish(lambda i, at: PluginQuarantined(i, at, name, why))

            host.on_quarantine = tell_quarantine
            own = own_places(setup.state_directory, setup.socket_path, setup.config_directories)
            settings, rng = engine_settings(config), random.SystemRandom()
            pool = MoverPool(config.settings.movers.spare)
            surroundings = Surroundings(journal, bus, clock, rng, settings, setup.log, own, pool)
            background.start_soon(pool.run)
            kinds = {m.name: (m.interval_s, m.kind) for m in host.metrics().metrics}
            record = recording(telemetry.put, clock.wall, kinds.__getitem__)
            host.on_collected = lambda samples, _: record(samples)
            async with Engine.serving(surroundings) as engine, host.running(), _listening(setup) as sockets:
                sampler = Sampler(
                    lambda learn: engine.observations(learn=learn),
                    host.samples,
                    parts_of(engine),
                    journal,
                    Sinks(telemetry.put, telemetry.note),
                    clock,
                    setup.log,
                    config.seconds("monitor", "interval"),
                )
                background.start_soon(sampler.run)
                monitoring = Monitoring(engine, surroundings, sampler)
                await _serve_clients(setup, surroundings, engine, host, lag, telemetry, monitoring, sockets)
                await sampler.look()  # what ended just now is kept as well
        background.cancel_scope.cancel()


async def _serve_clients(
    setup: Setup,
    surroundings: Surroundings,
    engine: Engine,
    host: PluginHost,
    lag: LoopLag,
    telemetry: Telemetry,
    monitoring: Monitoring,
    sockets: Sequence[socket.socket],
) -> None:
    config, registry = setup.config.started, standard_registry()
    reports = Reports(engine, surroundings, setup.config, host.samples)
    facts = Facts(
        socket=setup.socket_path,
        state_directory=str(setup.state_directory),
        user_daemon=setup.user_daemon,
        started_at=surroundings.clock.monotonic(),
        clients=lambda: server.clients,
        subscriptions=lambda: server.subscriptions,
        loop_waited=lambda: lag.waited.at(surroundings.clock.monotonic()),
        loop_worked=lambda: lag.worked.at(surroundings.clock.monotonic()),
        plugins=host.views,
        metrics=host.metrics,
        samples=host.samples,
        notes=host.notes,
        config=setup.config,
        telemetry=telemetry,
        monitoring=monitoring,
        reports=reports,
        exports=Exports(engine, surroundings, reports, host.metrics, host.samples, telemetry),
    )
    service = Service(engine, surroundings, facts)
    limits = Limits(
        config.size("socket", "max_frame"),
        config.settings.socket.max_outstanding,
        config.size("socket", "max_write_queue"),
    )
    for warning in missing_groups(config):
        setup.log(warning)
    wanted, open_files = config.settings.socket.max_connections, raise_limit()
    maximum = clients_allowed(wanted, open_files, reserved_for(config.settings.executions, config.settings.movers))
    if maximum < wanted:
        setup.log("fewer clients than configured", clients=maximum, open_files=open_files)
    budget = Budget(config.size("socket", "max_user_memory"))
    server = Server(registry, service, limits, role_groups(setup), maximum, budget, setup.log)
    lifecycle = Lifecycle(setup.log, lambda: _reload(setup))
    async with trio.open_nursery() as nursery:
        await nursery.start(lifecycle.watch_signals)
        await nursery.start(server.serve, sockets)
        nursery.start_soon(_show_status, setup.notifier, engine)
        nursery.start_soon(
            keep_backups,
            surroundings.journal,
            surroundings.clock,
            lambda: backup_settings(setup.config.newest),
            setup.log,
        )
        if setup.exit_when_idle_s is not None:
            nursery.start_soon(_stop_when_idle, server, engine, lifecycle, setup.exit_when_idle_s)
        # What there is now stays: looking for garbage in it again and again took the loop 25 ms at a time.
        gc.freeze()
        setup.notifier.ready("serving")
        setup.ready()
        setup.log("serving", socket=setup.socket_path, state=str(setup.state_directory))
        with lag.watching():  # from now on somebody may wait for it
            await lifecycle.stopping.wait()
        await _stop(
            setup, surroundings, engine, server, lifecycle, setup.config.newest.seconds("daemon", "drain_timeout")
        )
        nursery.cancel_scope.cancel()


async def _stop(
    setup: Setup,
    surroundings: Surroundings,
    engine: Engine,
    server: Server,
    lifecycle: Lifecycle,
    drain_timeout_s: float,
) -> None:
    """Stop from the outside in. A second signal, or the drain timeout, cuts movers off: that is safe, only slower to
    resume."""
    setup.notifier.stopping("stopping: finishing what is being copied")
    setup.log("stopping", why=lifecycle.why)
    surroundings.bus.publish(lambda i, at: DaemonStopping(i, at, lifecycle.why))
    with trio.move_on_after(drain_timeout_s) as draining:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_extending, setup.notifier)
            nursery.start_soon(lifecycle.cancel_on_second_signal, draining)
            await engine.suspend()
            nursery.cancel_scope.cancel()
    if draining.cancelled_caught:
        setup.log("movers were cut off; their files are copied again at the next start")
    await server.stop(_ANSWER_GRACE_S)


async def _keep_extending(notifier: Notifier) -> None:
    while True:
        notifier.extend_timeout(_EXTENSION_S)
        await trio.sleep(_EXTENSION_S / 3)


async def _show_status(notifier: Notifier, engine: Engine) -> None:
    """Keep `systemctl status` true."""
    while True:
        notifier.status(status_line(engine))
        await trio.sleep(_STATUS_S)


def status_line(engine: Engine) -> str:
    """Return one line: the first live migrations with percent, rate and time left."""
    views = [engine.view(e) for e in engine.all() if engine.run_of(e.id) is not None]
    if not views:
        return "idle"
    parts = []
    for view in views[:3]:
        p = view.progress
        percent = "scanning" if p.percent_done is None else f"{p.percent_done:.0f} %"
        rate = "" if p.bytes_per_s is None else f", {show_size(p.bytes_per_s)}/s"
        left = "" if p.seconds_remaining is None else f", {show_duration(p.seconds_remaining)} left"
        parts.append(f"{view.name} {view.state} {percent}{rate}{left}")
    more = f" and {len(views) - 3} more" if len(views) > 3 else ""
    return "; ".join(parts) + more


async def _stop_when_idle(server: Server, engine: Engine, lifecycle: Lifecycle, idle_s: float) -> None:
    since = trio.current_time()
    while True:
        await trio.sleep(min(1.0, idle_s / 4))
        if server.clients or any(engine.run_of(e.id) is not None for e in engine.all()):
            since = trio.current_time()
        elif trio.current_time() - since >= idle_s:
            lifecycle.stop("nobody needs this daemon")
            return


def _reload(setup: Setup) -> None:
    setup.notifier.reloading()
    setup.config.reload(setup.log)
    setup.notifier.ready("serving")


@asynccontextmanager
async def _listening(setup: Setup) -> AsyncIterator[Sequence[socket.socket]]:
    """Yield the listening sockets; one that we bound ourselves is removed at the end."""
    if setup.inherited:
        yield setup.inherited
        return
    section = setup.config.started.settings.socket
    try:
        sock = bind_socket(setup.socket_path, mode=int(section.mode, 8), backlog=section.backlog)
    except OSError as e:
        raise ConfigError(
            f"cannot listen on {setup.socket_path}: {e.strerror}", hint="make its directory, or give another --socket"
        ) from e
    try:
        yield (sock,)
    finally:
        sock.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(setup.socket_path)


def storage_context(state_directory: Path, config: Config) -> StorageContext:
    """Return what the storage is told."""
    return StorageContext(state_directory, config.size("journal", "ballast"))


def history_context(state_directory: Path, config: Config) -> HistoryContext:
    """Return what the history is told. A finer tier is never kept for longer than a coarser one: it answers for it."""
    keys = ("keep_2s", "keep_10s", "keep_1min", "keep_1h")
    kept = itertools.accumulate((config.seconds("history", key) for key in keys), max)
    return HistoryContext(state_directory, dict(zip(WIDTHS_S, kept, strict=True)), config.size("history", "spare"))


def backup_settings(config: Config) -> tuple[float, int]:
    """Return how often to back the journal up, in seconds, and how many backups to keep."""
    return config.seconds("journal", "backup_every"), config.settings.journal.backup_keep


def engine_settings(config: Config) -> EngineSettings:
    """Return what the engine is told by the configuration."""
    s = config.settings
    return EngineSettings(
        workers=s.movers.workers,
        stall_after_s=config.seconds("movers", "stall_after"),
        restart_limit=s.movers.restart_limit,
        group_entries=s.commit.entries,
        group_bytes=config.size("commit", "size"),
        group_idle_s=config.seconds("commit", "idle"),
        group_age_s=config.seconds("commit", "age"),
        attempts=s.retries.attempts,
        changed_attempts=s.retries.changed_attempts,
        hold_s=config.seconds("movers", "retry_held"),
        machine_code=s.movers.machine_code,
        turns=TurnLimits(**msgspec.structs.asdict(s.executions)),
    )


def role_groups(setup: Setup) -> RoleGroups:
    """Look up the groups of the configuration; those that this machine does not have give nobody a role."""
    roles = setup.config.started.settings.roles
    return RoleGroups(
        _gid(roles.admin_group),
        _gid(roles.operator_group),
        _gid(roles.viewer_group),
        os.geteuid() if setup.user_daemon else None,
    )


def missing_groups(config: Config) -> list[str]:
    """Return a sentence for each group that the configuration names and this machine does not have."""
    return [
        f"there is no group {name!r}: {value.key} gives nobody a role ({value.origin})"
        for value in config.values("roles")
        if value.origin != DEFAULT_ORIGIN
        and (name := getattr(config.settings.roles, value.key.partition(".")[2]))
        and _gid(name) is None
    ]


def _gid(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
