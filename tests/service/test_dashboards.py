"""Dashboards that people make: kept over restarts, each person's own, and nothing that is not sound."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon import EmbeddedDaemon
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.daemon.dashboards import Dashboards
from migmond.domain import api
from migmond.domain.dashboards import (
    MAX_DASHBOARDS,
    Dashboard,
    DashboardList,
    DashboardNameParams,
    DashboardView,
    Panel,
    PanelKind,
    PutDashboardParams,
)
from migmond.domain.history import SeriesSelector
from migmond.domain.identity import Identity, Peer, Role

MINE = Dashboard("disks", (Panel(PanelKind.CHART, "busy", (SeriesSelector("migmond_disk_busy_ratio"),)),))


class _Clock:
    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 1e9


def test_a_dashboard_outlives_the_daemon(tmp_path: Path) -> None:
    with EmbeddedDaemon(tmp_path / "home") as daemon:
        with Client(daemon.socket) as client:
            client.call("dashboard.put", PutDashboardParams(MINE), DashboardView)
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
        daemon.start()
        with Client(daemon.socket) as client:
            kept = client.call("dashboard.list", api.Nothing(), DashboardList).dashboards
            assert [k.dashboard for k in kept] == [MINE]
            other = msgspec.structs.replace(MINE, name="other")
            client.call("dashboard.put", PutDashboardParams(other, rename_from="disks"), DashboardView)
            kept = client.call("dashboard.list", api.Nothing(), DashboardList).dashboards
            assert [k.dashboard.name for k in kept] == ["other"]
            client.call("dashboard.remove", DashboardNameParams("other"), api.Acknowledged)
            with pytest.raises(RemoteError) as e:
                client.call("dashboard.remove", DashboardNameParams("other"), api.Acknowledged)
            assert e.value.kind == "not_found"


def test_everybody_has_their_own_and_no_more_than_so_many(tmp_path: Path) -> None:
    kept = Dashboards(tmp_path / "dashboards", _Clock())
    ana, ben = (Peer(Identity(uid, uid), Role.VIEWER) for uid in (1000, 1001))
    for number in range(MAX_DASHBOARDS):
        kept.put(ana, PutDashboardParams(Dashboard(f"d{number}")))
    with pytest.raises(Exception, match="50 dashboards"):
        kept.put(ana, PutDashboardParams(Dashboard("one more")))
    kept.put(ana, PutDashboardParams(Dashboard("d0", MINE.panels)))  # replaced, not added
    assert kept.all(ben).dashboards == ()
    assert len(Dashboards(tmp_path / "dashboards", _Clock()).all(ana).dashboards) == MAX_DASHBOARDS


def test_a_broken_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "dashboards").write_bytes(b"rubbish")
    kept = Dashboards(tmp_path / "dashboards", _Clock())
    assert kept.all(Peer(Identity(0, 0), Role.ADMIN)).dashboards == ()
    assert (tmp_path / "dashboards.broken").read_bytes() == b"rubbish"


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"version": 2},
        {"panels": (Panel(PanelKind.TILE, "t", width=5),)},
        {"panels": (Panel(PanelKind.TILE, "t", span_s=float("nan")),)},
        {"panels": (Panel(PanelKind.TILE, "t" * 101),)},
        {"panels": (Panel(PanelKind.TILE, "t", (SeriesSelector("x" * 201),)),)},
        {"panels": (Panel(PanelKind.TILE, "t", (SeriesSelector("x"),) * 9),)},
        {"panels": (Panel(PanelKind.TILE, "t"),) * 25},
    ],
)
def test_what_is_not_sound_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    kept = Dashboards(tmp_path / "dashboards", _Clock())
    peer = Peer(Identity(0, 0), Role.ADMIN)
    with pytest.raises(Exception, match=r"dashboard|panel"):
        kept.put(peer, PutDashboardParams(msgspec.structs.replace(MINE, **change)))
    assert kept.all(peer).dashboards == ()
