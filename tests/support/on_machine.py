"""Pieces for checks that run inside a `machine.Machine` (tests/machine)."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

MIGMON = "/opt/migmond/bin/migmon"
DISK, OTHER = Path("/srv/disk"), Path("/srv/other")
"""Two file systems."""
SERVICE = "migmond.service"


def run(*command: str | Path, user: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command, as `user` if one is named."""
    words = [str(word) for word in command]
    if user:
        words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env", "--", *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100, cwd="/")
    assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def shown(name: str) -> str:
    """One property of the service."""
    return run("systemctl", "show", "--value", "-p", name, SERVICE).stdout.strip()


def until(condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come: {shown('StatusText')}\n{journal()[-4000:]}"
        time.sleep(0.05)


def journal(unit: str = SERVICE) -> str:
    """All of it: what a daemon that is aborted says of its threads is hundreds of lines."""
    return run("journalctl", "--no-pager", "-u", unit, check=False).stdout


def movers() -> list[psutil.Process]:
    """Of all daemons, also those that wait for work."""
    return [p for p in psutil.process_iter(["cmdline"]) if "migmond.mover" in (p.info["cmdline"] or [])]
