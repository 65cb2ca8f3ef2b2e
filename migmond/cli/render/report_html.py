"""Reports as one HTML file that can be sent and kept: see `migmond.cli.render.html`."""

from __future__ import annotations

from migmond.cli.render import html
from migmond.cli.render.report import (
    cost_lines,
    cost_sum_lines,
    finding_lines,
    measured_lines,
    score_lines,
    trend_text,
)
from migmond.cli.render.text import UNKNOWN, clock, rate_text
from migmond.domain.analysis import Curve
from migmond.domain.report import PeriodReport, ReportRow, ReportView
from migmond.domain.units import show_duration, show_energy, show_size


def report_page(report: ReportView) -> str:
    """Return one execution as a page."""
    e, p = report.execution, report.execution.progress
    facts = [
        ["State", f"{e.state}{f': {e.why}' if e.why else ''}"],
        ["What", f"{e.operation} {', '.join(e.sources)} → {e.destination}"],
        ["Id", e.id],
        ["Began", clock(e.started_at)],
        ["Ended", clock(e.finished_at)],
        ["Done", f"{p.done.entries:,} entries, {show_size(p.done.bytes)}"],
        ["Failed", f"{p.failed.entries:,} entries"],
        ["Left alone", f"{p.skipped.entries:,} entries"],
    ]
    body = [html.table(["Fact", "Value"], facts)]
    body.append(html.heading("Measured"))
    body.append(
        html.items(_plain(measured_lines(report.measured))) if report.measured else html.paragraph(report.reason)
    )
    if report.score is not None:
        body += [html.heading("Score"), html.items(_plain(score_lines(report.score)[:1]))]
        lost = [[step.title, show_duration(step.seconds)] for step in report.score.waterfall]
        body.append(html.table(["Wall time went to", "Time"], lost, right=frozenset({1})))
    if report.course is not None:
        body += [html.heading("Rate by percent done"), _curves([(e.name, report.course)])]
    body.append(html.heading("Where the time went"))
    shares = [[s.title, f"{s.share:.1%}"] for s in report.time]
    body.append(html.table(["Cause", "Share"], shares, right=frozenset({1})) if shares else "")
    body.append(html.paragraph(f"{report.bottleneck.title} bound it" if report.bottleneck else report.time_reason))
    body.append(html.heading("Errors"))
    errors = [[f"{g.count:,}", g.kind, g.phase, g.message, ", ".join(g.examples), g.hint] for g in report.errors]
    header = ["Count", "Kind", "In", "Message", "Examples", "What to do"]
    body.append(html.table(header, errors, right=frozenset({0})) if errors else html.paragraph("nothing has failed"))
    if report.interventions:
        rows = [[i.id, i.kind, i.author, clock(i.at), i.reason, i.before, i.after] for i in report.interventions]
        body += [html.heading("Interventions"), html.table(["Id", "What", "By", "At", "Why", "Before", "After"], rows)]
    if report.cost is not None:
        body += [html.heading("Cost"), html.items(cost_lines(report.cost))]
    if report.similar:
        rows = [
            [
                f"{s.run.similarity:.0%}", s.name, s.run.id, s.state, clock(s.finished_at), show_size(s.done.bytes),
                show_duration(s.active_s), rate_text(s.average_bytes_per_s),
            ]
            for s in report.similar
        ]  # fmt: skip
        header = ["Alike", "Name", "Id", "State", "Ended", "Done", "Took", "Rate"]
        body += [html.heading("Similar runs"), html.table(header, rows, right=frozenset({0, 5, 6, 7}))]
    if report.trends:
        body += [html.heading("On these devices"), html.items([trend_text(t) for t in report.trends])]
    body.append(html.paragraph(f"As of {clock(report.as_of)}.", soft=True))
    return html.document(f"Migration {e.name}", body)


def period_page(report: PeriodReport) -> str:
    """Return all executions of a time as a page."""
    s = report.sums
    mean = UNKNOWN if report.mean_score is None else f"{report.mean_score:.0f}"
    facts = [
        ["Migrations", f"{s.executions:,} ({', '.join(f'{n:,} {state}' for state, n in report.states.items())})"],
        ["Done", f"{s.done.entries:,} entries, {show_size(s.done.bytes)}"],
        ["Failed", f"{s.failed.entries:,} entries"],
        ["Moved", show_size(s.moved_bytes)],
        ["Active", show_duration(s.active_s)],
        ["Held", show_duration(s.held_s)],
        ["Mean score", mean],
    ]
    body = [html.table(["Fact", "Value"], facts), html.heading("Migrations")]
    header = [
        "Name", "Id", "State", "Started", "Done", "Took", "Rate", "Score", "Failed", "Bound by", "From", "To", "Energy",
    ]  # fmt: skip
    rows = [_row(r) for r in report.executions]
    body.append(html.table(header, rows, right=frozenset({4, 5, 6, 7, 8, 12})))
    if report.left:
        body.append(html.paragraph(f"and {report.left:,} more"))
    body += [html.heading("Trends"), html.items([trend_text(t) for t in report.trends])]
    body += [html.heading("Disks"), html.items(_plain(finding_lines(report.disks)))]
    body += [html.heading("Cost"), html.items(cost_sum_lines(report.cost))]
    body.append(html.paragraph(f"As of {clock(report.as_of)}.", soft=True))
    return html.document(f"Migrations from {clock(report.since)} to {clock(report.until)}", body)


def _row(r: ReportRow) -> list[str]:
    return [
        r.name, r.id, r.state, clock(r.started_at), show_size(r.done.bytes), show_duration(r.active_s),
        rate_text(r.average_bytes_per_s), UNKNOWN if r.score is None else f"{r.score:.0f}", f"{r.failed:,}",
        r.bottleneck or UNKNOWN, r.source or UNKNOWN, r.target or UNKNOWN,
        UNKNOWN if r.energy_j is None else show_energy(r.energy_j),
    ]  # fmt: skip


def _curves(courses: list[tuple[str, Curve]]) -> str:
    lines = [html.Line(name, tuple((p.percent, p.bytes_per_s) for p in c.points[1:])) for name, c in courses]
    high = max((y for line in lines for _, y in line.points if y is not None), default=None)
    return html.plot(lines, x_end=(100.0, "100 % done"), y_name=rate_text(high), title="rate by percent done")


def _plain(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]
