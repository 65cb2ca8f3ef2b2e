"""Hook programs: real ones, good and bad, and what is left of them afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio

from alerts_told import a_notice
from migmond.domain.errors import PluginError
from migmond.plugin_api import ActionFailed
from migmond_exec import SETTINGS, Hooks, Parameters, migmond_alert_actions
from migmond_exec.running import SUPERVISOR, delegated_group
from several_users import passable

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: rights are dropped, files belong to others")


class Bench:
    """A directory of hooks that are the daemon's own, and one that everybody may write to."""

    def __init__(self, base: Path) -> None:
        self.hooks = base / "hooks"
        self.open = base / "open"
        self.hooks.mkdir(mode=0o755)
        self.open.mkdir()
        for directory in (base, self.open):
            directory.chmod(0o755 if directory is base else 0o777)

    def hook(self, text: str, name: str = "hook", mode: int = 0o755) -> str:
        path = self.hooks / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(mode)
        return str(path)

    async def run(self, *argv: str, message: str = "sda is hot", cgroup: str = "", **settings: Any) -> str | None:
        with trio.fail_after(30):
            hooks = Hooks(SETTINGS(directories=(str(self.hooks),), **{"time_limit": "10s", **settings}), cgroup)
            return await hooks.act(a_notice(message), Parameters(argv))

    def alive(self) -> list[int]:
        """Pids of what was started by hooks here and still runs: each has this directory in its command line."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = any(str(self.open) in part for part in process.cmdline())
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(passable(tmp_path))
    yield made
    assert made.alive() == []


async def test_it_is_told_everything_and_nothing_else(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_DAEMON", "sesame")
    hook = bench.hook("env; echo ---; pwd; echo \"$@\"; cat; echo; ls /proc/self/fd | tr '\\n' ' '")
    hostile = "name\n$(touch /tmp/x)\u202e'\"; rm -rf /"
    said = await bench.run(hook, "a b", "$(id)", message=hostile, environment={"MINE": "1"})
    assert said is not None
    variables, _, rest = said.partition("---\n")
    told = dict(line.split("=", 1) for line in variables.splitlines())
    told.pop("PWD", None), told.pop("_", None), told.pop("SHLVL", None), told.pop("OLDPWD", None)
    assert told == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/",
        "MINE": "1", "MIGMOND_HOOK": hook, "MIGMOND_DELIVERY": "d1", "MIGMOND_ALERT": "a-1",
        "MIGMOND_RULE": "hot disk", "MIGMOND_SEVERITY": "error", "MIGMOND_STATE": "firing",
        "MIGMOND_EXECUTION": "8f3a1c", "MIGMOND_DEVICE": "sda",
    }  # fmt: skip
    where, arguments, notice, fds = rest.splitlines()
    assert (where, arguments) == ("/", "a b $(id)")
    body = json.loads(notice)
    assert body["message"] == hostile
    assert (body["version"], body["state"], body["value"], body["labels"]) == (1, "firing", 61.0, {"device": "sda"})
    assert len(fds.split()) <= 5  # 0, 1, 2, the script, and what ls has open itself


@root_only
async def test_it_has_no_rights(bench: Bench) -> None:
    hook = bench.hook(
        "id -u; id -g; id -G; grep -E 'NoNewPrivs|CapEff' /proc/self/status | tr -d '\\t '; umask; "
        "cat /etc/shadow 2>&1; ulimit -c; ulimit -n"
    )
    said = await bench.run(hook)
    assert said is not None
    uid, gid, groups, *rest = said.splitlines()
    assert (uid, gid, groups) == ("65534", "65534", "65534")
    assert rest[:3] == ["CapEff:0000000000000000", "NoNewPrivs:1", "0077"]
    assert "Permission denied" in rest[3]
    assert rest[4:] == ["0", "256"]


@root_only
async def test_it_cannot_change_itself(bench: Bench) -> None:
    hook = bench.hook(f'echo evil >> {bench.hooks}/hook; echo evil >> "$0"; echo evil >> /proc/self/fd/3; true')
    before = Path(hook).read_text()
    assert "denied" in (await bench.run(hook) or "")
    assert Path(hook).read_text() == before


@pytest.mark.parametrize(("code", "final"), [(1, False), (75, False), (64, True)])
async def test_a_failing_hook_says_what_it_said_last(bench: Bench, code: int, final: bool) -> None:
    hook = bench.hook(f"echo first; echo 'no printer' >&2; exit {code}")
    with pytest.raises(ActionFailed) as caught:
        await bench.run(hook)
    assert caught.value.why == f"{hook} ended with {code}: no printer"
    assert caught.value.said == "first\nno printer\n"
    assert caught.value.final is final


async def test_one_that_hangs_is_killed_with_all_that_it_has_started(bench: Bench) -> None:
    hide = f"setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000; : {bench.open}' </dev/null >/dev/null 2>&1 &"
    hook = bench.hook(f"trap '' TERM; {hide} ({hide}) ; sleep 1000")
    began = time.monotonic()
    with pytest.raises(ActionFailed, match="was killed after 500ms"):
        await bench.run(hook, time_limit="500ms")
    assert time.monotonic() - began < 5
    assert bench.alive() == []


async def test_what_it_leaves_behind_is_killed(bench: Bench) -> None:
    # A double fork into a session of its own, with all descriptors closed: what daemons do.
    hook = bench.hook(f"(setsid sh -c 'sleep 1000; : {bench.open}' </dev/null >/dev/null 2>&1 &) ; echo done")
    assert await bench.run(hook) == "done\n"
    assert bench.alive() == []


async def test_a_flood_is_cut_and_ends(bench: Bench) -> None:
    hook = bench.hook("yes 0123456789 | head -c 20000000; echo end >&2")
    said = await bench.run(hook)
    assert said is not None
    kept, _, note = said.rpartition("\n")
    assert len(kept) == 65536
    assert note == f"({20_000_004 - 65536:,} more bytes)"


async def test_a_flood_without_end_is_killed(bench: Bench) -> None:
    with pytest.raises(ActionFailed, match="was killed after 300ms"):
        await bench.run(bench.hook(f"yes {bench.open}"), time_limit="300ms")


@root_only
async def test_it_cannot_start_more_processes_than_it_may(bench: Bench) -> None:
    hook = bench.hook(f"i=0; while [ $i -lt 30 ]; do sleep 1000 {bench.open} & i=$((i+1)); done; echo all")
    with pytest.raises(ActionFailed, match="ended with"):
        await bench.run(hook, processes=10)
    assert bench.alive() == []


async def test_it_cannot_take_more_memory_than_it_may(bench: Bench) -> None:
    hook = bench.hook("LC_ALL=C exec dd if=/dev/zero of=/dev/null bs=200M count=1")
    with pytest.raises(ActionFailed, match="memory exhausted"):
        await bench.run(hook, memory="100MiB")


async def test_a_daemon_that_gives_it_up_takes_everything_with_it(bench: Bench) -> None:
    hook = bench.hook(f"sleep 1000; : {bench.open}; true")
    started = bench.hook(f"touch {bench.open}/started; exec {hook} {bench.open}", "starter")
    with trio.move_on_after(20) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.run, started)
            while not (bench.open / "started").exists():  # noqa: ASYNC110 (a file says so, nobody else)
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert not scope.cancelled_caught
    assert bench.alive() == []


async def test_a_daemon_that_is_killed_takes_everything_with_it(bench: Bench) -> None:
    hook = bench.hook(f"setsid sh -c 'touch {bench.open}/started; sleep 1000; true' & sleep 1000; : {bench.open}")
    program = (
        "import sys, trio; sys.path[:0] = sys.argv[2:]\n"
        "from alerts_told import a_notice\n"
        "from migmond_exec import *\n"
        "hooks = Hooks(SETTINGS(directories=(sys.argv[1].rpartition('/')[0],), time_limit='1000s'), '')\n"
        "trio.run(hooks.act, a_notice(), Parameters((sys.argv[1],)))\n"
    )
    daemon = subprocess.Popen([sys.executable, "-c", program, hook, *sys.path])
    try:
        end = time.monotonic() + 20
        while not (bench.open / "started").exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        assert bench.alive() != []
    finally:
        daemon.kill()
        daemon.wait()
    end = time.monotonic() + 10
    while bench.alive():
        assert time.monotonic() < end
        time.sleep(0.02)


async def _refused(bench: Bench, *argv: str) -> ActionFailed:
    with pytest.raises(ActionFailed) as caught:
        await bench.run(*argv)
    return caught.value


async def test_only_programs_that_nobody_else_could_change(bench: Bench) -> None:
    hook, marker = bench.hook(f"touch {bench.open}/ran"), bench.open / "ran"
    for mode, why in ((0o775, "its group"), (0o757, "everybody"), (0o644, "not executable"), (0o4755, "setuid")):
        Path(hook).chmod(mode)
        assert why in (await _refused(bench, hook)).why
    Path(hook).chmod(0o755)
    bench.hooks.chmod(0o777)
    assert f"{bench.hooks} may be written by everybody: chmod go-w" in (await _refused(bench, hook)).why
    bench.hooks.chmod(0o755)
    (bench.hooks / "link").symlink_to(hook)
    assert "is a symlink" in (await _refused(bench, str(bench.hooks / "link"))).why
    (bench.hooks / "sub").symlink_to(bench.hooks)
    assert "is a symlink" in (await _refused(bench, str(bench.hooks / "sub" / "hook"))).why
    os.mkfifo(bench.hooks / "fifo")
    assert "no regular file" in (await _refused(bench, str(bench.hooks / "fifo"))).why
    assert "No such file" in (await _refused(bench, str(bench.hooks / "missing"))).why
    (bench.hooks / "real").mkdir(mode=0o755)
    assert "no regular file" in (await _refused(bench, str(bench.hooks / "real"))).why
    if os.geteuid() == 0:
        os.chown(hook, 65534, 65534)
        assert f"{hook} belongs to uid 65534" in (await _refused(bench, hook)).why
        os.chown(hook, 0, 0)
    assert not marker.exists()
    bench.open.chmod(0o777)
    assert await bench.run(hook) is None
    assert marker.exists()
    for argv in ((), ("hook",), ("/bin/true",), (f"{bench.hooks}/../hooks/hook",), (f"{bench.hooks}",), (hook, "a\0b")):
        refused = await _refused(bench, *argv)
        assert refused.final, argv


async def test_what_was_looked_at_is_what_runs(bench: Bench, tmp_path: Path) -> None:
    """The file is exchanged for a symlink to another one, again and again, while it is run."""
    hook, evil = bench.hook("echo good"), bench.open / "evil"
    evil.write_text("#!/bin/sh\necho evil\n")
    evil.chmod(0o777)
    swap = (
        "import os, sys\n"
        "hook, evil = sys.argv[1:]\n"
        "while True:\n"
        "    os.symlink(evil, hook + '.new'); os.rename(hook, hook + '.old'); os.rename(hook + '.new', hook)\n"
        "    os.rename(hook + '.old', hook)\n"
    )
    swapping = subprocess.Popen([sys.executable, "-c", swap, hook, str(evil)])
    said: list[str] = []
    try:
        for _ in range(25):
            try:
                said.append(await bench.run(hook) or "")
            except ActionFailed as e:
                said.append(e.why)
    finally:
        swapping.kill()
        swapping.wait()
    assert not any("evil" in text and "symlink" not in text for text in said)
    assert set(said) <= {"good\n", f"{hook} is a symlink: give the real path", f"{hook}: No such file or directory"}


@root_only
async def test_a_delegated_control_group_is_used_and_removed(bench: Bench, tmp_path: Path) -> None:
    mount = tmp_path / "cgroup"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "cgroup2", "none", str(mount)], capture_output=True, check=False).returncode:
        pytest.skip("no control groups of version 2 can be mounted here")
    group = mount / f"migmond-test-{os.getpid()}"
    try:
        group.mkdir()
        hook = bench.hook(f"cat /proc/self/cgroup; (setsid sleep 1000 {bench.open} >/dev/null 2>&1 &)")
        said = await bench.run(hook, cgroup=str(group))
        assert said is not None
        assert f"0::/{group.name}/hook-" in said
        assert [p.name for p in group.iterdir() if p.is_dir()] == []
        own = tmp_path / "own"
        own.write_text(f"1:name=x:/\n0::/{group.name}\n")
        assert delegated_group(str(mount), str(own)) == ""
        os.setxattr(group, "trusted.delegate", b"1")
        assert delegated_group(str(mount), str(own)) == str(group)
    finally:
        group.rmdir()
        subprocess.run(["umount", str(mount)], check=True)


def test_a_control_group_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    assert delegated_group(str(tmp_path), str(tmp_path / "missing")) == ""


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"time_limit": "2h"}, "time_limit"), ({"memory": "1MiB"}, "memory"), ({"output": "1MiB"}, "output"),
        ({"processes": 0}, "processes"), ({"directories": ("hooks",)}, "no absolute path"),
        ({"environment": {"A=B": "c"}}, "no name of a variable"),
    ],
)  # fmt: skip
def test_settings_are_checked_at_load_time(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(PluginError, match=why):
        list(migmond_alert_actions(SETTINGS(**settings)))


@root_only
@pytest.mark.parametrize(("user", "why"), [("nobody-there", "there is no user"), ("root", "root's rights")])
async def test_the_user_is_somebody_and_not_root(bench: Bench, user: str, why: str) -> None:
    with pytest.raises(ActionFailed, match=why):
        await bench.run(bench.hook("id -u"), user=user)


async def test_a_supervisor_that_fails_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = bench.hooks / "broken.py"
    broken.write_text("raise SystemExit('no room')")
    monkeypatch.setattr("migmond_exec.running.SUPERVISOR", str(broken))
    assert str(broken) != SUPERVISOR
    with pytest.raises(ActionFailed, match="supervisor of hooks ended with 1: no room"):
        await bench.run(bench.hook("true"))
