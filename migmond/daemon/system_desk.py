"""What clients ask about the daemon itself and the machine. Implements `rpc.system_backend.SystemBackend`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import msgspec
import psutil

import migmond
from migmond.daemon.alerts import AlertDesk
from migmond.daemon.checks import limits_check, loop_check, plugin_checks, small_files_check, space_check
from migmond.daemon.deliveries import DeliveryDesk
from migmond.daemon.history import Telemetry
from migmond.daemon.journal_care import journal_checks
from migmond.daemon.live_config import LiveConfig
from migmond.daemon.pages import check_limit, check_offset
from migmond.daemon.rights import Rights
from migmond.daemon.shared import Shared
from migmond.daemon.watchdog import Blocked
from migmond.domain import daemon_api
from migmond.domain.errors import NotFound
from migmond.domain.identity import Peer, Role
from migmond.domain.samples import MetricList, Notes, NotesParams, NoteView, Samples, SamplesParams, SampleView
from migmond.engine.manager import Engine
from migmond.engine.settings import Surroundings
from migmond.engine.views import time_text

_FOR_ADMINS = '"(shown to admins)"'


class Facts(msgspec.Struct, frozen=True):
    """What the desk cannot know by itself, from the composition root.

    Attributes:
        started_at: seconds of the monotonic clock.
        loop_waited, loop_worked: the longest of late, and what for; see `daemon.watchdog.LoopLag`.
        no_groups: why movers have no control groups of their own, "" when they have.
    """

    socket: str
    state_directory: str
    user_daemon: bool
    started_at: float
    clients: Callable[[], int]
    subscriptions: Callable[[], int]
    loop_waited: Callable[[], Blocked]
    loop_worked: Callable[[], Blocked]
    plugins: Callable[[], tuple[daemon_api.PluginView, ...]]
    metrics: Callable[[], MetricList]
    samples: Callable[[], tuple[SampleView, ...]]
    notes: Callable[[], tuple[NoteView, ...]]
    config: LiveConfig
    telemetry: Telemetry
    no_groups: str
    deliveries: DeliveryDesk
    alerts: AlertDesk


class SystemDesk:
    """Args:
    rights: whose executions a peer may see.
    """

    def __init__(self, engine: Engine, surroundings: Surroundings, facts: Facts, rights: Rights) -> None:
        self._engine = engine
        self._surroundings = surroundings
        self._facts = facts
        self._rights = rights
        self._doctor = Shared(self._journal_checks)

    async def status(self, peer: Peer) -> daemon_api.Status:
        facts, condition = self._facts, self._surroundings.journal.condition()
        waited, worked = facts.loop_waited(), facts.loop_worked()
        states = Counter(e.state.value for e in self._rights.all_seen_by(peer))
        return daemon_api.Status(
            version=migmond.__version__,
            pid=os.getpid(),
            socket=facts.socket,
            state_directory=facts.state_directory,
            user_daemon=facts.user_daemon,
            uptime_s=self._surroundings.clock.monotonic() - facts.started_at,
            resident_bytes=psutil.Process().memory_info().rss,
            clients=facts.clients(),
            subscriptions=facts.subscriptions(),
            executions=dict(states),
            movers=self._engine.movers(),
            loop_lag_max_s=waited.seconds,
            plugins=facts.plugins(),
            journal_trouble=condition.damage or condition.short,
            config_trouble=self._facts.config.trouble,
            loop_lag_by=waited.task,
            loop_work_max_s=worked.seconds,
            loop_work_by=worked.task,
            alerts=facts.alerts.counts(peer),
        )

    async def doctor(self, peer: Peer) -> daemon_api.Checks:
        checks = [*await self._doctor.get()]
        checks += await self._facts.telemetry.checks()
        checks += plugin_checks(self._facts.plugins())
        checks.append(self._facts.deliveries.check_of_actions())
        checks.append(self._facts.config.check())
        checks.append(small_files_check(wanted=self._facts.config.started.settings.movers.machine_code))
        checks.append(limits_check(self._facts.no_groups))
        checks.append(space_check(self._facts.state_directory))
        checks.append(loop_check(self._facts.loop_waited()))
        return daemon_api.Checks(tuple(checks))

    async def _journal_checks(self) -> list[daemon_api.Check]:
        return await journal_checks(self._surroundings.journal, self._backup_keep, self._facts.state_directory)

    @property
    def _backup_keep(self) -> int:
        return self._facts.config.newest.settings.journal.backup_keep

    async def backup(self, peer: Peer) -> daemon_api.Backup:
        made = await self._surroundings.journal.backup(self._backup_keep)
        return daemon_api.Backup(made.path, time_text(made.at), made.size_bytes)

    async def plugins(self, peer: Peer) -> daemon_api.PluginList:
        return daemon_api.PluginList(self._facts.plugins())

    async def config(self, peer: Peer, key: str) -> daemon_api.ConfigValues:
        values = self._facts.config.values(key)
        if not values:
            raise NotFound(f"there is no setting {key!r}", hint="migmon config shows all of them")
        if peer.role < Role.ADMIN:
            values = [_without_secret(v) for v in values]
        return daemon_api.ConfigValues(tuple(values))

    async def metrics(self, peer: Peer) -> MetricList:
        return self._facts.metrics()

    async def samples(self, peer: Peer, params: SamplesParams) -> Samples:
        check_offset(params.offset, params.limit)
        wanted = params.labels.items()
        found = [s for s in self._facts.samples() if s.metric.startswith(params.prefix) and wanted <= s.labels.items()]
        return Samples(tuple(found[params.offset : params.offset + params.limit]), len(found))

    async def notes(self, peer: Peer, params: NotesParams) -> Notes:
        check_limit(params.limit)
        found = [n for n in self._facts.notes() if params.device in ("", n.device) and params.kind in ("", n.kind)]
        return Notes(tuple(found[-params.limit :]))


def _without_secret(value: daemon_api.ConfigValue) -> daemon_api.ConfigValue:
    """Settings of plugins may be passwords, and their file may be readable by root only."""
    own = value.key.startswith("plugins.") and not value.key.endswith(".enabled")
    return msgspec.structs.replace(value, value=_FOR_ADMINS) if own else value
