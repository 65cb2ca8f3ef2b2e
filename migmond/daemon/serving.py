"""Serving clients, from the first to the last: what they are answered by is put together here."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Sequence

import msgspec
import trio

from migmond.daemon.alerts import AlertDesk
from migmond.daemon.dashboards import Dashboards
from migmond.daemon.deliveries import DeliveryDesk
from migmond.daemon.descriptors import clients_allowed, raise_limit, reserved_for
from migmond.daemon.exports import Exports
from migmond.daemon.from_config import (
    backup_settings,
    missing_groups,
    retention_settings,
    role_groups,
    sign_in_settings,
)
from migmond.daemon.history import Telemetry
from migmond.daemon.journal_care import keep_backups
from migmond.daemon.lifecycle import Lifecycle
from migmond.daemon.monitoring import Monitoring
from migmond.daemon.notify import Notifier
from migmond.daemon.record_desk import RecordDesk
from migmond.daemon.reports import Reports
from migmond.daemon.retention import Retention
from migmond.daemon.rights import Rights
from migmond.daemon.service import Desks, Knowledge, Service
from migmond.daemon.setup import Setup
from migmond.daemon.sign_in import SignIn
from migmond.daemon.status import show_status
from migmond.daemon.system_desk import Facts, SystemDesk
from migmond.daemon.watchdog import LoopLag
from migmond.domain.events import DaemonStopping
from migmond.engine.manager import Engine
from migmond.engine.settings import Surroundings
from migmond.plugin_host.host import PluginHost
from migmond.rpc.budget import Budget
from migmond.rpc.connection import Limits
from migmond.rpc.methods import standard_registry
from migmond.rpc.server import Server

_ANSWER_GRACE_S = 2.0
_EXTENSION_S = 30.0


class Parts(msgspec.Struct, frozen=True):
    """What runs already when the first client is let in.

    Attributes:
        no_groups: why movers have no control groups of their own, "" when they have.
    """

    engine: Engine
    surroundings: Surroundings
    host: PluginHost
    lag: LoopLag
    telemetry: Telemetry
    monitoring: Monitoring
    alerts: AlertDesk
    deliveries: DeliveryDesk
    no_groups: str


async def serve_clients(setup: Setup, parts: Parts, sockets: Sequence[socket.socket]) -> None:
    """Serve until the daemon is told to stop, and stop from the outside in."""
    config, engine, surroundings = setup.config.started, parts.engine, parts.surroundings
    retention = Retention(engine, surroundings, parts.telemetry, lambda: retention_settings(setup.config.newest))
    service = _service(setup, parts, retention, lambda: server)
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
    groups = role_groups(config, user_daemon=setup.user_daemon)
    server = Server(standard_registry(), service, limits, groups, maximum, budget, setup.log)
    lifecycle = Lifecycle(setup.log, lambda: _reload(setup))
    async with trio.open_nursery() as nursery:
        await nursery.start(lifecycle.watch_signals)
        await nursery.start(server.serve, sockets)
        nursery.start_soon(show_status, setup.notifier, engine)
        nursery.start_soon(retention.run)
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
        with parts.lag.watching():  # from now on somebody may wait for it
            await lifecycle.stopping.wait()
        await _stop(setup, parts, server, lifecycle)
        nursery.cancel_scope.cancel()


def _service(setup: Setup, parts: Parts, retention: Retention, server: Callable[[], Server]) -> Service:
    """Return what answers clients. `server`: it is there when somebody asks."""
    engine, surroundings, host, telemetry = parts.engine, parts.surroundings, parts.host, parts.telemetry
    rights = Rights(engine)
    reports = Reports(engine, surroundings, setup.config, host.samples, parts.monitoring.live)
    exports = Exports(engine, surroundings, reports, host.metrics, host.samples, telemetry)
    people = SignIn(
        setup.state_directory / "signed-in",
        surroundings.clock,
        lambda: role_groups(setup.config.started, user_daemon=setup.user_daemon),
        lambda: sign_in_settings(setup.config.newest),
    )
    return Service(
        engine,
        surroundings,
        rights,
        Knowledge(parts.monitoring, host.notes, host.samples, telemetry.around),
        Desks(
            people,
            Dashboards(setup.state_directory / "dashboards", surroundings.clock),
            parts.alerts,
            SystemDesk(engine, surroundings, _facts(setup, parts, server), rights),
            RecordDesk(rights, parts.monitoring, telemetry, reports, exports, parts.deliveries),
            retention,
        ),
    )


def _facts(setup: Setup, parts: Parts, server: Callable[[], Server]) -> Facts:
    return Facts(
        socket=setup.socket_path,
        state_directory=str(setup.state_directory),
        user_daemon=setup.user_daemon,
        started_at=parts.surroundings.clock.monotonic(),
        clients=lambda: server().clients,
        subscriptions=lambda: server().subscriptions,
        loop_waited=lambda: parts.lag.waited.at(parts.surroundings.clock.monotonic()),
        loop_worked=lambda: parts.lag.worked.at(parts.surroundings.clock.monotonic()),
        plugins=parts.host.views,
        metrics=parts.host.metrics,
        samples=parts.host.samples,
        notes=parts.host.notes,
        config=setup.config,
        telemetry=parts.telemetry,
        no_groups=parts.no_groups,
        alerts=parts.alerts,
        deliveries=parts.deliveries,
    )


async def _stop(setup: Setup, parts: Parts, server: Server, lifecycle: Lifecycle) -> None:
    """Stop from the outside in. A second signal, or the drain timeout, cuts movers off: that is safe, only slower to
    resume."""
    setup.notifier.stopping("stopping: finishing what is being copied")
    setup.log("stopping", why=lifecycle.why)
    parts.surroundings.bus.publish(lambda i, at: DaemonStopping(i, at, lifecycle.why))
    with trio.move_on_after(setup.config.newest.seconds("daemon", "drain_timeout")) as draining:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_extending, setup.notifier)
            nursery.start_soon(lifecycle.cancel_on_second_signal, draining)
            await parts.engine.suspend()
            nursery.cancel_scope.cancel()
    if draining.cancelled_caught:
        setup.log("movers were cut off; their files are copied again at the next start")
    await server.stop(_ANSWER_GRACE_S)


async def _keep_extending(notifier: Notifier) -> None:
    while True:
        notifier.extend_timeout(_EXTENSION_S)
        await trio.sleep(_EXTENSION_S / 3)


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
