"""How values over time look on a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migmond.cli.render.plot import columns, plot_lines, series_lines
from migmond.domain.history import CurveView, HistoryView, SeriesView


def curve(*mean: float | None, unit: str = "", kind: str = "gauge", **labels: str) -> CurveView:
    return CurveView("m", labels, unit, kind, mean, mean, mean, tuple(0 if v is None else 1 for v in mean))


def view(*curves: CurveView, step_s: float = 60.0) -> HistoryView:
    return HistoryView("", 1_790_000_000.0, step_s, step_s, len(curves[0].mean) if curves else 5, curves)


def test_columns_are_as_high_as_their_values() -> None:
    assert columns([0.0, 1.0, 2.0, 4.0, 8.0, None, 8.0], 1, 0.0, 8.0) == ["▁▁▂▄█·█"]
    assert columns([0.0, 4.0, 6.0, 8.0, None], 2, 0.0, 8.0) == ["  ▄█ ", "▁███·"]
    assert columns([3.0, 3.0], 3, 3.0, 3.0) == ["  ", "  ", "▁▁"]


@given(st.lists(st.none() | st.floats(-1e30, 1e30), min_size=1, max_size=50), st.integers(1, 12))
def test_every_value_has_a_column_and_the_order_is_theirs(values: list[float | None], height: int) -> None:
    known = [v for v in values if v is not None] or [0.0]
    lines = columns(values, height, min(known), max(known))
    assert [len(line) for line in lines] == [len(values)] * height
    heights = [sum(" ▁▂▃▄▅▆▇█".index(line[i].replace("·", " ")) for line in lines) for i in range(len(values))]
    for i, value in enumerate(values):
        assert (value is None) == (lines[-1][i] == "·") == (heights[i] == 0)
        assert all(heights[i] <= heights[j] for j, other in enumerate(values) if value is not None
                   and other is not None and value <= other)  # fmt: skip


def test_a_plot_says_what_it_shows() -> None:
    lines = plot_lines(view(curve(0.0, 50.0, None, 100.0, unit="bytes", kind="counter", disk="sda\x1b[31m")), 2)
    assert lines[0] == "m (disk=sda\\x1b[31m): now 100 B/s, min 0 B/s, mean 50 B/s, max 100 B/s"
    assert lines[1] == "   100 B/s    █"
    assert lines[2] == "     0 B/s ▁█·█"
    assert "each 1 min" in lines[3]
    assert len(lines) == 4


def test_values_below_zero_have_their_own_axis() -> None:
    lines = plot_lines(view(curve(-4.0, -2.0)), 2)
    assert lines[1:3] == ["         0   ", "        -4 ▁█"]


def test_several_take_a_line_each() -> None:
    lines = plot_lines(view(*(curve(1.0, 2.0, i=str(i)) for i in range(3))), 1)
    assert len(lines) == 7
    assert lines[1] == "           ▄█"


def test_nothing_is_said_in_words() -> None:
    assert "nothing was recorded" in plot_lines(view(), 8)[0]
    assert series_lines([]) == ["nothing has been recorded yet"]
    listed = series_lines([SeriesView("m", {"a": "b"}, "", "gauge", 2.0, "", "")])
    assert listed[1].split() == ["m", "gauge", "-", "2", "s", "a=b"]
