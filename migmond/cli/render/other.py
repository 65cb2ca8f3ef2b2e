"""How files, errors, interventions, status and checks look."""

from __future__ import annotations

from migmond.cli.render.text import clock, count, fit, table
from migmond.domain import api, daemon_api
from migmond.domain.error_api import ErrorGroup, ErrorGroups
from migmond.domain.steering_api import InterventionList, InterventionView
from migmond.domain.units import show_duration, show_size


def task_lines(tasks: tuple[api.TaskView, ...], width: int) -> list[str]:
    """Return a line per entry; the path comes last because it is the longest."""
    lines = []
    for t in tasks:
        notes = [t.fault] if t.fault and t.state == "failed" else []
        if t.lost:
            notes.append("lost " + ", ".join(t.lost))
        size = show_size(t.size) if t.type == "file" else t.type
        head = f"{t.state:<9} {t.outcome if t.outcome != 'none' else '':<12} {size:>9}  "
        tail = f"  [{'; '.join(notes)}]" if notes else ""
        lines.append(head + fit(t.path, max(10, width - len(head) - min(len(tail), width // 2))) + tail)
    return lines


def error_lines(groups: ErrorGroups) -> list[str]:
    """Return a table of causes with what to do next and examples."""
    if not groups.groups:
        return ["nothing has failed"]
    rows = [[f"{g.count:,}", g.kind, _where(g), clock(g.first_at), clock(g.last_at), _cause(g)] for g in groups.groups]
    lines = table(["COUNT", "CLASS", "WHERE", "FIRST", "LAST", "CAUSE"], rows, right=frozenset({0}))
    out = [lines[0]]
    for line, group in zip(lines[1:], groups.groups, strict=True):
        out.append(line)
        if group.waiting:
            out.append(f"       {count(group.waiting, 'waits', 'wait')} to be tried again")
        if group.under:
            out.append(f"       all below {group.under}")
        if group.causes:
            told = dict.fromkeys((*group.causes[0].evidence, *(figure.text for figure in group.causes[0].figures)))
            out += [f"       · {evidence}" for evidence in told]
            others = [f"{c.title} ({c.score:.0%})" for c in group.causes[1:]]
            out += [f"       or {', '.join(others)}"] if others else []
        out += [f"       {path}" for path in group.examples]
        out.append(f"       next: {group.hint}")
        if group.next:
            out.append(f"       {group.next}")
    return out


def _where(group: ErrorGroup) -> str:
    """The disk that a source is on, the mount point that a target is; the step when neither is known."""
    place = group.device or group.mount if group.side == "source" else group.mount or group.device
    return f"{group.phase} {place}" if place else group.phase


def _cause(group: ErrorGroup) -> str:
    return f"{group.causes[0].title} ({group.causes[0].score:.0%})" if group.causes else group.message


def intervention_lines(found: InterventionList, *, ended: bool = False) -> list[str]:
    """Return who changed what, and how to undo it. `ended`: nothing can be undone any more."""
    if not found.interventions:
        return ["nobody has intervened"]
    rows = [
        [i.id, clock(i.at), i.author, _what(i), f"{i.before} → {i.after}", i.reason, i.undo or _over(i)]
        for i in found.interventions
    ]
    header = ["ID", "AT", "BY", "WHAT", "CHANGE", "REASON", "UNDO"]
    return table(header[:-1], [row[:-1] for row in rows]) if ended else table(header, rows)


def _what(i: InterventionView) -> str:
    return i.kind.replace("_", " ") if i.kind == "stop_all" or not i.what else i.what


def _over(i: InterventionView) -> str:
    if i.ended_at is None:
        return ""
    return f"over {clock(i.ended_at)}" if i.ended_by == "expired" else f"over {clock(i.ended_at)}, by {i.ended_by}"


def status_lines(s: daemon_api.Status) -> list[str]:
    """Return how the daemon is."""
    kind = "per-user daemon" if s.user_daemon else "system daemon"
    states = ", ".join(f"{n:,} {state}" for state, n in sorted(s.executions.items())) or "none"
    by = f", by {s.loop_lag_by}" if s.loop_lag_by else ""
    lines = [
        f"migmond {s.version}, {kind}, pid {s.pid}, up {show_duration(s.uptime_s)}",
        f"  socket      {s.socket}",
        f"  journal     {s.state_directory}",
        f"  migrations  {states}",
        f"  movers      {s.movers}",
        f"  clients     {count(s.clients, 'client')}, {count(s.subscriptions, 'subscription')}",
        f"  memory      {show_size(s.resident_bytes)}",
        f"  event loop  blocked for {s.loop_lag_max_s * 1000:.0f} ms at most in the last minute{by}; "
        f"{s.loop_work_max_s * 1000:.0f} ms of work",
    ]
    if s.journal_trouble:
        lines.insert(3, f"              ✗ {s.journal_trouble} (migmon doctor)")
    if s.config_trouble:
        lines.append("  config      ✗ the last reload changed nothing (migmon doctor)")
    return [*lines, *(f"  plugin      {line}" for line in plugin_lines(s.plugins))]


def plugin_lines(plugins: tuple[daemon_api.PluginView, ...]) -> list[str]:
    """Return a line per plugin; one that is not active says why."""
    lines = []
    for p in plugins:
        provides = f": {', '.join(p.provides)}" if p.provides else ""
        reason = f" ({p.reason})" if p.reason else ""
        failures = f", {count(p.failures, 'failure')}" if p.failures else ""
        lines.append(f"{p.name} {p.state}{reason}{failures}{provides}")
    return lines


def check_lines(checks: daemon_api.Checks) -> list[str]:
    """Return a line per check, and what to do about what is wrong."""
    marks = {"ok": "✓", "warning": "!", "error": "✗"}
    lines = []
    for c in checks.checks:
        lines.append(f"{marks.get(c.severity, '?')} {c.name}: {c.message}")
        if c.severity != "ok" and c.hint:
            lines.append(f"    {c.hint}")
    return lines


def config_lines(values: daemon_api.ConfigValues) -> list[str]:
    """Return the settings in force with where each comes from, and what waits for a restart."""
    header, rows = ["KEY", "VALUE", "FROM"], [[v.key, v.value, v.origin] for v in values.values]
    if any(v.pending for v in values.values):
        header.append("AFTER A RESTART")
        rows = [[*row, v.pending] for row, v in zip(rows, values.values, strict=True)]
    return table(header, rows)
