"""Every method of the API, thin: parameters in, one call, result out."""

from __future__ import annotations

import msgspec

import migmond
from migmond.domain import api, daemon_api
from migmond.domain.analysis import ComparisonView, SessionView, WhyParams, WhyView
from migmond.domain.breakdown import Batches, Breakdown, BreakdownParams, LargeFiles, LargeFilesParams, TimelineView
from migmond.domain.history import HistoryParams, HistorySeriesParams, HistoryView, SeriesPage
from migmond.domain.identity import Role
from migmond.domain.receipt import ReceiptPage, ReceiptParams, Seals
from migmond.domain.report import CompareParams, ExportPage, ExportParams, PeriodReport, ReportSinceParams, ReportView
from migmond.domain.samples import MetricList, Notes, NotesParams, Samples, SamplesParams
from migmond.rpc.registry import Context, Method, Registry
from migmond.rpc.subscriptions import check_chosen

_VIEWER, _OPERATOR = Role.VIEWER, Role.OPERATOR


async def _hello(ctx: Context, params: daemon_api.HelloParams) -> daemon_api.Hello:
    peer, limits = ctx.session.peer, ctx.session.limits
    return daemon_api.Hello(
        "migmond",
        migmond.__version__,
        api.API_VERSION,
        peer.role.name.lower(),
        peer.identity.uid,
        limits.max_frame_bytes,
        limits.max_outstanding,
        limits.max_write_queue_bytes,
    )


async def _methods(ctx: Context, params: api.Nothing) -> daemon_api.MethodList:
    return ctx.registry.describe()


async def _status(ctx: Context, params: api.Nothing) -> daemon_api.Status:
    return await ctx.backend.status(ctx.session.peer)


async def _doctor(ctx: Context, params: api.Nothing) -> daemon_api.Checks:
    return await ctx.backend.doctor(ctx.session.peer)


async def _backup(ctx: Context, params: api.Nothing) -> daemon_api.Backup:
    return await ctx.backend.backup(ctx.session.peer)


async def _plan_check(ctx: Context, params: api.PlanParams) -> api.PlanVerdict:
    return await ctx.backend.check_plan(ctx.session.peer, params.plan)


async def _plan_save(ctx: Context, params: api.PlanParams) -> api.SavedPlan:
    return await ctx.backend.save_plan(ctx.session.peer, params.plan)


async def _plan_list(ctx: Context, params: api.Nothing) -> api.SavedPlans:
    return await ctx.backend.list_plans(ctx.session.peer)


async def _plan_remove(ctx: Context, params: api.PlanNameParams) -> api.Acknowledged:
    return await ctx.backend.remove_plan(ctx.session.peer, params.name)


async def _start(ctx: Context, params: api.StartParams) -> api.ExecutionView:
    return await ctx.backend.start(ctx.session.peer, params)


async def _list(ctx: Context, params: api.ListParams) -> api.ExecutionPage:
    return await ctx.backend.list_executions(ctx.session.peer, params)


async def _get(ctx: Context, params: api.GetParams) -> api.ExecutionView:
    return await ctx.backend.get_execution(ctx.session.peer, params.id, newest=params.newest)


async def _files(ctx: Context, params: api.FilesParams) -> api.TaskPage:
    return await ctx.backend.list_files(ctx.session.peer, params)


async def _receipt(ctx: Context, params: ReceiptParams) -> ReceiptPage:
    return await ctx.backend.receipt(ctx.session.peer, params)


async def _seal_receipt(ctx: Context, params: api.ExecutionParams) -> Seals:
    return await ctx.backend.seal_receipt(ctx.session.peer, params.id)


async def _errors(ctx: Context, params: api.ExecutionParams) -> api.ErrorGroups:
    return await ctx.backend.list_errors(ctx.session.peer, params.id)


async def _breakdown(ctx: Context, params: BreakdownParams) -> Breakdown:
    return await ctx.backend.breakdown(ctx.session.peer, params)


async def _large_files(ctx: Context, params: LargeFilesParams) -> LargeFiles:
    return await ctx.backend.large_files(ctx.session.peer, params)


async def _batches(ctx: Context, params: api.ExecutionParams) -> Batches:
    return await ctx.backend.batches(ctx.session.peer, params.id)


async def _timeline(ctx: Context, params: api.ExecutionParams) -> TimelineView:
    return await ctx.backend.timeline(ctx.session.peer, params.id)


async def _interventions(ctx: Context, params: api.ExecutionParams) -> api.InterventionList:
    return await ctx.backend.list_interventions(ctx.session.peer, params.id)


async def _pause(ctx: Context, params: api.PauseParams) -> api.ExecutionView:
    return await ctx.backend.pause(ctx.session.peer, params)


async def _resume(ctx: Context, params: api.ReasonParams) -> api.ExecutionView:
    return await ctx.backend.resume(ctx.session.peer, params)


async def _cancel(ctx: Context, params: api.ReasonParams) -> api.ExecutionView:
    return await ctx.backend.cancel(ctx.session.peer, params)


async def _drain(ctx: Context, params: api.ReasonParams) -> api.ExecutionView:
    return await ctx.backend.drain(ctx.session.peer, params)


async def _verify(ctx: Context, params: api.ExecutionParams) -> api.ExecutionView:
    return await ctx.backend.verify(ctx.session.peer, params.id)


async def _cancel_verification(ctx: Context, params: api.ExecutionParams) -> api.ExecutionView:
    return await ctx.backend.cancel_verification(ctx.session.peer, params.id)


async def _subscribe(ctx: Context, params: api.SubscribeParams) -> api.Subscription:
    check_chosen(params)
    chosen = [await ctx.backend.get_execution(ctx.session.peer, name) for name in params.executions]
    ids = tuple(e.id for e in chosen)
    # The subscription begins before the snapshot: what happens meanwhile follows as events.
    number, last_event, gap = ctx.session.subscribe(msgspec.structs.replace(params, executions=ids))
    if ids:
        views = tuple([await ctx.backend.get_execution(ctx.session.peer, i) for i in ids])
    else:
        views = (await ctx.backend.list_executions(ctx.session.peer, api.ListParams(limit=1000))).executions
    return api.Subscription(number, last_event, gap, views)


async def _unsubscribe(ctx: Context, params: api.UnsubscribeParams) -> api.Acknowledged:
    ctx.session.unsubscribe(params.subscription)
    return api.Acknowledged()


async def _plugins(ctx: Context, params: api.Nothing) -> daemon_api.PluginList:
    return await ctx.backend.plugins(ctx.session.peer)


async def _config(ctx: Context, params: daemon_api.ConfigParams) -> daemon_api.ConfigValues:
    return await ctx.backend.config(ctx.session.peer, params.key)


async def _metrics(ctx: Context, params: api.Nothing) -> MetricList:
    return await ctx.backend.metrics(ctx.session.peer)


async def _samples(ctx: Context, params: SamplesParams) -> Samples:
    return await ctx.backend.samples(ctx.session.peer, params)


async def _notes(ctx: Context, params: NotesParams) -> Notes:
    return await ctx.backend.notes(ctx.session.peer, params)


async def _session(ctx: Context, params: api.ExecutionParams) -> SessionView:
    return await ctx.backend.session(ctx.session.peer, params.id)


async def _why(ctx: Context, params: WhyParams) -> WhyView:
    return await ctx.backend.why(ctx.session.peer, params)


async def _history(ctx: Context, params: HistoryParams) -> HistoryView:
    return await ctx.backend.query_history(ctx.session.peer, params)


async def _series(ctx: Context, params: HistorySeriesParams) -> SeriesPage:
    return await ctx.backend.list_series(ctx.session.peer, params)


async def _report(ctx: Context, params: api.ExecutionParams) -> ReportView:
    return await ctx.backend.report(ctx.session.peer, params.id)


async def _report_since(ctx: Context, params: ReportSinceParams) -> PeriodReport:
    return await ctx.backend.report_since(ctx.session.peer, params)


async def _compare(ctx: Context, params: CompareParams) -> ComparisonView:
    return await ctx.backend.compare(ctx.session.peer, params)


async def _export(ctx: Context, params: ExportParams) -> ExportPage:
    return await ctx.backend.export(ctx.session.peer, params)


def standard_registry() -> Registry:
    """Return a registry with all of migmond's own methods."""
    registry = Registry()
    registry.add(
        Method("system.hello", _VIEWER, daemon_api.HelloParams, daemon_api.Hello,
               "Say who you are; returns versions, your role and this connection's limits.", _hello),
        Method("system.methods", _VIEWER, api.Nothing, daemon_api.MethodList,
               "List every method with the JSON Schema of its parameters and result.", _methods),
        Method("system.status", _VIEWER, api.Nothing, daemon_api.Status,
               "How the daemon is: executions by state, movers, clients, memory, plugins.", _status),
        Method("system.doctor", _VIEWER, api.Nothing, daemon_api.Checks,
               "Check journal, disk space, plugins and event loop.", _doctor),
        Method("system.backup", Role.ADMIN, api.Nothing, daemon_api.Backup,
               "Back the journal up now, beside it; of all backups the newest are kept.", _backup),
        Method("plan.check", _OPERATOR, api.PlanParams, api.PlanVerdict,
               "Walk a plan and give a verdict; nothing is written.", _plan_check),
        Method("plan.save", _OPERATOR, api.PlanParams, api.SavedPlan,
               "Save a plan under its name, for the calling user; an older one of that name is replaced.", _plan_save),
        Method("plan.list", _VIEWER, api.Nothing, api.SavedPlans,
               "List the calling user's saved plans by name.", _plan_list),
        Method("plan.remove", _OPERATOR, api.PlanNameParams, api.Acknowledged,
               "Remove a saved plan; its executions stay.", _plan_remove),
        Method("execution.start", _OPERATOR, api.StartParams, api.ExecutionView,
               "Start a migration under the calling user's rights. With request_id, a repeated call starts nothing.",
               _start),
        Method("execution.list", _VIEWER, api.ListParams, api.ExecutionPage,
               "List executions by pages.", _list),
        Method("execution.get", _VIEWER, api.GetParams, api.ExecutionView,
               "One execution as it stands now.", _get),
        Method("execution.files", _VIEWER, api.FilesParams, api.TaskPage,
               "Page through an execution's entries in scan order, filtered by a selector.", _files),
        Method("execution.receipt", _VIEWER, ReceiptParams, ReceiptPage,
               "Page through what became of every entry, in scan order, as the receipt of an execution has it.",
               _receipt),
        Method("execution.seal_receipt", _VIEWER, api.ExecutionParams, Seals,
               "Keep the hash of the receipt of an ended execution in the journal, from the first time on; returns it.",
               _seal_receipt),
        Method("execution.errors", _VIEWER, api.ExecutionParams, api.ErrorGroups,
               "The failures of an execution, grouped by phase and cause, with advice.", _errors),
        Method("execution.breakdown", _VIEWER, BreakdownParams, Breakdown,
               "Progress by type, size or directory of the entries, or by several of these at once.", _breakdown),
        Method("execution.large_files", _VIEWER, LargeFilesParams, LargeFiles,
               "Large files at hand, with rate and time left, and those that ended lately; the slowest files of all.",
               _large_files),
        Method("execution.batches", _VIEWER, api.ExecutionParams, Batches,
               "The last batches of an execution's movers, and all of them in sums by progress.", _batches),
        Method("execution.timeline", _VIEWER, api.ExecutionParams, TimelineView,
               "What happened to an execution and when: states, stages, milestones, holds, interventions.", _timeline),
        Method("execution.interventions", _VIEWER, api.ExecutionParams, api.InterventionList,
               "Who changed what about an execution, oldest first.", _interventions),
        Method("execution.pause", _OPERATOR, api.PauseParams, api.ExecutionView,
               "Hold an execution; movers stop at their next chunk. With for_s it goes on by itself.", _pause),
        Method("execution.resume", _OPERATOR, api.ReasonParams, api.ExecutionView,
               "Lift all holds; or set a drained, failed or partly failed execution going again.", _resume),
        Method("execution.cancel", _OPERATOR, api.ReasonParams, api.ExecutionView,
               "End an execution. What was done stays done; no partial file is left.", _cancel),
        Method("execution.drain", _OPERATOR, api.ReasonParams, api.ExecutionView,
               "Finish what runs, start nothing more; resume goes on from there.", _drain),
        Method("execution.verify", _OPERATOR, api.ExecutionParams, api.ExecutionView,
               "Start to re-read the targets of a finished execution and compare them with the journal; "
               "the event execution.verified tells the result.", _verify),
        Method("execution.cancel_verification", _OPERATOR, api.ExecutionParams, api.ExecutionView,
               "End a verification; what it found so far stays on record.", _cancel_verification),
        Method("events.subscribe", _VIEWER, api.SubscribeParams, api.Subscription,
               "Get a snapshot, then notifications named event with every matching event.", _subscribe),
        Method("events.unsubscribe", _VIEWER, api.UnsubscribeParams, api.Acknowledged,
               "End a subscription of this connection.", _unsubscribe),
        Method("plugin.list", _VIEWER, api.Nothing, daemon_api.PluginList,
               "Every plugin found, with its state and the reason when it is not active.", _plugins),
        Method("config.get", _VIEWER, daemon_api.ConfigParams, daemon_api.ConfigValues,
               "Effective settings with the file and line that set each.", _config),
        Method("metrics.list", _VIEWER, api.Nothing, MetricList,
               "What every metric, and every kind of note, of the collectors means.", _metrics),
        Method("metrics.latest", _VIEWER, SamplesParams, Samples,
               "The newest sample of every series that collectors provide, by pages.", _samples),
        Method("metrics.notes", _OPERATOR, NotesParams, Notes,
               "What collectors were told in words of late, such as the kernel's messages about disks.", _notes),
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
    )  # fmt: skip
    return registry
