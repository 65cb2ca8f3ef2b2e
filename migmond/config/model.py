"""All settings, by section. Sizes and durations are text with a unit in the files."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec

from migmond.config.service_sections import (
    DaemonSection,
    JournalSection,
    RolesSection,
    SocketSection,
    WebSection,
)
from migmond.config.setting import Section
from migmond.config.watch_sections import (
    AlertsSection,
    DeliveriesSection,
    DiskSection,
    HistorySection,
    MonitorSection,
    PricesSection,
)
from migmond.config.work_sections import (
    CommitSection,
    EmergencySection,
    ExecutionsSection,
    LimitsSection,
    MoversSection,
    RetriesSection,
    SleepSection,
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All sections. `plugins` is one table per plugin: `enabled`, and whatever settings the plugin has. `disks` is one
    table per disk, by the kernel's name for it or by what identifies it."""

    daemon: DaemonSection = DaemonSection()
    journal: JournalSection = JournalSection()
    history: HistorySection = HistorySection()
    monitor: MonitorSection = MonitorSection()
    alerts: AlertsSection = AlertsSection()
    socket: SocketSection = SocketSection()
    roles: RolesSection = RolesSection()
    web: WebSection = WebSection()
    executions: ExecutionsSection = ExecutionsSection()
    limits: LimitsSection = LimitsSection()
    movers: MoversSection = MoversSection()
    commit: CommitSection = CommitSection()
    retries: RetriesSection = RetriesSection()
    deliveries: DeliveriesSection = DeliveriesSection()
    emergency: EmergencySection = EmergencySection()
    sleep: SleepSection = SleepSection()
    prices: PricesSection = PricesSection()
    disks: dict[str, DiskSection] = {}
    plugins: dict[str, dict[str, Any]] = {}


def sections() -> dict[str, type[Section]]:
    """Return the typed sections by name."""
    hints = get_type_hints(Settings)
    return {name: kind for name, kind in hints.items() if isinstance(kind, type) and issubclass(kind, Section)}
