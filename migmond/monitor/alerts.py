"""Alerts: after each look of the sampler the rules are judged, what has changed is journaled and told, and actions are
called. Whoever changes rules or silences, or acknowledges, does it here as well."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec
import trio

from migmond.alerting.evaluator import Evaluator
from migmond.alerting.messages import sentence
from migmond.alerting.metrics import Known
from migmond.alerting.removed import Removed
from migmond.alerting.views import alert_view
from migmond.breath import Breath
from migmond.domain.alert import Alert, AlertFilter, AlertRule, AlertState, Silence
from migmond.domain.alert_api import AlertView
from migmond.domain.alert_changes import (
    AlertChange,
    PruneAlerts,
    PutAlert,
    PutSilence,
    RemoveAlerts,
    RemoveSilence,
)
from migmond.domain.changes import PutDelivery
from migmond.domain.errors import Conflict
from migmond.domain.events import AlertAcknowledged, AlertFiring, AlertPending, AlertResolved, Event
from migmond.domain.execution import Execution
from migmond.domain.states import TERMINAL_EXECUTION_STATES
from migmond.domain.telemetry import MAX_TEXT, Annotation, Batch
from migmond.monitor.alert_calls import AlertCalls
from migmond.monitor.alert_record import AlertRecord
from migmond.monitor.history import SteadyClock
from migmond.monitor.rule_book import RuleBook
from migmond.ports import Clock, Deliveries, Journal

KEEP_EVERY_S = 30.0
"""How often open alerts are journaled though nothing has happened: a crash may forget so much of the time that counts
towards their `for`."""
PRUNE_EVERY_S = 3600.0
_COOLING = 1000
"""So many of the newest alerts of the past are asked, at the start, when their actions were called last."""

_Changes = Sequence[tuple[Alert | None, Alert]]


class World(Protocol):
    """What alerts need to know of the rest of the daemon."""

    def executions(self) -> list[Execution]:
        """Return all that are known."""

    def publish(self, make: Callable[[int, str], Event]) -> object:
        """Tell subscribers an event."""

    def note(self, annotation: Annotation) -> None:
        """Put an event on the time axis. Returns at once."""

    def devices(self) -> Collection[str] | None:
        """Return the names of all block devices; None when that is not known."""

    def retention(self) -> tuple[float, int]:
        """Return for how many seconds resolved alerts are kept, and how many at most."""


class Alerts:
    """All rules, silences and open alerts of the daemon. `start` it before anything else.

    Args:
        metrics: all that rules may name.
        interval_s: between two rounds.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        world: World,
        deliveries: Deliveries,
        metrics: Mapping[str, Known],
        log: Callable[..., None],
        interval_s: float,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._world = world
        self.metrics = metrics
        self._log = log
        self._record = AlertRecord(journal, clock, log)
        self.rules = RuleBook(self._record)
        """All there are; `put_rule` and `remove_rule` change them, as their open alerts have to be closed."""
        self._calls = AlertCalls(clock, self.rules, lambda uid, execution: execution in self._owners.get(uid, ()))
        self._deliveries = deliveries
        self._evaluator = Evaluator(self._record.make_id, max(10.0, 3 * interval_s))
        self._removed = Removed()
        self._steady = SteadyClock()
        self._kept_at = self._pruned_at = clock.monotonic()
        self._lock = trio.Lock()
        self._looked = trio.Event()
        self._names: dict[str, str] = {}
        self._owners: dict[int, set[str]] = {}

    async def start(self) -> None:
        """Take over what an earlier daemon left.

        Raises:
            JournalError: it cannot be read.
        """
        found = await self._record.start()
        self.rules.take_over(await self._journal.alert_rules())
        self._calls.silences = {s.id: s for s in await self._journal.silences()}
        for past in await self._journal.past_alerts(AlertFilter(), _COOLING):
            self._calls.note_told(past)
        for i, alert in enumerate(found):
            self._calls.note_told(alert)
            rule = self.rules.get(alert.rule)
            if alert.notified_at is not None and not alert.told and rule is not None:
                found[i] = msgspec.structs.replace(alert, told=rule.actions)  # an older version did not note it
        self._evaluator.restore(found)
        self._watch()

    def put(self, batch: Batch) -> None:
        """Take readings in. Returns at once."""
        self._evaluator.put(batch, self._clock.monotonic())

    def looked(self) -> None:
        """The sampler has put all of a round."""
        self._looked.set()

    async def run(self) -> None:
        """Judge after each look of the sampler, until cancelled. What goes wrong is logged: no migration suffers."""
        told = False
        while True:
            await self._looked.wait()
            self._looked = trio.Event()
            try:
                await self.round()
            except Exception as e:
                if not told:
                    self._log("alerts could not be judged, and it is tried again", exc_info=e)
                told = True

    # --- a round -----------------------------------------------------------------------------------

    async def round(self) -> None:
        """Judge every rule once."""
        async with self._lock:
            now, at = self._clock.monotonic(), self._clock.wall()
            executions = self._world.executions()
            self._names = {e.id: e.name for e in executions}
            live = {e.id for e in executions if e.state not in TERMINAL_EXECUTION_STATES}
            owners: dict[int, set[str]] = {}
            for e in executions:
                owners.setdefault(e.identity.uid, set()).add(e.id)
            self._owners = owners
            changed: list[tuple[Alert | None, Alert]] = []
            breath = Breath(self._clock.monotonic)
            devices = self._gone_devices()
            if devices:
                self._evaluator.forget_devices(devices)
            for rule in self.rules.values():
                if not rule.enabled:
                    continue
                scope = owners.get(rule.owner if rule.owner is not None else -1, set()) if rule.own else None
                changed += self._evaluator.evaluate(rule, now, at, scope)
                await breath.take()
            fresh = {after.id for before, after in changed if before is None}

            def gone(alert: Alert) -> str:
                rule = self.rules.get(alert.rule)
                if rule is None or not rule.enabled:  # killed while it was removed
                    return "the rule was removed" if rule is None else "the rule was disabled"
                if alert.device and alert.device in devices and alert.id not in fresh:
                    return "the device is gone"
                if alert.id in fresh or not alert.execution or alert.execution in live:
                    return ""
                return "the migration has ended" if alert.execution in self._names else "the migration is no more"

            changed += self._evaluator.close(gone, at)
            self._evaluator.forget(now, self._names.keys() - live)
            await self._tell(await self._worded(changed), now, at)

    def _gone_devices(self) -> frozenset[str]:
        asked = {alert.device for alert in self._evaluator.open_alerts() if alert.device}
        return self._removed.look(asked, self._world.devices()) if asked else frozenset()

    async def _worded(self, changed: _Changes) -> list[tuple[Alert | None, Alert]]:
        """Only alerts whose state has changed, with their sentences."""
        found: list[tuple[Alert | None, Alert]] = []
        breath = Breath(self._clock.monotonic)
        for before, after in changed:
            if before is not None and before.state is after.state:
                continue
            await breath.take()
            worded = self.worded(after)
            self._evaluator.replace(worded)
            found.append((before, worded))
        return found

    def worded(self, alert: Alert) -> Alert:
        """Return an alert with the sentence that is true of it now."""
        rule = self.rules.get(alert.rule)
        if rule is None:
            return alert
        known = self.metrics.get(alert.metric)
        subject = self._names.get(alert.execution, alert.execution) or alert.device
        return msgspec.structs.replace(alert, message=sentence(rule, alert, known.unit if known else "", subject))

    async def _tell(self, changed: _Changes, now: float, at: float) -> None:
        changes: dict[str, AlertChange] = {}
        breath = Breath(self._clock.monotonic)
        for before, after in changed:
            await breath.take()
            if after.state is AlertState.RESOLVED and (before is None or before.state is AlertState.PENDING):
                if self._record.has(after):
                    changes[after.id] = RemoveAlerts((after.id,))
            elif after.state is not AlertState.PENDING or self._takes_long(after):
                changes[after.id] = PutAlert(after)
        calls = await self._calls.about_ended(changed)
        told, more = await self._calls.about_firing(self.open_alerts(), at)
        for alert in told:
            await breath.take()
            self._evaluator.replace(alert)
            changes[alert.id] = PutAlert(alert)
        if now - self._kept_at >= KEEP_EVERY_S:
            self._kept_at = now
            for alert in self.open_alerts():
                await breath.take()
                changes[alert.id] = PutAlert(self.worded(alert))
        over = self._calls.end_silences(at)
        calls += more
        # Calls come before the alerts that they are about: what is killed between two transactions tells twice, rather
        # than never.
        done: list[AlertChange | PutDelivery] = [*map(PutDelivery, calls), *changes.values()]
        done += [RemoveSilence(id_) for id_ in over]
        steady = self._steady.is_steady(now, at)
        if steady and now - self._pruned_at >= PRUNE_EVERY_S:
            self._pruned_at = now
            self._calls.forget_told(at)
            keep_s, most = self._world.retention()
            done.append(PruneAlerts(at - keep_s, most))
        for before, after in changed:
            await breath.take()
            self._publish(before, after, at)
        await self._record.apply(done)
        self._deliveries.send(calls)

    def _takes_long(self, alert: Alert) -> bool:
        """Whether the time towards its `for` is worth a row: most of what begins ends within a moment."""
        rule = self.rules.get(alert.rule)
        return rule is not None and rule.condition.for_s >= KEEP_EVERY_S

    def _publish(self, before: Alert | None, after: Alert, at: float) -> None:
        fired = after.state is AlertState.FIRING
        began = before is not None and before.state is AlertState.PENDING
        if not fired and (began or after.state is AlertState.PENDING):
            pending = self.view(after)
            self._world.publish(lambda i, when: AlertPending(i, when, after.execution, pending))
        ended = after.state is AlertState.RESOLVED and before is not None and before.state is AlertState.FIRING
        if not fired and not ended:
            return
        view = self.view(after)
        kind = AlertFiring if fired else AlertResolved
        self._world.publish(lambda i, when: kind(i, when, after.execution, view))
        self._world.note(Annotation(at, "alert", after.execution, after.message[:MAX_TEXT]))

    # --- what is there -----------------------------------------------------------------------------

    def view(self, alert: Alert) -> AlertView:
        """Return an alert as clients see it, without its deliveries."""
        name = self._names.get(alert.execution, "")
        return alert_view(alert, self.rules.get(alert.rule), self.metrics.get(alert.metric), name)

    @property
    def silences(self) -> Sequence[Silence]:
        """All that have not ended, the one that ends first first."""
        return self._calls.silences_at(self._clock.wall())

    def open_alerts(self) -> list[Alert]:
        """Return what is pending or firing."""
        return list(self._evaluator.open_alerts())

    # --- changes -----------------------------------------------------------------------------------
    # Each is journaled before it holds; JournalError goes to whoever asked.

    async def put_rule(self, rule: AlertRule) -> None:
        """Add a rule, or put it in place of the one with its id, whose open alerts are closed.

        Raises:
            Conflict: another has its name.
            InvalidInput: it and others would keep one another quiet.
        """
        async with self._lock:
            before = await self.rules.put(rule)
            kept = before is not None and before.condition == rule.condition and rule.enabled and before.own == rule.own
            await self._changed(rule.id, "" if kept else "the rule was changed" if rule.enabled else "it was disabled")

    async def remove_rule(self, rule: AlertRule) -> None:
        """Remove a rule; a built-in one that was edited is as it was.

        Raises:
            Conflict: it is built in and was not edited.
        """
        async with self._lock:
            await self.rules.take_off_record(rule)
            await self._changed(rule.id, "the rule was removed")
            self.rules.drop(rule)
            self._watch()

    def _watch(self) -> None:
        self._evaluator.watch(self.rules.values())

    async def _changed(self, rule: str, why: str) -> None:
        """Close the alerts of a rule, if `why` says why, and look at what is needed now."""
        if why:
            at = self._clock.wall()
            closed = await self._worded(self._evaluator.close(lambda alert: why if alert.rule == rule else "", at))
            await self._tell(closed, self._clock.monotonic(), at)
        self._watch()

    async def acknowledge(self, alert: Alert, author: str, note: str) -> Alert:
        """Somebody sees to an alert: its actions are not called any more.

        Raises:
            Conflict: it is not open any more.
        """
        async with self._lock:
            now = next((a for a in self._evaluator.open_alerts() if a.id == alert.id), None)
            if now is None:
                raise Conflict(f"{alert.id} is resolved", hint="migmon alerts --history")
            at = self._clock.wall()
            done = msgspec.structs.replace(
                now, acknowledged_at=at, acknowledged_by=author, note=note, quiet=f"acknowledged by {author}"
            )
            await self._record.demand(PutAlert(done))
            self._evaluator.replace(done)
            view = self.view(done)
            self._world.publish(lambda i, when: AlertAcknowledged(i, when, done.execution, view))
            return done

    async def silence(self, silence: Silence) -> None:
        """Put a silence in force."""
        async with self._lock:
            await self._record.demand(PutSilence(silence))
            self._calls.silences[silence.id] = silence

    async def unsilence(self, silence: Silence) -> None:
        """End a silence: what fires still calls its actions now."""
        async with self._lock:
            await self._record.demand(RemoveSilence(silence.id))
            self._calls.silences.pop(silence.id, None)
        self.looked()
