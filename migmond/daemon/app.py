"""The composition root: everything is made here, in order, each thing a scope inside the one before it.

Stops from the outside in: accept loop, connections, movers to a safe boundary, journal.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from migmond.daemon.alert_world import AlertWorld, rule_metrics
from migmond.daemon.alerts import AlertDesk
from migmond.daemon.by_itself import delivering, emergency_watch, sleep_lock
from migmond.daemon.from_config import (
    engine_settings,
    history_context,
    storage_context,
    whole_of,
)
from migmond.daemon.history import opened
from migmond.daemon.monitoring import Monitoring, parts_of, recording
from migmond.daemon.own import own_places
from migmond.daemon.serving import Parts, serve_clients
from migmond.daemon.setup import Setup
from migmond.daemon.watchdog import LoopLag, feed
from migmond.domain.errors import ConfigError
from migmond.domain.events import PluginQuarantined
from migmond.domain.telemetry import Batch
from migmond.engine.bus import EventBus
from migmond.engine.manager import Engine
from migmond.engine.pool import MoverPool
from migmond.engine.settings import Surroundings
from migmond.fsys.control_groups import ControlGroups, NoControlGroups, own_group
from migmond.monitor.alerts import Alerts
from migmond.monitor.proposing import Proposing
from migmond.monitor.rule_figures import derived_every_s, with_derived
from migmond.monitor.sampler import Sampler, Sinks
from migmond.plugin_host.discovery import installed
from migmond.plugin_host.host import PluginHost
from migmond.rpc.server import bind_socket

_PLUGINS = ("apprise", "email", "exec", "filesystems", "kernel", "psutil", "smart", "sqlite", "webhook")
BUILTIN_PLUGINS = {name: f"migmond_{name}" for name in _PLUGINS}
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
            groups, no_groups = control_groups()  # before there are movers: they begin in the daemon's own
            pool = MoverPool(config.settings.movers.spare)
            surroundings = Surroundings(
                journal, bus, clock, rng, settings, setup.log, own, pool,
                whole=lambda: whole_of(setup.config.newest), groups=groups,
            )  # fmt: skip
            background.start_soon(pool.run)
            kinds = {m.name: (m.interval_s, m.kind) for m in host.metrics().metrics}
            kinds |= derived_every_s(kinds)
            measured: list[Callable[[Batch], None]] = [telemetry.put]

            def put(batch: Batch) -> None:
                for take in measured:
                    take(batch)

            record = recording(put, clock.wall, kinds.__getitem__)
            host.on_collected = lambda samples, _: record(with_derived(samples))
            async with Engine.serving(surroundings) as engine, host.running(), _listening(setup) as sockets:
                watch = emergency_watch(
                    engine, lambda id_: sampler.session(id_), surroundings, host.samples, setup.config
                )
                deliveries = await delivering(background, engine, surroundings, host, watch.touching, config)
                alerts = Alerts(
                    journal,
                    clock,
                    AlertWorld(engine, bus, telemetry, setup.config),
                    deliveries,
                    rule_metrics(host.metrics()),
                    setup.log,
                    config.seconds("monitor", "interval"),
                )
                await alerts.start()
                measured.append(alerts.put)
                background.start_soon(alerts.run)
                desk = AlertDesk(alerts, engine, surroundings, telemetry, deliveries.check)
                sampler = Sampler(
                    engine.observations,
                    host.samples,
                    parts_of(engine),
                    journal,
                    Sinks(put, telemetry.note, alerts.looked),
                    clock,
                    setup.log,
                    config.seconds("monitor", "interval"),
                )
                background.start_soon(sampler.run)
                background.start_soon(Proposing(host.strategies(), host.propose, sampler.sessions, clock).run)
                monitoring = Monitoring(engine, surroundings, sampler)
                background.start_soon(watch.run)
                background.start_soon(sleep_lock(engine, surroundings, setup.config).run)
                parts = Parts(engine, surroundings, host, lag, telemetry, monitoring, desk, deliveries, no_groups)
                await serve_clients(setup, parts, sockets)
                await sampler.look()  # what ended just now is kept as well
        background.cancel_scope.cancel()


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


def control_groups() -> tuple[ControlGroups | None, str]:
    """Return what makes control groups for movers, or None and why there are none."""
    try:
        return ControlGroups.prepare(own_group()), ""
    except NoControlGroups as e:
        return None, str(e)
