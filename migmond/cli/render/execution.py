"""How executions look: a line in a list, a page of details, a summary at the end, a live view."""

from __future__ import annotations

from collections.abc import Iterable

from migmond.cli.render.steering import change_line
from migmond.cli.render.text import bar, cells, clip, clock, count, eta_text, fit, percent_text, rate_text, table
from migmond.domain import api
from migmond.domain.units import show_duration, show_size

_MARKS = {
    "running": " run",
    "paused": "‖paused",
    "failed": "✗failed",
    "completed": "✓done",
    "completed_with_errors": "!errors",
    "cancelled": "✗cancelled",
    "cancelling": "…cancelling",
    "draining": "…draining",
    "drained": "‖drained",
    "created": "…starting",
    "waiting": "…waiting",
}
_SEVERITY = ("paused", "cancelling", "draining", "running", "created", "waiting")
_HEADER = ("STATE", "NAME", "ID", "PROGRESS", "RATE", "ETA/ENDED", "ERR", "WHY")
_RIGHT = frozenset({"ERR"})
_LAYOUTS: tuple[tuple[int, int, frozenset[str]], ...] = (
    (24, 10, frozenset()),
    (24, 0, frozenset()),
    (14, 0, frozenset({"RATE"})),
    (14, 0, frozenset({"RATE", "ETA/ENDED"})),
    (10, 0, frozenset({"RATE", "ETA/ENDED", "ERR"})),
)
"""Width of names and bars, and the columns that are left out, from wide terminals to narrow ones."""
_LEAST_WHY = 24


def worst_first(executions: Iterable[api.ExecutionView]) -> tuple[api.ExecutionView, ...]:
    """Return what still runs by severity of its state, then what has ended, otherwise in the order given.

    However bad an end was, it must not push what runs off the screen for ever.
    """
    order = {state: i for i, state in enumerate(_SEVERITY)}
    return tuple(sorted(executions, key=lambda e: order.get(e.state, len(order))))


def listing(page: api.ExecutionPage, width: int, *, picked: bool = False) -> list[str]:
    """Return the lines of `ls`, as wide as the terminal allows. `picked`: only some states were asked for."""
    if not page.executions:
        return ["no migration is in such a state" if picked else "no migrations yet: migmon run SRC DST starts one"]
    for names, bars, left_out in _LAYOUTS:
        lines, room = _laid_out(page.executions, width, names, bars, left_out)
        if room >= 0:
            break
    hidden = page.total - len(page.executions)
    if hidden > 0:
        lines.append(f"and {hidden:,} more (--limit)")
    return [fit(line, width) for line in lines]


def _laid_out(
    executions: tuple[api.ExecutionView, ...], width: int, names: int, bars: int, left_out: frozenset[str]
) -> tuple[list[str], int]:
    """Return the lines of one layout, and how many cells are left over (less than 0: it does not fit)."""
    header = [name for name in _HEADER[:-1] if name not in left_out]
    rows = [[text for name, text in _row(e, names, bars).items() if name in header] for e in executions]
    right = frozenset(i for i, name in enumerate(header) if name in _RIGHT)
    lines = table(header, rows, right=right)
    used = max(map(cells, lines))
    room = width - used - 2
    if not any(e.why for e in executions) or room < len(_HEADER[-1]):
        return lines, width - used
    whys = [_HEADER[-1], *(e.why for e in executions)]
    lines = [
        (line + " " * (used + 2 - cells(line)) + clip(why, room)).rstrip()
        for line, why in zip(lines, whys, strict=True)
    ]
    return lines, room - _LEAST_WHY


def _row(e: api.ExecutionView, names: int, bars: int) -> dict[str, str]:
    p = e.progress
    progress = percent_text(p.percent_done)
    if bars:
        progress = f"{bar(p.percent_done, bars)} {progress:>6}"
    ended = e.finished_at is not None
    return {
        "STATE": _MARKS.get(e.state, e.state),
        "NAME": fit(e.name, names),
        "ID": e.id[:6],
        "PROGRESS": progress,
        "RATE": "" if ended else rate_text(p.bytes_per_s),
        "ETA/ENDED": clock(e.finished_at) if ended else eta_text(p),
        "ERR": str(p.failed.entries),
    }


def details(e: api.ExecutionView) -> list[str]:
    """Return the lines of `show`."""
    p = e.progress
    started = f"; started {clock(e.started_at)}" if e.started_at else ""
    lines = [
        f"{e.name} {e.id}  {e.state}{f' ({e.why})' if e.why else ''}: {e.operation}, {e.stage}{started}",
        *(f"  from {s}" for s in e.sources),
        f"  to   {e.destination}",
        *(f"   and {d}" for d in e.further_destinations),
        f"  {percent_text(p.percent_done):>6}  {amounts(p)}   {rate_text(p.bytes_per_s)}",
    ]
    if e.finished_at:
        lines.append(f"  ended {clock(e.finished_at)} after {show_duration(p.seconds_elapsed)}")
    else:
        lines.append(f"  left {eta_text(p)}, running for {show_duration(p.seconds_elapsed)}")
    left = [(p.skipped, "skipped"), (p.failed, "failed"), (p.cancelled, "cancelled")]
    left.append((p.durable, "copied, and not yet deleted at the source"))
    if any(tally.entries for tally, _ in left):
        lines.append("  " + ", ".join(f"{tally.entries:,} {what}" for tally, what in left if tally.entries))
    if p.gone.entries:
        lines.append(f"  {_vanished(p)}")
    if p.imperfect:
        lines.append(
            f"  {count(p.imperfect, 'entry', 'entries')} kept content but not all metadata (migmon files {e.id[:6]})"
        )
    for h in e.holds:
        until, note = f" until {clock(h.until)}" if h.until else "", f": {h.note}" if h.note else ""
        covers = f" on {h.covers}" if h.covers else ""
        lines.append(f"  hold {h.id}{covers}: {h.reason} by {h.author} since {clock(h.since)}{until}{note}")
    if e.state not in ("completed", "cancelled"):  # of these nothing is to come that they could concern
        lines += [f"  changes: {change_line(change)}" for change in e.changes]
    for m in e.movers:
        stall = f", hanging for {show_duration(m.stalled_s)}" if m.stalled_s is not None else ""
        lines.append(f"  mover {m.slot} (pid {m.pid}) {m.doing}{stall}{f': {m.file}' if m.file else ''}")
    if e.verification:
        lines.append("  " + verification(e.verification))
    if e.rolls_back:
        lines.append(f"  {e.operation} of {e.rolls_back[:6]}: migmon show {e.rolls_back[:6]}")
    lines += [
        f"  rolled back by {back.id[:6]} ({back.state}): {count(back.done.entries, 'entry', 'entries')},"
        f" {show_size(back.done.bytes)}"
        for back in e.rolled_back
    ]
    if p.failed.entries:
        lines.append(f"  next: migmon errors {e.id[:6]}")
    if e.state in ("drained", "failed", "completed_with_errors"):
        lines.append(f"  go on: migmon resume {e.id[:6]}")
    return lines


def _vanished(p: api.Progress) -> str:
    """Whoever took it away meant it, perhaps: no failure, but not done either."""
    return f"{count(p.gone.entries, 'entry', 'entries')} vanished from the source before being copied"


def amounts(p: api.Progress) -> str:
    """Return `1.86 TiB of 2.25 TiB, 1,021,780 of 1,234,983 entries`; totals that still grow have a +."""
    more = "+" if p.growing else ""
    done_bytes = p.done.bytes + p.durable.bytes + p.skipped.bytes + p.in_flight.bytes - p.gone.bytes
    done = p.done.entries + p.durable.entries + p.skipped.entries + p.in_flight.entries - p.gone.entries
    size = f"{show_size(done_bytes)} of {show_size(p.planned.bytes)}{more}"
    return f"{size}, {done:,} of {p.planned.entries:,}{more} entries"


def verification(v: api.VerificationView) -> str:
    """Return one line about the last verification."""
    if v.failure:
        found = f"{count(v.checked.entries, 'entry', 'entries')} checked, {count(v.mismatches, 'difference')}"
        found += f", {v.unreadable:,} could not be read" if v.unreadable else ""
        return f"verification of {clock(v.at)} did not end: {v.failure} ({found})"
    if not v.checked.entries:
        return f"verified {clock(v.at)}: nothing to look at, no entry was brought over"
    result = f"all {'others ' if v.unreadable else ''}as they were written"
    if v.mismatches:
        result = count(v.mismatches, "DIFFERENCE")
    if v.unreadable:
        result = f"{v.unreadable:,} COULD NOT BE READ, {result}"
    unhashed = f" ({v.unhashed:,} without a hash: size and time only)" if v.unhashed else ""
    size = show_size(v.checked.bytes)
    return f"verified {clock(v.at)}: {count(v.checked.entries, 'entry', 'entries')}, {size} re-read, {result}{unhashed}"


def summary(e: api.ExecutionView) -> list[str]:
    """Return what is said when an execution has ended."""
    p = e.progress
    verb = {"move": "moved", "rollback": "rolled back", "recovery": "copied again"}.get(e.operation, "copied")
    seconds = max(p.seconds_elapsed, 1e-3)
    rate = f", {rate_text(p.done.bytes / seconds)}" if p.done.bytes else ""
    done = f"{count(p.done.entries, 'entry', 'entries')}, {show_size(p.done.bytes)} {verb}"
    head = f"{done} in {show_duration(seconds)}{rate}"
    state = {"completed": "done", "completed_with_errors": "finished with errors"}.get(e.state, e.state)
    lines = [f"{e.name} ({e.id[:6]}) {state}: {head}"]
    if e.why:
        lines.append(f"  {e.why}")
    if e.state == "completed" and not p.done.entries and not p.skipped.entries:
        lines.append("  nothing was to be done: the source is empty, or the selector picks nothing")
    if p.gone.entries:
        lines.append(f"  {_vanished(p)}")
    if p.skipped.entries:
        lines.append(f"  {p.skipped.entries:,} left alone (migmon files {e.id[:6]} --state skipped)")
    if p.failed.entries:
        lines.append(f"  {p.failed.entries:,} failed: migmon errors {e.id[:6]}")
    if p.imperfect:
        lines.append(f"  {p.imperfect:,} kept content but not all metadata: migmon files {e.id[:6]}")
    if e.state in ("drained", "failed"):
        lines.append(f"  go on: migmon resume {e.id[:6]}")
    elif e.state == "completed" and not e.rolls_back:
        lines.append(f"  check it at any time: migmon verify {e.id[:6]}")
    lines.append(f"  its record: migmon show {e.id[:6]}")
    return lines


def progress_line(e: api.ExecutionView) -> str:
    """Return one plain line of progress."""
    p = e.progress
    failed = f", {p.failed.entries:,} failed" if p.failed.entries else ""
    why = f" ({e.why})" if e.why else ""
    done = f"{percent_text(p.percent_done)}, {amounts(p)}, {rate_text(p.bytes_per_s)}"
    return f"{e.name} {e.state}{why}: {done}, left {eta_text(p)}{failed}"


def live_lines(e: api.ExecutionView, width: int) -> list[str]:
    """Return the lines of the live view, none wider than `width` cells."""
    p = e.progress
    head = f"{e.name} ({e.id[:6]})  {e.operation}, {e.stage}"
    bar_width = max(10, min(50, width - 30))
    lines = [
        head,
        f"{bar(p.percent_done, bar_width)}▏{percent_text(p.percent_done):>6}  {rate_text(p.bytes_per_s)}",
        f"{amounts(p)}  left {eta_text(p)}",
    ]
    if e.state != "running":
        lines.append(f"{e.state}: {e.why}" if e.why else e.state)
    if p.failed.entries:
        lines.append(f"! {p.failed.entries:,} failed (migmon errors {e.id[:6]})")
    for m in e.movers:
        if m.stalled_s is not None:
            lines.append(f"! mover {m.slot} hangs for {show_duration(m.stalled_s)} in {m.doing}: {m.file or '?'}")
        elif m.file and m.file_bytes >= 64 << 20:
            lines.append(f"  {show_size(m.file_bytes_done)} of {show_size(m.file_bytes)}  {m.file}")
    return [fit(line, width) for line in lines]


def verdict(v: api.PlanVerdict, destination: str) -> list[str]:
    """Return the lines of `plan`."""
    lines = []
    if v.entries:
        size = f"{count(v.files, 'file')}, {show_size(v.bytes)}{_need(v)}"
        lines.append(f"{count(v.entries, 'entry', 'entries')}, {size} → {destination}{_free(v)}")
    marks = {"blocker": "✗ ", "warning": "! ", "ok": "✓ "}
    for f in v.findings:
        word = "NOT FEASIBLE: " if f.severity == "blocker" else ""
        lines.append(f"{marks.get(f.severity, '')}{word}{f.message}{_example(f)}")
        if f.hint and f.severity != "ok":
            lines.append(f"    {f.hint}")
    if v.feasible:
        there = any(f.kind == "target_exists" for f in v.findings)
        how = {
            "rename": "by renaming one by one" if there else "by rename, instantly",
            "copy": "by copying",
            "reflink?": "by reflink where possible, else copying",
        }
        lines.append(f"✓ feasible, {how.get(v.method, v.method)}; nothing was written")
        if v.method != "rename":
            lines.append(f"  {_estimate(v)}")
    return lines


def _estimate(v: api.PlanVerdict) -> str:
    if v.estimate_s is None or v.estimate_low_s is None or v.estimate_high_s is None:
        return f"how long it takes is not known: {v.estimate_reason}"
    band = f"{show_duration(v.estimate_low_s)} – {show_duration(v.estimate_high_s)}"
    return f"takes about {show_duration(v.estimate_s)} ({band}) with {count(v.workers, 'mover')}"


def _need(v: api.PlanVerdict) -> str:
    """What it takes there, when that is another figure than the size: holes, small files, what is there already."""
    least, most = sum(t.need_bytes for t in v.targets), sum(t.need_bytes_most for t in v.targets)
    if not v.targets or v.method == "rename" or abs(most - v.bytes) <= v.bytes // 10 >= abs(least - v.bytes):
        return ""
    range_ = show_size(most) if least >= most * 0.9 else f"{show_size(least)} to {show_size(most)}"
    return f" (takes {range_})"


def _free(v: api.PlanVerdict) -> str:
    if len(v.targets) > 1:
        return f" ({', '.join(f'{show_size(t.free_bytes)} free at {t.path}' for t in v.targets)})"
    return "" if v.free_bytes is None else f" ({show_size(v.free_bytes)} free)"


def _example(f: api.Finding) -> str:
    if not f.example:
        return ""
    return f": {f.example}" if f.count == 1 else f", e.g. {f.example}"
