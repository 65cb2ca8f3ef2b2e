"""Which plugins there are, and what each registers, checked."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import pluggy

from migmond.domain.decoding import converted
from migmond.domain.errors import PluginError
from migmond.plugin_api import API_VERSION, PROJECT
from migmond.plugin_api.hooks import Hooks
from migmond.plugin_api.specs import AlertActionSpec, CollectorSpec, StorageSpec, StrategySpec
from migmond.plugin_host.checking import check_collector, check_spec, is_struct_type
from migmond.plugin_host.found import Found, refuse_weak
from migmond.plugin_host.supervision import checked_list

_HOOKS = ("migmond_collectors", "migmond_alert_actions", "migmond_strategies", "migmond_storages")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class Loaded(msgspec.Struct, frozen=True):
    """One plugin and what it registered; `state` and `reason` say why it registered nothing."""

    name: str
    package: str
    version: str
    state: str
    reason: str
    collectors: tuple[CollectorSpec, ...] = ()
    alert_actions: tuple[AlertActionSpec, ...] = ()
    strategies: tuple[StrategySpec, ...] = ()
    storages: tuple[StorageSpec, ...] = ()

    @property
    def provides(self) -> tuple[str, ...]:
        groups: dict[str, tuple[_Named, ...]] = {
            "collector": self.collectors,
            "alert action": self.alert_actions,
            "strategy": self.strategies,
            "storage": self.storages,
        }
        return tuple(f"{kind} {spec.name}" for kind, specs in groups.items() for spec in specs)


def installed(builtin: Mapping[str, str]) -> list[Found]:
    """Return the plugins of all installed distributions, and those of `builtin` (name → module) that a source
    checkout without metadata would miss."""
    found = {
        e.name: Found(e.name, e.value, e.dist.name if e.dist else "", e.dist.version if e.dist else "")
        for e in importlib.metadata.entry_points(group=PROJECT)
    }
    for name, module in builtin.items():
        found.setdefault(name, Found(name, module, PROJECT))
    return [found[name] for name in sorted(found)]


def load_all(
    found: Sequence[Found], settings: Mapping[str, Mapping[str, Any]], *, root_owned: bool = False
) -> list[Loaded]:
    """Load each plugin on its own. What is wrong with one is its reason and nobody else's problem; of two that
    register the same name, the second by name is refused.

    Args:
        root_owned: refuse plugins whose files others than root could change: nothing of them is imported.
    """
    taken: dict[str, str] = {}
    result: list[Loaded] = []
    for plugin in found:
        table = dict(settings.get(plugin.name, {}))
        enabled = table.pop("enabled", True)
        if enabled is not True:
            reason = "" if enabled is False else f"plugins.{plugin.name}.enabled must be true or false"
            result.append(_without(plugin, "disabled" if enabled is False else "invalid", reason or "by configuration"))
            continue
        try:
            if root_owned:
                refuse_weak(plugin)
            loaded = _load(plugin, table)
        except (Exception, SystemExit) as e:  # the boundary: foreign code runs; some modules exit when imported
            reason = e.message if isinstance(e, PluginError) else f"{type(e).__name__}: {e}"
            result.append(_without(plugin, "invalid", reason))
            continue
        clash = [p for p in loaded.provides if p in taken]
        if clash:
            reason = f"{clash[0]} is registered by the plugin {taken[clash[0]]} already: disable one of them"
            result.append(_without(plugin, "conflict", reason))
            continue
        taken.update((p, plugin.name) for p in loaded.provides)
        result.append(loaded)
    unknown = sorted(set(settings) - {p.name for p in found})
    result += [Loaded(n, "", "", "invalid", "configured, but no such plugin is installed") for n in unknown]
    return result


def _without(plugin: Found, state: str, reason: str) -> Loaded:
    return Loaded(plugin.name, plugin.package, plugin.version, state, reason)


def _load(plugin: Found, table: dict[str, Any]) -> Loaded:
    module = importlib.import_module(plugin.target) if isinstance(plugin.target, str) else plugin.target
    wanted = getattr(module, "MIGMOND_API_VERSION", API_VERSION)
    if wanted != API_VERSION:
        raise PluginError(f"it needs plugin API version {wanted}, this is {API_VERSION}")
    decoded = _settings(plugin.name, module, table)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    manager.register(module, plugin.name)
    manager.check_pending()
    registered = {hook: _registered(manager, hook, decoded) for hook in _HOOKS}
    loaded = Loaded(
        plugin.name,
        plugin.package,
        plugin.version,
        "active",
        "",
        tuple(checked_list("migmond_collectors", registered["migmond_collectors"], CollectorSpec)),
        tuple(checked_list("migmond_alert_actions", registered["migmond_alert_actions"], AlertActionSpec)),
        tuple(checked_list("migmond_strategies", registered["migmond_strategies"], StrategySpec)),
        tuple(checked_list("migmond_storages", registered["migmond_storages"], StorageSpec)),
    )
    provides = loaded.provides
    if twice := [p for p in provides if provides.count(p) > 1]:
        raise PluginError(f"it registers {twice[0]} twice")
    for collector in loaded.collectors:
        check_spec(collector.name, collector.open, deadline_s=collector.deadline_s)
        check_collector(collector)
    for action in loaded.alert_actions:
        check_spec(action.name, action.run, text=action.help, deadline_s=action.deadline_s)
        if not is_struct_type(action.parameters):
            raise PluginError(f"alert action {action.name}: its parameters are no msgspec.Struct type")
    for strategy in loaded.strategies:
        check_spec(strategy.name, strategy.propose, text=strategy.help)
    for storage in loaded.storages:
        check_spec(storage.name, storage.open)
        if storage.open_history is not None:
            check_spec(storage.name, storage.open_history)
    return loaded


def _registered(manager: pluggy.PluginManager, hook: str, settings: Any) -> list[Any]:
    answers = getattr(manager.hook, hook)(settings=settings)
    return [spec for answer in answers for spec in checked_list(hook, answer, object)]


def _settings(name: str, module: Any, table: dict[str, Any]) -> Any:
    kind = getattr(module, "SETTINGS", None)
    if kind is None:
        if table:
            raise PluginError(f"plugins.{name}.{min(table)}: this plugin has no settings")
        return table
    if not is_struct_type(kind):
        raise PluginError("its SETTINGS is no msgspec.Struct type")
    _refuse_unknown(f"plugins.{name}", kind, table)
    try:
        return converted(table, kind)
    except msgspec.ValidationError as e:
        raise PluginError(f"plugins.{name}: {e}") from e


def _refuse_unknown(path: str, kind: type[msgspec.Struct], table: Mapping[str, Any]) -> None:
    # By hand: whether a Struct forbids unknown fields is its author's choice, and a mistyped key must not be lost.
    fields = {f.encode_name: f.type for f in msgspec.structs.fields(kind)}
    for key, value in table.items():
        if key not in fields:
            raise PluginError(f"{path}.{key}: no such setting; there are: {', '.join(sorted(fields)) or 'none'}")
        inner = fields[key]
        if isinstance(value, dict) and is_struct_type(inner):
            _refuse_unknown(f"{path}.{key}", inner, value)
