"""What `migmon compare` shows: curves by percent done, one below the other on one scale, and the differences."""

from __future__ import annotations

from migmond.cli.render.plot import columns
from migmond.cli.render.text import fit, rate_text, table, value_text
from migmond.domain.analysis import ComparisonView, Difference

_LINES = 3
_NAME_CELLS = 24
_MARKS = {"better": " ✓", "worse": " ✗", "same": " ="}


def comparison_lines(view: ComparisonView, width: int) -> list[str]:
    """Return the plots, then the table; changes are of the first one's value."""
    labels = [f"{fit(name, _NAME_CELLS)} {id_[:6]}" for name, id_ in zip(view.names, view.ids, strict=True)]
    rates = [[p.bytes_per_s for p in curve.points[1:]] for curve in view.curves]
    high = max((r for of in rates for r in of if r is not None), default=0.0)
    lines = [f"RATE BY PERCENT DONE, each up to {rate_text(high)}" if high else "RATE BY PERCENT DONE"]
    for label, of in zip(labels, rates, strict=True):
        if all(r is None for r in of):
            lines.append(f"{label}: nothing is on record of how it went")
            continue
        lines.append(label)
        lines += [f"  {text}" for text in columns(of, _LINES, 0.0, high)]
    rows = [[name_of(d), *(_cell(d, i) for i in range(len(view.ids)))] for d in view.differences]
    right = frozenset(range(1, len(view.ids) + 1))
    lines += ["", *table(["", *labels], rows, right=right)]
    if any("better" in d.verdicts or "worse" in d.verdicts for d in view.differences):
        lines.append(f"✓ better, ✗ worse, = the same as {labels[0]}")
    return [fit(line, width) for line in lines]


def name_of(difference: Difference) -> str:
    """Return the name of a row as people read it."""
    names = {
        "active_s": "active",
        "held_s": "held",
        "average_bytes_per_s": "average rate",
        "peak_bytes_per_s": "best ten seconds",
        "entries_per_s": "entries a second",
        "cpu_s_per_gb": "cpu per GB",
        "energy_j": "energy",
    }
    return names.get(difference.name, difference.name.replace("_", " "))


def change_text(difference: Difference, number: int) -> str:
    """Return how a value differs from the first one's, with its verdict; "" for the first. What goes on says so."""
    if any(difference.so_far[number : number + 1]):  # an older daemon does not tell
        return " so far"
    change, verdict = difference.changes[number], difference.verdicts[number]
    text = "" if change is None else f" {change:+.0%}"
    return text + _MARKS.get(verdict, "")


def _cell(difference: Difference, number: int) -> str:
    return value_text(difference.values[number], difference.unit) + change_text(difference, number)
