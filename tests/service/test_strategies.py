"""A strategy of somebody's plugin, found by the daemon as any plugin is: what it proposes is shown."""

from __future__ import annotations

import os
from pathlib import Path

from daemon import EmbeddedDaemon
from patience import until

CODE = """
from migmond.plugin_api import Proposal, StrategySpec, hookimpl


def propose(snapshot, now):
    return [Proposal("batch", 20, f"{snapshot.metrics['pending']:.0f} entries wait", 0.5)]


@hookimpl
def migmond_strategies(settings):
    return [StrategySpec("small-batches", "Small batches, always.", propose)]
"""


class WithPlugin(EmbeddedDaemon):
    """A daemon beside whose packages another one is installed."""

    def __init__(self, home: Path, site: Path) -> None:
        information = site / "wise-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: wise\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text("[migmond]\nwise = wise\n")
        (site / "wise.py").write_text(CODE)
        self._site = site
        super().__init__(home, '[monitor]\ninterval = "200ms"\n')

    @property
    def environment(self) -> dict[str, str]:
        there = super().environment
        return {**there, "PYTHONPATH": os.pathsep.join([str(self._site), there["PYTHONPATH"]])}


def test_what_a_strategy_proposes_is_shown(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(300):
        (source / f"{number}").write_bytes(b"x" * 1000)
    with WithPlugin(tmp_path / "daemon", tmp_path / "site") as daemon:
        assert "strategy small-batches" in daemon.migmon("plugins").stdout
        daemon.migmon("run", str(source), str(tmp_path / "target"), "--name", "it", "--detach", "--io", "10KiB/s")
        until(lambda: "suggest: batches of 20 entries, +25% to +50%" in daemon.migmon("show", "it").stdout)
        daemon.migmon("cancel", "it", "-y")
