"""The plugins of one daemon: loaded, their collectors running, their state on view."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from migmond.domain import api
from migmond.domain.errors import PluginError
from migmond.plugin_api.specs import Collector, CollectorSpec, MetricDesc, NoData, Sample, StorageSpec
from migmond.plugin_host.discovery import Found, Loaded, load_all
from migmond.plugin_host.supervision import Health, guarded


class PluginHost:
    """Made from what discovery found; `run` drives the collectors.

    Args:
        settings: `[plugins.NAME]` tables by name.
        wall: wall clock seconds, for people.
    """

    def __init__(
        self, found: Sequence[Found], settings: Mapping[str, Mapping[str, Any]], wall: Callable[[], float]
    ) -> None:
        self._wall = wall
        self._loaded = load_all(found, settings)
        self.on_quarantine: Callable[[str, str], None] = lambda name, reason: None
        self._health = {p.name: Health(p.name, self._quarantined) for p in self._loaded}
        self._latest: dict[tuple[str, str], tuple[api.SampleView, ...]] = {}

    def _quarantined(self, name: str, reason: str) -> None:
        self.on_quarantine(name, reason)

    def views(self) -> tuple[api.PluginView, ...]:
        """Return every plugin with its state, and why when it is not active."""
        return tuple(
            api.PluginView(
                p.name,
                p.package,
                p.version,
                "quarantined" if self._health[p.name].quarantined else p.state,
                self._health[p.name].reason or p.reason,
                p.provides,
                self._health[p.name].failures,
            )
            for p in self._loaded
        )

    def storage(self, name: str) -> StorageSpec:
        """Return the storage called `name`.

        Raises:
            PluginError: no active plugin has it; says which there are, and why others are not active.
        """
        storages = {s.name: s for p in self._loaded for s in p.storages}
        if name in storages:
            return storages[name]
        trouble = "; ".join(f"{p.name} is {p.state}: {p.reason}" for p in self._loaded if p.state != "active")
        known = ", ".join(sorted(storages)) or "none"
        raise PluginError(f"no storage {name!r}; there is: {known}", hint=trouble or "set daemon.storage")

    def samples(self) -> tuple[api.SampleView, ...]:
        """Return the newest sample of every series."""
        return tuple(s for group in self._latest.values() for s in group)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run every collector in a task of its own until the context is left."""
        async with trio.open_nursery() as nursery:
            for plugin in self._loaded:
                for spec in plugin.collectors:
                    nursery.start_soon(self._collect, plugin, spec)
            yield
            nursery.cancel_scope.cancel()

    async def _collect(self, plugin: Loaded, spec: CollectorSpec) -> None:
        """Collect once per interval for as long as the plugin is healthy; a failing one is opened afresh."""
        health, what = self._health[plugin.name], f"collector {spec.name}"
        while not health.quarantined:
            try:
                async with spec.open() as collector:
                    if not await self._collect_from(plugin, spec, collector, health, what):
                        return
            except Exception as e:  # the boundary: opening and closing run foreign code
                health.failed(f"{what} could not be opened: {type(e).__name__}: {e}")
            await trio.sleep(spec.interval_s)

    async def _collect_from(
        self, plugin: Loaded, spec: CollectorSpec, collector: Collector, health: Health, what: str
    ) -> bool:
        metrics = {m.name: m for m in spec.metrics}
        key = (plugin.name, spec.name)
        while not health.quarantined:
            due = trio.current_time() + spec.interval_s

            async def collect() -> list[api.SampleView]:
                return self._checked(await collector.collect(), metrics)

            views = await guarded(health, what, collect, spec.deadline_s)
            if views is None:
                reason = health.reason or "the last collection failed"
                self._latest[key] = tuple(self._missing(m, reason) for m in spec.metrics)
            else:
                self._latest[key] = tuple(views)
            await trio.sleep_until(due)
        return False

    def _checked(self, samples: Iterable[Sample], metrics: Mapping[str, MetricDesc]) -> list[api.SampleView]:
        views: list[api.SampleView] = []
        at = self._now()
        for sample in samples:
            metric = metrics.get(sample.metric)
            if metric is None or set(sample.labels) != set(metric.labels):
                raise PluginError(f"sample {sample.metric!r} {dict(sample.labels)} was not described by any metric")
            missing = sample.value.reason if isinstance(sample.value, NoData) else ""
            value = None if isinstance(sample.value, NoData) else float(sample.value)
            views.append(api.SampleView(metric.name, metric.unit, dict(sample.labels), value, missing, at))
        return views

    def _missing(self, metric: MetricDesc, reason: str) -> api.SampleView:
        return api.SampleView(metric.name, metric.unit, {}, None, reason, self._now())

    def _now(self) -> str:
        return datetime.datetime.fromtimestamp(self._wall(), datetime.UTC).isoformat(timespec="milliseconds")
