"""How `migmon report` comes by more rows than a page has."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from fake_reports import PERIOD
from migmond.cli.commands.report import with_rows
from migmond.domain.report import MAX_REPORT_ROWS, PeriodReport, ReportSinceParams

AMOUNT = 2 * MAX_REPORT_ROWS + 500


class Pages:
    """Answers `report.since` of AMOUNT executions; one more is there each time."""

    def __init__(self) -> None:
        self.asked: list[ReportSinceParams] = []

    def call(self, method: str, params: ReportSinceParams, result: Any) -> PeriodReport:
        assert (method, result) == ("report.since", PeriodReport)
        assert 0 < params.limit <= MAX_REPORT_ROWS
        first = not self.asked
        self.asked.append(params)
        newest = AMOUNT if first else params.before - 1
        keys = range(newest, max(0, newest - params.limit), -1)
        rows = tuple(replace(PERIOD.executions[0], name=f"run-{key}") for key in keys)
        left = max(0, newest - params.limit)
        return replace(PERIOD, executions=rows, next=keys[-1] if left else None, left=left)


@pytest.mark.parametrize(
    ("limit", "calls"), [(1, 1), (MAX_REPORT_ROWS, 1), (MAX_REPORT_ROWS + 1, 2), (AMOUNT, 3), (10 * AMOUNT, 3)]
)
def test_pages_are_put_together(limit: int, calls: int) -> None:
    pages = Pages()
    view = with_rows(pages, ReportSinceParams(span_s=60.0, name="run", limit=limit))  # type: ignore[arg-type]
    shown = min(limit, AMOUNT)
    assert [r.name for r in view.executions] == [f"run-{AMOUNT - k}" for k in range(shown)]
    assert view.left == AMOUNT - shown
    assert len(pages.asked) == calls
    for asked in pages.asked[1:]:  # they are of the same time as the first one
        assert (asked.since, asked.until, asked.name) == (PERIOD.since, PERIOD.until, "run")
