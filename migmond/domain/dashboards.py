"""Dashboards that people make for themselves: what the daemon keeps, and how they travel (also to and from files)."""

from __future__ import annotations

import enum

import msgspec

from migmond.domain.api import Params, Result
from migmond.domain.history import SeriesSelector

MAX_DASHBOARDS = 50
"""Of one user."""
MAX_PANELS = 24
MAX_SERIES = 8
"""Metrics in one panel."""
MAX_NAME = 100
VERSION = 1
"""Of the form; a file with another one is refused."""


class PanelKind(enum.StrEnum):
    CHART = "chart"
    """What was measured, over time."""
    TILE = "tile"
    """The newest value of one metric."""
    TABLE = "table"
    """The newest values of all series of the metrics; without any, the live migrations."""
    TIMELINE = "timeline"
    """What happened: states, interventions, alerts."""


class Panel(Params, frozen=True):
    """`width`: columns of four. `span_s`: how far a chart or timeline looks back. `execution`: only this one's, id or
    name; "" for all."""

    kind: PanelKind
    title: str
    select: tuple[SeriesSelector, ...] = ()
    width: int = 2
    span_s: float = 3600.0
    execution: str = ""


class Dashboard(Params, frozen=True):
    """Panels in reading order."""

    name: str
    panels: tuple[Panel, ...] = ()
    version: int = VERSION


class PutDashboardParams(Params, frozen=True):
    """`dashboard` replaces the caller's one of that name; `rename_from`: its old name, when that changes."""

    dashboard: Dashboard
    rename_from: str = ""


class DashboardNameParams(Params, frozen=True):
    name: str


class DashboardView(Result, frozen=True):
    """`changed_at`: RFC 3339."""

    dashboard: Dashboard
    changed_at: str


class DashboardList(Result, frozen=True):
    """The caller's own, by name."""

    dashboards: tuple[DashboardView, ...]


class KeptDashboard(msgspec.Struct, frozen=True):
    """As it is kept. `changed_at`: wall clock seconds."""

    uid: int
    dashboard: Dashboard
    changed_at: float
