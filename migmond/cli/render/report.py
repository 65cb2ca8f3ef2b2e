"""What `migmon report` shows: one execution, or all of a time."""

from __future__ import annotations

from collections.abc import Sequence

from migmond.cli.render.plot import columns
from migmond.cli.render.text import UNKNOWN, clock, count, fit, rate_text, table
from migmond.domain.analysis import CostView, Curve, DeviceFinding, LongTrend, ScoreView, ShareView, WearView
from migmond.domain.report import CostSums, MeasuredView, PeriodReport, ReportRow, ReportView, SideView, SimilarView
from migmond.domain.units import show_duration, show_energy, show_number, show_size

_PLOT_LINES = 6
_PLOT_CELLS = 100
_LABEL_CELLS = 10
_LEAST_SHARE = 0.005
_LEAST_LOST_S = 0.5
_NAME_CELLS = 30


def report_lines(report: ReportView, width: int) -> list[str]:
    """Return one execution, part by part; what is unknown says why."""
    e, p = report.execution, report.execution.progress
    lines = [
        f"{e.name} {e.id[:6]}  {e.state}, {e.operation} {', '.join(e.sources)} → {e.destination}",
        f"  {_when(e.started_at, e.finished_at)}",
        f"  {count(p.done.entries, 'entry', 'entries')}, {show_size(p.done.bytes)} done"
        f"{_more(p.failed.entries, 'failed')}{_more(p.skipped.entries, 'left alone')}"
        f"{_more(p.cancelled.entries, 'cancelled')}",
    ]
    if e.why:
        lines.append(f"  {e.why}")
    lines += measured_lines(report.measured) if report.measured is not None else [f"  measured: {report.reason}"]
    if report.score is not None:
        lines += score_lines(report.score)
    if report.course is not None:
        lines += ["", *course_lines(report.course)]
    lines += ["", *_time_lines(report)]
    if report.errors:
        rows = [[f"{g.count:,}", g.kind, g.phase, g.message, g.hint] for g in report.errors]
        lines += ["", "ERRORS", *_indented(table(["COUNT", "KIND", "IN", "MESSAGE", "NEXT"], rows, right=_first()))]
    if report.interventions:
        rows = [[i.id, i.kind, i.author, clock(i.at), i.reason or UNKNOWN] for i in report.interventions]
        lines += ["", "INTERVENTIONS", *_indented(table(["ID", "WHAT", "BY", "AT", "WHY"], rows))]
    if report.cost is not None:
        lines += ["", "COST", *_indented(cost_lines(report.cost))]
    if report.similar:
        lines += ["", "SIMILAR RUNS", *_indented(similar_lines(report.similar))]
    if report.trends:
        lines += ["", "ON THESE DEVICES", *_indented([trend_text(t) for t in report.trends])]
    return [fit(line, width) for line in lines]


def measured_lines(m: MeasuredView) -> list[str]:
    """Return rates, devices and resources."""
    entries = UNKNOWN if m.average_entries_per_s is None else f"{show_number(m.average_entries_per_s)} entries/s"
    limited = ", under a limit" if m.limited else ""
    lines = [
        f"  rate     {rate_text(m.average_bytes_per_s)} on average, {entries}; best ten seconds "
        f"{rate_text(m.peak_bytes_per_s)}{limited}",
        f"  time     {show_duration(m.active_s)} active, {show_duration(m.held_s)} held",
        f"  devices  {side_text(m.source)} → {side_text(m.target)}, {count(m.workers, 'mover')}"
        f"{_more(m.deaths, 'died')}",
        f"  moved    {show_size(m.moved_bytes)}{_more(m.retries, 'retried')}; memory at most "
        f"{show_size(m.peak_resident_bytes)}",
    ]
    if m.cpu_s is not None:
        lines.append(f"  cpu      {show_duration(m.cpu_s)} of processors")
    if m.promised:
        lines.append(f"  ETA      {m.kept:,} of {m.promised:,} forecasts held (the band is meant to hold 80 %)")
    return lines


def side_text(side: SideView) -> str:
    """Return one end with what is known of it."""
    names = " + ".join(side.disks)
    known = ", ".join(text for text in (side.kind, side.identity) if text)
    if not names:
        return known or "unknown"
    return f"{names} ({known})" if known else names


def score_lines(score: ScoreView) -> list[str]:
    """Return the score with what it is made of, and where the wall time went."""
    parts = [("speed", score.speed), ("resources", score.resources), ("success", score.success)]
    of = ", ".join(f"{name} {_score(value)}" for name, value in parts)
    why = score.attainable or score.reason
    lines = [f"  score    {_score(score.score)} ({of}){f': {why}' if why else ''}"]
    lost = [step for step in score.waterfall if step.seconds >= _LEAST_LOST_S]
    if lost:
        lines.append("  of that  " + " · ".join(f"{step.title} {show_duration(step.seconds)}" for step in lost))
    return lines


def course_lines(course: Curve) -> list[str]:
    """Return the rate by percent done as columns, or why there are none."""
    rates = [p.bytes_per_s for p in course.points[1:]]
    known = [r for r in rates if r is not None]
    if not known:
        return ["RATE BY PERCENT DONE: unknown"]
    high = max(known)
    lines = ["RATE BY PERCENT DONE"]
    drawn = columns(rates[:_PLOT_CELLS], _PLOT_LINES, 0.0, high)
    names = [rate_text(high), *[""] * (_PLOT_LINES - 2), "0 B/s"]
    lines += [f"{name:>{_LABEL_CELLS + 2}} {text}" for name, text in zip(names, drawn, strict=True)]
    end = f"{course.points[-1].percent:.0f} %"
    lines.append(f"{' ' * (_LABEL_CELLS + 2)} 0{end:>{max(len(end) + 1, len(rates) - 1)}}")
    return lines


def _time_lines(report: ReportView) -> list[str]:
    if not report.time:
        return [f"WHERE THE TIME WENT: {report.time_reason}"]
    bound = report.bottleneck
    why = f"{bound.title} bound it" if bound is not None else report.time_reason
    return [f"WHERE THE TIME WENT: {why}", *_indented(share_lines(report.time))]


def share_lines(shares: Sequence[ShareView]) -> list[str]:
    """Return causes with their shares, largest first; what is below half a percent is left out."""
    shown = [s for s in shares if s.share >= _LEAST_SHARE]
    return table(["SHARE", "CAUSE"], [[f"{s.share:.1%}", s.title] for s in shown], right=_first())


def cost_lines(cost: CostView) -> list[str]:
    """Return what it cost; what is missing says what to configure."""
    e = cost.energy
    energy = "energy unknown"  # why is below, with all that is missing
    if e.joules is not None:
        energy = f"energy {show_energy(e.joules)} ({e.method}{f': {e.reason}' if e.reason else ''})"
    lines = [energy, *wear_lines(cost.wear)]
    if cost.money is not None:
        parts = ", ".join(f"{name} {amount_text(amount)}" for name, amount in cost.money.parts.items())
        lines.append(f"money  {money_text(cost.money.amount, cost.money.currency, cost.money.prices_as_of)}: {parts}")
    return lines + [f"not in it: {text}" for text in cost.missing]


def wear_lines(wear: Sequence[WearView]) -> list[str]:
    """Return what was taken of each disk's endurance."""
    lines = []
    for one in wear:
        share = f", {one.share:.4%} of its rated endurance" if one.share is not None else ""
        why = f" ({one.reason})" if one.reason and one.share is not None else ""
        lines.append(f"wear   {show_size(one.host_bytes)} written to {one.device}{share}{why}")
    return lines


def similar_lines(similar: Sequence[SimilarView]) -> list[str]:
    """Return earlier executions, the most alike first."""
    rows = [
        [
            f"{s.run.similarity:.0%}", fit(s.name, _NAME_CELLS), s.run.id[:6], s.state, clock(s.finished_at),
            show_size(s.done.bytes), show_duration(s.active_s), rate_text(s.average_bytes_per_s),
        ]
        for s in similar
    ]  # fmt: skip
    return table(["ALIKE", "NAME", "ID", "STATE", "ENDED", "DONE", "TOOK", "RATE"], rows, right=_first())


def trend_text(trend: LongTrend) -> str:
    """Return how a figure develops, in a sentence."""
    if trend.percent_per_30_days is None:
        return f"{trend.name}: unknown ({trend.reason})"
    rests = f"over {count(trend.runs, 'run')}, p = {trend.p:.2g}"
    if trend.direction == "steady":
        return f"{trend.name}: steady ({rests})"
    return f"{trend.name}: {trend.direction} ({trend.percent_per_30_days:+.1f} % a month {rests})"


def period_lines(report: PeriodReport, width: int) -> list[str]:
    """Return all executions of a time, part by part."""
    s = report.sums
    states = ", ".join(f"{number:,} {state}" for state, number in report.states.items())
    lines = [
        f"{count(s.executions, 'migration')} from {clock(report.since)} to {clock(report.until)}"
        f"{f': {states}' if states else ''}",
    ]
    if s.executions:
        lines += [
            f"  {count(s.done.entries, 'entry', 'entries')}, {show_size(s.done.bytes)} done"
            f"{_more(s.failed.entries, 'failed')}{_more(s.skipped.entries, 'left alone')}",
            f"  {show_duration(s.active_s)} active, {show_duration(s.held_s)} held; {show_size(s.moved_bytes)} moved"
            f"{_more(s.retries, 'retried')}{_more(s.deaths, 'movers died')}"
            f" ({s.measured:,} of {s.executions:,} measured)",
            f"  mean score {_score(report.mean_score)}",
            "",
            *row_lines(report.executions),
        ]
        if report.left:
            lines.append(f"and {report.left:,} more (--limit)")
        lines += ["", "TRENDS", *_indented([trend_text(t) for t in report.trends])]
        lines += ["", "COST", *_indented(cost_sum_lines(report.cost))]
    lines += ["", "DISKS", *_indented(finding_lines(report.disks))]
    return [fit(line, width) for line in lines]


def row_lines(rows: Sequence[ReportRow]) -> list[str]:
    """Return a line per execution, the newest first."""
    made = [
        [
            fit(r.name, _NAME_CELLS), r.id[:6], r.state, clock(r.started_at), show_size(r.done.bytes),
            show_duration(r.active_s), rate_text(r.average_bytes_per_s), _score(r.score), f"{r.failed:,}",
            r.bottleneck or UNKNOWN,
        ]
        for r in rows
    ]  # fmt: skip
    header = ["NAME", "ID", "STATE", "STARTED", "DONE", "TOOK", "RATE", "SCORE", "FAILED", "BOUND BY"]
    return table(header, made, right=frozenset({4, 5, 6, 7, 8}))


def cost_sum_lines(cost: CostSums) -> list[str]:
    """Return the sums; what is missing says what to configure."""
    energy = "energy unknown"
    if cost.energy_j is not None:
        energy = f"energy {show_energy(cost.energy_j)} of {count(cost.energy_of, 'migration')}"
    lines = [energy, *wear_lines(cost.wear)]
    if cost.amount is not None:
        parts = ", ".join(f"{name} {amount_text(amount)}" for name, amount in cost.parts.items())
        lines.append(f"money  {money_text(cost.amount, cost.currency, cost.prices_as_of)}: {parts}")
    return lines + [f"not in it: {text}" for text in cost.missing]


def finding_lines(findings: Sequence[DeviceFinding]) -> list[str]:
    """Return what is found out about disks, each with evidence and what to do."""
    if not findings:
        return ["nothing was found"]
    lines = []
    for f in findings:
        mark = "✗" if f.severity == "critical" else "!"
        lines.append(f"{mark} {f.device}: {f.title} ({f.severity}, since {clock(f.since)})")
        lines += [f"    {f.evidence}", f"    next: {f.action}"]
    return lines


def amount_text(amount: float) -> str:
    """Return an amount of money; what rounds to nothing is not nothing."""
    return "<0.01" if 0 < amount < 0.005 else f"{amount:,.2f}"


def money_text(amount: float, currency: str, as_of: str) -> str:
    """Return an amount with its currency and the day of its prices."""
    when = f" (prices as of {as_of})" if as_of else ""
    return f"{amount_text(amount)} {currency}".rstrip() + when


def _when(started_at: str | None, finished_at: str | None) -> str:
    if started_at is None:
        return "not begun"
    return f"from {clock(started_at)}" + (f" to {clock(finished_at)}" if finished_at is not None else "")


def _score(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f}"


def _more(number: int, what: str) -> str:
    return f", {number:,} {what}" if number else ""


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _first() -> frozenset[int]:
    return frozenset({0})
