"""What the configuration means for each part of the daemon: settings in, what the part takes out."""

from __future__ import annotations

import grp
import itertools
import os
from pathlib import Path

import msgspec

from migmond.analytics.tiers import WIDTHS_S
from migmond.config.load import DEFAULT_ORIGIN, Config
from migmond.daemon.sign_in import SignInSettings
from migmond.engine.settings import EngineSettings
from migmond.planning.shares import Whole
from migmond.planning.timetable import parse_rates
from migmond.planning.turns import TurnLimits
from migmond.plugin_api.specs import HistoryContext, StorageContext
from migmond.rpc.peer import RoleGroups


def storage_context(state_directory: Path, config: Config) -> StorageContext:
    """Return what the storage is told."""
    return StorageContext(state_directory, config.size("journal", "ballast"))


def history_context(state_directory: Path, config: Config) -> HistoryContext:
    """Return what the history is told. A finer tier is never kept for longer than a coarser one: it answers for it."""
    keys = ("keep_2s", "keep_10s", "keep_1min", "keep_1h")
    kept = itertools.accumulate((config.seconds("history", key) for key in keys), max)
    return HistoryContext(state_directory, dict(zip(WIDTHS_S, kept, strict=True)), config.size("history", "spare"))


def backup_settings(config: Config) -> tuple[float, int]:
    """Return how often to back the journal up, in seconds, and how many backups to keep."""
    return config.seconds("journal", "backup_every"), config.settings.journal.backup_keep


def retention_settings(config: Config) -> tuple[int, float]:
    """Return how many executions that have ended are kept, and for how many seconds."""
    return config.settings.journal.keep_executions, config.seconds("journal", "keep_for")


def engine_settings(config: Config) -> EngineSettings:
    """Return what the engine is told by the configuration."""
    s = config.settings
    return EngineSettings(
        workers=s.movers.workers,
        stall_after_s=config.seconds("movers", "stall_after"),
        restart_limit=s.movers.restart_limit,
        group_entries=s.commit.entries,
        group_bytes=config.size("commit", "size"),
        group_idle_s=config.seconds("commit", "idle"),
        group_age_s=config.seconds("commit", "age"),
        attempts=s.retries.attempts,
        changed_attempts=s.retries.changed_attempts,
        hold_s=config.seconds("movers", "retry_held"),
        machine_code=s.movers.machine_code,
        io_priority=s.movers.io_priority,
        turns=TurnLimits(**msgspec.structs.asdict(s.executions)),
    )


def whole_of(config: Config) -> Whole:
    """Return what all executions together may do."""
    limits = config.settings.limits
    return Whole(parse_rates(limits.io), limits.ops, parse_rates(limits.disk_io), limits.disk_ops)


def role_groups(config: Config, *, user_daemon: bool) -> RoleGroups:
    """Look up the groups of the configuration; those that this machine does not have give nobody a role.

    Args:
        user_daemon: it is somebody's own, and they are its admin.
    """
    roles = config.settings.roles
    return RoleGroups(
        _gid(roles.admin_group),
        _gid(roles.operator_group),
        _gid(roles.viewer_group),
        os.geteuid() if user_daemon else None,
        _gid(config.settings.web.group),
    )


def sign_in_settings(config: Config) -> SignInSettings:
    """Return how people may sign in."""
    web = config.settings.web
    return SignInSettings(
        config.seconds("web", "session"), Path(web.passwords) if web.passwords else None, web.trust_proxy
    )


def missing_groups(config: Config) -> list[str]:
    """Return a sentence for each group that the configuration names and this machine does not have."""
    return [
        f"there is no group {name!r}: {value.key} gives nobody a role ({value.origin})"
        for value in config.values("roles")
        if value.origin != DEFAULT_ORIGIN
        and (name := getattr(config.settings.roles, value.key.partition(".")[2]))
        and _gid(name) is None
    ]


def _gid(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
