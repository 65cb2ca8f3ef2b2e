"""Values over time on a terminal: one line for each series, or columns of several lines for one."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from migmond.cli.render.text import printable, table, value_text
from migmond.domain.history import CurveView, HistoryView, SeriesView
from migmond.domain.units import show_duration

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_GAP = "·"
_LABEL_CELLS = 10


def columns(values: Sequence[float | None], height: int, low: float, high: float) -> list[str]:
    """Return `height` lines, the top one first, with a column of blocks for each value from `low` to `high`.

    What is not known is a dot in the lowest line; whatever is known has at least an eighth of one.
    """
    span = high - low
    eighths = [
        None if v is None else max(1, min(height * 8, round((v - low) / span * height * 8) if span > 0 else 1))
        for v in values
    ]
    lines = []
    for row in range(height - 1, -1, -1):
        cells = ((_GAP if row == 0 else " ") if e is None else _EIGHTHS[min(8, max(0, e - row * 8))] for e in eighths)
        lines.append("".join(cells))
    return lines


def plot_lines(view: HistoryView, height: int) -> list[str]:
    """Return what `migmon history METRIC` shows: columns of the means, the extremes in numbers, and the time axis.

    Args:
        height: lines for each series.
    """
    if not view.series:
        return ["nothing was recorded in that time (migmon history lists what there is)"]
    lines: list[str] = []
    for curve in view.series:
        known = [v for v in curve.mean if v is not None]
        # Most values have a natural zero, against which their size is seen; those below it have none.
        low, high = min(0.0, *known), max(known)
        if low < 0 and high < 0:
            high = 0.0
        labels = ", ".join(f"{name}={value}" for name, value in curve.labels.items())
        lows, highs = ([v for v in column if v is not None] for column in (curve.low, curve.high))
        figures = (
            f"now {_value(curve.mean[-1], curve)}, min {_value(min(lows), curve)},"
            f" mean {_value(_mean(curve), curve)}, max {_value(max(highs), curve)}"
        )
        lines.append(printable(f"{curve.metric}{f' ({labels})' if labels else ''}: {figures}"))
        drawn = columns(curve.mean, height, low, high)
        names = [_value(high, curve), *[""] * (height - 2), _value(low, curve)] if height > 1 else [""]
        lines += [f"{name:>{_LABEL_CELLS}} {text}" for name, text in zip(names, drawn, strict=True)]
    lines.append(_axis(view))
    return lines


def _value(value: float | None, curve: CurveView) -> str:
    return value_text(value, curve.unit, per_second=curve.kind == "counter")


def _mean(curve: CurveView) -> float | None:
    """Of the buckets that are known; each is as long as the others."""
    known = [v for v in curve.mean if v is not None]
    return sum(known) / len(known) if known else None


def _axis(view: HistoryView) -> str:
    first, last = (
        datetime.datetime.fromtimestamp(at, datetime.UTC).astimezone()
        for at in (view.first_s, view.first_s + view.step_s * view.points)
    )
    pattern = "%H:%M:%S" if last - first < datetime.timedelta(days=1) else "%Y-%m-%d %H:%M"
    start, end = first.strftime(pattern), last.strftime(pattern)
    step = f"each {show_duration(view.step_s)}"
    room = max(1, view.points - len(start) - len(end))
    middle = step.center(room) if len(step) + 2 <= room else " " * room
    text = f"{' ' * _LABEL_CELLS} {start}{middle}{end}"
    return text if len(step) + 2 <= room else f"{text}  ({step})"


def series_lines(series: Sequence[SeriesView]) -> list[str]:
    """Return a table of what is on record."""
    if not series:
        return ["nothing has been recorded yet"]
    rows = [
        [s.metric, s.kind, s.unit or "-", f"{s.every_s:g} s", ", ".join(f"{n}={v}" for n, v in s.labels.items())]
        for s in series
    ]
    return table(["METRIC", "KIND", "UNIT", "EVERY", "LABELS"], rows)
