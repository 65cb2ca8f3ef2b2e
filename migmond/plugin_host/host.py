"""The plugins of one daemon: loaded, their collectors running, their state on view."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import trio

from migmond.domain import daemon_api
from migmond.domain.alert import Tried
from migmond.domain.decoding import converted
from migmond.domain.errors import PluginError
from migmond.domain.samples import MetricList, MetricView, NoteKindView, NoteView, SampleView
from migmond.plugin_api.specs import (
    ActionFailed,
    AlertActionSpec,
    AlertNotice,
    Proposal,
    Snapshot,
    StorageSpec,
    StrategySpec,
)
from migmond.plugin_host.checking import check_proposal
from migmond.plugin_host.collecting import Collecting
from migmond.plugin_host.discovery import Loaded, load_all
from migmond.plugin_host.found import Found
from migmond.plugin_host.supervision import Health, checked_list, guarded

S = TypeVar("S", AlertActionSpec, StrategySpec)

PROPOSE_DEADLINE_S = 2.0
"""A strategy computes; one that takes longer than this is late for the next snapshot."""


class PluginHost:
    """Made from what discovery found; `run` drives the collectors.

    Args:
        settings: `[plugins.NAME]` tables by name.
        wall: wall clock seconds, for people.
        root_owned: refuse plugins whose files others than root could change.

    Attributes:
        on_quarantine: told the name of a plugin and why, once.
        on_collected: told the samples of each look of a collector, and its new notes; after a failure each of its
            metrics once, without a value. It must not take long: it is called in the collector's task.
    """

    def __init__(
        self,
        found: Sequence[Found],
        settings: Mapping[str, Mapping[str, Any]],
        wall: Callable[[], float],
        *,
        root_owned: bool = False,
    ) -> None:
        self._loaded = load_all(found, settings, root_owned=root_owned)
        self.on_quarantine: Callable[[str, str], None] = lambda name, reason: None
        self.on_collected: Callable[[tuple[SampleView, ...], Sequence[NoteView]], None] = lambda samples, notes: None
        self._health = {p.name: Health(p.name, self._quarantined) for p in self._loaded}
        self._collecting = [
            Collecting(c, self._health[p.name], wall, self._collected) for p in self._loaded for c in p.collectors
        ]

    def _quarantined(self, name: str, reason: str) -> None:
        self.on_quarantine(name, reason)

    def _collected(self, samples: tuple[SampleView, ...], notes: Sequence[NoteView]) -> None:
        self.on_collected(samples, notes)

    def views(self) -> tuple[daemon_api.PluginView, ...]:
        """Return every plugin with its state, and why when it is not active."""
        return tuple(
            daemon_api.PluginView(
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

    def samples(self) -> tuple[SampleView, ...]:
        """Return the newest sample of every series."""
        return tuple(sample for collecting in self._collecting for sample in collecting.latest)

    def notes(self) -> tuple[NoteView, ...]:
        """Return the notes that are kept, oldest first."""
        found = [note for collecting in self._collecting for note in collecting.notes]
        return tuple(sorted(found, key=lambda note: note.at))

    def metrics(self) -> MetricList:
        """Return what every metric and kind of note of the active plugins means, by name."""
        metrics = [
            MetricView(m.name, m.unit, m.kind.value, m.help, m.labels, p.name, c.name, c.interval_s)
            for p in self._loaded
            for c in p.collectors
            for m in c.metrics
        ]
        kinds = [
            NoteKindView(kind, text, p.name, c.name)
            for p in self._loaded
            for c in p.collectors
            for kind, text in c.note_kinds.items()
        ]
        return MetricList(
            tuple(sorted(metrics, key=lambda m: (m.name, m.plugin))), tuple(sorted(kinds, key=lambda k: k.kind))
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run every collector in a task of its own until the context is left."""
        async with trio.open_nursery() as nursery:
            for collecting in self._collecting:
                nursery.start_soon(collecting.run)
            yield
            nursery.cancel_scope.cancel()

    def alert_actions(self) -> dict[str, AlertActionSpec]:
        """Return the alert actions of all active plugins by name."""
        return {a.name: a for p in self._loaded for a in p.alert_actions}

    async def act(self, action: str, notice: AlertNotice, parameters: Mapping[str, Any]) -> Tried:
        """Run the alert action called `action` once.

        Raises:
            PluginError: no active plugin has it, or `parameters` do not fit it.
        """
        plugin, spec = self._find("alert action", action, [(p, a) for p in self._loaded for a in p.alert_actions])
        try:
            decoded = converted(parameters, spec.parameters)
        except msgspec.ValidationError as e:
            raise PluginError(f"alert action {action}: {e}") from e
        health = self._health[plugin.name]
        if health.quarantined:
            return Tried(f"{plugin.name} is quarantined: {health.reason}")

        async def run() -> Tried:
            try:
                said = await spec.run(notice, decoded)
            except ActionFailed as e:  # no fault of the plugin's: the receiver is down, the script fails
                return Tried(e.why or "it failed and does not say why", e.final, e.after_s, e.said)
            return Tried(said=said if isinstance(said, str) else "")

        done = await guarded(health, f"alert action {action}", run, spec.deadline_s)
        return done if done is not None else Tried(health.last_failure)

    def strategies(self) -> tuple[str, ...]:
        """Return the names of the strategies of all active plugins."""
        return tuple(s.name for p in self._loaded for s in p.strategies)

    async def propose(self, strategy: str, snapshot: Snapshot, now: float) -> tuple[Proposal, ...]:
        """Ask the strategy called `strategy`; a failing or quarantined one proposes nothing.

        Args:
            now: monotonic seconds.

        Raises:
            PluginError: no active plugin has it.
        """
        plugin, spec = self._find("strategy", strategy, [(p, s) for p in self._loaded for s in p.strategies])
        what = f"strategy {strategy}"

        async def ask() -> tuple[Proposal, ...]:
            # In a thread: foreign code that computes for long must not hold up the event loop.
            found = await trio.to_thread.run_sync(spec.propose, snapshot, now, abandon_on_cancel=True)
            proposals = tuple(checked_list(what, found, Proposal))
            for proposal in proposals:
                check_proposal(proposal)
            return proposals

        return await guarded(self._health[plugin.name], what, ask, PROPOSE_DEADLINE_S) or ()

    def _find(self, kind: str, name: str, specs: Sequence[tuple[Loaded, S]]) -> tuple[Loaded, S]:
        for plugin, spec in specs:
            if spec.name == name:
                return plugin, spec
        known = ", ".join(sorted(spec.name for _, spec in specs)) or "none"
        raise PluginError(f"no {kind} {name!r}; there is: {known}", hint="see migmon plugins")
