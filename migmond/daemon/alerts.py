"""What clients ask about alerts, with everybody's rights checked. Implements `rpc.alert_backend.AlertBackend`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec
import trio

from migmond.alerting.checking import check_labels, check_rule
from migmond.alerting.replay import Replay
from migmond.alerting.views import RANK, alert_view, rule_view, silence_view, time_text
from migmond.daemon.history import Telemetry
from migmond.daemon.pages import check_limit
from migmond.daemon.rights import author, ids_seen_by
from migmond.domain import alert_api as a
from migmond.domain import api
from migmond.domain.alert import (
    MOST_OWN,
    MOST_RULES,
    ActionCall,
    Aggregation,
    Alert,
    AlertFilter,
    AlertRule,
    AlertState,
    Missing,
    Silence,
)
from migmond.domain.errors import InvalidInput, LimitExceeded, NotFound, NotPermitted, about
from migmond.domain.execution import Execution
from migmond.domain.identity import Peer, Role
from migmond.domain.states import TERMINAL_EXECUTION_STATES
from migmond.domain.telemetry import MetricKind, Selection
from migmond.engine.manager import Engine
from migmond.engine.settings import Surroundings
from migmond.monitor.alerts import Alerts
from migmond.planning.plans import checked_reason

MAX_PAGE = 1000
MOST_SILENCES = 500
MAX_NOTE = 500
MOST_EPISODES = 200
_DELIVERIES_OF = 100
"""Of more alerts of a page nobody reads how their deliveries went."""
_SPAN_MOST_S = 366 * 86_400.0
_REPLAYED = 20_000
"""Buckets of a replay at most, of each series: 30 s each for a week."""
_AT_A_TIME = 1000
_LEAST_AT_A_TIME = 20
_REPLAY_CELLS = 50_000
"""Buckets that are looked at together, of all series: of many series fewer each."""
_ALWAYS_TOLD = "migmond_memory_size_bytes"
"""It is on record of all times at which a daemon ran."""
_PAST_AT_A_TIME = 100
"""Alerts of the past that are read together: whoever may see few of them asks no question for each."""

CheckAction = Callable[[ActionCall, Peer], None]
"""Raises InvalidInput or NotPermitted when an action cannot be called like that by that one's rules."""


class AlertDesk:
    """Args:
    sees: whether a peer may see an execution.
    check_action: see CheckAction.
    """

    def __init__(
        self,
        alerts: Alerts,
        engine: Engine,
        surroundings: Surroundings,
        telemetry: Telemetry,
        check_action: CheckAction,
    ) -> None:
        self._alerts = alerts
        self._engine = engine
        self._surroundings = surroundings
        self._telemetry = telemetry
        self._check_action = check_action
        self._replays = trio.CapacityLimiter(1)

    # --- alerts ------------------------------------------------------------------------------------

    def counts(self, peer: Peer) -> dict[str, int]:
        """Return how many alerts fire that `peer` may see, by severity, worst first."""
        firing = Counter(x.severity for x in self._open(peer) if x.state is AlertState.FIRING)
        return {s.value: firing[s] for s in sorted(firing, key=lambda s: -RANK[s])}

    def _open(self, peer: Peer) -> list[Alert]:
        shown = self._shown(peer)
        return [x for x in self._alerts.open_alerts() if shown is None or not x.execution or x.execution in shown]

    def _shown(self, peer: Peer) -> frozenset[str] | None:
        return ids_seen_by(self._engine, peer)

    def _execution(self, peer: Peer, name: str) -> Execution:
        shown = self._shown(peer)
        return self._engine.find(name, lambda e: shown is None or e.id in shown)

    async def list_alerts(self, peer: Peer, params: a.AlertsParams) -> a.AlertPage:
        check_limit(params.limit, MAX_PAGE)
        if params.view not in ("active", "silenced", "history"):
            raise InvalidInput(
                f"there is no view {params.view[:40]!r}", hint="active, silenced or history", field="view"
            )
        execution = self._execution(peer, params.execution).id if params.execution else ""
        rule = self._alerts.rules.named(params.rule).id if params.rule else ""
        least = RANK[params.severity] if params.severity is not None else 0
        more: int | None = None
        if params.view == "history":
            found, more = await self._past(
                peer, AlertFilter(execution, rule, before=params.before), least, params.limit
            )
        else:
            found = [
                x
                for x in self._open(peer)
                if execution in ("", x.execution)
                and rule in ("", x.rule)
                and RANK[x.severity] >= least
                and (params.view == "active" or x.quiet.startswith("silenced"))
            ]
            found.sort(key=lambda x: (x.state is AlertState.PENDING, -RANK[x.severity], x.number))
            found = [self._alerts.worded(x) for x in found[: params.limit]]
        views = []
        for i, alert in enumerate(found):
            told = alert.notified_at is not None and i < _DELIVERIES_OF
            deliveries = await self._surroundings.journal.deliveries(alert.id) if told else []
            rule_now = self._alerts.rules.get(alert.rule)
            known = self._alerts.metrics.get(alert.metric)
            views.append(alert_view(alert, rule_now, known, self._name(alert.execution), deliveries))
        return a.AlertPage(tuple(views), self.counts(peer), more)

    async def _past(self, peer: Peer, which: AlertFilter, least: int, limit: int) -> tuple[list[Alert], int | None]:
        """Pages are found by number: what the caller may not see is left out, and the next page begins behind it."""
        shown, found = self._shown(peer), list[Alert]()
        at_a_time = max(limit, _PAST_AT_A_TIME)
        while True:
            page = await self._surroundings.journal.past_alerts(which, at_a_time)
            for alert in page:
                if (shown is None or not alert.execution or alert.execution in shown) and RANK[alert.severity] >= least:
                    found.append(alert)
                    if len(found) == limit:
                        return found, alert.number
            if len(page) < at_a_time:
                return found, None
            which = msgspec.structs.replace(which, before=page[-1].number)

    def _name(self, execution: str) -> str:
        try:
            return self._engine.find(execution).name if execution else ""
        except NotFound:
            return ""

    async def acknowledge(self, peer: Peer, params: a.AckParams) -> a.AlertView:
        if len(params.note) > MAX_NOTE:
            raise InvalidInput("the note is too long", hint=f"use at most {MAX_NOTE} characters", field="note")
        alert = next((x for x in self._open(peer) if x.id == params.alert), None)
        if alert is None:
            raise NotFound(f"no open alert is called {params.alert[:40]!r}", hint="migmon alerts lists them")
        self._check_own(peer, alert.execution, f"{alert.id} concerns no migration of yours")
        done = await self._alerts.acknowledge(alert, author(peer), params.note)
        return self._alerts.view(done)

    def _check_own(self, peer: Peer, execution: str, message: str) -> None:
        """Operators change what concerns their own executions; a disk is everybody's, and the admins' business."""
        if peer.role < Role.ADMIN and execution not in (self._shown(peer) or ()):
            raise NotPermitted(message, hint="ask an admin")

    # --- silences ----------------------------------------------------------------------------------

    async def silence(self, peer: Peer, params: a.SilenceParams) -> a.SilenceView:
        if not (math.isfinite(params.for_s) and 0 < params.for_s <= 366 * 86_400.0):
            raise InvalidInput(
                f"a silence of {params.for_s} s makes no sense", hint="give e.g. --for 2h", field="for_s"
            )
        check_labels(params.labels)
        if len(self._alerts.silences) >= MOST_SILENCES:
            raise LimitExceeded(f"there are {MOST_SILENCES} silences", hint="end some: migmon alerts unsilence")
        _check_share(peer, self._alerts.silences, "silences", "migmon alerts unsilence")
        rule = self._alerts.rules.named(params.rule).id if params.rule else ""
        execution = self._execution(peer, params.execution).id if params.execution else ""
        own = peer.role < Role.ADMIN
        at = self._surroundings.clock.wall()
        number = await self._surroundings.journal.next_id("silence", 1)
        made = Silence(
            f"s-{number}", author(peer), checked_reason(params.reason), at, at + params.for_s, rule, execution,
            dict(params.labels), peer.identity.uid, own,
        )  # fmt: skip
        await self._alerts.silence(made)
        return self._silence_view(made)

    async def unsilence(self, peer: Peer, silence: str) -> a.SilenceView:
        found = next((s for s in self._seen_silences(peer) if s.id == silence), None)
        if found is None:
            raise NotFound(f"there is no silence {silence[:40]!r}", hint="migmon alerts silences")
        if peer.role < Role.ADMIN and not (found.own and found.owner == peer.identity.uid):
            raise NotPermitted(f"{found.id} is {found.author}'s", hint="ask an admin")
        await self._alerts.unsilence(found)
        return self._silence_view(found)

    def _silence_view(self, silence: Silence) -> a.SilenceView:
        return silence_view(silence, self._alerts.rules.get(silence.rule))

    def _seen_silences(self, peer: Peer) -> list[Silence]:
        shown = self._shown(peer)
        return [
            s
            for s in self._alerts.silences
            if shown is None
            or ((s.owner == peer.identity.uid or not s.own) and (not s.execution or s.execution in shown))
        ]

    async def list_silences(self, peer: Peer) -> a.SilenceList:
        return a.SilenceList(tuple(self._silence_view(s) for s in self._seen_silences(peer)))

    # --- rules -------------------------------------------------------------------------------------

    def _rule(self, peer: Peer, name: str) -> AlertRule:
        """Operators see the rules of all and their own: the others' may have addresses and words in them."""
        rule = self._alerts.rules.named(name)
        if peer.role is Role.OPERATOR and rule.own and rule.owner != peer.identity.uid:
            raise NotFound(f"there is no rule {name[:60]!r}", hint="migmon rules ls")
        return rule

    def _change(self, peer: Peer, name: str) -> AlertRule:
        rule = self._rule(peer, name)
        if peer.role < Role.ADMIN and not (rule.own and rule.owner == peer.identity.uid):
            raise NotPermitted(f"the rule {rule.name} is not yours", hint="make one of your own, or ask an admin")
        return rule

    def _firing(self, peer: Peer) -> Counter[str]:
        """Return how many alerts that `peer` may see fire, by rule."""
        return Counter(x.rule for x in self._open(peer) if x.state is AlertState.FIRING)

    def _rule_view(self, peer: Peer, rule: AlertRule, firing: Counter[str]) -> a.RuleView:
        changed = rule.builtin and self._alerts.rules.is_edited(rule)
        if peer.role < Role.ADMIN and rule.owner != peer.identity.uid:
            # An action's parameters may be secrets: the address of a webhook is one.
            rule = msgspec.structs.replace(rule, actions=tuple(ActionCall(c.name) for c in rule.actions))
        return rule_view(rule, firing[rule.id], changed=changed)

    async def list_rules(self, peer: Peer) -> a.RuleList:
        found = [
            r
            for r in self._alerts.rules.by_name()
            if peer.role is not Role.OPERATOR or not r.own or r.owner == peer.identity.uid
        ]
        firing = self._firing(peer)
        return a.RuleList(tuple(self._rule_view(peer, r, firing) for r in found))

    async def get_rule(self, peer: Peer, rule: str) -> a.RuleView:
        return self._rule_view(peer, self._rule(peer, rule), self._firing(peer))

    async def put_rule(self, peer: Peer, params: a.RulePutParams) -> a.RuleView:
        before = self._change(peer, params.replace) if params.replace else None
        at = self._surroundings.clock.wall()
        with about("rule"):
            rule = self._made(peer, params.rule, before, at)
        if before is None:
            if len(self._alerts.rules) >= MOST_RULES:
                raise LimitExceeded(f"there are {MOST_RULES} rules", hint="remove some: migmon rules rm")
            _check_share(peer, self._alerts.rules.values(), "rules", "migmon rules rm")
            number = await self._surroundings.journal.next_id("rule", 1)
            rule = msgspec.structs.replace(rule, id=f"r-{number}")
        await self._alerts.put_rule(rule)
        return self._rule_view(peer, rule, self._firing(peer))

    def _made(self, peer: Peer, spec: a.RuleSpec, before: AlertRule | None, at: float) -> AlertRule:
        own = peer.role < Role.ADMIN if before is None else before.own
        rule = AlertRule(
            before.id if before is not None else "", spec.name, spec.description, spec.condition, spec.severity,
            spec.actions, spec.enabled, spec.cooldown_s, dict(spec.labels), spec.inhibits,
            before.created_at if before is not None else at, at, before is not None and before.builtin,
            before.owner if before is not None else peer.identity.uid, own,
        )  # fmt: skip
        if rule.builtin and rule.name != rule.id:
            raise InvalidInput(
                f"{rule.id} comes with migmond and keeps its name", hint="make another rule", field="name"
            )
        check_rule(rule, self._alerts.metrics)
        if own and "execution" not in self._alerts.metrics[rule.condition.metric].labels:
            raise NotPermitted(
                f"{rule.condition.metric} is no metric of migrations", hint="rules about the machine are for admins"
            )
        for position, call in enumerate(rule.actions):
            with about(f"actions[{position}]"):
                self._check_action(call, peer)
        return rule

    async def remove_rule(self, peer: Peer, rule: str) -> api.Acknowledged:
        await self._alerts.remove_rule(self._change(peer, rule))
        return api.Acknowledged()

    async def enable_rule(self, peer: Peer, params: a.RuleEnableParams) -> a.RuleView:
        rule = self._change(peer, params.rule)
        changed = msgspec.structs.replace(rule, enabled=params.enabled, changed_at=self._surroundings.clock.wall())
        await self._alerts.put_rule(changed)
        return self._rule_view(peer, changed, self._firing(peer))

    async def _watched(self, rule: AlertRule, start: float, end: float, step_s: float) -> list[bool] | None:
        """Return of each bucket whether a daemon ran, for rules that fire when nothing is told; None: nobody knows."""
        if rule.condition.missing is not Missing.FIRE or _ALWAYS_TOLD not in self._alerts.metrics:
            return None
        chart = await self._telemetry.replayed(Selection(_ALWAYS_TOLD, ()), start, end, step_s, _REPLAY_CELLS, None)
        return [any(curve.mean[i] is not None for curve in chart.curves) for i in range(chart.buckets)]

    async def test_rule(self, peer: Peer, params: a.RuleTestParams) -> a.RuleTestView:
        if (params.spec is None) == (not params.rule):
            raise InvalidInput("give either rule or spec", hint="rule names one that there is", field="rule")
        if not (math.isfinite(params.span_s) and 60 <= params.span_s <= _SPAN_MOST_S):
            raise InvalidInput(f"a span of {params.span_s} s", hint="1m to 366d", field="span_s")
        at = self._surroundings.clock.wall()
        with about("spec"):
            rule = self._rule(peer, params.rule) if params.spec is None else self._made(peer, params.spec, None, at)
        condition, known = rule.condition, self._alerts.metrics.get(rule.condition.metric)
        if known is None:
            raise InvalidInput(f"nobody provides {condition.metric} now", hint="migmon metrics")
        if known.kind is MetricKind.COUNTER and condition.aggregation is not Aggregation.RATE:
            raise InvalidInput(
                f"of the counter {condition.metric} only rates are on record", hint=f"test rate({condition.metric})"
            )
        scope = self._shown(peer)
        if params.spec is None and rule.own:  # it looks at its owner's only, whoever tries it
            owned = frozenset(e.id for e in self._engine.all() if e.identity.uid == rule.owner)
            scope = owned if scope is None else scope & owned
        return await self._replay(rule, known.unit, at - params.span_s, at, scope)

    async def _replay(
        self, rule: AlertRule, unit: str, start: float, end: float, executions: frozenset[str] | None
    ) -> a.RuleTestView:
        """In a thread, one for all who ask: a year of fifty series takes seconds, and nobody else waits for it."""
        step_s = max(2.0, math.ceil((end - start) / _REPLAYED))
        selection = Selection(rule.condition.metric, tuple(sorted(rule.condition.labels.items())))
        ended = {
            e.id: e.finished_at
            for e in self._engine.all()
            if e.state in TERMINAL_EXECUTION_STATES and e.finished_at is not None
        }
        replay, at, coarsest = Replay(rule, ended, MOST_EPISODES), start, 0.0
        at_a_time = _AT_A_TIME
        while at < end:
            until = min(end, at + step_s * at_a_time)
            most = _REPLAY_CELLS // at_a_time
            try:
                chart = await self._telemetry.replayed(selection, at, until, step_s, most, executions)
            except LimitExceeded:
                if at_a_time < _LEAST_AT_A_TIME:
                    raise
                at_a_time //= 2
                continue
            watched = await self._watched(rule, at, until, step_s)
            coarsest = max(coarsest, chart.step_s)
            await trio.to_thread.run_sync(replay.take, chart, until, watched, limiter=self._replays)
            at = until
        times, firing_s = replay.total(end)
        views = [
            a.EpisodeView(
                dict(e.series), time_text(e.fired_at), None if e.resolved_at is None else time_text(e.resolved_at),
                (e.resolved_at if e.resolved_at is not None else end) - e.fired_at, e.worst,
            )
            for e in replay.finish()[-MOST_EPISODES:]
        ]  # fmt: skip
        return a.RuleTestView(
            times, firing_s, tuple(views), len(replay.series),
            time_text(start), time_text(end), coarsest, replay.covered_s, unit,
        )  # fmt: skip


def _check_share(peer: Peer, there: Iterable[AlertRule | Silence], what: str, command: str) -> None:
    """Raise LimitExceeded when an operator has as many as one may have."""
    if peer.role < Role.ADMIN and sum(x.own and x.owner == peer.identity.uid for x in there) >= MOST_OWN:
        raise LimitExceeded(f"you have {MOST_OWN} {what}", hint=f"end some: {command}, or ask an admin")
