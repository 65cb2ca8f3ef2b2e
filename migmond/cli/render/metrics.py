"""How metrics and notes look."""

from __future__ import annotations

from collections.abc import Sequence

from migmond.cli.render.text import UNKNOWN, clock, fit, table, value_text
from migmond.domain.samples import MetricView, NoteView, SampleView


def sample_lines(samples: Sequence[SampleView], width: int) -> list[str]:
    """Return a line per series; one without a value says why."""
    rows = [[s.metric, _labels(s.labels), value_text(s.value, s.unit), s.no_data] for s in samples]
    return [fit(line, width) for line in table(["METRIC", "OF", "VALUE", "WHY NOT"], rows, right=frozenset({2}))]


def meaning_lines(metrics: Sequence[MetricView]) -> list[str]:
    """Return a line per metric: what it is, of what, in which unit."""
    rows = [[m.name, m.kind, m.unit or "number", ", ".join(m.labels) or UNKNOWN, m.help] for m in metrics]
    return table(["METRIC", "KIND", "UNIT", "OF EACH", "MEANING"], rows)


def note_lines(notes: Sequence[NoteView], width: int) -> list[str]:
    """Return a line per note, oldest first."""
    rows = [[clock(n.at), n.device or UNKNOWN, n.kind, n.message] for n in notes]
    return [fit(line, width) for line in table(["AT", "DEVICE", "KIND", "MESSAGE"], rows)]


def _labels(labels: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in labels.items()) or UNKNOWN
