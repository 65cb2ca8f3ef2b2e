"""What systemd sees of the daemon, and the unit files."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from daemon import EmbeddedDaemon
from migmond.daemon.activation import inherited_sockets
from migmond.daemon.notify import Notifier
from migmond.daemon.watchdog import Blocked, Longest, LoopLag, feed, watchdog_interval_s
from migmond.domain.errors import ConfigError

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "contrib" / "systemd"


def receiver(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind("\0" + path[1:] if path.startswith("@") else path)
    sock.settimeout(10)
    return sock


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_notifications_arrive_with_their_utf8(tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / "notify") if kind == "path" else f"@migmond-test-{os.getpid()}"
    with receiver(path) as sock:
        notifier = Notifier({"NOTIFY_SOCKET": path})
        notifier.status("复制 50 %\nREADY=1")
        assert sock.recv(1000).decode() == "STATUS=复制 50 % READY=1"
        notifier.ready("serving")
        assert sock.recv(1000) == b"READY=1\nSTATUS=serving"
        notifier.reloading()
        assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", sock.recv(1000))
        notifier.extend_timeout(30)
        assert sock.recv(1000) == b"EXTEND_TIMEOUT_USEC=30000000"


def test_without_systemd_nothing_happens() -> None:
    Notifier({}).ready("x")
    Notifier({"NOTIFY_SOCKET": "/does/not/exist"}).ready("x")


def test_the_watchdog_interval() -> None:
    assert watchdog_interval_s({"WATCHDOG_USEC": "30000000"}, 5) == 15
    assert watchdog_interval_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "6"}, 5) is None
    assert watchdog_interval_s({}, 5) is None
    assert watchdog_interval_s({"WATCHDOG_USEC": "soon"}, 5) is None


async def test_the_watchdog_is_fed_on_time(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    path = str(tmp_path / "notify")
    with receiver(path) as sock:
        with trio.move_on_after(60):
            await feed(Notifier({"NOTIFY_SOCKET": path}), 15)
        sock.setblocking(False)
        assert [sock.recv(100) for _ in range(4)] == [b"WATCHDOG=1"] * 4


def test_how_long_the_loop_was_blocked_is_forgotten_after_a_minute() -> None:
    longest = Longest()
    assert longest.at(0.0) == Blocked(0.0, "")
    for now, seconds, task in ((0.0, 0.5, "first"), (0.5, 0.1, "same second"), (30.0, 0.1, "later")):
        longest.observe(now, seconds, task)
    assert longest.at(30.0) == Blocked(0.5, "first")
    longest.observe(61.0, 0.2, "last")
    assert longest.at(61.0) == Blocked(0.2, "last")
    assert longest.at(122.0) == Blocked(0.0, "")


@given(
    st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 9)), max_size=60).map(sorted),
    st.integers(0, 80_000),
)
def test_the_longest_is_that_of_the_last_minute(rounds: list[tuple[int, int]], later_ms: int) -> None:
    """Against all of them kept; the last second of the minute may count in whole."""
    longest = Longest()
    for at_ms, length in rounds:
        longest.observe(at_ms / 250, length, "")
    now = (rounds[-1][0] / 250 if rounds else 0.0) + later_ms / 1000
    sure = [length for at_ms, length in rounds if at_ms / 250 >= now - 59]
    possible = [length for at_ms, length in rounds if at_ms / 250 >= now - 61]
    assert max(sure, default=0) <= longest.at(now).seconds <= max(possible, default=0)


async def test_every_round_of_the_loop_is_measured() -> None:
    """Also one that ends long before a timer is due; what it slept is no work."""
    lag = LoopLag()

    async def sleepy() -> None:
        time.sleep(0.05)

    async def busy() -> None:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    with lag.watching():
        for blocking in (sleepy, busy):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(blocking)
        await trio.sleep(0.001)
    now = time.monotonic()
    assert lag.waited.at(now).seconds >= 0.05
    assert lag.worked.at(now).seconds >= 0.02
    assert lag.worked.at(now).task.endswith("busy")
    before = lag.worked.at(now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(busy)
        nursery.start_soon(busy)
    assert lag.worked.at(now) == before  # it is watched no longer


def test_inherited_sockets_are_only_ours() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "OTHER": "y"}
    assert inherited_sockets(environment, 2) == []
    assert environment == {"OTHER": "y"}


def test_what_is_no_listening_socket_is_refused(tmp_path: Path) -> None:
    script = (
        "import os\n"
        "from migmond.daemon.activation import inherited_sockets\n"
        "inherited_sockets({'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}, os.getpid())\n"
    )
    with open(os.devnull, "rb") as null:
        done = subprocess.run(
            [sys.executable, "-c", f"import os; os.dup2({null.fileno()}, 3)\n{script}"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            pass_fds=(null.fileno(),), capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert ConfigError.__name__ in done.stderr
    assert "no listening Unix stream socket" in done.stderr


def test_socket_activation_and_the_life_of_a_service(tmp_path: Path) -> None:
    """READY, STATUS, RELOADING, STOPPING over a real notify socket; the socket is inherited as systemd passes it."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(tmp_path / "socket"))
    listening.listen()
    (tmp_path / "config").mkdir()
    with receiver(str(tmp_path / "notify")) as notify:
        launcher = (
            f"import os, sys; os.dup2({listening.fileno()}, 3); os.environ['LISTEN_PID'] = str(os.getpid());"
            "os.execv(sys.executable, [sys.executable, '-m', 'migmond.daemon', *sys.argv[1:]])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", launcher, "--user", "--state-directory", str(tmp_path / "state"),
             "--config-directory", str(tmp_path / "config")],
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "LISTEN_FDS": "1",
                 "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"},
            pass_fds=(listening.fileno(), 3) if listening.fileno() != 3 else (3,), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            seen = _until(notify, "READY=1")
            assert "WATCHDOG=1" in seen or _until(notify, "WATCHDOG=1")
            daemon = EmbeddedDaemon(tmp_path)
            daemon.socket = str(tmp_path / "socket")
            assert "per-user daemon" in daemon.migmon("status").stdout
            process.send_signal(signal.SIGHUP)
            _until(notify, "RELOADING=1")
            _until(notify, "READY=1")
            process.send_signal(signal.SIGTERM)
            _until(notify, "STOPPING=1")
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
            listening.close()
    assert (tmp_path / "socket").exists()  # systemd's, not ours to remove


def _until(notify: socket.socket, wanted: str) -> str:
    seen = ""
    while wanted not in seen.splitlines():
        seen += notify.recv(4096).decode() + "\n"
    return seen


@pytest.mark.parametrize("unit", ["migmond.service", "migmond.socket", "migmond.sysusers"])
def test_every_line_of_a_unit_is_explained(unit: str) -> None:
    """Settings come in paragraphs; each paragraph is introduced by a comment."""
    explained = True
    for line in (UNITS / unit).read_text().splitlines():
        if not line.strip() or line.startswith("["):
            explained = False
        elif line.startswith("#"):
            explained = True
        else:
            assert explained, line


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_units_verify_and_are_hardened(tmp_path: Path) -> None:
    text = (UNITS / "migmond.service").read_text().replace("/opt/migmond/bin/migmond", "/bin/true")
    (tmp_path / "migmond.service").write_text(text)
    shutil.copy(UNITS / "migmond.socket", tmp_path)
    units = [tmp_path / "migmond.service", tmp_path / "migmond.socket"]
    verified = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    scored = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", UNITS / "migmond.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    score = re.search(r"exposure level for migmond.service: ([\d.]+)", scored.stdout)
    assert score is not None
    assert float(score.group(1)) <= 3.0
