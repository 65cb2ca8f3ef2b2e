"""What alerts need of the rest of the daemon, put together for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from migmond.alerting.metrics import Known, known
from migmond.daemon.history import Telemetry
from migmond.daemon.live_config import LiveConfig
from migmond.domain.events import Event
from migmond.domain.execution import Execution
from migmond.domain.samples import MetricList
from migmond.domain.telemetry import Annotation
from migmond.engine.bus import EventBus
from migmond.engine.manager import Engine
from migmond.fsys.block_devices import listed


class AlertWorld:
    """Implements `migmond.monitor.alerts.World`."""

    def __init__(self, engine: Engine, bus: EventBus, telemetry: Telemetry, config: LiveConfig) -> None:
        self._engine = engine
        self._bus = bus
        self._telemetry = telemetry
        self._config = config

    def executions(self) -> list[Execution]:
        return self._engine.all()

    def publish(self, make: Callable[[int, str], Event]) -> object:
        return self._bus.publish(make)

    def note(self, annotation: Annotation) -> None:
        self._telemetry.note(annotation)

    def devices(self) -> Collection[str] | None:
        return frozenset(listed("/sys/class/block")) or None

    def retention(self) -> tuple[float, int]:
        config = self._config.newest
        return config.seconds("alerts", "keep"), config.settings.alerts.keep_most


def rule_metrics(listed: MetricList) -> Mapping[str, Known]:
    """Return all metrics that rules may name, by those that collectors provide."""
    return known((m.name, m.unit, m.kind, m.labels) for m in listed.metrics)
