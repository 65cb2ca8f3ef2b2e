"""Parameter and result types of the socket API that are about the daemon itself; `api` says what all of them keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migmond.domain.api import Params, Result


class HelloParams(Params, frozen=True):
    """Who calls, for the daemon's log: the program's name and version."""

    client: str = ""
    version: str = ""


class Hello(Result, frozen=True):
    """`role`: what this connection may do. Limits are per connection."""

    server: str
    version: str
    api_version: int
    role: str
    uid: int
    max_frame_bytes: int
    max_outstanding_requests: int
    max_write_queue_bytes: int


class MethodView(Result, frozen=True):
    """`params` and `result` are JSON Schemas whose references point into `MethodList.schemas`."""

    name: str
    role: str
    help: str
    params: dict[str, Any]
    result: dict[str, Any]


class MethodList(Result, frozen=True):
    """Methods by name; `schemas`: the JSON Schemas that theirs refer to, by name."""

    methods: tuple[MethodView, ...]
    schemas: dict[str, Any]


class PluginView(Result, frozen=True):
    """`state`: `active`, `disabled`, `invalid`, `conflict`, `quarantined`; `reason` says why when not active."""

    name: str
    package: str
    version: str
    state: str
    reason: str
    provides: tuple[str, ...]
    failures: int


class PluginList(Result, frozen=True):
    """All that were found, also those that are not active."""

    plugins: tuple[PluginView, ...]


class Status(Result, frozen=True):
    """How the daemon is. `uptime_s`: seconds since it serves; `resident_bytes`: its memory, without its movers'.

    `executions`: how many the caller may see, by state. `movers`: processes, those that wait for work as well.
    `loop_lag_max_s`: the longest that anybody waited for the main loop of late, in seconds.
    """

    version: str
    pid: int
    socket: str
    state_directory: str
    user_daemon: bool
    uptime_s: float
    resident_bytes: int
    clients: int
    subscriptions: int
    executions: dict[str, int]
    movers: int
    loop_lag_max_s: float
    plugins: tuple[PluginView, ...]
    journal_trouble: str = ""
    """Damage, or a full disk; "" when the journal is well."""
    config_trouble: str = ""
    loop_lag_by: str = ""
    """The task whose step took most of `loop_lag_max_s`."""
    loop_work_max_s: float = 0.0
    """As `loop_lag_max_s`, by the CPU time of the loop alone: without what others on the machine took meanwhile."""
    loop_work_by: str = ""
    alerts: Mapping[str, int] = {}
    """How many alerts fire, by severity, worst first."""


class Check(Result, frozen=True):
    """`severity`: `ok`, `warning`, `error`."""

    name: str
    severity: str
    message: str
    hint: str = ""


class Checks(Result, frozen=True):
    """What was looked at, whatever was found."""

    checks: tuple[Check, ...]


class Backup(Result, frozen=True):
    """A copy of the whole journal, which `migmond --restore` takes."""

    path: str
    at: str
    size_bytes: int


class ConfigParams(Params, frozen=True):
    """`key`: dotted key or prefix; "" for everything."""

    key: str = ""


class ConfigValue(Result, frozen=True):
    """`origin`: `default`, or file and line that set it. `value`: in force, as TOML. `pending`: after a restart."""

    key: str
    value: str
    origin: str
    help: str
    pending: str = ""


class ConfigValues(Result, frozen=True):
    """Settings by key."""

    values: tuple[ConfigValue, ...]
