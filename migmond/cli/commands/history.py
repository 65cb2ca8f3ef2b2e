"""The command that shows what was measured over time."""

from __future__ import annotations

import datetime

import click

from migmond.cli.connect import connect
from migmond.cli.meant import meant
from migmond.cli.parse import DURATION, global_options
from migmond.cli.render.plot import plot_lines, series_lines
from migmond.cli.state import State
from migmond.domain.api import ExecutionView
from migmond.domain.history import (
    MAX_POINTS,
    MAX_SERIES_PAGE,
    HistoryParams,
    HistorySeriesParams,
    HistoryView,
    SeriesPage,
    SeriesSelector,
)

_HOUR_S = 3600.0
_AFTER_S = 10.0
_HEIGHT = 8
_MANY = 3
"""From so many series on each gets one line."""


@click.command()
@click.argument("metric", required=False, default="")
@click.option("--execution", "id_", metavar="ID", help="Only of this migration.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only series with this label.")
@click.option(
    "--since", type=DURATION, help="How far back: 15m, 6h, 30d.  [default: 1h; with --execution all of its time]"
)
@click.option("--points", type=click.IntRange(2, MAX_POINTS), default=60, show_default=True, help="At most so many.")
@click.option("--height", type=click.IntRange(1, 40), help="Lines per series.  [default: 8, of several series 1]")
@global_options
@click.pass_obj
def history(
    state: State,
    metric: str,
    id_: str | None,
    labels: tuple[str, ...],
    since: float | None,
    points: int,
    height: int | None,
) -> None:
    """Plot what was measured over time.

    Without METRIC, list what there is. A dot is a gap: nothing was recorded though it was due. Counters are shown as
    rates.
    """
    wanted = dict(_pair(text) for text in labels)
    with connect(state) as client:
        start = end = ""
        if id_ is not None:
            execution = meant(state, client, id_)
            wanted["execution"] = execution.id
            if since is None:
                start, end = _lifetime(execution)
        if not metric:
            params = HistorySeriesParams(execution=wanted.get("execution", ""), limit=MAX_SERIES_PAGE)
            found = []
            while True:
                page = client.call("history.series", params, SeriesPage)
                found += [s for s in page.series if wanted.items() <= s.labels.items()]
                if page.next is None:
                    break
                params = HistorySeriesParams(execution=params.execution, after=page.next, limit=MAX_SERIES_PAGE)
            listed = SeriesPage(tuple(found), None)
            state.emit("series", listed) if state.json else state.show(series_lines(found))
            return
        series, span_s = (SeriesSelector(metric, wanted),), _HOUR_S if since is None else since
        query = HistoryParams(series, start, end, span_s=span_s, points=points)
        view = client.call("history.query", query, HistoryView)
    state.put("history", view, lambda v: plot_lines(v, height or (1 if len(v.series) >= _MANY else _HEIGHT)))


def _lifetime(execution: ExecutionView) -> tuple[str, str]:
    """Return from when to when an execution was, or is, with the samples that were taken just after its end."""
    start = execution.started_at or execution.created_at
    if execution.finished_at is None:
        return start, ""
    end = datetime.datetime.fromisoformat(execution.finished_at) + datetime.timedelta(seconds=_AFTER_S)
    return start, end.isoformat()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--label")
    return name, value
