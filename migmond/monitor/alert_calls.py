"""Which actions are called about alerts, and which are not and why: see `alerting.quiet`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from migmond.alerting.quiet import Around, is_told, notices, why_quiet
from migmond.breath import Breath
from migmond.domain.alert import Alert, AlertRule, AlertState, Silence
from migmond.ports import Clock, Deliveries


class AlertCalls:
    """Calls actions, and remembers about what.

    Args:
        rules: by id, as they are at any time.
        owns: whether a user (uid) owns an execution (id).
    """

    def __init__(
        self,
        deliveries: Deliveries,
        clock: Clock,
        rules: Mapping[str, AlertRule],
        owns: Callable[[int, str], bool],
    ) -> None:
        self._deliveries = deliveries
        self._clock = clock
        self._rules = rules
        self._owns = owns
        self._told_at: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.silences: dict[str, Silence] = {}
        """By id; some may have ended."""

    def note_told(self, alert: Alert) -> None:
        """Remember when actions were called about an alert of an earlier daemon."""
        if alert.notified_at is not None:
            key = (alert.rule, alert.series)
            self._told_at[key] = max(alert.notified_at, self._told_at.get(key, 0.0))

    def note_untold(self, alert: Alert) -> None:
        """What was to be told about an alert never was."""
        self._told_at.pop((alert.rule, alert.series), None)

    def silences_at(self, at: float) -> list[Silence]:
        """Return those that have not ended at wall clock `at`, the one that ends first first."""
        return sorted((s for s in self.silences.values() if s.until > at), key=lambda s: (s.until, s.id))

    def end_silences(self, at: float) -> list[str]:
        """Drop silences that have ended at wall clock `at`; return their ids."""
        over = [s.id for s in self.silences.values() if s.until <= at]
        for id_ in over:
            del self.silences[id_]
        return over

    def call_resolved(self, changed: Iterable[tuple[Alert | None, Alert]]) -> None:
        """Call the actions of alerts that have ended, if they were called when these began."""
        by_rule: dict[str, list[Alert]] = {}
        for before, after in changed:
            if is_told(before, after):
                by_rule.setdefault(after.rule, []).append(after)
        for id_, alerts in by_rule.items():
            rule = self._rules.get(id_)
            for alert, call in notices(rule, alerts, firing=False) if rule is not None else ():
                self._deliveries.put(alert, call, firing=False)

    async def call_firing(self, open_alerts: Sequence[Alert], at: float) -> list[Alert]:
        """Call the actions of alerts that fire and were not told yet; return those of which something has changed.

        Args:
            at: wall clock seconds.
        """
        firing = [a for a in open_alerts if a.state is AlertState.FIRING]
        inhibiting = [a for a in firing if a.rule in self._rules and self._rules[a.rule].inhibits]
        around = Around(self._rules, tuple(self.silences.values()), inhibiting, self._told_at, self._owns)
        due: dict[str, list[Alert]] = {}
        changed: list[Alert] = []
        breath = Breath(self._clock.monotonic)
        for alert in firing:
            await breath.take()
            rule = self._rules.get(alert.rule)
            if alert.notified_at is not None or rule is None:
                continue
            quiet = why_quiet(alert, rule, around, at)
            if not quiet:
                due.setdefault(rule.id, []).append(alert)
            elif quiet != alert.quiet:
                changed.append(msgspec.structs.replace(alert, quiet=quiet))
        for id_, alerts in due.items():
            rule = self._rules[id_]
            for alert, call in notices(rule, alerts, firing=True):
                self._deliveries.put(alert, call, firing=True)
            for alert in alerts:
                await breath.take()
                self._told_at[alert.rule, alert.series] = at
                quiet = "" if alert is alerts[0] else f"told with {alerts[0].id}"
                changed.append(msgspec.structs.replace(alert, notified_at=at, quiet=quiet))
        return changed
