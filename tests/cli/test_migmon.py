"""`migmon` against a real daemon: what it prints, how it ends."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import trees
from daemon import EmbeddedDaemon, kill_all
from oracle import differences


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path_factory.mktemp("daemon")) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    trees.random_tree(tmp_path / "source", random.Random(1), 60)
    return tmp_path / "source"


def large(path: Path, mebibytes: int = 256) -> Path:
    path.mkdir()
    block = random.Random(1).randbytes(1 << 20)
    with open(path / "large", "wb") as file:
        for _ in range(mebibytes):
            file.write(block)
    return path


def test_run_waits_shows_and_sums_up(daemon: EmbeddedDaemon, source: Path, tmp_path: Path) -> None:
    done = daemon.migmon("run", str(source), str(tmp_path / "target"), "--name", "holiday")
    assert done.returncode == 0
    assert done.stdout == ""
    assert re.search(r"holiday \([0-9a-f]{6}\) done: [\d,]+ entries, .* copied in ", done.stderr)
    assert "migmon verify" in done.stderr
    assert differences(source, tmp_path / "target") == []
    listed = daemon.migmon("ls").stdout
    assert re.search(r"✓done +holiday .*100.0%", listed)
    shown = daemon.migmon("show", "holiday").stdout
    assert str(source) in shown
    verified = daemon.migmon("verify", "holiday")
    assert "all as they were written" in verified.stdout
    idle = daemon.migmon("verify", "holiday", "--cancel", check=False)
    assert (idle.returncode, "not being verified" in idle.stderr) == (1, True)


def test_json_is_an_envelope_a_line(daemon: EmbeddedDaemon, source: Path, tmp_path: Path) -> None:
    done = daemon.migmon("run", str(source), str(tmp_path / "t"), "--json")
    answer = json.loads(done.stdout)
    assert (answer["migmon"], answer["kind"], answer["data"]["state"]) == (1, "execution", "completed")
    lines = [json.loads(line) for line in daemon.migmon("--json", "files", answer["data"]["id"]).stdout.splitlines()]
    assert {line["kind"] for line in lines} == {"file"}
    assert len(lines) == answer["data"]["progress"]["planned"]["entries"]
    only = daemon.migmon("files", answer["data"]["id"], "--type", "symlink", "--json").stdout.splitlines()
    assert {json.loads(line)["data"]["type"] for line in only} == {"symlink"}


def as_planned(text: str) -> str:
    """Between two plans others write to the disk as well, and what has just ended changes how long it would take."""
    return re.sub(r"takes about .* with", "takes", re.sub(r"[0-9.]+ [KMGT]?i?B free", "free", text))


def test_plan_writes_nothing_and_can_be_saved(daemon: EmbeddedDaemon, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    done = daemon.migmon("plan", str(source), str(target), "--save", "weekly")
    assert "✓ feasible" in done.stdout
    assert not target.exists()
    assert as_planned(daemon.migmon("run", "weekly", "-n").stdout) == as_planned(done.stdout)
    assert daemon.migmon("run", "weekly").returncode == 0
    assert differences(source, target) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "/no/such", "/tmp/x"], 7, "does not exist"),
        (["run", "/usr", "/usr/copy"], 7, "inside source"),
        (["plan", "/no/such", "/tmp/x"], 7, ""),
        (["show", "holday-photos"], 4, "no migration matches"),
        (["pause", "nothing"], 4, "migmon ls"),
        (["frobnicate"], 2, "no such command"),
        (["run", "/usr", "/tmp/x", "--io", "50"], 2, "has no unit"),
        (["run", "/usr", "/tmp/x", "--io", "0B"], 2, "use pause"),
        (["run", "/usr", "/tmp/x", "--include", "{"], 2, "bad pattern"),
        (["pause", "x", "--for", "soon"], 2, "not a duration"),
        (["top", "--interval", "nan"], 2, "not a number"),
        (["rpc", "system.hello", "{"], 2, "not JSON"),
        (["rpc", "no.method"], 4, "no method"),
        (["rpc", "alerts.list", '{"limit": 99999999999999999999}'], 2, "too large"),
        (["run", "nosuchplan"], 4, "no saved plan"),
        (["--socket", "/no/socket", "ls"], 3, "no daemon answers"),
    ],
)
def test_errors_say_what_and_end_with_their_code(
    daemon: EmbeddedDaemon, arguments: list[str], code: int, words: str
) -> None:
    done = daemon.migmon(*arguments, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    if words:
        assert done.stderr.startswith("error: ")
        assert "hint: " in done.stderr
        assert "Traceback" not in done.stderr


def test_a_typo_is_helped(daemon: EmbeddedDaemon, source: Path, tmp_path: Path) -> None:
    daemon.migmon("run", str(source), str(tmp_path / "t"), "--name", "photos-2012-2025")
    done = daemon.migmon("show", "phtos-2012", check=False)
    assert "did you mean photos-2012-2025" in done.stderr


def test_some_files_failed_is_6_and_errors_says_why(daemon: EmbeddedDaemon, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    victim = next(p for p in source.iterdir() if p.is_file() and not p.is_symlink() and p.stat().st_size)
    (target / victim.name).write_bytes(b"other")
    done = daemon.migmon("run", str(source), str(target), "--name", "clash", check=False)
    assert done.returncode == 6
    assert "1 failed" in done.stderr
    errors = daemon.migmon("errors", "clash").stdout
    assert "exists" in errors
    assert victim.name in errors
    assert "--conflict" in errors
    assert (target / victim.name).read_bytes() == b"other"


def test_pause_resume_cancel_and_their_record(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    source, target = large(tmp_path / "source"), tmp_path / "target"
    started = daemon.migmon(
        "run", str(source), str(target), "--io", "8MiB/s", "--no-reflink", "--detach", "--name", "slow"
    )
    id_ = started.stdout.strip()
    paused = daemon.migmon("pause", id_[:5], "--for", "2h", "--reason", "lunch")
    assert "paused for 2 h" in paused.stdout
    assert f"migmon resume {id_[:6]}" in paused.stderr
    shown = daemon.migmon("show", "slow").stdout
    assert "lunch" in shown
    assert "goes on" in daemon.migmon("resume", "slow").stdout
    assert "would be cancelled" in daemon.migmon("cancel", "slow", "-n").stdout
    assert "cancelled" in daemon.migmon("cancel", "slow").stdout
    assert daemon.migmon("watch", "slow", check=False).returncode == 1
    assert not list(target.iterdir())
    record = daemon.migmon("interventions", "slow").stdout
    for word in ("pause", "resume", "cancel", "lunch"):
        assert word in record
    assert daemon.migmon("cancel", "slow", check=False).returncode == 1


def test_cancelling_a_move_asks(daemon: EmbeddedDaemon, tmp_path: Path, other_fs: Path) -> None:
    source = large(tmp_path / "source")
    daemon.migmon("run", str(source), str(other_fs / "t"), "--io", "8MiB/s", "--move", "--detach", "--name", "mv1")
    refused = daemon.migmon("cancel", "mv1", check=False)
    assert refused.returncode == 2
    assert "-y" in refused.stderr
    assert "cancelled" in daemon.migmon("cancel", "mv1", "-y").stdout
    assert (source / "large").exists()


def test_a_timeout_is_124_and_it_goes_on(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    source = large(tmp_path / "source")
    arguments = ["run", str(source), str(tmp_path / "t"), "--io", "8MiB/s", "--no-reflink", "--name", "late"]
    done = daemon.migmon(*arguments, "--timeout", "1s", check=False)
    assert done.returncode == 124
    assert "migmon watch" in done.stderr
    assert "running" in daemon.migmon("show", "late").stdout
    daemon.migmon("cancel", "late")


def test_ctrl_c_detaches(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    source = large(tmp_path / "source")
    process = subprocess.Popen(
        [sys.executable, "-m", "migmond.cli", "run", str(source), str(tmp_path / "t"), "--io", "8MiB/s",
         "--no-reflink", "--name", "left"],
        env=daemon.environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while daemon.migmon("show", "left", check=False).returncode != 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "goes on in the background" in said
    assert "running" in daemon.migmon("show", "left").stdout
    daemon.migmon("cancel", "left")


def test_the_live_view_on_a_terminal(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    source = large(tmp_path / "source", 32)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "migmond.cli", "run", str(source), str(tmp_path / "t"), "--io", "16MiB/s",
         "--no-reflink", "--name", "live"],
        env={**daemon.environment, "TERM": "xterm", "COLUMNS": "100"}, stderr=theirs, stdout=theirs, stdin=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], 20)[0]:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        seen += data
    os.close(ours)
    text = seen.decode()
    assert process.wait(20) == 0
    assert "▏" in text
    assert re.search(r"\d+\.\d%", text)
    assert "live (" in text
    assert "done: 2 entries" in text


def test_status_doctor_config_plugins_completion_rpc(daemon: EmbeddedDaemon) -> None:
    assert daemon.socket in daemon.migmon("status").stdout
    doctor = daemon.migmon("doctor")
    assert "✓ journal" in doctor.stdout
    assert "sqlite active" in daemon.migmon("plugins").stdout
    config = daemon.migmon("config", "movers").stdout
    assert re.search(r"movers.stall_after +\"5s\" +default", config)
    assert daemon.migmon("config", "mover", check=False).returncode == 4
    for shell in ("bash", "zsh", "fish"):
        assert "migmon" in daemon.migmon("completion", shell).stdout
    answer = json.loads(daemon.migmon("rpc", "execution.list", '{"limit": 1}').stdout)
    assert set(answer) == {"executions", "total"}
    assert "B/s" in daemon.migmon("top").stdout


def test_watch_json_is_a_line_per_event(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    source = large(tmp_path / "source")
    started = daemon.migmon("run", str(source), str(tmp_path / "t"), "--io", "1MiB/s", "--detach").stdout.strip()
    command = [sys.executable, "-m", "migmond.cli", "watch", started, "--json"]
    with subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        lines = [watching.stdout.readline()]  # it is subscribed
        daemon.migmon("cancel", started, "-y")
        lines += watching.stdout.read().splitlines()
    assert watching.returncode == 1
    events = [json.loads(line) for line in lines]
    assert {e["kind"] for e in events} == {"event"}
    assert events[-1]["data"]["type"] == "execution.state"
    assert events[-1]["data"]["after"] == "cancelled"


def test_watch_json_of_one_that_has_ended_is_itself(daemon: EmbeddedDaemon, source: Path, tmp_path: Path) -> None:
    ended = json.loads(daemon.migmon("run", str(source), str(tmp_path / "t"), "--json").stdout)["data"]["id"]
    (line,) = daemon.migmon("watch", ended, "--json").stdout.splitlines()
    assert (json.loads(line)["kind"], json.loads(line)["data"]["state"]) == ("execution", "completed")


def test_a_daemon_is_started_when_there_is_none(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    helper = EmbeddedDaemon(tmp_path / "unused")
    environment = {**helper.environment, "XDG_RUNTIME_DIR": str(run), "XDG_STATE_HOME": str(tmp_path / "state")}
    environment["XDG_CONFIG_HOME"] = str(tmp_path / "no-config")
    del environment["MIGMOND_SOCKET"]
    pids: list[int] = []
    try:
        command = [sys.executable, "-m", "migmond.cli"]
        both = [
            subprocess.Popen([*command, "ls", "--json"], env=environment, stdout=subprocess.PIPE, cwd=tmp_path)
            for _ in range(3)
        ]
        assert [p.wait(30) for p in both] == [0, 0, 0]
        for process in both:
            assert process.stdout is not None
            process.stdout.close()
        done = subprocess.run(
            [*command, "run", "source", "copied", "--json"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        assert json.loads(done.stdout)["data"]["state"] == "completed"
        assert differences(source, tmp_path / "copied") == []
        status = subprocess.run([*command, "status", "--json"], env=environment, capture_output=True, check=True)
        pids = [json.loads(status.stdout)["data"]["pid"]]
        assert (run / "migmond").stat().st_mode & 0o777 == 0o700
    finally:
        kill_all(pids)
    broken = {**environment, "XDG_STATE_HOME": "/proc/no"}
    failed = subprocess.run([*command, "ls"], env=broken, capture_output=True, text=True, check=False)
    assert failed.returncode != 0
    assert "Traceback" not in failed.stderr


def test_a_private_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "migmond").mkdir(parents=True, mode=0o755)
    (run / "migmond").chmod(0o755)
    helper = EmbeddedDaemon(tmp_path / "unused")
    environment = {**helper.environment, "XDG_RUNTIME_DIR": str(run)}
    del environment["MIGMOND_SOCKET"]
    done = subprocess.run(
        [sys.executable, "-m", "migmond.cli", "ls"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "not a private directory" in done.stderr


def test_the_daemon_comes_back_while_somebody_waits(tmp_path: Path) -> None:
    source = large(tmp_path / "source", 64)
    with EmbeddedDaemon(tmp_path / "daemon") as daemon:
        process = subprocess.Popen(
            [sys.executable, "-m", "migmond.cli", "run", str(source), str(tmp_path / "t"), "--io", "32MiB/s",
             "--no-reflink", "--name", "back"],
            env=daemon.environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while daemon.migmon("show", "back", check=False).returncode != 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        daemon.kill(movers=True)
        daemon.start()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "waiting for it to come back" in said
    assert differences(source, tmp_path / "t") == []
