"""Pieces of HTML that need nothing from anywhere: no scripts, no requests. Whatever people named is text."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import msgspec

from migmond.cli.render.text import printable

_WIDTH, _HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 12, 10, 30
_DASHES = ("", "6 3", "2 3", "9 3 2 3", "1 4")
"""A line's pattern by its number: colour is never the only sign."""

_STYLE = """
:root { color-scheme: light dark; --fg: #1b1f24; --bg: #ffffff; --soft: #5b6470; --line: #d5dae0; --bad: #b3261e;
  --c0: #0b62c4; --c1: #b54708; --c2: #067647; --c3: #6941c6; --c4: #9e165f; }
@media (prefers-color-scheme: dark) { :root { --fg: #e6e9ed; --bg: #14171b; --soft: #9aa4b0; --line: #343b44;
  --bad: #ff8a80; --c0: #6cb0ff; --c1: #ffb168; --c2: #5fd6a2; --c3: #b9a2ff; --c4: #ff8fc4; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg); margin: 2rem auto;
  padding: 0 1rem; max-width: 68rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } .n { text-align: right; } .soft { color: var(--soft); }
.bad { color: var(--bad); font-weight: 600; } svg { max-width: 100%; height: auto; } svg text { fill: var(--soft);
  font: 12px system-ui, sans-serif; } .axis { stroke: var(--line); } .curve { fill: none; stroke-width: 2; }
@media print { body { margin: 0; max-width: none; } }
"""


class Line(msgspec.Struct, frozen=True):
    """A curve: x and y of each point, y None where it is unknown."""

    name: str
    points: tuple[tuple[float, float | None], ...]


def text(value: str) -> str:
    """Return text of anybody as HTML."""
    return html.escape(printable(value), quote=True)


def document(title: str, body: Sequence[str]) -> str:
    """Return a whole page.

    Args:
        title: text.
        body: HTML.
    """
    head = f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{text(title)}</title>\n'
    policy = "default-src &#x27;none&#x27;; style-src &#x27;unsafe-inline&#x27;"
    head += f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    return (
        f"{head}<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{text(title)}</h1>\n"
        + "\n".join(body)
        + ("\n</body>\n</html>\n")
    )


def heading(title: str) -> str:
    return f"<h2>{text(title)}</h2>"


def paragraph(words: str, *, soft: bool = False) -> str:
    return f'<p class="soft">{text(words)}</p>' if soft else f"<p>{text(words)}</p>"


def items(lines: Sequence[str]) -> str:
    """Return a list; "" without any."""
    return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>" if lines else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> str:
    """Return a table of texts; the columns in `right` are numbers."""

    def cell(tag: str, number: int, words: str) -> str:
        kind = ' class="n"' if number in right else ""
        scope = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{scope}{kind}>{text(words)}</{tag}>"

    head = "".join(cell("th", i, words) for i, words in enumerate(header))
    body = "".join("<tr>" + "".join(cell("td", i, words) for i, words in enumerate(row)) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def plot(lines: Sequence[Line], *, x_end: tuple[float, str], y_name: str, title: str) -> str:
    """Return curves from 0 to the largest value as inline SVG, with a legend when there are several.

    Args:
        lines: at most 5.
        x_end: largest x, and what to call it.
        y_name: what the largest y is called.
        title: what it shows, for those who cannot see it.
    """
    high = max((y for line in lines for _, y in line.points if y is not None and math.isfinite(y)), default=0.0)
    floor, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{text(title)}">',
        f'<line class="axis" x1="{_LEFT}" y1="{floor}" x2="{right}" y2="{floor}"></line>',
        f'<line class="axis" x1="{_LEFT}" y1="{_TOP}" x2="{_LEFT}" y2="{floor}"></line>',
        f'<text x="{_LEFT - 6}" y="{_TOP + 8}" text-anchor="end">{text(y_name)}</text>',
        f'<text x="{_LEFT - 6}" y="{floor}" text-anchor="end">0</text>',
        f'<text x="{right}" y="{_HEIGHT - 10}" text-anchor="end">{text(x_end[1])}</text>',
    ]
    for number, line in enumerate(lines):
        for piece in _pieces(line, x_end[0], high):
            style = f' stroke-dasharray="{_DASHES[number % 5]}"' if number % 5 else ""
            parts.append(f'<polyline class="curve" stroke="var(--c{number % 5})"{style} points="{piece}"></polyline>')
    parts.append("</svg>")
    return "".join(parts) + (_legend(lines) if len(lines) > 1 else "")


def _pieces(line: Line, x_most: float, y_most: float) -> list[str]:
    """A gap is a gap: each piece without one is a line of its own."""
    pieces: list[list[str]] = [[]]
    for x, y in line.points:
        if y is None or not math.isfinite(y):
            pieces.append([])
            continue
        across = _LEFT + (_WIDTH - _RIGHT - _LEFT) * (x / x_most if x_most > 0 else 0.0)
        down = _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * (y / y_most if y_most > 0 else 0.0)
        pieces[-1].append(f"{across:.1f},{down:.1f}")
    return [" ".join(piece) for piece in pieces if piece]


def _legend(lines: Sequence[Line]) -> str:
    keys = "".join(
        f'<li><svg width="36" height="10" aria-hidden="true"><line x1="0" y1="5" x2="36" y2="5" '
        f'stroke="var(--c{i % 5})" stroke-width="2" stroke-dasharray="{_DASHES[i % 5] or "none"}"></line></svg> '
        f"{text(line.name)}</li>"
        for i, line in enumerate(lines)
    )
    return f"<ul>{keys}</ul>"
