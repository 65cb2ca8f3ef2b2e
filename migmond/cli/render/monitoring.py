"""How monitoring looks: where the time goes, how the rate develops, and why something is as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from migmond.cli.render.text import count, rate_text
from migmond.domain.analysis import RatesView, SessionView, ShareView, SideView, SuggestionView, WhyView
from migmond.domain.units import show_duration, show_size

_LEAST_SHARE = 0.01
_SHARES = 4
_TIMES = 2.0
"""From thrice the rate on a gain is told as a factor."""


def session_lines(session: SessionView) -> list[str]:
    """Return what `show` tells beyond the execution itself; nothing when nothing was measured."""
    return [f"  {line}" for line in _session(session)]


def _session(s: SessionView) -> Iterator[str]:
    if s.performance is not None:
        yield from _rates(s.performance.rates, s.peak_bytes_per_s)
        shares = share_text(s.performance.time.shares)
        if shares:
            yield f"time goes to: {shares}"
        for issue in s.performance.issues:
            yield f"{'! ' if issue.severity == 'warning' else ''}{issue.title}: {issue.evidence}"
        yield from suggestion_lines(s.performance.time.suggestions, s.execution.id[:6])
    elif s.peak_bytes_per_s is not None:
        yield f"best ten seconds {rate_text(s.peak_bytes_per_s)}"
    if s.file_s is not None and s.byte_s is not None:
        yield f"forecast: {_cost(s.file_s)} a file and {_cost(s.byte_s * (1 << 20))} a MiB"
    for change in s.speed_changes[-1:]:
        how = f"{1 / change.factor:.2g} times slower" if change.factor < 1 else f"{change.factor:.2g} times faster"
        yield f"! it became {how} after {show_duration(change.active_s)} of work"
    yield from _resources(s)


def _cost(seconds: float) -> str:
    return show_duration(seconds) if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _rates(rates: RatesView, peak: float | None) -> Iterator[str]:
    parts = []
    if rates.average is not None:
        parts.append(f"average {rate_text(rates.average.bytes_per_s)}")
    if peak is not None:
        parts.append(f"best ten seconds {rate_text(peak)}")
    trend = rates.trend
    if trend.direction in ("rising", "falling") and trend.percent_per_hour is not None:
        parts.append(f"{trend.direction} by {abs(trend.percent_per_hour):.3g} % an hour")
    elif trend.direction == "steady":
        parts.append("steady")
    if parts:
        yield ", ".join(parts)


def _resources(s: SessionView) -> Iterator[str]:
    parts = []
    if s.resources.cpu_s is not None:
        parts.append(f"{show_duration(s.resources.cpu_s)} of processor")
    if s.resources.resident_bytes:
        parts.append(f"{show_size(s.resources.resident_bytes)} of memory at most")
    if s.resources.deaths:
        parts.append(f"{count(s.resources.deaths, 'mover')} died")
    if parts:
        yield f"took {', '.join(parts)}"
    ends = [f"{word} {_end(side)}" for word, side in (("from", s.source), ("to", s.target)) if _end(side)]
    if ends:
        yield f"disks: {' '.join(ends)}"


def _end(side: SideView) -> str:
    name = ", ".join(side.disks) or side.identity
    return f"{name} ({side.kind})" if name and side.kind != "unknown" else name


def share_text(shares: Sequence[ShareView]) -> str:
    """Return `target write 71% (sdc busy 94%) · source read 18% · hash 6%`."""
    told = [s for s in shares if s.share >= _LEAST_SHARE and s.cause != "other"][:_SHARES]
    return " · ".join(f"{s.title} {s.share:.0%}{f' ({s.evidence})' if s.evidence else ''}" for s in told)


def suggestion_lines(suggestions: Sequence[SuggestionView], execution: str) -> list[str]:
    """Return a line for each thing that could be changed, with the command that does it.

    Args:
        execution: what it is called in a command.
    """
    lines = []
    for s in suggestions:
        gain = f", {_gain(s.gain_low)} to {_gain(s.gain_high)}" if s.gain_high > 0 else ""
        command = " ".join(execution if word == "ID" else word for word in s.command.split())
        lines.append(f"suggest: {s.text}{gain}{f'   migmon {command}' if command else ''}")
    return lines


def _gain(share: float) -> str:
    """`+18%`; nobody reads +1252%."""
    return f"+{share:.0%}" if share < _TIMES else f"{1 + share:.3g} times"


def why_lines(why: WhyView) -> list[str]:
    """Return the sentence, and what it rests on."""
    lines = [why.sentence]
    if why.time is not None:
        shares = share_text(why.time.shares)
        if shares:
            lines.append(f"  time goes to: {shares}")
    return lines
