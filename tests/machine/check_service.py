"""What holds on a machine whose systemd runs the units as they come. tests/service/test_systemd.py boots it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import trees
from migmond.cli.exits import Exit
from on_machine import DISK, MIGMON, OTHER, SERVICE, journal, movers, run, shown, until
from oracle import differences

DROP_INS = Path("/etc/migmond/migmond.conf.d")


@pytest.fixture(autouse=True)
def service() -> Iterator[None]:
    """The socket listens; nothing of an earlier check is left."""
    run("systemctl", "start", "migmond.socket")
    yield
    run("systemctl", "stop", "migmond.socket", SERVICE)
    run("systemctl", "reset-failed", SERVICE, check=False)
    assert movers() == []


@pytest.fixture(scope="module", autouse=True)
def people() -> None:
    """ana may use the daemon, eve may not. The groups come from sysusers."""
    run("useradd", "--create-home", "--user-group", "--groups", "migmond", "ana")
    run("useradd", "--create-home", "--user-group", "eve")


@pytest.fixture
def drop_in() -> Iterator[Callable[[str], None]]:
    """Configuration for one check."""

    def write(text: str) -> None:
        DROP_INS.mkdir(parents=True, exist_ok=True)
        (DROP_INS / "check.toml").write_text(text)

    yield write
    (DROP_INS / "check.toml").unlink(missing_ok=True)


def reload_service() -> None:
    """`systemctl reload` returns when the signal is sent; the service is reloading until it says READY."""
    run("systemctl", "reload", SERVICE)
    until(lambda: shown("ActiveState") == "active", "the end of the reload")


def test_the_first_client_starts_the_daemon() -> None:
    run("systemctl", "stop", SERVICE)  # where it is enabled, the boot has started it
    assert shown("ActiveState") == "inactive"
    assert "system daemon" in run(MIGMON, "status").stdout
    assert (shown("ActiveState"), shown("StatusText")) == ("active", "idle")
    assert Path("/var/lib/migmond").stat().st_mode & 0o777 == 0o700
    assert "no damage" in run(MIGMON, "doctor").stdout


def test_people_get_their_roles_and_their_own_rights() -> None:
    source = Path("/home/ana/pictures")
    trees.small_files(source, 200, 3000, random.Random(1))
    for path in (source, *source.rglob("*")):
        os.chown(path, *[int(run("id", flag, "ana").stdout) for flag in ("-u", "-g")])
    assert run(MIGMON, "run", source, "/home/ana/copy", "-q", user="ana").returncode == Exit.DONE
    assert differences(source, "/home/ana/copy") == []
    assert run(MIGMON, "run", source, "/home/eve/copy", "-q", user="ana", check=False).returncode == Exit.NOT_PERMITTED
    refused = run(MIGMON, "ls", user="eve", check=False)
    assert refused.returncode == Exit.NOT_PERMITTED
    assert "group" in refused.stderr


def test_the_sandbox_lets_movers_keep_everything() -> None:
    source, target = DISK / "everything", OTHER / "everything"
    trees.every_kind(source)
    assert run(MIGMON, "run", source, target, "-q").returncode == Exit.DONE
    assert differences(source, target) == []


def test_a_move_on_one_file_system_is_a_rename() -> None:
    """ReadWritePaths= and the like would make it EXDEV."""
    source, target = DISK / "tree", DISK / "deep" / "moved"
    trees.small_files(source, 100, 10, random.Random(1))
    inode = source.stat().st_ino
    run(MIGMON, "run", source, target, "--move", "-q")
    assert target.stat().st_ino == inode


def test_systemctl_status_shows_progress_and_reload_keeps_it_going(drop_in: Callable[[str], None]) -> None:
    source = DISK / "films"
    trees.large_files(source, 1, 6 << 20, random.Random(1))
    execution = run(MIGMON, "run", source, OTHER / "films", "--io", "2MiB/s", "--detach").stdout.strip()
    until(lambda: "films running" in shown("StatusText"), "progress in the status")
    before = shown("MainPID")
    drop_in('[daemon]\nlog_level = "debug"\n')
    reload_service()
    assert shown("MainPID") == before
    assert '"debug"' in run(MIGMON, "config", "daemon.log_level").stdout
    drop_in("[daemon]\nno_such_key = 1\n")
    reload_service()
    assert shown("MainPID") == before
    until(lambda: "no_such_key" in journal(), "the refusal in the journal")
    assert run(MIGMON, "watch", execution, "-q").returncode == Exit.DONE
    assert differences(source, OTHER / "films") == []


def test_a_killed_daemon_comes_back_and_goes_on() -> None:
    source, pristine, target = DISK / "mail", DISK / "pristine", OTHER / "mail"
    trees.small_files(source, 3000, 2000, random.Random(1))
    run("cp", "-a", source, pristine)
    execution = run(MIGMON, "run", source, target, "--move", "--io", "2MiB/s", "--detach").stdout.strip()
    until(lambda: target.exists() and any(target.iterdir()), "the first directory")
    os.kill(int(shown("MainPID")), signal.SIGKILL)
    until(lambda: shown("NRestarts") == "1" and shown("ActiveState") == "active", "the restart")
    assert run(MIGMON, "watch", execution, "-q").returncode == Exit.DONE
    assert differences(pristine, target) == []
    assert not source.exists()


def test_a_restart_drains_in_time_and_goes_on(drop_in: Callable[[str], None]) -> None:
    drop_in('[daemon]\ndrain_timeout = "1s"\n')
    source, target = DISK / "disk image", OTHER / "disk image"
    trees.large_files(source, 1, 6 << 20, random.Random(1))
    execution = run(MIGMON, "run", source, target, "--io", "2MiB/s", "--detach").stdout.strip()
    until(lambda: any(mover.num_threads() > 1 for mover in movers()), "a mover at work")
    said = len(journal())
    run("systemctl", "restart", SERVICE)
    assert "stopping" in journal()[said:]
    assert run(MIGMON, "watch", execution, "-q").returncode == Exit.DONE
    assert differences(source, target) == []


@pytest.fixture
def watchdog() -> Iterator[Callable[[str], None]]:
    """A watchdog for one check."""
    override = Path("/run/systemd/system/migmond.service.d/watchdog.conf")

    def write(seconds: str) -> None:
        override.parent.mkdir(parents=True, exist_ok=True)
        override.write_text(f"[Service]\nWatchdogSec={seconds}\n")
        run("systemctl", "daemon-reload")

    yield write
    override.unlink()
    run("systemctl", "daemon-reload")


def test_a_stuck_daemon_is_noticed_by_its_watchdog(watchdog: Callable[[str], None]) -> None:
    watchdog("1s")
    run(MIGMON, "status")
    os.kill(int(shown("MainPID")), signal.SIGSTOP)
    until(lambda: shown("NRestarts") == "1" and shown("ActiveState") == "active", "the watchdog's restart")
    assert "system daemon" in run(MIGMON, "status").stdout
    assert "Watchdog timeout" in journal()


def test_a_busy_daemon_is_left_alone_by_its_watchdog(watchdog: Callable[[str], None]) -> None:
    """More programs than processors compute all the time, and movers and many clients keep the daemon at work."""
    watchdog("5s")
    source, target = DISK / "busy", OTHER / "busy"
    trees.small_files(source, 6000, 500, random.Random(1))
    hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(3 * (os.cpu_count() or 1))]
    try:
        execution = run(MIGMON, "run", source, target, "--io", "1MiB/s", "--detach").stdout.strip()
        before, looks = shown("MainPID"), 0
        while json.loads(run(MIGMON, "show", execution, "--json").stdout)["data"]["state"] != "completed":
            looks += 1
            assert shown("MainPID") == before
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert looks
    assert (shown("MainPID"), shown("NRestarts")) == (before, "0")
    assert differences(source, target) == []
