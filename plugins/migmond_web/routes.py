"""Every endpoint that is one call of the daemon: a table, from which dispatch and the OpenAPI document derive."""

from __future__ import annotations

import msgspec

from migmond.domain import alert_api, api, daemon_api
from migmond.domain.analysis import ComparisonView, SessionView, WhyParams, WhyView
from migmond.domain.breakdown import Batches, Breakdown, BreakdownParams, LargeFiles, LargeFilesParams, TimelineView
from migmond.domain.dashboards import DashboardList, DashboardNameParams, DashboardView, PutDashboardParams
from migmond.domain.delivery_api import DeliveriesParams, DeliveryList
from migmond.domain.error_api import ErrorGroups
from migmond.domain.forget_api import ForgetParams, ForgetView
from migmond.domain.history import HistoryParams, HistorySeriesParams, HistoryView, SeriesPage
from migmond.domain.people import CloseParams, PersonSessions
from migmond.domain.report import CompareParams, ExportPage, ExportParams, PeriodReport, ReportSinceParams, ReportView
from migmond.domain.rollback_api import RollbackOutlook, RollbackParams, RollbackPlanParams
from migmond.domain.samples import MetricList, Notes, NotesParams, Samples, SamplesParams
from migmond.domain.steering_api import InterveneParams, InterventionList, InterventionResult, UndoParams

BASE = "/api/v1/migration-monitoring"


class Route(msgspec.Struct, frozen=True):
    """One endpoint.

    Attributes:
        verb: GET, POST, PUT or DELETE. What follows from GET changes nothing; its parameters are in the query, those of
            the others in the body, as JSON.
        path: below BASE; `{name}` is the parameter of that name. What people name as they like, `a/b` or `..`, is none:
            browsers and proxies make other paths of those.
        call: the daemon's method.
        params, result: of that method.
        help: one or two sentences for the document.
        status: when it went well.
        idempotent: the field of the parameters that takes the header Idempotency-Key, "" when there is none.
    """

    verb: str
    path: str
    call: str
    params: type[api.Params]
    result: type[api.Result]
    help: str
    status: int = 200
    idempotent: str = ""


def routes() -> tuple[Route, ...]:
    """Return all of them; of two that fit a path, the one with fewer parameters in it is meant."""
    one = api.ExecutionParams
    return (
        Route("POST", "/migrations", "execution.start", api.StartParams, api.ExecutionView,
              "Start a migration.", 201, "request_id"),
        Route("POST", "/plans/check", "plan.check", api.PlanParams, api.PlanVerdict,
              "Say what a plan would do; nothing is written."),
        Route("GET", "/browse", "plan.browse", api.BrowseParams, api.Browsed,
              "Page through a directory as you may see it."),
        Route("GET", "/plans", "plan.list", api.Nothing, api.SavedPlans, "List your saved plans."),
        Route("PUT", "/plans", "plan.save", api.PlanParams, api.SavedPlan, "Save a plan under its name."),
        Route("DELETE", "/plans", "plan.remove", api.PlanNameParams, api.Acknowledged, "Remove a saved plan."),
        Route("GET", "/{id}", "execution.session", one, SessionView,
              "How a migration stands and performs: state, progress, rates, where the time goes, what it takes."),
        Route("DELETE", "/{id}", "execution.forget", ForgetParams, ForgetView,
              "Remove what is on record of it, when it has ended; its files stay."),
        Route("GET", "/{id}/view", "execution.get", api.GetParams, api.ExecutionView,
              "How a migration stands, without its analysis."),
        Route("GET", "/{id}/files", "execution.files", api.FilesParams, api.TaskPage,
              "Page through its entries, filtered by a selector."),
        Route("GET", "/{id}/errors", "execution.errors", one, ErrorGroups,
              "Its failures, grouped by cause, with advice."),
        Route("GET", "/{id}/breakdown", "execution.breakdown", BreakdownParams, Breakdown,
              "Its progress by type, size or directory."),
        Route("GET", "/{id}/timeline", "execution.timeline", one, TimelineView, "What happened to it and when."),
        Route("GET", "/{id}/large-files", "execution.large_files", LargeFilesParams, LargeFiles,
              "Large files at hand, with rate and time left."),
        Route("GET", "/{id}/batches", "execution.batches", one, Batches, "Its batches compared."),
        Route("GET", "/{id}/why", "execution.why", WhyParams, WhyView, "Why it is not faster, in a sentence."),
        Route("GET", "/{id}/report", "execution.report", one, ReportView, "How it went: score, cost, similar ones."),
        Route("POST", "/{id}/verify", "execution.verify", one, api.ExecutionView, "Start to re-read its targets."),
        Route("GET", "/{id}/interventions", "execution.interventions", one, InterventionList,
              "Who changed what about it."),
        Route("POST", "/{id}/interventions", "execution.intervene", InterveneParams, InterventionResult,
              "Change it while it runs; with dry_run, say what that would mean.", 200, "request_id"),
        Route("DELETE", "/{id}/interventions/{intervention}", "execution.undo", UndoParams, InterventionResult,
              "Take a change back."),
        Route("POST", "/history", "history.query", HistoryParams, HistoryView,
              "What was measured over a time, at most so many points of each series (a question too long for a URL)."),
        Route("GET", "/history/series", "history.series", HistorySeriesParams, SeriesPage,
              "Page through the series that the history has."),
        Route("GET", "/metrics", "metrics.list", api.Nothing, MetricList, "What every metric means."),
        Route("GET", "/metrics/latest", "metrics.latest", SamplesParams, Samples, "The newest sample of every series."),
        Route("GET", "/notes", "metrics.notes", NotesParams, Notes, "What collectors were told in words of late."),
        Route("GET", "/reports", "report.since", ReportSinceParams, PeriodReport, "What was moved over a time."),
        Route("GET", "/compare", "execution.compare", CompareParams, ComparisonView, "Compare two to five migrations."),
        Route("GET", "/export", "report.export", ExportParams, ExportPage, "Page through a table of data."),
        Route("GET", "/alerts", "alerts.list", alert_api.AlertsParams, alert_api.AlertPage,
              "Alerts that are pending or firing, worst first; or those that are silenced; or those of the past."),
        Route("POST", "/alerts/{alert}/acknowledge", "alerts.acknowledge", alert_api.AckParams, alert_api.AlertView,
              "Say that somebody sees to an alert."),
        Route("GET", "/alerts/deliveries", "alerts.deliveries", DeliveriesParams, DeliveryList,
              "The newest calls of alert actions."),
        Route("GET", "/alerts/silences", "alerts.silences", api.Nothing, alert_api.SilenceList,
              "The silences in force."),
        Route("POST", "/alerts/silences", "alerts.silence", alert_api.SilenceParams, alert_api.SilenceView,
              "Call no actions for matching alerts for a while.", 201),
        Route("DELETE", "/alerts/silences/{silence}", "alerts.unsilence", alert_api.UnsilenceParams,
              alert_api.SilenceView, "End a silence."),
        Route("GET", "/alerts/rules", "rules.list", api.Nothing, alert_api.RuleList, "All alert rules by name."),
        Route("POST", "/alerts/rules", "rules.put", alert_api.RulePutParams, alert_api.RuleView,
              "Make an alert rule.", 201),
        Route("POST", "/alerts/rules/test", "rules.test", alert_api.RuleTestParams, alert_api.RuleTestView,
              "Replay a rule over stored history: how often it would have fired, when and for how long."),
        Route("GET", "/alerts/rules/{rule}", "rules.get", alert_api.RuleParams, alert_api.RuleView, "One alert rule."),
        Route("PUT", "/alerts/rules/{replace}", "rules.put", alert_api.RulePutParams, alert_api.RuleView,
              "Put a rule in the place of another."),
        Route("DELETE", "/alerts/rules/{rule}", "rules.remove", alert_api.RuleParams, api.Acknowledged,
              "Remove a rule; a built-in one that was edited is as it was before."),
        Route("POST", "/alerts/rules/{rule}/enable", "rules.enable", alert_api.RuleEnableParams, alert_api.RuleView,
              "Enable or disable a rule."),
        Route("GET", "/{id}/rollback", "execution.rollback_plan", RollbackPlanParams, RollbackOutlook,
              "What undoing it would do; nothing is changed."),
        Route("POST", "/{id}/rollback", "execution.rollback", RollbackParams, api.ExecutionView,
              "Undo what it did; returns the migration that does so.", 201, "request_id"),
        Route("GET", "/dashboards", "dashboard.list", api.Nothing, DashboardList, "List the dashboards that you made."),
        Route("PUT", "/dashboards", "dashboard.put", PutDashboardParams, DashboardView,
              "Keep a dashboard; your older one of that name is replaced."),
        Route("DELETE", "/dashboards", "dashboard.remove", DashboardNameParams, api.Acknowledged,
              "Remove one of your dashboards."),
        Route("GET", "/status", "system.status", api.Nothing, daemon_api.Status, "How the daemon is."),
        Route("GET", "/doctor", "system.doctor", api.Nothing, daemon_api.Checks, "Whether all is well there."),
        Route("GET", "/sessions", "session.list", api.Nothing, PersonSessions, "Who is signed in."),
        Route("DELETE", "/sessions/{session}", "session.close", CloseParams, api.Acknowledged, "Sign a session out."),
    )  # fmt: skip
