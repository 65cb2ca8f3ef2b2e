"""How changes of migrations look: what was changed, what it means, how to take it back."""

from __future__ import annotations

from migmond.cli.render.text import clock, count, percent_text
from migmond.domain import api
from migmond.domain.steering_api import Effect, InterventionResult, StopAllResult
from migmond.domain.units import show_duration, show_size

_SHORT_S = 600.0
"""Whoever gives a change for less wants to see the seconds."""


def arrow(before: str, after: str) -> str:
    """Return what changes: `I/O 168 MiB/s` and `I/O 50 MiB/s` become `I/O 168 → 50 MiB/s`."""
    old, new = before.split(", "), after.split(", ")
    if len(old) == len(new):
        return ", ".join(_part(a, b) for a, b in zip(old, new, strict=True))
    return f"{before} → {after}"


def _part(before: str, after: str) -> str:
    if before == after:
        return f"{after} as before"
    old, new = before.split(" "), after.split(" ")
    least, first, last = min(len(old), len(new)), 0, 0
    while first < least - 1 and old[first] == new[first]:
        first += 1
    while last < least - first - 1 and old[-1 - last] == new[-1 - last]:
        last += 1
    middle = f"{' '.join(old[first : len(old) - last])} → {' '.join(new[first : len(new) - last])}"
    return " ".join([*old[:first], middle, *old[len(old) - last :]])


def effect_line(view: api.ExecutionView, result: InterventionResult, for_s: float | None, *, dry_run: bool) -> str:
    """Return one line that says what a change did, or would do."""
    effect, head = result.effect, f"{view.name} ({view.id[:6]}): "
    if effect.entries == 0:
        return head + "; ".join(effect.notes)
    if result.intervention is None and not dry_run:
        return f"{head}nothing to change: it is so already"
    would = "would be " if dry_run else ""
    what = f"{head}{would}{arrow(effect.before, effect.after)}{_concerned(effect)}{_until(result, for_s)}."
    return " ".join([what, *([eta] if (eta := _eta(effect)) else []), *(f"({note})" for note in effect.notes)])


def _concerned(effect: Effect) -> str:
    if effect.entries is None:
        return ""
    size = f", {show_size(effect.bytes)}" if effect.bytes else ""
    return f" ({count(effect.entries, 'entry', 'entries')}{size})"


def _until(result: InterventionResult, for_s: float | None) -> str:
    if for_s is None:
        return ""
    until = clock(result.intervention.until) if result.intervention is not None else ""
    if not until:
        return f" for {show_duration(for_s)}"
    return f" until {until.rpartition(':')[0] if until.count(':') > 1 and for_s >= _SHORT_S else until}"


def _eta(effect: Effect) -> str:
    before, after = effect.eta_before_s, effect.eta_after_s
    if before is None and after is None:
        return ""
    if after is None:
        return f"ETA was {show_duration(before or 0.0)}, now unknown: {effect.eta_reason or 'not measured yet'}."
    then = show_duration(after)
    if before is None:
        return f"ETA {then}."
    now = show_duration(before)
    return f"ETA stays {now}." if now == then else f"ETA {now} → {then}."


def undo_line(name: str, result: InterventionResult, *, dry_run: bool) -> str:
    """Return one line that says what was taken back."""
    effect, record = result.effect, result.intervention
    would = "would be " if dry_run else ""
    eta = _eta(effect)
    id_ = f", {record.id} taken back" if record is not None else ""
    return f"{name}: {would}{arrow(effect.before, effect.after)}{id_}.{f' {eta}' if eta else ''}"


def change_line(change: api.ChangeView) -> str:
    """Return `i-41 throttle I/O 50 MiB/s by ana 14:02 (active)`."""
    until = f", until {clock(change.until)}" if change.until else ""
    reason = f": {change.reason}" if change.reason else ""
    return f"{change.id} {change.what} by {change.author} {clock(change.since)} (active{until}){reason}"


def stopped_lines(found: StopAllResult) -> list[str]:
    """Return what `stop-all` stopped, and where each was."""
    if not found.stopped:
        return ["nothing was running"]
    lines = [f"{count(len(found.stopped), 'migration')} stopped within {show_duration(found.seconds)}:"]
    for one in found.stopped:
        why = f" ({one.why})" if one.why else ""
        lines.append(f"  {one.name} ({one.id[:6]}) {one.state}{why} at {percent_text(one.percent_done)}")
        lines += [f"    in hand: {path}" for path in one.in_hand]
        lines += [f"    ! still busy: {what}" for what in one.busy]
    return lines
