"""SIGHUP: what takes effect, what waits for a restart, and what is wrong, as people are told."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from daemon import EmbeddedDaemon


def reloaded(daemon: EmbeddedDaemon, text: str) -> str:
    """Let it read `text`; returns what it logged of that."""
    before = len(daemon.log())
    (daemon.home / "config" / "migmond.toml").write_text(text)
    os.kill(daemon.pid, signal.SIGHUP)
    deadline = time.monotonic() + 20
    while "reloaded" not in (said := daemon.log()[before:]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return said


def configuration(daemon: EmbeddedDaemon) -> dict[str, dict[str, Any]]:
    values = json.loads(daemon.migmon("config", "--json").stdout)["data"]["values"]
    return {v["key"]: v for v in values}


def test_what_waits_for_a_restart_is_not_shown_as_in_force(tmp_path: Path) -> None:
    with EmbeddedDaemon(tmp_path / "daemon") as daemon:
        assert "AFTER A RESTART" not in daemon.migmon("config").stdout
        reloaded(daemon, '[daemon]\ndrain_timeout = "5s"\n[movers]\nworkers = 3\n')
        found = configuration(daemon)
        assert found["daemon.drain_timeout"]["value"] == '"5s"'
        workers = found["movers.workers"]
        origin = f"{daemon.home}/config/migmond.toml:4"
        assert [workers[k] for k in ("value", "origin", "pending")] == ["0", "default", f"3 ({origin})"]
        assert "AFTER A RESTART" in daemon.migmon("config", "movers").stdout
        assert "! configuration: changed, not in force: movers.workers" in daemon.migmon("doctor").stdout
        reloaded(daemon, "# as it was\n")
        assert configuration(daemon)["movers.workers"].get("pending", "") == ""


def test_a_reload_that_failed_is_seen(tmp_path: Path) -> None:
    with EmbeddedDaemon(tmp_path / "daemon") as daemon:
        assert "no_such" in reloaded(daemon, "[movers]\nno_such = 1\n")
        doctor = daemon.migmon("doctor", check=False)
        assert doctor.returncode == 1
        assert "✗ configuration: not reloaded, the one before holds: " in doctor.stdout
        assert "the last reload changed nothing" in daemon.migmon("status").stdout
        reloaded(daemon, "# mended\n")
        assert "✓ configuration" in daemon.migmon("doctor").stdout


def test_the_level_of_the_log_is_reloaded(tmp_path: Path) -> None:
    quiet, loud = '[daemon]\nlog_level = "error"\n', '[daemon]\nlog_level = "info"\n'
    with EmbeddedDaemon(tmp_path / "daemon", quiet) as daemon:
        assert "serving" not in daemon.log()
        assert "reloaded" in reloaded(daemon, loud)
