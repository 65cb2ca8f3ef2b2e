"""What acts by itself, put together: calls of alert actions and emergencies."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import trio

from migmond.config.load import Config
from migmond.daemon.deliveries import Acting, DeliveryDesk
from migmond.daemon.live_config import LiveConfig
from migmond.daemon.own_actions import OwnActions
from migmond.daemon.steerer import EngineSteerer
from migmond.domain.errors import NotFound
from migmond.domain.samples import SampleView
from migmond.engine.manager import Engine
from migmond.engine.settings import Surroundings
from migmond.fsys.power_supply import on_battery
from migmond.monitor.emergency import EmergencyWatch, Touching
from migmond.monitor.outbox import Outbox, OutboxLimits
from migmond.monitor.session import Session
from migmond.monitor.sleep_lock import SleepLock
from migmond.planning.awake import Wish
from migmond.planning.emergency import Bounds
from migmond.plugin_host.host import PluginHost


async def delivering(
    nursery: trio.Nursery,
    engine: Engine,
    surroundings: Surroundings,
    host: PluginHost,
    touching: Callable[[str], Touching],
    config: Config,
) -> DeliveryDesk:
    """Start to carry out calls of alert actions, those that an earlier daemon left first.

    Args:
        touching: returns which executions at work use a device.
    """

    def name_of(execution: str) -> str:
        try:
            return engine.find(execution).name
        except NotFound:
            return ""

    own = OwnActions(EngineSteerer(engine), touching).specs()
    acting = Acting(host, own, name_of, socket.gethostname())
    section = config.settings.deliveries
    limits = OutboxLimits(config.seconds("deliveries", "give_up_after"), section.waiting, section.kept)
    s = surroundings
    outbox = Outbox(s.journal, acting.act, s.clock, s.rng, s.log, limits, acting.is_own)
    await nursery.start(outbox.run)
    return DeliveryDesk(outbox, acting, s.journal)


def emergency_watch(
    engine: Engine,
    session: Callable[[str], Session | None],
    surroundings: Surroundings,
    samples: Callable[[], Sequence[SampleView]],
    config: LiveConfig,
) -> EmergencyWatch:
    """Return what looks for emergencies.

    Args:
        session: returns the live session of an execution.
    """

    def devices(execution: str) -> Sequence[int]:
        live = session(execution)
        return () if live is None else live.observation.source_devices + live.observation.target_devices

    return EmergencyWatch(
        EngineSteerer(engine), engine.all, devices, samples, lambda: bounds_of(config.newest), surroundings.journal,
        surroundings.clock, surroundings.log,
    )  # fmt: skip


def sleep_lock(engine: Engine, surroundings: Surroundings, config: LiveConfig) -> SleepLock:
    """Return what keeps the machine awake while anything moves."""

    def wish() -> Wish:
        section = config.newest.settings.sleep
        return Wish(section.prevent, section.on_battery)

    return SleepLock(engine.all, wish, on_battery, surroundings.log)


def bounds_of(config: Config) -> Bounds:
    """Return what the configuration calls an emergency."""
    section = config.settings.emergency
    return Bounds(
        section.disk_failing,
        section.kernel_errors,
        config.seconds("emergency", "kernel_errors_within"),
        section.too_hot,
        section.temperature,
        section.temperature_ssd,
        section.temperature_nvme,
        section.cooler_by,
        config.seconds("emergency", "cool_for"),
        section.vanished,
        section.on_battery,
    )
