"""`migmon alerts` and `migmon rules` against a real daemon."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import EmbeddedDaemon

CONFIGURATION = '[monitor]\ninterval = "200ms"\n[history]\nflush_every = "1s"\n'


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path / "daemon", CONFIGURATION) as running:
        yield running


def fires(daemon: EmbeddedDaemon) -> bool:
    found = json.loads(daemon.migmon("alerts", "--json", "--rule", "crawling").stdout)["data"]["alerts"]
    return any(alert["state"] == "firing" for alert in found)


def test_a_rule_from_making_it_to_its_end(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(64 << 20))
    assert "no alerts" in daemon.migmon("alerts").stdout
    made = daemon.migmon(
        "rules", "add", "crawling", "--when", "avg(migmond_execution_bytes_per_second[1s]) < 32MiB/s for 500ms",
        "--severity", "error", "--cooldown", "10m", "--description", "It crawls",
    )  # fmt: skip
    assert "crawling (r-1), error" in made.stdout
    assert "avg(migmond_execution_bytes_per_second[1s]) < 32MiB/s for 0.5s" in made.stdout
    assert "Undo: migmon rules rm crawling" in made.stderr
    started = daemon.migmon(
        "run", str(source), str(tmp_path / "target"), "--name", "photos", "--io", "4MiB/s", "--detach"
    )
    assert started.returncode == 0
    deadline = time.monotonic() + 30
    while not fires(daemon):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    listed = daemon.migmon("alerts").stdout
    assert "✗error" in listed
    assert "photos" in listed
    assert "< 32 MiB/s" in listed
    assert "It crawls" in listed
    assert "It crawls" in daemon.migmon("show", "photos").stdout
    assert "alert: crawling" in daemon.migmon("top").stdout
    silence = daemon.migmon("alerts", "silence", "crawling", "--for", "2h", "--reason", "known")
    assert "s-1: silenced for 2 h" in silence.stdout
    (shown,) = daemon.migmon("alerts", "silences").stdout.splitlines()[1:]
    assert "known" in shown
    assert "crawling" in shown
    assert "s-1: ended" in daemon.migmon("alerts", "unsilence", "s-1").stdout
    id_ = json.loads(daemon.migmon("alerts", "--json", "--rule", "crawling").stdout)["data"]["alerts"][0]["id"]
    assert f"{id_} (crawling): acknowledged by" in daemon.migmon("alerts", "ack", id_, "--note", "on it").stdout
    assert "on it" in daemon.migmon("alerts").stdout
    daemon.migmon("rules", "disable", "crawling")
    past = daemon.migmon("alerts", "--history", "--rule", "crawling").stdout
    assert "it was disabled" in past
    while "would have fired 1×" not in daemon.migmon("rules", "test", "crawling", "--since", "2m").stdout:
        assert time.monotonic() < deadline + 30
        time.sleep(0.5)
    never = daemon.migmon("rules", "test", "--when", "migmond_execution_bytes_per_second > 1TiB", "--since", "2m")
    assert "would not have fired" in never.stdout
    edited = daemon.migmon("rules", "edit", "crawling", "--when", "migmond_execution_movers < 1", "--severity", "info")
    assert "migmond_execution_movers < 1" in edited.stdout
    assert "It crawls" in edited.stdout
    assert "crawling" in daemon.migmon("rules", "ls").stdout
    calling = daemon.migmon("rules", "edit", "crawling", "--action", "throttle:io_bytes_per_s=2MiB,on_resolve=false")
    assert "  action throttle io_bytes_per_s=2MiB on_resolve=false\n" in calling.stdout
    resuming = daemon.migmon("rules", "edit", "crawling", "--action", "pause:resume=true,lasts=2h")
    assert "  action pause resume=true lasts=2h\n" in resuming.stdout
    empty = daemon.migmon("rules", "edit", "crawling", "--without", "actions", "--label", "team=disks")
    assert "  action pause" not in empty.stdout
    assert "label team=disks" in empty.stdout
    refused = daemon.migmon("rules", "edit", "crawling", "--inhibits", "crawling", check=False)
    assert "crawling → crawling" in refused.stderr
    daemon.migmon("rules", "rm", "crawling")
    assert "crawling" not in daemon.migmon("rules", "ls").stdout
    daemon.migmon("cancel", "photos", "-y")


def test_mistakes_say_where_and_what_to_do(daemon: EmbeddedDaemon) -> None:
    place = daemon.migmon("rules", "add", "x", "--when", "avg(migmond_execution_movers < 1", check=False)
    assert place.returncode == 2
    assert "at character 30: avg(migmond_execution_movers ▸ < 1" in place.stderr
    near = daemon.migmon("rules", "add", "x", "--when", "migmond_execution_mover < 1", check=False)
    assert "did you mean migmond_execution_movers?" in near.stderr
    action = daemon.migmon(
        "rules", "add", "x", "--when", "migmond_execution_movers < 1", "--action", "a:b", check=False
    )
    assert "is not NAME=VALUE" in action.stderr
    assert daemon.migmon("rules", "show", "nope", check=False).returncode == 4
    assert daemon.migmon("alerts", "ack", "a-9", check=False).returncode == 4
    assert daemon.migmon("rules", "test", check=False).returncode == 2
    builtin = daemon.migmon("rules", "rm", "stalled", check=False)
    assert "migmon rules disable stalled" in builtin.stderr
