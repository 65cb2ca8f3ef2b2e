"""What is made of the figures of scripts/bench: a comparison with earlier ones, and a chart."""

from __future__ import annotations

import html
import statistics
from typing import Any, TypeAlias

Figures: TypeAlias = dict[str, Any]
"""The JSON file of a bench: `commit`, `machine`, `cores`, `rounds`, and `runs`, each a workload on a place."""

BASE, OURS = "cp -a", "migmond"
COLOURS = {OURS: "#2f81f7", "rsync -a": "#8b949e", "rclone": "#c9d1d9"}
_ROW, _BAR, _LEFT, _RIGHT, _UNIT = 62, 14, 230, 70, 150
"""In pixels: a workload's height, a bar's, the margins, and how long 1 (cp -a) is."""


def ratio(run: Figures, tool: str) -> float | None:
    """Return the median of a tool's times as a multiple of cp's; None when it could not do the work."""
    seconds = run["results"].get(tool, {}).get("seconds")
    return statistics.median(seconds) / statistics.median(run["results"][BASE]["seconds"]) if seconds else None


def comparison(before: Figures, now: Figures) -> list[str]:
    """Return a line for each workload and place that both have measured at the same scale: migmond's ratio to cp then
    and now. Only ratios can be compared: each is of one run on one machine."""
    known = {_key(run): run for run in before["runs"]}
    lines = [f"{'migmond / cp -a':34} {before.get('commit', '?'):>16} {now.get('commit', '?'):>16}   change"]
    for run in now["runs"]:
        old = known.get(_key(run))
        then, here = (None if old is None else ratio(old, OURS)), ratio(run, OURS)
        if then is not None and here is not None:
            lines.append(f"{_title(run):34} {then:16.2f} {here:16.2f} {(here / then - 1) * 100:+7.0f} %")
    return lines if len(lines) > 1 else ["nothing of it was measured before at this scale"]


def chart(figures: Figures) -> str:
    """Return an SVG: for each workload and place how long each tool took, as a multiple of cp. Shorter is better."""
    runs = figures["runs"]
    ratios = [r for run in runs for tool in COLOURS if (r := ratio(run, tool)) is not None]
    width, height = _LEFT + _RIGHT + int(_UNIT * max([1.0, *ratios])), 56 + _ROW * len(runs) + 24
    size = f'width="{width}" height="{height}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">']
    parts.append(f'<rect {size} fill="#ffffff"/>')
    for place, (tool, colour) in enumerate(COLOURS.items()):
        x = _LEFT + 90 * place
        parts += [_box(x, 12, 12, 12, colour), _text(x + 18, 22, tool)]
    for number, run in enumerate(runs):
        top = 44 + _ROW * number
        parts.append(_text(_LEFT - 10, top + 26, _title(run), anchor="end"))
        for place, (tool, colour) in enumerate(COLOURS.items()):
            found, y = ratio(run, tool), top + place * (_BAR + 3)
            if found is None:
                parts.append(_text(_LEFT + 4, y + 11, f"{tool} cannot", colour="#57606a"))
                continue
            length = max(1, round(_UNIT * found))
            parts += [_box(_LEFT, y, length, _BAR, colour), _text(_LEFT + length + 5, y + 11, f"{found:.2f}")]
    line, bottom = _LEFT + _UNIT, height - 26
    parts.append(f'<line x1="{line}" y1="34" x2="{line}" y2="{bottom}" stroke="#cf222e" stroke-dasharray="4 3"/>')
    parts.append(_text(line, bottom + 16, f"{BASE} = 1", anchor="middle", colour="#cf222e"))
    return "\n".join([*parts, "</svg>", ""])


def _box(x: int, y: int, width: int, height: int, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{colour}"/>'


def _text(x: int, y: int, text: str, *, anchor: str = "start", colour: str = "#24292f") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{html.escape(text)}</text>'


def _key(run: Figures) -> tuple[str, str, float]:
    return run["workload"], run["place"], run["scale"]


def _title(run: Figures) -> str:
    return f"{run['workload']} on {run['place']}{', durable' if run['durable'] else ''}"
