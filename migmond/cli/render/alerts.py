"""How alerts and rules look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from migmond.cli.render.text import clock, count, table, value_text
from migmond.domain import alert_api as a
from migmond.domain import api
from migmond.domain.alert import ActionCall
from migmond.domain.units import show_duration

_MARKS = {"critical": "✗", "error": "✗", "warning": "!", "info": " "}
_SHOWN_EPISODES = 20


def alert_lines(page: a.AlertPage, *, past: bool) -> list[str]:
    """Return the lines of `alerts`: each with value, threshold and since when, and what became of its actions."""
    if not page.alerts:
        return ["no alert was ever resolved" if past else "✓ no alerts"]
    header = ["SEVERITY", "ID", "RULE", "OF", "VALUE", "LIMIT", "SINCE", "ENDED" if past else "STATE", "ACK"]
    rows = [_row(alert, past=past) for alert in page.alerts]
    found = table(header, rows)
    lines = found[:1]
    for line, alert in zip(found[1:], page.alerts, strict=True):
        lines += [line, *(f"    {text}" for text in _more(alert))]
    if page.next is not None:
        lines.append("and more (--limit)")
    return lines


def _row(alert: a.AlertView, *, past: bool) -> list[str]:
    ended = clock(alert.resolved_at) if past else alert.state
    by = f"{alert.acknowledged_by}{f': {alert.note}' if alert.note else ''}" if alert.acknowledged_at else ""
    return [
        f"{_MARKS[alert.severity]}{alert.severity}",
        alert.id,
        alert.rule_name,
        subject(alert),
        value_text(alert.value, alert.unit),
        f"{alert.operator} {value_text(alert.threshold, alert.unit)}".strip(),
        clock(alert.fired_at or alert.pending_at),
        ended,
        by,
    ]


def subject(alert: a.AlertView) -> str:
    """Return what an alert is about, short."""
    own = [f"{name}={text}" for name, text in sorted(alert.labels.items()) if name not in ("execution", "device")]
    return alert.execution_name or alert.execution[:6] or alert.device or " ".join(own) or "machine"


def _more(alert: a.AlertView) -> Iterable[str]:
    yield alert.message
    if alert.quiet and not alert.acknowledged_at:
        yield f"actions: {alert.quiet}"
    for d in alert.deliveries:
        if d.state != "done":
            why = f": {d.error}" if d.error else ""
            yield f"! {d.action} is {d.state}, {count(d.attempts, 'attempt')}{why}"


def with_alerts(page: api.ExecutionPage, alerts: Iterable[a.AlertView]) -> api.ExecutionPage:
    """Return a list of executions that says in each one's line what fires."""
    firing: dict[str, list[str]] = {}
    for alert in alerts:
        firing.setdefault(alert.execution, []).append(alert.rule_name)
    told = (
        msgspec.structs.replace(e, why="; ".join([f"alert: {', '.join(firing[e.id])}", *([e.why] if e.why else [])]))
        if e.id in firing
        else e
        for e in page.executions
    )
    return api.ExecutionPage(tuple(told), page.total)


def machine_alerts(alerts: Iterable[a.AlertView]) -> list[str]:
    """Return a line for each alert that is about no migration."""
    return [f"{_MARKS[x.severity]} {x.message}" for x in alerts if not x.execution]


def alerts_of(alerts: Iterable[a.AlertView]) -> list[str]:
    """Return the lines of `show` about the alerts of one execution."""
    return [
        f"  {_MARKS[x.severity].strip() or '·'} {x.id} {'(acknowledged) ' if x.acknowledged_at else ''}{x.message}"
        for x in alerts
    ]


def silence_lines(found: a.SilenceList) -> list[str]:
    """Return the lines of `alerts silences`."""
    if not found.silences:
        return ["nothing is silenced"]
    rows = [
        [
            s.id,
            s.rule_name or s.rule or "all rules",
            s.execution[:6] or ("own migrations" if s.own else "all"),
            " ".join(f"{k}={v}" for k, v in sorted(s.labels.items())),
            clock(s.until),
            s.author,
            s.reason,
        ]
        for s in found.silences
    ]
    return table(["ID", "RULE", "OF", "LABELS", "UNTIL", "BY", "REASON"], rows)


def rule_lines(found: a.RuleList) -> list[str]:
    """Return the lines of `rules ls`."""
    rows = [
        [
            r.rule.name,
            r.rule.severity.value,
            _origin(r),
            "" if r.rule.enabled else "off",
            str(r.firing) if r.firing else "",
            ",".join(call.name for call in r.rule.actions),
            r.expression,
        ]
        for r in found.rules
    ]
    return table(["NAME", "SEVERITY", "FROM", "", "FIRING", "ACTIONS", "WHEN"], rows)


def _origin(r: a.RuleView) -> str:
    if r.builtin:
        return "built in, changed" if r.changed else "built in"
    return f"{r.id}, uid {r.owner}" if r.own else r.id


def rule_detail_lines(r: a.RuleView) -> list[str]:
    """Return the lines of `rules show`."""
    spec = r.rule
    lines = [
        f"{spec.name} ({_origin(r)}), {spec.severity.value}{'' if spec.enabled else ', disabled'}",
        f"  when {r.expression}",
    ]
    if spec.description:
        lines.append(f"  {spec.description}")
    lines += [f"  action {c.name}{''.join(_parameters(c))}" for c in spec.actions]
    lines.append(f"  actions are called again after {show_duration(spec.cooldown_s)} at the soonest")
    if spec.inhibits:
        lines.append(f"  keeps quiet: {', '.join(spec.inhibits)}")
    lines += [f"  label {name}={text}" for name, text in sorted(spec.labels.items())]
    return lines


def _parameters(call: ActionCall) -> Iterator[str]:
    """As they are written for `rules add --action`."""
    for name, value in call.parameters.items():
        shown = str(value).lower() if isinstance(value, bool) else value
        yield from (f" {name}+={v}" for v in value) if isinstance(value, list | tuple) else (f" {name}={shown}",)
    if not call.on_resolve:
        yield " on_resolve=false"


def test_lines(found: a.RuleTestView, span_s: float) -> list[str]:
    """Return the lines of `rules test`."""
    if not found.series:
        return [f"nothing is on record of that in the last {_span(span_s)}: it cannot be said"]
    often = "would not have fired" if not found.times else f"would have fired {found.times}×"
    lines = [f"{often} in the last {_span(span_s)}"]
    if found.times:
        lines[0] += f", {show_duration(found.firing_s)} in all"
    hidden = len(found.episodes) - _SHOWN_EPISODES
    if hidden > 0:
        lines.append(f"  the last {_SHOWN_EPISODES} of them:")
    for e in found.episodes[-_SHOWN_EPISODES:]:
        labels = " ".join(f"{k}={v}" for k, v in sorted(e.labels.items()))
        how = f"for {show_duration(e.seconds)}" if e.resolved_at is not None else "until the end of what is on record"
        worst = f", at worst {value_text(e.worst, found.unit)}" if e.worst is not None else ""
        lines.append(f"  {clock(e.fired_at)} {how}{worst}  {labels}".rstrip())
    lines.append(
        f"  {count(found.series, 'series', 'series')}, {show_duration(found.covered_s)} on record together, "
        f"looked at every {show_duration(found.step_s)}"
    )
    return lines


def _span(seconds: float) -> str:
    """Whole days as people say them: `7 days`."""
    days = seconds / 86_400
    return f"{days:.0f} days" if days >= 2 and days == int(days) else show_duration(seconds)
