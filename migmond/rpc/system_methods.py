"""The methods that are about the daemon and its machine, thin."""

from __future__ import annotations

from typing import Any

import migmond
from migmond.domain import api, daemon_api
from migmond.domain.identity import Role
from migmond.domain.samples import MetricList, Notes, NotesParams, Samples, SamplesParams
from migmond.rpc.registry import Context, Method

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
    return await ctx.backend.system.status(ctx.session.peer)


async def _doctor(ctx: Context, params: api.Nothing) -> daemon_api.Checks:
    return await ctx.backend.system.doctor(ctx.session.peer)


async def _backup(ctx: Context, params: api.Nothing) -> daemon_api.Backup:
    return await ctx.backend.system.backup(ctx.session.peer)


async def _plugins(ctx: Context, params: api.Nothing) -> daemon_api.PluginList:
    return await ctx.backend.system.plugins(ctx.session.peer)


async def _config(ctx: Context, params: daemon_api.ConfigParams) -> daemon_api.ConfigValues:
    return await ctx.backend.system.config(ctx.session.peer, params.key)


async def _metrics(ctx: Context, params: api.Nothing) -> MetricList:
    return await ctx.backend.system.metrics(ctx.session.peer)


async def _samples(ctx: Context, params: SamplesParams) -> Samples:
    return await ctx.backend.system.samples(ctx.session.peer, params)


async def _notes(ctx: Context, params: NotesParams) -> Notes:
    return await ctx.backend.system.notes(ctx.session.peer, params)


def system_methods() -> tuple[Method[Any, Any], ...]:
    """Return them as records."""
    return (
        Method("system.hello", Role.GUEST, daemon_api.HelloParams, daemon_api.Hello,
               "Say who you are; returns versions, your role and this connection's limits.", _hello),
        Method("system.methods", Role.GUEST, api.Nothing, daemon_api.MethodList,
               "List every method with the JSON Schema of its parameters and result.", _methods),
        Method("system.status", _VIEWER, api.Nothing, daemon_api.Status,
               "How the daemon is: executions by state, movers, clients, memory, plugins.", _status),
        Method("system.doctor", _VIEWER, api.Nothing, daemon_api.Checks,
               "Check journal, disk space, plugins and event loop.", _doctor),
        Method("system.backup", Role.ADMIN, api.Nothing, daemon_api.Backup,
               "Back the journal up now, beside it; of all backups the newest are kept.", _backup),
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
    )  # fmt: skip
