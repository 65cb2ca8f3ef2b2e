"""The methods that are about what was measured and done, thin."""

from __future__ import annotations

from typing import Any

from migmond.domain import api
from migmond.domain.analysis import ComparisonView, SessionView, WhyParams, WhyView
from migmond.domain.delivery_api import DeliveriesParams, DeliveryList
from migmond.domain.history import HistoryParams, HistorySeriesParams, HistoryView, SeriesPage
from migmond.domain.identity import Role
from migmond.domain.report import CompareParams, ExportPage, ExportParams, PeriodReport, ReportSinceParams, ReportView
from migmond.rpc.registry import Context, Method

_VIEWER = Role.VIEWER


async def _session(ctx: Context, params: api.ExecutionParams) -> SessionView:
    return await ctx.backend.records.session(ctx.session.peer, params.id)


async def _why(ctx: Context, params: WhyParams) -> WhyView:
    return await ctx.backend.records.why(ctx.session.peer, params)


async def _history(ctx: Context, params: HistoryParams) -> HistoryView:
    return await ctx.backend.records.query_history(ctx.session.peer, params)


async def _series(ctx: Context, params: HistorySeriesParams) -> SeriesPage:
    return await ctx.backend.records.list_series(ctx.session.peer, params)


async def _report(ctx: Context, params: api.ExecutionParams) -> ReportView:
    return await ctx.backend.records.report(ctx.session.peer, params.id)


async def _report_since(ctx: Context, params: ReportSinceParams) -> PeriodReport:
    return await ctx.backend.records.report_since(ctx.session.peer, params)


async def _compare(ctx: Context, params: CompareParams) -> ComparisonView:
    return await ctx.backend.records.compare(ctx.session.peer, params)


async def _export(ctx: Context, params: ExportParams) -> ExportPage:
    return await ctx.backend.records.export(ctx.session.peer, params)


async def _deliveries(ctx: Context, params: DeliveriesParams) -> DeliveryList:
    return await ctx.backend.records.deliveries(ctx.session.peer, params)


def record_methods() -> tuple[Method[Any, Any], ...]:
    """Return them as records."""
    return (
        Method("execution.session", _VIEWER, api.ExecutionParams, SessionView,
               "How an execution performs: rates and their trend, where the time goes, what it takes, the forecast's "
               "reasons; of an ended one what was kept.", _session),
        Method("execution.why", _VIEWER, WhyParams, WhyView,
               "Why an execution is not faster, or why one of its entries is where it is, in a sentence.", _why),
        Method("history.query", _VIEWER, HistoryParams, HistoryView,
               "What was measured over a time, at most so many points of each series, with gaps where nothing was.",
               _history),
        Method("history.series", _VIEWER, HistorySeriesParams, SeriesPage,
               "Page through the series that the history has.", _series),
        Method("execution.report", _VIEWER, api.ExecutionParams, ReportView,
               "How an execution went: rates, score, where the time went, errors, cost, similar runs, trends.",
               _report),
        Method("execution.compare", _VIEWER, CompareParams, ComparisonView,
               "2 to 5 executions side by side: curves by percent done, and a table of differences.", _compare),
        Method("report.since", _VIEWER, ReportSinceParams, PeriodReport,
               "All executions of a time: sums, scores, trends, what is found out about disks, costs.", _report_since),
        Method("report.export", _VIEWER, ExportParams, ExportPage,
               "Page through a table as CSV or JSON lines; or the newest metrics as Prometheus reads them.", _export),
        Method("alerts.deliveries", _VIEWER, DeliveriesParams, DeliveryList,
               "What became of calls of alert actions, and which actions fail; operators see those about their own.",
               _deliveries),
    )  # fmt: skip
