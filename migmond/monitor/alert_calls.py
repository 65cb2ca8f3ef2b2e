"""Which actions are called about alerts, and which are not and why: see `alerting.quiet`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from migmond.alerting.metrics import ONCE
from migmond.alerting.quiet import SETTLES_S, Around, Notice, by_subject, is_told, notices, why_quiet
from migmond.breath import Breath
from migmond.domain.alert import MAX_HELD_S, Alert, AlertRule, AlertState, Delivery, Silence
from migmond.ports import Clock


class AlertCalls:
    """Makes calls of actions, and remembers about what. Whoever asks for them puts them on record with the alerts that
    they are about, in one transaction, and has them made afterwards.

    Args:
        rules: by id, as they are at any time.
        owns: whether a user (uid) owns an execution (id).
    """

    def __init__(
        self,
        clock: Clock,
        rules: Mapping[str, AlertRule],
        owns: Callable[[int, str], bool],
    ) -> None:
        self._clock = clock
        self._rules = rules
        self._owns = owns
        self._told_at: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._ended: list[Alert] = []
        self.silences: dict[str, Silence] = {}
        """By id; some may have ended."""

    def note_told(self, alert: Alert) -> None:
        """Remember when actions were called about an alert of an earlier daemon."""
        if alert.notified_at is not None:
            key = (alert.rule, alert.series)
            self._told_at[key] = max(alert.notified_at, self._told_at.get(key, 0.0))

    def forget_told(self, at: float) -> None:
        """Forget what no cooldown asks for any more at wall clock `at`."""
        self._told_at = {key: told for key, told in self._told_at.items() if at - told < MAX_HELD_S}

    def silences_at(self, at: float) -> list[Silence]:
        """Return those that have not ended at wall clock `at`, the one that ends first first."""
        return sorted((s for s in self.silences.values() if s.until > at), key=lambda s: (s.until, s.id))

    def end_silences(self, at: float) -> list[str]:
        """Drop silences that have ended at wall clock `at`; return their ids."""
        over = [s.id for s in self.silences.values() if s.until <= at]
        for id_ in over:
            del self.silences[id_]
        return over

    async def about_ended(self, changed: Iterable[tuple[Alert | None, Alert]]) -> list[Delivery]:
        """Return calls about alerts that have ended, to whoever was told when these began."""
        by_rule: dict[str, list[Alert]] = {}
        for before, after in changed:
            if after.state is AlertState.RESOLVED and after.fired_at is not None and self._inhibits(after):
                self._ended.append(after)
            if is_told(before, after) and after.metric not in ONCE:
                by_rule.setdefault(after.rule, []).append(after)
        made: list[Delivery] = []
        breath = Breath(self._clock.monotonic)
        for alerts in by_rule.values():
            for notice in notices((alert, tuple(c for c in alert.told if c.on_resolve)) for alert in alerts):
                await breath.take()
                made.append(self._delivery(notice, firing=False))
        return made

    def _inhibits(self, alert: Alert) -> bool:
        rule = self._rules.get(alert.rule)
        return rule is not None and bool(rule.inhibits)

    def _delivery(self, notice: Notice, *, firing: bool) -> Delivery:
        now, told = self._clock.wall(), msgspec.structs.replace(notice.alert, told=())
        return Delivery(
            secrets.token_hex(12), notice.call.name, dict(notice.call.parameters), told, firing, now, next_at=now,
            also=notice.also,
        )  # fmt: skip

    async def about_firing(self, open_alerts: Sequence[Alert], at: float) -> tuple[list[Alert], list[Delivery]]:
        """Return calls about alerts that fire and were not told yet, and the alerts of which something has changed.

        Args:
            at: wall clock seconds.
        """
        firing = [a for a in open_alerts if a.state is AlertState.FIRING]
        self._ended = [a for a in self._ended if a.resolved_at is not None and 0 <= at - a.resolved_at < SETTLES_S]
        inhibiting = by_subject([*(a for a in firing if self._inhibits(a)), *self._ended])
        around = Around(self._rules, tuple(self.silences.values()), inhibiting, self._told_at, self._owns)
        due: dict[str, list[Alert]] = {}
        changed: list[Alert] = []
        made: list[Delivery] = []
        breath = Breath(self._clock.monotonic)
        for alert in firing:
            await breath.take()
            rule = self._rules.get(alert.rule)
            if alert.notified_at is not None or rule is None:
                continue
            quiet = why_quiet(alert, rule, around, at)
            if not quiet and rule.actions:
                due.setdefault(rule.id, []).append(alert)
            elif quiet != alert.quiet:
                changed.append(msgspec.structs.replace(alert, quiet=quiet))
        for id_, alerts in due.items():
            calls = self._rules[id_].actions
            for notice in notices((alert, calls) for alert in alerts):
                await breath.take()
                made.append(self._delivery(notice, firing=True))
            for alert in alerts:
                await breath.take()
                self._told_at[alert.rule, alert.series] = at
                quiet = "" if alert is alerts[0] else f"told with {alerts[0].id}"
                changed.append(msgspec.structs.replace(alert, notified_at=at, told=calls, quiet=quiet))
        return changed, made
