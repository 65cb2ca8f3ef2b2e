"""Movers that a daemon keeps ready: a migration begins with them, nobody counts them, and they end with it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from daemon import EmbeddedDaemon, wait_gone
from migmond.client.sync import Client
from migmond.domain import api, daemon_api
from migmond.fsys import machine_code
from patience import until

TIMEOUT_S = 30


def warm(daemon: EmbeddedDaemon) -> set[int]:
    until(lambda: len(daemon.children()) == 3)
    return set(daemon.children())


def test_a_small_migration_takes_two_of_the_spares_and_others_come(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"content")
    with EmbeddedDaemon(tmp_path / "daemon") as daemon, Client(daemon.socket) as client:
        spares = warm(daemon)
        assert client.call("system.status", api.Nothing(), daemon_api.Status).movers == 0
        daemon.migmon("run", "-q", str(source), str(tmp_path / "target"))
        used = warm(daemon)
        assert len(used & spares) == 1  # a second one that copies was not needed
        until(lambda: client.call("system.status", api.Nothing(), daemon_api.Status).movers == 0)
    assert (tmp_path / "target" / "file").read_bytes() == b"content"


def test_spares_end_with_their_daemon(tmp_path: Path) -> None:
    with EmbeddedDaemon(tmp_path / "daemon") as daemon:
        spares = list(warm(daemon))
        daemon.kill(movers=False)
        wait_gone(spares)
        daemon.start()
        spares = list(warm(daemon))
        daemon.stop()
        assert not any(psutil.pid_exists(pid) for pid in spares)


def test_none_is_kept_where_none_is_wanted(tmp_path: Path) -> None:
    with EmbeddedDaemon(tmp_path / "daemon", "[movers]\nspare = 0\n") as daemon:
        (tmp_path / "source").mkdir()
        daemon.migmon("run", "-q", str(tmp_path / "source"), str(tmp_path / "target"))
        until(lambda: daemon.children() == [])


@pytest.mark.parametrize("wanted", [False, True])
def test_doctor_says_what_copies_small_files(tmp_path: Path, *, wanted: bool) -> None:
    settings = f"[movers]\nmachine_code = {str(wanted).lower()}\n"
    with EmbeddedDaemon(tmp_path / "daemon", settings) as daemon:
        said = next(line for line in daemon.migmon("doctor").stdout.splitlines() if "small files" in line)
    if not wanted:
        assert "movers.machine_code" in said
    else:
        assert ("copied by machine code" in said) is machine_code.built()
