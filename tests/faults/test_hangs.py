"""A disk that answers no more: the real daemon does, and says which file hangs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import sickfs
import trees
from daemon import EmbeddedDaemon
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.plan import Operation
from oracle import differences
from patience import until
from sickfs import sick_fs

pytestmark = pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")

CONFIGURATION = '[movers]\nstall_after = "1s"\nworkers = 1\n'


@pytest.mark.hazard(23)
@pytest.mark.parametrize(("hanging", "operation"), [("source", "read"), ("target", "write"), ("target", "fsync")])
def test_a_disk_that_hangs_keeps_nobody_else_waiting(tmp_path: Path, hanging: str, operation: str) -> None:
    with sick_fs(tmp_path / "disk") as sick, EmbeddedDaemon(tmp_path / "daemon", CONFIGURATION) as daemon:
        source = (sick.root if hanging == "source" else tmp_path) / "source"
        target = (sick.root if hanging == "target" else tmp_path) / "target"
        trees.small_files(source, 20, 3000, random.Random(1))
        sick.fall_ill(operation, path="*/f0000007" if hanging == "source" else "*", hang=True)
        with Client(daemon.socket) as client:

            def view() -> api.ExecutionView:
                return client.call("execution.get", api.ExecutionParams(started.id), api.ExecutionView)

            spec = api.PlanSpec((api.SourceSpec(str(source)),), str(target), operation=Operation.MOVE)
            started = client.call("execution.start", api.StartParams(spec), api.ExecutionView)
            sick.until_hanging()
            until(lambda: "hangs" in view().why, "it does not say that something hangs")
            if hanging == "source":
                assert "f0000007" in view().why
            for _ in range(3):  # nobody waits for that disk
                assert daemon.migmon("ls", timeout_s=60).returncode == 0
            trees.small_files(tmp_path / "other", 5, 100, random.Random(2))
            daemon.migmon("run", f"{tmp_path}/other/", f"{tmp_path}/beside")
            sick.heal()
            until(lambda: view().finished_at is not None, "it does not go on")
            assert view().state == "completed"
    assert len(list((tmp_path / ("disk/backing" if hanging == "target" else "") / "target").rglob("f*"))) == 20
    assert not source.exists()
    assert differences(tmp_path / "other", tmp_path / "beside") == []
