"""Keeps the dashboards that people make: a small file of its own, for none of it is worth a row in the journal."""

from __future__ import annotations

from pathlib import Path

import msgspec

from migmond.daemon.kept_file import replace
from migmond.domain.dashboards import (
    MAX_DASHBOARDS,
    MAX_NAME,
    MAX_PANELS,
    MAX_SERIES,
    VERSION,
    Dashboard,
    DashboardList,
    DashboardView,
    KeptDashboard,
    Panel,
    PutDashboardParams,
)
from migmond.domain.decoding import from_msgpack
from migmond.domain.errors import InvalidInput, LimitExceeded, NotFound, about
from migmond.domain.identity import Peer
from migmond.engine.views import time_text
from migmond.ports import Clock

_MAX_SPAN_S = 400 * 86_400.0


class Dashboards:
    """Everybody's.

    Args:
        path: of the file that they are kept in; one that cannot be read counts as empty and is kept as `.broken`.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._kept = {(k.uid, k.dashboard.name): k for k in _read(path)}

    def all(self, peer: Peer) -> DashboardList:
        """Return those of `peer`."""
        own = [k for (uid, _), k in sorted(self._kept.items()) if uid == peer.identity.uid]
        return DashboardList(tuple(_view(k) for k in own))

    def put(self, peer: Peer, params: PutDashboardParams) -> DashboardView:
        """Keep one; it is durable on return.

        Raises:
            InvalidInput: it is not sound.
            LimitExceeded: `peer` has too many.
            NotFound: there is none of the old name.
        """
        dashboard, uid = params.dashboard, peer.identity.uid
        with about("dashboard"):
            _check(dashboard)
        kept = dict(self._kept)
        if params.rename_from and kept.pop((uid, params.rename_from), None) is None:
            raise NotFound(
                f"you have no dashboard {params.rename_from[:MAX_NAME]!r}", hint="dashboard.list shows yours"
            )
        if (uid, dashboard.name) not in kept and sum(1 for u, _ in kept if u == uid) >= MAX_DASHBOARDS:
            raise LimitExceeded(f"you have {MAX_DASHBOARDS} dashboards", hint="remove some")
        made = kept[uid, dashboard.name] = KeptDashboard(uid, dashboard, self._clock.wall())
        self._write(kept)
        return _view(made)

    def remove(self, peer: Peer, name: str) -> None:
        """Forget one. Raises NotFound."""
        kept = dict(self._kept)
        if kept.pop((peer.identity.uid, name), None) is None:
            raise NotFound(f"you have no dashboard {name[:MAX_NAME]!r}", hint="dashboard.list shows yours")
        self._write(kept)

    def _write(self, kept: dict[tuple[int, str], KeptDashboard]) -> None:
        replace(self._path, msgspec.msgpack.encode(list(kept.values())), durable=True)
        self._kept = kept


def _read(path: Path) -> list[KeptDashboard]:
    try:
        return from_msgpack(path.read_bytes(), list[KeptDashboard])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError):
        if path.exists():
            path.replace(path.with_suffix(".broken"))
        return []


def _view(kept: KeptDashboard) -> DashboardView:
    return DashboardView(kept.dashboard, time_text(kept.changed_at))


def _check(dashboard: Dashboard) -> None:
    if dashboard.version != VERSION:
        hint = f"this migmond takes version {VERSION}"
        raise InvalidInput(f"a dashboard of version {dashboard.version}", hint=hint, field="version")
    if not dashboard.name.strip() or len(dashboard.name) > MAX_NAME or not dashboard.name.isprintable():
        raise InvalidInput("a dashboard needs a name", hint=f"printable, at most {MAX_NAME} characters", field="name")
    if len(dashboard.panels) > MAX_PANELS:
        raise InvalidInput(f"{len(dashboard.panels)} panels", hint=f"at most {MAX_PANELS}", field="panels")
    for position, panel in enumerate(dashboard.panels):
        with about(f"panels[{position}]"):
            _check_panel(position + 1, panel)


def _check_panel(number: int, panel: Panel) -> None:
    if len(panel.title) > MAX_NAME or len(panel.execution) > MAX_NAME:
        field = "title" if len(panel.title) > MAX_NAME else "execution"
        raise InvalidInput(f"panel {number}: a text is too long", hint=f"at most {MAX_NAME} characters", field=field)
    if not 1 <= panel.width <= 4:
        raise InvalidInput(f"panel {number}: width {panel.width}", hint="1 to 4", field="width")
    if not 60 <= panel.span_s <= _MAX_SPAN_S:  # this way round NaN is refused too
        raise InvalidInput(f"panel {number}: span_s {panel.span_s}", hint="a minute to 400 days", field="span_s")
    if len(panel.select) > MAX_SERIES:
        raise InvalidInput(f"panel {number}: {len(panel.select)} metrics", hint=f"at most {MAX_SERIES}", field="select")
    for wanted in panel.select:
        texts = (wanted.metric, *wanted.labels.keys(), *wanted.labels.values())
        if len(wanted.labels) > MAX_SERIES or any(len(text) > 200 for text in texts):
            long = f"panel {number}: a metric or label is too long"
            raise InvalidInput(long, hint="migmon metrics lists them", field="select")
