"""Small pieces of text that every view uses."""

from __future__ import annotations

import datetime
import re
import unicodedata

from migmond.domain import api
from migmond.domain.units import show_amount, show_duration, show_rate

_BLOCKS = " ▏▎▍▌▋▊▉█"
UNKNOWN = "—"
_MARK = re.compile(r"^( *)([✗!‖…✓]\S*)")
_COLOURS = {"✗": 31, "!": 33, "‖": 33, "…": 36, "✓": 32}


def printable(text: str) -> str:
    """Return `text` with everything that a terminal could obey as `\\xHH`, as `migmond.domain.names` writes it.

    Reasons and names were typed by other people; an escape sequence or newline in them must stay text.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    lone = 0xDC80 <= ord(char) <= 0xDCFF  # a byte of an argument that was not UTF-8
    raw = bytes((ord(char) - 0xDC00,)) if lone else char.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{b:02x}" for b in raw)


def printable_json(text: str) -> str:
    """Return JSON text with unprintable characters, newlines apart, as JSON escapes: it means the same."""
    if text.isprintable():
        return text
    import json

    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def painted(line: str) -> str:
    """Return `line` with its leading mark in colour; what the mark says stays readable without."""
    return _MARK.sub(lambda m: f"{m[1]}\x1b[{_COLOURS[m[2][0]]}m{m[2]}\x1b[0m", line)


def bar(percent: float | None, width: int) -> str:
    """Return a progress bar of `width` cells; unknown is empty."""
    eighths = round(max(0.0, min(100.0, percent or 0.0)) / 100 * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BLOCKS[rest] if rest else "")).ljust(width)


def percent_text(percent: float | None) -> str:
    """Return `82.7%`; 100 is shown only when it is true."""
    if percent is None:
        return UNKNOWN
    return f"{percent:.1f}%" if percent >= 100 else f"{min(percent, 99.9):.1f}%"


def rate_text(bytes_per_s: float | None) -> str:
    return UNKNOWN if bytes_per_s is None else show_rate(bytes_per_s)


def value_text(value: float | None, unit: str, *, per_second: bool = False) -> str:
    """Return a value with its unit, see `show_amount`; a dash for one that is not known."""
    return UNKNOWN if value is None else show_amount(value, unit, per_second=per_second)


def eta_text(progress: api.Progress) -> str:
    """Return the time left, or a dash with the reason."""
    if progress.seconds_remaining is None:
        return f"{UNKNOWN} ({progress.eta_reason})" if progress.eta_reason else UNKNOWN
    left, low, high = progress.seconds_remaining, progress.eta_low_s, progress.eta_high_s
    band = "" if low is None or high is None else f" ({show_duration(low)}–{show_duration(high)})"
    return f"{show_duration(left)}{band}"


def clock(rfc3339: str | None) -> str:
    """Return a time of today as `14:02:31`, any other as `2026-11-24 14:02`, in the local zone."""
    if rfc3339 is None:
        return UNKNOWN
    at = datetime.datetime.fromisoformat(rfc3339).astimezone()
    today = datetime.datetime.now().astimezone().date()
    return at.strftime("%H:%M:%S" if at.date() == today else "%Y-%m-%d %H:%M")


def cells(text: str) -> int:
    """Return how many terminal cells `text` takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text: str, width: int) -> str:
    """Return `text`, made printable, with its middle left out so that it takes at most `width` cells."""
    text = printable(text)
    if cells(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    left, right = "", ""
    room = width - 1
    start, end = 0, len(text)
    while start < end:
        take_left = cells(left) <= cells(right)
        char = text[start] if take_left else text[end - 1]
        if cells(left) + cells(right) + cells(char) > room:
            break
        if take_left:
            left, start = left + char, start + 1
        else:
            right, end = char + right, end - 1
    return f"{left}…{right}"


def clip(text: str, width: int) -> str:
    """Return `text`, made printable, with its end left out so that it takes at most `width` cells."""
    text = printable(text)
    if cells(text) <= width:
        return text
    while text and cells(text) >= width:
        text = text[:-1]
    return f"{text}…" if width > 0 else ""


def table(header: list[str], rows: list[list[str]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Return printable lines of columns; the columns in `right` are flush right, the last is not padded."""
    rows = [[printable(text) for text in row] for row in rows]
    widths = [max(cells(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row: list[str]) -> str:
        parts = []
        for i, text in enumerate(row):
            pad = " " * (widths[i] - cells(text))
            parts.append(pad + text if i in right else text + pad)
        return "  ".join(parts).rstrip()

    return [line(header), *(line(row) for row in rows)]


def count(number: int, what: str, plural: str = "") -> str:
    """Return `1 file`, `1,021 files`."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"
