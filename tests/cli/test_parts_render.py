"""How progress by parts is shown."""

from __future__ import annotations

from migmond.cli.render.parts import breakdown_lines
from migmond.domain.api import TallyView
from migmond.domain.breakdown import Breakdown, BreakdownRow

GIB = 1 << 30
NONE = TallyView(0, 0)


def row(kind: str | None, planned: TallyView, done: TallyView, in_flight: TallyView = NONE) -> BreakdownRow:
    return BreakdownRow(kind, None, None, False, planned, done, NONE, NONE, NONE, NONE, in_flight)


def test_what_movers_have_in_hand_counts_as_it_does_for_the_whole() -> None:
    rows = (
        row("video", TallyView(2, 8 * GIB), NONE, TallyView(0, 2 * GIB)),
        row("text", TallyView(10, GIB), TallyView(10, GIB)),
    )
    whole = row(None, TallyView(12, 9 * GIB), TallyView(10, GIB), TallyView(0, 2 * GIB))
    shown = Breakdown("8f3a1c", ("type",), True, "", False, rows, 0, whole)
    assert [line.split() for line in breakdown_lines(shown)] == [
        ["TYPE", "DONE", "OF", "BYTES", "OF", "%", "SKIPPED", "FAILED", "CANCELLED"],
        ["video", "0", "2", "2", "GiB", "8", "GiB", "25.0%"],
        ["text", "10", "10", "1", "GiB", "1", "GiB", "100%"],
        ["all", "together", "10", "12", "3", "GiB", "9", "GiB", "33.3%"],
    ]
