"""The hooks. They only register: pluggy stops at the first implementation that raises, so no work is done here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

from migmond.plugin_api.specs import AlertActionSpec, CollectorSpec, StorageSpec, StrategySpec

PROJECT = "migmond"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """All hooks. `settings` is the plugin's own table of the configuration, decoded to the frozen Struct type that the
    plugin has as `SETTINGS` (unknown keys are refused), or an empty dict when it has none."""

    @hookspec
    def migmond_collectors(self, settings: Any) -> Iterable[CollectorSpec]:  # type: ignore[empty-body]
        """Return the collectors of this plugin."""

    @hookspec
    def migmond_alert_actions(self, settings: Any) -> Iterable[AlertActionSpec]:  # type: ignore[empty-body]
        """Return the alert actions of this plugin."""

    @hookspec
    def migmond_strategies(self, settings: Any) -> Iterable[StrategySpec]:  # type: ignore[empty-body]
        """Return the optimization strategies of this plugin."""

    @hookspec
    def migmond_storages(self, settings: Any) -> Iterable[StorageSpec]:  # type: ignore[empty-body]
        """Return the storages of this plugin."""
