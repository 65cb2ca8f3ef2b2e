"""Every endpoint whose answer is put together from several calls of the daemon, or asked for in another form than the
daemon has: a table beside that of `routes`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from migmond.domain import api
from migmond.domain.errors import InvalidInput
from migmond.domain.history import HistoryParams, HistoryView, SeriesSelector
from migmond.domain.units import parse_duration
from migmond_web.answers import Refused
from migmond_web.overview import Call, overview, performance
from migmond_web.paging import MigrationsPage, MigrationsParams, migrations


class Composed(msgspec.Struct, frozen=True):
    """One endpoint. It answers GET.

    Attributes:
        path, params, result, help: as in `routes.Route`; `result` is None for an object that no type describes.
        name: of the operation in the document.
        compose: makes the answer with calls for the person who asks.
    """

    path: str
    name: str
    params: type[api.Params]
    result: type[api.Result] | None
    help: str
    compose: Callable[[Call, Any], Awaitable[dict[str, Any]]]
    verb: str = "GET"
    status: int = 200
    idempotent: str = ""


class PerformanceParams(api.ExecutionParams, frozen=True):
    time_range: Literal["15m", "1h", "6h", "24h"] = "1h"


class DashboardParams(api.Params, frozen=True):
    """`executions`: tell of migrations as well, the live ones and the last that ended. Who listens to the stream knows
    of them already."""

    executions: bool = True


class HistoryQuery(api.Params, frozen=True):
    """`metric`: names, one or more. `labels`: those of the series that are wanted. `execution`: only its series; a
    whole id. `span`: such as 6h, back from `end`; the rest as in HistoryParams."""

    metric: tuple[str, ...]
    labels: Mapping[str, str] = {}
    execution: str = ""
    span: str = "1h"
    start: str = ""
    end: str = ""
    points: int = 600
    annotations: bool = False


def composed() -> tuple[Composed, ...]:
    """Return all of them."""
    return (
        Composed("/dashboard", "dashboard", DashboardParams, None,
                 "What the overview shows: migrations, the machine, alerts.", _overview),
        Composed("/migrations", "migrations", MigrationsParams, MigrationsPage,
                 "List migrations by pages; `next` of one is the `cursor` of the following.", migrations),
        Composed("/history", "history", HistoryQuery, HistoryView,
                 "What was measured over a time: metric=NAME&span=6h&points=600.", _history),
        Composed("/{id}/performance-analysis", "performanceAnalysis", PerformanceParams, None,
                 "How a migration performs, and what was measured of it.", _performance),
    )  # fmt: skip


_ASKED_AS = {"select": "metric", "span_s": "span"}
"""Parameters of `history.query` that are called otherwise here."""


async def _overview(call: Call, params: DashboardParams) -> dict[str, Any]:
    return await overview(call, executions=params.executions)


async def _performance(call: Call, params: PerformanceParams) -> dict[str, Any]:
    return await performance(call, params.id, params.time_range)


async def _history(call: Call, params: HistoryQuery) -> dict[str, Any]:
    try:
        span_s = parse_duration(params.span)
    except InvalidInput as e:
        raise Refused(422, "invalid_input", str(e), e.hint, "span") from None
    labels = {**params.labels, **({"execution": params.execution} if params.execution else {})}
    select = tuple(SeriesSelector(metric, labels) for metric in params.metric)
    asked = HistoryParams(select, params.start, params.end, span_s, params.points, params.annotations)
    try:
        return await call("history.query", asked)
    except Refused as e:
        e.field = _ASKED_AS.get(e.field, e.field)
        raise
