"""Floor 2: all that a plugin needs to know. With `migmond.domain` and `migmond.ports` the only surface it imports.

A plugin is a module (or object) found through the entry-point group `migmond`. It implements hooks that *register*
typed specs; the work is done later by what the specs carry, each supervised on its own. See `example.py`, which runs.
"""

from migmond.domain.samples import NoData
from migmond.domain.telemetry import MetricKind
from migmond.plugin_api.hooks import PROJECT, hookimpl
from migmond.plugin_api.specs import (
    ActionFailed,
    AlertActionSpec,
    AlertNotice,
    CollectorSpec,
    HistoryContext,
    MetricDesc,
    Note,
    Proposal,
    Sample,
    Snapshot,
    StorageContext,
    StorageSpec,
    StrategySpec,
)

API_VERSION = 1
"""A plugin may state `MIGMOND_API_VERSION`; another number than this one is refused at load time."""

__all__ = [
    "API_VERSION",
    "PROJECT",
    "ActionFailed",
    "AlertActionSpec",
    "AlertNotice",
    "CollectorSpec",
    "HistoryContext",
    "MetricDesc",
    "MetricKind",
    "NoData",
    "Note",
    "Proposal",
    "Sample",
    "Snapshot",
    "StorageContext",
    "StorageSpec",
    "StrategySpec",
    "hookimpl",
]
