"""Every method of the API, thin: parameters in, one call, result out."""

from __future__ import annotations

import msgspec

from migmond.domain import api
from migmond.domain.breakdown import Batches, Breakdown, BreakdownParams, LargeFiles, LargeFilesParams, TimelineView
from migmond.domain.error_api import ErrorGroups, SalvageParams, SalvageView
from migmond.domain.event_api import SubscribeParams, Subscription, UnsubscribeParams
from migmond.domain.forget_api import ForgetParams, ForgetView
from migmond.domain.identity import Role
from migmond.domain.receipt import ReceiptPage, ReceiptParams, Seals
from migmond.domain.rollback_api import RecoverParams, RollbackOutlook, RollbackParams, RollbackPlanParams
from migmond.domain.steering_api import (
    InterveneParams,
    InterventionList,
    InterventionResult,
    StopAllParams,
    StopAllResult,
    UndoParams,
)
from migmond.rpc.alert_methods import alert_methods
from migmond.rpc.dashboards import add_dashboards
from migmond.rpc.people import add_people
from migmond.rpc.record_methods import record_methods
from migmond.rpc.registry import Context, Method, Registry
from migmond.rpc.subscriptions import check_chosen
from migmond.rpc.system_methods import system_methods

_VIEWER, _OPERATOR = Role.VIEWER, Role.OPERATOR


async def _plan_check(ctx: Context, params: api.PlanParams) -> api.PlanVerdict:
    return await ctx.backend.check_plan(ctx.session.peer, params.plan)


async def _plan_save(ctx: Context, params: api.PlanParams) -> api.SavedPlan:
    return await ctx.backend.save_plan(ctx.session.peer, params.plan)


async def _plan_list(ctx: Context, params: api.Nothing) -> api.SavedPlans:
    return await ctx.backend.list_plans(ctx.session.peer)


async def _plan_remove(ctx: Context, params: api.PlanNameParams) -> api.Acknowledged:
    return await ctx.backend.remove_plan(ctx.session.peer, params.name)


async def _browse(ctx: Context, params: api.BrowseParams) -> api.Browsed:
    return await ctx.backend.browse(ctx.session.peer, params)


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


async def _errors(ctx: Context, params: api.ExecutionParams) -> ErrorGroups:
    return await ctx.backend.list_errors(ctx.session.peer, params.id)


async def _salvage(ctx: Context, params: SalvageParams) -> SalvageView:
    return await ctx.backend.salvage(ctx.session.peer, params)


async def _breakdown(ctx: Context, params: BreakdownParams) -> Breakdown:
    return await ctx.backend.breakdown(ctx.session.peer, params)


async def _large_files(ctx: Context, params: LargeFilesParams) -> LargeFiles:
    return await ctx.backend.large_files(ctx.session.peer, params)


async def _batches(ctx: Context, params: api.ExecutionParams) -> Batches:
    return await ctx.backend.batches(ctx.session.peer, params.id)


async def _timeline(ctx: Context, params: api.ExecutionParams) -> TimelineView:
    return await ctx.backend.timeline(ctx.session.peer, params.id)


async def _interventions(ctx: Context, params: api.ExecutionParams) -> InterventionList:
    return await ctx.backend.list_interventions(ctx.session.peer, params.id)


async def _pause(ctx: Context, params: api.PauseParams) -> api.ExecutionView:
    return await ctx.backend.pause(ctx.session.peer, params)


async def _resume(ctx: Context, params: api.ReasonParams) -> api.ExecutionView:
    return await ctx.backend.resume(ctx.session.peer, params)


async def _cancel(ctx: Context, params: api.ReasonParams) -> api.ExecutionView:
    return await ctx.backend.cancel(ctx.session.peer, params)


async def _drain(ctx: Context, params: api.ReasonParams) -> api.ExecutionView:
    return await ctx.backend.drain(ctx.session.peer, params)


async def _intervene(ctx: Context, params: InterveneParams) -> InterventionResult:
    return await ctx.backend.intervene(ctx.session.peer, params)


async def _undo(ctx: Context, params: UndoParams) -> InterventionResult:
    return await ctx.backend.undo(ctx.session.peer, params)


async def _stop_all(ctx: Context, params: StopAllParams) -> StopAllResult:
    return await ctx.backend.stop_all(ctx.session.peer, params.reason)


async def _verify(ctx: Context, params: api.ExecutionParams) -> api.ExecutionView:
    return await ctx.backend.verify(ctx.session.peer, params.id)


async def _cancel_verification(ctx: Context, params: api.ExecutionParams) -> api.ExecutionView:
    return await ctx.backend.cancel_verification(ctx.session.peer, params.id)


async def _forget(ctx: Context, params: ForgetParams) -> ForgetView:
    return await ctx.backend.forget(ctx.session.peer, params)


async def _rollback(ctx: Context, params: RollbackParams) -> api.ExecutionView:
    return await ctx.backend.rollback(ctx.session.peer, params)


async def _recover(ctx: Context, params: RecoverParams) -> api.ExecutionView:
    return await ctx.backend.recover(ctx.session.peer, params)


async def _rollback_plan(ctx: Context, params: RollbackPlanParams) -> RollbackOutlook:
    return await ctx.backend.rollback_plan(ctx.session.peer, params)


async def _subscribe(ctx: Context, params: SubscribeParams) -> Subscription:
    check_chosen(params)
    chosen = [await ctx.backend.get_execution(ctx.session.peer, name) for name in params.executions]
    ids = tuple(e.id for e in chosen)
    # The subscription begins before the snapshot: what happens meanwhile follows as events.
    number, last_event, gap = ctx.session.subscribe(msgspec.structs.replace(params, executions=ids))
    if ids:
        views = tuple([await ctx.backend.get_execution(ctx.session.peer, i) for i in ids])
    else:
        views = (await ctx.backend.list_executions(ctx.session.peer, api.ListParams(limit=1000))).executions
    return Subscription(number, last_event, gap, views)


async def _unsubscribe(ctx: Context, params: UnsubscribeParams) -> api.Acknowledged:
    ctx.session.unsubscribe(params.subscription)
    return api.Acknowledged()


def standard_registry() -> Registry:
    """Return a registry with all of migmond's own methods."""
    registry = Registry()
    registry.add(
        Method("plan.check", _OPERATOR, api.PlanParams, api.PlanVerdict,
               "Walk a plan and give a verdict; nothing is written.", _plan_check),
        Method("plan.save", _OPERATOR, api.PlanParams, api.SavedPlan,
               "Save a plan under its name, for the calling user; an older one of that name is replaced.", _plan_save),
        Method("plan.list", _VIEWER, api.Nothing, api.SavedPlans,
               "List the calling user's saved plans by name.", _plan_list),
        Method("plan.remove", _OPERATOR, api.PlanNameParams, api.Acknowledged,
               "Remove a saved plan; its executions stay.", _plan_remove),
        Method("plan.browse", _OPERATOR, api.BrowseParams, api.Browsed,
               "Page through a directory as the calling user may see it, to choose a source or destination.", _browse),
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
        Method("execution.errors", _VIEWER, api.ExecutionParams, ErrorGroups,
               "The failures of an execution, grouped by phase and cause, with advice.", _errors),
        Method("execution.salvage", _OPERATOR, SalvageParams, SalvageView,
               "Save what can be read of a damaged file beside its target, under another name, with a map of what is "
               "missing; or go on with that. The file counts as failed as before.", _salvage),
        Method("execution.breakdown", _VIEWER, BreakdownParams, Breakdown,
               "Progress by type, size or directory of the entries, or by several of these at once.", _breakdown),
        Method("execution.large_files", _VIEWER, LargeFilesParams, LargeFiles,
               "Large files at hand, with rate and time left, and those that ended lately; the slowest files of all.",
               _large_files),
        Method("execution.batches", _VIEWER, api.ExecutionParams, Batches,
               "The last batches of an execution's movers, and all of them in sums by progress.", _batches),
        Method("execution.timeline", _VIEWER, api.ExecutionParams, TimelineView,
               "What happened to an execution and when: states, stages, milestones, holds, interventions.", _timeline),
        Method("execution.interventions", _VIEWER, api.ExecutionParams, InterventionList,
               "Who changed what about an execution, oldest first.", _interventions),
        Method("execution.pause", _OPERATOR, api.PauseParams, api.ExecutionView,
               "Hold an execution; movers stop at their next chunk. With for_s it goes on by itself.", _pause),
        Method("execution.resume", _OPERATOR, api.ReasonParams, api.ExecutionView,
               "Lift all holds; or set a drained, failed or partly failed execution going again.", _resume),
        Method("execution.cancel", _OPERATOR, api.ReasonParams, api.ExecutionView,
               "End an execution. What was done stays done; no partial file is left.", _cancel),
        Method("execution.drain", _OPERATOR, api.ReasonParams, api.ExecutionView,
               "Finish what runs, start nothing more; resume goes on from there.", _drain),
        Method("execution.intervene", _OPERATOR, InterveneParams, InterventionResult,
               "Change a running execution: limits, workers, batches, order, priorities, what is held, skipped or "
               "tried again. With dry_run, say what that would do. It is recorded and durable when this returns.",
               _intervene),
        Method("execution.undo", _OPERATOR, UndoParams, InterventionResult,
               "Take a change back that is in force: what was before holds again, whatever else was changed since.",
               _undo),
        Method("system.stop_all", _OPERATOR, StopAllParams, StopAllResult,
               "Emergency: every execution that the caller may steer stops reading and writing within a second, and "
               "keeps its place; execution.resume or execution.undo lets each go on.", _stop_all),
        Method("execution.verify", _OPERATOR, api.ExecutionParams, api.ExecutionView,
               "Start to re-read the targets of a finished execution and compare them with the journal; "
               "the event execution.verified tells the result.", _verify),
        Method("execution.cancel_verification", _OPERATOR, api.ExecutionParams, api.ExecutionView,
               "End a verification; what it found so far stays on record.", _cancel_verification),
        Method("execution.forget", _OPERATOR, ForgetParams, ForgetView,
               "Remove an execution that has ended, with all that is on record of its entries: it cannot be looked at, "
               "verified or rolled back any more. Its files stay. Durable when this returns.", _forget),
        Method("execution.rollback_plan", _OPERATOR, RollbackPlanParams, RollbackOutlook,
               "Look what a rollback of an ended execution would restore, remove and leave; nothing is changed.",
               _rollback_plan),
        Method("execution.rollback", _OPERATOR, RollbackParams, api.ExecutionView,
               "Undo what an ended execution did, or a part of it, by an execution of its own: what was moved is moved "
               "back, what was copied is removed, what was changed since stays. With request_id, a repeated call "
               "starts nothing.", _rollback),
        Method("execution.recover", _OPERATOR, RecoverParams, api.ExecutionView,
               "Copy again, by an execution of its own, what an ended copy has copied and is missing or different at "
               "the target, if its source is as it was. What is different there is kept as a backup. With request_id, "
               "a repeated call starts nothing.", _recover),
        Method("events.subscribe", _VIEWER, SubscribeParams, Subscription,
               "Get a snapshot, then notifications named event with every matching event.", _subscribe),
        Method("events.unsubscribe", _VIEWER, UnsubscribeParams, api.Acknowledged,
               "End a subscription of this connection.", _unsubscribe),
    )  # fmt: skip
    add_people(registry)
    add_dashboards(registry)
    registry.add(*alert_methods(), *system_methods(), *record_methods())
    return registry
