"""What charts draw of what the history answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from dashboard import module

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def page(browser_process: Browser) -> Iterator[Page]:
    with module(browser_process, "series.js") as one:
        yield one


def of(mean: list[float | None], low: list[float | None], high: list[float | None]) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high}


LEVEL = of([1, None, 3], [1, None, 3], [1, None, 3])
BANDED = of([2, 2, None], [1, 1, None], [5, 4, None])
CURVES = """([series, how]) => {
  const { curves, sum, mean, scaled, flat } = window.module;
  const view = { first_s: 100, step_s: 2, series: series.map((s) => ({ metric: "m", unit: "", kind: "gauge", ...s })) };
  const parts = curves(view, (c) => c.metric).series;
  const ways = { sum: () => sum("s", parts), mean: () => mean("s", parts), scaled: () => scaled(parts[0], 10, {}) };
  const found = ways[how]();
  return { mean: found.mean, low: found.low, high: found.high, flat: flat(found) };
}"""


@pytest.mark.parametrize(
    ("series", "how", "expected", "flat"),
    [
        ([LEVEL], "sum", LEVEL, True),
        ([LEVEL, LEVEL], "sum", of([2, None, 6], [2, None, 6], [2, None, 6]), True),
        ([LEVEL, BANDED], "sum", of([3, 2, 3], [2, 1, 3], [6, 4, 3]), False),
        ([BANDED, LEVEL], "mean", of([1.5, 1, 1.5], [1, 0.5, 1.5], [3, 2, 1.5]), False),
        ([LEVEL, LEVEL], "mean", LEVEL, True),
        ([LEVEL], "scaled", of([10, None, 30], [10, None, 30], [10, None, 30]), True),
        ([BANDED], "scaled", of([20, 20, None], [10, 10, None], [50, 40, None]), False),
    ],
)
def test_series_are_put_together_and_what_has_no_band_gets_none(
    page: Page, series: list[Any], how: str, expected: dict[str, Any], *, flat: bool
) -> None:
    assert page.evaluate(CURVES, [series, how]) == {**expected, "flat": flat}


def test_marks_of_one_kind_that_are_close_are_one_and_keep_what_each_says(page: Page) -> None:
    """Thirty migrations that began within a minute were a wall before the lines of a chart."""
    marks = [{"at": at, "kind": kind, "text": f"{kind} {at}"} for at in (7, 0, 1, 2, 20) for kind in ("phase", "alert")]
    found = page.evaluate("(marks) => window.module.apart(marks, (at) => 2 * at, 9)", marks)
    told = [(m["kind"], m["at"], [more["at"] for more in m["more"]]) for m in found]
    assert told == [(kind, at, more) for at, more in ((0, [1, 2]), (7, []), (20, [])) for kind in ("phase", "alert")]
