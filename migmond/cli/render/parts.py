"""How progress by parts looks: a table of parts, of batches, of large files, and the timeline."""

from __future__ import annotations

from migmond.cli.render.text import UNKNOWN, clock, fit, percent_text, rate_text, table
from migmond.domain.breakdown import (
    Batches,
    BatchSumsView,
    BatchView,
    Breakdown,
    BreakdownRow,
    LargeFile,
    LargeFiles,
    TimelineView,
)
from migmond.domain.units import show_duration, show_size

_PATH = 60


def breakdown_lines(b: Breakdown) -> list[str]:
    """Return a table of the parts, and their sum."""
    if not b.complete or b.sum is None:
        return [b.reason]
    header = [*(name.upper() for name in b.by), "DONE", "OF", "BYTES", "OF", "%", "SKIPPED", "FAILED", "CANCELLED"]
    first = len(b.by)
    rows = [[*_names(b, row), *_amounts(row)] for row in b.rows]
    rows.append([*["all together", "", ""][:first], *_amounts(b.sum)])
    lines = table(header, rows, right=frozenset(range(first, len(header))))
    if b.left_out:
        lines.insert(-1, f"and {b.left_out:,} more (--limit)")
    if b.growing:
        lines.append("the scan still adds to it")
    return lines


def _names(b: Breakdown, row: BreakdownRow) -> list[str]:
    directory = fit(row.directory or "", _PATH) if not row.merged else "(others, too many to tell apart)"
    names = {"type": row.type or "", "size": row.size or "", "directory": directory}
    return [names[name] for name in b.by]


def _amounts(row: BreakdownRow) -> list[str]:
    """What is copied counts as done, as in the figures of all of it, before it is durable."""
    parts = row.done, row.durable, row.in_flight
    done = sum(t.bytes for t in parts), sum(t.entries for t in parts)
    there = done[0] + row.skipped.bytes, done[1] + row.skipped.entries
    planned = row.planned.bytes, row.planned.entries
    of, part = (planned[0], there[0]) if planned[0] else (planned[1], there[1])
    return [
        f"{done[1]:,}",
        f"{row.planned.entries:,}",
        show_size(done[0]),
        show_size(row.planned.bytes),
        percent_text(100.0 * part / of if of else None) if part != of else "100%",
        *(f"{t.entries:,}" if t.entries else "" for t in (row.skipped, row.failed, row.cancelled)),
    ]


def batch_lines(b: Batches) -> list[str]:
    """Return the batches by progress, and the last ones."""
    if not b.recent:
        return ["no batch has been answered yet"]
    header = ["PROGRESS", "BATCHES", "ENTRIES", "BYTES", "SECONDS", "ENTRIES/S", "RATE"]
    rows = [[_step(s), f"{s.batches:,}", *_batch(s)] for s in b.by_progress]
    lines = table(header, rows, right=frozenset(range(1, len(header))))
    header = ["AT", "MOVER", "ENTRIES", "BYTES", "SECONDS", "ENTRIES/S", "RATE", "AT MOST"]
    recent = [
        [clock(r.at), str(r.mover), *_batch(r), f"{r.entries_most:,} entries or {show_size(r.bytes_most)}"]
        for r in b.recent[:20]
    ]
    return [*lines, "the last ones:", *table(header, recent, right=frozenset(range(1, len(header) - 1)))]


def _step(s: BatchSumsView) -> str:
    return f"{s.percent_from}–{s.percent_to} %" if s.percent_from is not None else "not known yet"


def _batch(r: BatchView | BatchSumsView) -> list[str]:
    per_s = UNKNOWN if r.entries_per_s is None else f"{r.entries_per_s:,.0f}"
    return [f"{r.entries:,}", show_size(r.bytes), f"{r.seconds:.2f}", per_s, rate_text(r.bytes_per_s)]


def large_file_lines(files: LargeFiles) -> list[str]:
    """Return large files, and the slowest of all."""
    lines = ["no file of 64 MiB or more is at hand or ended lately"]
    if files.files:
        rows = [
            [
                f.state,
                show_size(f.bytes_done),
                show_size(f.size),
                rate_text(f.bytes_per_s),
                _left(f),
                show_duration(f.seconds),
                fit(f.path, _PATH),
            ]
            for f in files.files
        ]
        lines = table(["STATE", "DONE", "OF", "RATE", "LEFT", "TOOK", "FILE"], rows, right=frozenset({1, 2, 3, 5}))
    if files.slowest:
        rows = [
            [show_duration(f.seconds), show_size(f.size), rate_text(f.bytes_per_s), fit(f.path, _PATH)]
            for f in files.slowest
        ]
        lines += ["the slowest of all:", *table(["TOOK", "SIZE", "RATE", "FILE"], rows, right=frozenset({0, 1, 2}))]
    return lines


def _left(f: LargeFile) -> str:
    if f.mover is None:
        return clock(f.ended_at)
    return show_duration(f.seconds_remaining) if f.seconds_remaining is not None else f"{UNKNOWN} ({f.reason})"


def timeline_lines(timeline: TimelineView) -> list[str]:
    """Return what happened, a line each."""
    return table(["AT", "WHAT", ""], [[clock(m.at), m.kind, m.text] for m in timeline.milestones])
