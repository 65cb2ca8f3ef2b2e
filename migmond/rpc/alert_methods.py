"""The methods that are about alerts, thin."""

from __future__ import annotations

from typing import Any

from migmond.domain import alert_api as a
from migmond.domain import api
from migmond.domain.identity import Role
from migmond.rpc.registry import Context, Method

_VIEWER, _OPERATOR = Role.VIEWER, Role.OPERATOR


async def _list(ctx: Context, params: a.AlertsParams) -> a.AlertPage:
    return await ctx.backend.alerts.list_alerts(ctx.session.peer, params)


async def _acknowledge(ctx: Context, params: a.AckParams) -> a.AlertView:
    return await ctx.backend.alerts.acknowledge(ctx.session.peer, params)


async def _silence(ctx: Context, params: a.SilenceParams) -> a.SilenceView:
    return await ctx.backend.alerts.silence(ctx.session.peer, params)


async def _unsilence(ctx: Context, params: a.UnsilenceParams) -> a.SilenceView:
    return await ctx.backend.alerts.unsilence(ctx.session.peer, params.silence)


async def _silences(ctx: Context, params: api.Nothing) -> a.SilenceList:
    return await ctx.backend.alerts.list_silences(ctx.session.peer)


async def _rules(ctx: Context, params: api.Nothing) -> a.RuleList:
    return await ctx.backend.alerts.list_rules(ctx.session.peer)


async def _rule(ctx: Context, params: a.RuleParams) -> a.RuleView:
    return await ctx.backend.alerts.get_rule(ctx.session.peer, params.rule)


async def _put(ctx: Context, params: a.RulePutParams) -> a.RuleView:
    return await ctx.backend.alerts.put_rule(ctx.session.peer, params)


async def _remove(ctx: Context, params: a.RuleParams) -> api.Acknowledged:
    return await ctx.backend.alerts.remove_rule(ctx.session.peer, params.rule)


async def _enable(ctx: Context, params: a.RuleEnableParams) -> a.RuleView:
    return await ctx.backend.alerts.enable_rule(ctx.session.peer, params)


async def _test(ctx: Context, params: a.RuleTestParams) -> a.RuleTestView:
    return await ctx.backend.alerts.test_rule(ctx.session.peer, params)


def alert_methods() -> tuple[Method[Any, Any], ...]:
    """Return them as records."""
    return (
        Method("alerts.list", _VIEWER, a.AlertsParams, a.AlertPage,
               "Alerts that are pending or firing, worst first; or those that are silenced; or those of the past.",
               _list),
        Method("alerts.acknowledge", _OPERATOR, a.AckParams, a.AlertView,
               "Say that somebody sees to an alert: its actions are not called any more.", _acknowledge),
        Method("alerts.silence", _OPERATOR, a.SilenceParams, a.SilenceView,
               "Call no actions for matching alerts for a while; of an operator, for alerts of their own executions.",
               _silence),
        Method("alerts.unsilence", _OPERATOR, a.UnsilenceParams, a.SilenceView,
               "End a silence; what still fires calls its actions now.", _unsilence),
        Method("alerts.silences", _VIEWER, api.Nothing, a.SilenceList,
               "The silences in force.", _silences),
        Method("rules.list", _VIEWER, api.Nothing, a.RuleList,
               "All alert rules by name, built-in ones with them.", _rules),
        Method("rules.get", _VIEWER, a.RuleParams, a.RuleView,
               "One alert rule.", _rule),
        Method("rules.put", _OPERATOR, a.RulePutParams, a.RuleView,
               "Make an alert rule, or put it in place of another; of an operator, it looks at their own executions.",
               _put),
        Method("rules.remove", _OPERATOR, a.RuleParams, api.Acknowledged,
               "Remove an alert rule; a built-in one that was edited is as it was before.", _remove),
        Method("rules.enable", _OPERATOR, a.RuleEnableParams, a.RuleView,
               "Enable or disable an alert rule.", _enable),
        Method("rules.test", _VIEWER, a.RuleTestParams, a.RuleTestView,
               "Replay a rule over stored history: how often it would have fired, when and for how long.", _test),
    )  # fmt: skip
