"""The methods about dashboards that people make."""

from __future__ import annotations

from migmond.domain import api
from migmond.domain.dashboards import DashboardList, DashboardNameParams, DashboardView, PutDashboardParams
from migmond.domain.identity import Role
from migmond.rpc.registry import Context, Method, Registry


async def _list(ctx: Context, params: api.Nothing) -> DashboardList:
    return ctx.backend.dashboards.all(ctx.session.peer)


async def _put(ctx: Context, params: PutDashboardParams) -> DashboardView:
    return ctx.backend.dashboards.put(ctx.session.peer, params)


async def _remove(ctx: Context, params: DashboardNameParams) -> api.Acknowledged:
    ctx.backend.dashboards.remove(ctx.session.peer, params.name)
    return api.Acknowledged()


def add_dashboards(registry: Registry) -> None:
    """Add these methods."""
    registry.add(
        Method("dashboard.list", Role.VIEWER, api.Nothing, DashboardList,
               "List the calling user's dashboards.", _list),
        Method("dashboard.put", Role.VIEWER, PutDashboardParams, DashboardView,
               "Keep a dashboard for the calling user; an older one of that name is replaced.", _put),
        Method("dashboard.remove", Role.VIEWER, DashboardNameParams, api.Acknowledged,
               "Remove one of the calling user's dashboards.", _remove),
    )  # fmt: skip
